"""Images of the inputs in an NWB file."""

import warnings
from dataclasses import replace

import h5py
import neo
import numpy as np
import nwbinspector
import pynwb
import pytest
import torch
from strategies import small_recording

import ann2neo
from ann2neo.errors import FormatError, InputsError, RecordingError
from ann2neo.formats.nwb.writing import _most_bytes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pynapple


@pytest.fixture
def recording():
    """Twelve inputs in two passes."""
    return small_recording(4, 12)


def pictures(shape=(12, 5, 4), dtype=np.uint8):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, shape, np.uint8) if dtype == np.uint8 else rng.random(shape).astype(dtype)


def read_back(path):
    """The image of each trial, as the documentation of `save` says."""
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        nwbfile = io.read()
        images = nwbfile.stimulus_template["images"]
        return [images[name].data[:] for name in nwbfile.trials["image"]]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((12, 5, 4), np.uint8),
        ((12, 5, 4, 1), np.float32),
        ((12, 5, 4, 3), np.uint8),
        ((12, 5, 4, 3), np.float64),
        ((12, 5, 4, 4), np.float32),
    ],
)
def test_every_trial_names_the_image_of_its_input(shape, dtype, recording, tmp_path):
    """Read back, each trial of each pass has the very pixels of its input, and `load` gives the recording as it was."""
    images = pictures(shape, dtype)
    ann2neo.save(recording, tmp_path / "a.nwb", images=images)
    found = read_back(tmp_path / "a.nwb")
    expected = images[..., 0] if shape[3:] == (1,) else images
    assert len(found) == 24
    for image, number in zip(found, recording.trials["stimulus_id"]):
        assert image.dtype == dtype
        assert np.array_equal(image, expected[number])
    assert ann2neo.load(tmp_path / "a.nwb").identical(recording)


def test_an_arrangement_keeps_inputs_and_images_together(recording, tmp_path):
    """Images are found by stimulus_id, in whatever order the trials are, and come from a tensor too."""
    view, images = recording.arrange("shuffled", seed=1), pictures()
    ann2neo.save(view, tmp_path / "a.nwb", images=torch.from_numpy(images))
    assert np.array_equal(read_back(tmp_path / "a.nwb"), images[view.trials["stimulus_id"]])


def test_only_inputs_that_were_presented_are_stored(tmp_path):
    """Of a large data set, the file holds the images of the trials, found by their numbers."""
    recording = ann2neo.from_array(np.eye(3, dtype=bool))
    recording = replace(recording, trials=recording.trials.assign(stimulus_id=[4999, 7, 300]))
    images = pictures((5000, 5, 4))
    ann2neo.save(recording, tmp_path / "a.nwb", images=images)
    with h5py.File(tmp_path / "a.nwb") as file:
        assert set(file["stimulus/templates/images"]) == {"stimulus_4999", "stimulus_7", "stimulus_300"}
    assert np.array_equal(read_back(tmp_path / "a.nwb"), images[[4999, 7, 300]])


def test_a_thousand_images_fit_and_no_more(tmp_path):
    """More are refused with the bytes that they would take, before anything is written."""
    most = ann2neo.from_array(np.ones((1000, 1), bool))
    ann2neo.save(most, tmp_path / "most.nwb", images=pictures((1000, 2, 2)))
    with h5py.File(tmp_path / "most.nwb") as file:
        assert len(file["stimulus/templates/images"]) == 1000
    assert (tmp_path / "most.nwb").stat().st_size <= _most_bytes(most) + 1000 * (4 + 4000)
    with pytest.raises(InputsError, match="1001 images take 20,020 bytes; at most 1,000"):
        ann2neo.save(ann2neo.from_array(np.ones((1001, 1), bool)), tmp_path / "a.nwb", images=pictures((1001, 5, 4)))
    assert [file.name for file in tmp_path.iterdir()] == ["most.nwb"]


@pytest.mark.parametrize(
    ("images", "fact"),
    [
        (pictures((12, 20)), r"shape \(12, 20\)(?s:.*)channels last"),
        (pictures((12, 3, 5, 8)), r"shape \(12, 3, 5, 8\)(?s:.*)permute"),
        (pictures((11, 5, 4)), "11 images do not have those of the inputs 0 to 11"),
        (pictures().astype(int), "of type int64"),
        (pictures(dtype=np.float32) * 255, r"with values from 0.* to 254"),
        (pictures(dtype=np.float32) - 0.5, "with values from -0"),
        (np.full((12, 5, 4), np.nan), "values from nan"),
    ],
    ids=["flat", "channels first", "too few", "integers", "to 255", "negative", "nan"],
)
def test_what_is_no_image_is_refused(images, fact, recording, tmp_path):
    """The error says what is wrong and how to mend it, and there is no file."""
    with pytest.raises(InputsError, match=fact) as error:
        ann2neo.save(recording, tmp_path / "a.nwb", images=images)
    assert len(str(error.value).splitlines()) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".zarr", ".nix", ".mat"])
def test_other_formats_have_no_images(suffix, recording, tmp_path):
    """Nothing is lost silently."""
    with pytest.raises(FormatError, match="cannot hold images"):
        ann2neo.save(recording, tmp_path / f"a{suffix}", images=pictures())
    assert not list(tmp_path.iterdir())


def test_a_column_of_that_name_is_not_overwritten(tmp_path):
    """A recording that has a column "image" keeps it, and is refused images."""
    recording = small_recording(2, 2, n_passes=1)
    recording = replace(recording, trials=recording.trials.assign(image=["a", "b"]))
    with pytest.raises(RecordingError, match="already have a column 'image'"):
        ann2neo.save(recording, tmp_path / "a.nwb", images=pictures())
    ann2neo.save(recording, tmp_path / "a.nwb")
    assert ann2neo.load(tmp_path / "a.nwb").identical(recording)


def test_readers_open_a_file_with_images(recording, tmp_path):
    """neo, pynapple and the inspector find what they find without images."""
    path = tmp_path / "a.nwb"
    ann2neo.save(recording, path, images=pictures((12, 5, 4, 3)))
    segment = neo.io.NWBIO(str(path), "r").read_block().segments[0]
    assert [len(train) for train in segment.spiketrains] == [
        n for layer in recording.layers for n in layer.raster.n_spikes()
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pynapple.load_file(str(path))
        assert data["trials"]["image"].tolist() == [f"stimulus_{number}" for number in recording.trials["stimulus_id"]]
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        assert pynwb.validate(io=io) == []
    for config in (None, nwbinspector.load_config("dandi")):
        found = list(nwbinspector.inspect_nwbfile(nwbfile_path=path, config=config))
        assert {message.importance.name for message in found} == {"BEST_PRACTICE_SUGGESTION"}
        assert not [message for message in found if "images" in str(message.location)]


def test_export_takes_them_along(tmp_path):
    """One call records and stores the images; a format without images is refused before the model runs."""
    images = pictures((6, 5, 4), np.float32)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(20, 3), torch.nn.ReLU())
    ann2neo.export(model, images, tmp_path / "a.nwb", images=images, progress=False)
    assert np.array_equal(np.stack(read_back(tmp_path / "a.nwb")), images)
    for name in ("a.zarr", "a.nix"):
        with pytest.raises(FormatError, match="cannot hold images"):
            ann2neo.export(model, images, tmp_path / name, images=images)
    assert [path.name for path in tmp_path.iterdir()] == ["a.nwb"]
