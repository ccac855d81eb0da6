"""What holds for recordings in files of every format."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import neo
import numpy as np
import pynwb
import pytest
import scipy.io
import zarr
from hypothesis import HealthCheck, given, settings
from strategies import recordings, small_recording

import ann2neo
from ann2neo.errors import AnnotationError, FormatError, OutputExists, RecordingError
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording, make_trials

SUFFIXES = (".zarr", ".nwb", ".nix", ".mat")
EXAMPLES = {".zarr": 40, ".nwb": 12, ".nix": 2, ".mat": 20}


def small(seed=0):
    """Eight trains: NIX takes 30 ms for each."""
    return small_recording(2, 12, seed=seed)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_the_identity(suffix, tmp_path_factory):
    """Saved and loaded, a recording has the same bits, labels, shapes, thresholds, provenance and types of columns."""

    @settings(max_examples=EXAMPLES[suffix], deadline=None, suppress_health_check=list(HealthCheck))
    @given(recordings(max_trials=6))
    def holds(recording):
        path = tmp_path_factory.mktemp("identity") / f"recording{suffix}"
        ann2neo.save(recording, path)
        back = ann2neo.load(path)
        assert back.identical(recording)
        assert back.trials.dtypes.equals(recording.trials.dtypes)
        for ours, theirs in zip(recording.layers, back.layers):
            assert (ours.units.dtype, ours.thresholds.dtype) == (theirs.units.dtype, theirs.thresholds.dtype)

    holds()


def _extreme(shapes, n_trials, *, n_passes=1, lengths=None, kind=None):
    """A recording in which each unit has a threshold of its own; of one kind all over, or of every kind in turn."""
    trials = make_trials(n_trials, n_passes=n_passes, lengths=lengths, stimulus_id=np.arange(n_trials))
    n_bins = int(trials["stop_bin"].iloc[-1])
    layers = []
    for name, n_units in shapes.items():
        dense = np.random.default_rng(0).random((n_units, n_bins)) < 0.5
        for unit in range(n_units):
            of_unit = kind or ("silent", "saturated", "any")[unit % 3]
            dense[unit] = dense[unit] if of_unit == "any" else of_unit == "saturated"
        layers.append(
            Layer(
                name=name,
                shape=(n_units,),
                dtype="float32",
                units=np.arange(n_units),
                thresholds=np.linspace(-1, 1, n_units),
                raster=Raster.from_dense(dense, n_passes=n_passes),
            )
        )
    return Recording(layers=tuple(layers), trials=trials, bin_size_ms=1.0, provenance={})


EXTREMES = {
    "one unit, one bin": _extreme({"fc": 1}, 1, kind="any"),
    "one silent unit, one bin": _extreme({"fc": 1}, 1, kind="silent"),
    "silent only": _extreme({"fc": 3}, 9, kind="silent"),
    "saturated only": _extreme({"fc": 3}, 9, kind="saturated"),
    "seven bins, three passes": _extreme({"fc": 3, "fc:1": 2}, 7, n_passes=3),
    "steps": _extreme({"fc": 3}, 3, n_passes=2, lengths=np.array([1, 4, 2])),
    "names": _extreme({"a/b": 1, "層 ☃": 1, "a": 2, " ": 1, "x_index": 1}, 4),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("recording", EXTREMES.values(), ids=EXTREMES)
def test_extreme_recordings_come_back(suffix, recording, tmp_path):
    """What hypothesis may find in few examples, or not, is tried in every format each time."""
    ann2neo.save(recording, tmp_path / f"a{suffix}")
    back = ann2neo.load(tmp_path / f"a{suffix}")
    assert back.identical(recording)
    assert back.trials.dtypes.equals(recording.trials.dtypes)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "change",
    [
        {"provenance": {}},
        {"provenance": {"empty": "", "none": [], "one": ["x"], "inf": float("inf"), "größe": 2**63 - 1}},
        {"bin_size_ms": 2.0**-10},
    ],
    ids=["nothing known", "odd values", "small bins"],
)
def test_odd_recordings_come_back(suffix, change, tmp_path):
    """Whatever is a recording is one after it was in a file: without provenance, with empty values, with tiny bins."""
    recording = replace(small(), **change)
    ann2neo.save(recording, tmp_path / f"a{suffix}")
    assert ann2neo.load(tmp_path / f"a{suffix}").identical(recording)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("units", [[], [1], [1, 0]], ids=str)
def test_views_are_stored_as_they_show(suffix, units, tmp_path):
    """A selection of units in any order, of no unit in one layer, and an arrangement of trials come back as they are shown."""
    view = small().select(units={"features.3": units}).arrange("label")
    ann2neo.save(view, tmp_path / f"a{suffix}")
    assert ann2neo.load(tmp_path / f"a{suffix}").identical(view)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_overwritten_unasked(suffix, tmp_path):
    """What is there stays there, unless overwriting is allowed; then it is replaced."""
    path, first, second = tmp_path / f"a{suffix}", small(), small(seed=1)
    ann2neo.save(first, path)
    with pytest.raises(OutputExists, match="already exists"):
        ann2neo.save(second, path)
    assert ann2neo.load(path).identical(first)
    ann2neo.save(second, path, overwrite=True)
    assert ann2neo.load(path).identical(second)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["a.h5", "a.csv", "a", "a.NWB", "a.pkl"])
def test_unknown_suffixes(name, tmp_path):
    """The error names the suffixes that there are, for reading and for writing."""
    with pytest.raises(FormatError, match=r"\.zarr, \.nwb, \.nix, \.mat"):
        ann2neo.save(small(), tmp_path / name)
    with pytest.raises(FormatError, match=r"\.zarr, \.nwb, \.nix, \.mat"):
        ann2neo.load(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_files(suffix, tmp_path):
    """The error suggests the file that was meant; a missing folder is named."""
    (tmp_path / f"recording{suffix}").touch()
    with pytest.raises(FormatError, match=r"there is no file(?s:.*)Did you mean 'recording"):
        ann2neo.load(tmp_path / f"recordin{suffix}")
    with pytest.raises(FormatError, match="there is no folder"):
        ann2neo.save(small(), tmp_path / "nowhere" / f"a{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "content", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04 something else" * 100], ids=["empty", "head", "zip"]
)
def test_garbage(suffix, content, tmp_path):
    """A file of something else under our suffix is one clear error."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="cannot be read") as error:
        ann2neo.load(path)
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_where_a_file_should_be(suffix, tmp_path):
    """An empty folder under our suffix is one clear error."""
    (tmp_path / f"a{suffix}").mkdir()
    with pytest.raises(FormatError):
        ann2neo.load(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".nwb", ".nix", ".mat"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.99])
def test_truncated_files(suffix, kept, tmp_path):
    """A file cut off anywhere is refused."""
    path = tmp_path / f"a{suffix}"
    ann2neo.save(small(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(FormatError, match="cannot be read"):
        ann2neo.load(path)


def _foreign_nwb(path):
    from datetime import UTC, datetime

    nwbfile = pynwb.NWBFile(session_description="x", identifier="x", session_start_time=datetime.now(UTC))
    nwbfile.add_unit(spike_times=[0.1, 0.2])
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwbfile)


def _foreign_nix(path):
    block = neo.Block(name="cells")
    block.segments.append(neo.Segment())
    with neo.NixIO(str(path), "ow") as io:
        io.write_block(block)


def _foreign_mat(path):
    scipy.io.savemat(path, {"spikes": [1.0, 2.0]})


def _foreign_block_mat(path):
    block = neo.Block(name="cells")
    block.segments.append(neo.Segment())
    neo.io.NeoMatlabIO(str(path)).write_block(block)


def _foreign_zarr(path):
    zarr.open_group(str(path), mode="w").attrs["what"] = "something else"


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".nwb", _foreign_nwb),
        (".nix", _foreign_nix),
        (".mat", _foreign_mat),
        (".mat", _foreign_block_mat),
        (".zarr", _foreign_zarr),
    ],
)
def test_foreign_files(suffix, write, tmp_path):
    """A sound file that ann2neo did not write is refused as such, not as damaged."""
    write(tmp_path / f"a{suffix}")
    with pytest.raises(FormatError, match=r"not (written|made) by ann2neo"):
        ann2neo.load(tmp_path / f"a{suffix}")


def _newer_nwb(path):
    with h5py.File(path, "r+") as file:
        file["processing/ann2neo/recording/value"][0] = '"ann2neo/2"'


def _newer_zarr(path):
    zarr.open_group(str(path), mode="r+").attrs["schema"] = "ann2neo/2"


def _newer_block():
    block = ann2neo.to_block(small())
    for key in ("config_json", "recording_json"):
        block.annotations[key] = json.dumps({"schema": "ann2neo/2"})
    return block


def _newer_nix(path):
    with neo.NixIO(str(path), "ow") as io:
        io.write_block(_newer_block())


def _newer_mat(path):
    neo.io.NeoMatlabIO(str(path)).write_block(_newer_block())


@pytest.mark.parametrize(
    ("suffix", "change"), [(".nwb", _newer_nwb), (".zarr", _newer_zarr), (".nix", _newer_nix), (".mat", _newer_mat)]
)
def test_newer_files(suffix, change, tmp_path):
    """A file of a newer schema asks for a newer ann2neo."""
    path = tmp_path / f"a{suffix}"
    ann2neo.save(small(), path)
    change(path)
    with pytest.raises(FormatError, match=r"'ann2neo/2'(?s:.*)newer ann2neo"):
        ann2neo.load(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_a_file_would_lose_is_refused_before_writing(suffix, tmp_path):
    """Names that HDF5 or NWB cannot hold end in an error and in no file."""
    recording = small()
    bad_name = replace(recording, layers=(replace(recording.layers[0], name="a\0b"),))
    bad_column = replace(recording, trials=recording.trials.assign(my_index=1))
    bad_value = replace(recording, trials=recording.trials.assign(label_name=[None] * len(recording.trials)))
    names = [replace(recording, trials=recording.trials.assign(**{name: 1})) for name in ("a/b", "a:b", ".", "_a")]
    bad_null = replace(recording, trials=recording.trials.assign(**{"a\0b": 1}))
    bad_key = replace(recording, provenance={**recording.provenance, ".": "x"})
    refused = [(bad_name, AnnotationError), (bad_value, AnnotationError), (bad_null, AnnotationError)]
    refused += [(bad_key, AnnotationError), *((bad, RecordingError) for bad in (bad_column, *names))]
    for bad, kind in refused:
        with pytest.raises(kind):
            ann2neo.save(bad, tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


ODD = [
    "a\r\nb",
    "\t=1+1",
    "..",
    "<script>'\"",
    "\u202eabc",
    "e\u0301",
    "\u00e9",
    " ",
    "a\\",
    "a\u2028\x1b[31m",
    "NaN",
    "x" * 3000,
]


@pytest.mark.parametrize(
    "suffix", [".nwb", ".zarr", ".mat", pytest.param(".nix", marks=pytest.mark.slow("many properties in NIX"))]
)
def test_odd_texts_come_back(suffix, tmp_path):
    """As names of layers and columns, as values, and as keys and values of the provenance."""
    recording = small()
    columns = {name: number for number, name in enumerate(ODD)}
    texts = np.resize(ODD, len(recording.trials)).tolist()
    odd = replace(
        recording,
        layers=tuple(replace(recording.layers[0], name=name) for name in [*ODD, "a/b", "/a", "."]),
        trials=recording.trials.assign(**columns, text=texts),
        provenance={**{name: name for name in ODD}, "list": [*ODD, "a/b"]},
    )
    ann2neo.save(odd, tmp_path / f"a{suffix}")
    found = ann2neo.load(tmp_path / f"a{suffix}")
    assert found.identical(odd)
    assert [layer.name for layer in found.layers] == [layer.name for layer in odd.layers]
    assert found.trials["text"].tolist() == texts
    assert list(found.trials) == list(odd.trials)
    assert dict(found.provenance) == dict(odd.provenance)


SAVE_UNDER_LIMIT = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from strategies import small_recording
import ann2neo
ann2neo.load(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    ann2neo.save(small_recording(20, 4000, seed=1), sys.argv[2], overwrite=True)
except ann2neo.Ann2NeoError as error:
    print("REFUSED", type(error).__name__, error, flush=True)
"""


@pytest.mark.parametrize(("suffix", "limit"), [(".zarr", 2000), (".nwb", 300_000), (".nix", 500_000), (".mat", 10_000)])
def test_a_full_disk_leaves_the_old_file(suffix, limit, tmp_path):
    """If the operating system stops the writing, the error is ours, the old file is whole and nothing else is left."""
    path = tmp_path / f"a{suffix}"
    ann2neo.save(small(), path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SAVE_UNDER_LIMIT, str(Path(__file__).parent), str(path), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "REFUSED FormatError" in done.stdout, done.stderr[-2000:]
    assert ann2neo.load(path).identical(small())
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
