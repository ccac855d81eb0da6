"""What other people's readers show of our NWB file and what they lose: the table of the guide is made of this."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import neo
import numpy as np
import pynwb
import pytest
from strategies import small_recording

import ann2neo

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pynapple


@pytest.fixture(scope="module")
def recording():
    """Two layers, two passes, all columns, silent and saturated units."""
    return small_recording()


@pytest.fixture(scope="module")
def folder(recording, tmp_path_factory):
    """The recording in all formats that others read, as NWB with images, which no reader may stumble over."""
    folder = tmp_path_factory.mktemp("interop")
    ann2neo.save(recording, folder / "rec.nwb", images=np.zeros((60, 4, 4), np.uint8))
    for suffix in (".nix", ".mat"):
        ann2neo.save(recording, folder / f"rec{suffix}")
    return folder


@pytest.fixture(scope="module")
def bins(recording):
    """Bins of the spikes of each unit, over all passes."""
    return [np.flatnonzero(row) for layer in recording.layers for row in recording.raster(layer.name)]


def _bins(seconds):
    return np.floor(np.asarray(seconds) * 1000).astype(int)


def _same(found, bins):
    return len(found) == len(bins) and all(np.array_equal(a, b) for a, b in zip(found, bins))


def read_neo_nwb(folder):
    """neo's NWBIO: names, which say the layer, and labels; no other columns of units or trials, no provenance."""
    segment = neo.io.NWBIO(str(folder / "rec.nwb"), "r").read_block().segments[0]
    epochs = {epoch.name: epoch for epoch in segment.epochs}
    return {
        "spikes": [_bins(train.magnitude) for train in segment.spiketrains],
        "names": [train.name for train in segment.spiketrains],
        "labels": epochs["trials"].labels.tolist(),
    }


def _by_pass(block):
    """Join the passes again, each of which has a clock of its own."""
    names = [train.name for train in block.segments[0].spiketrains]
    trains = zip(*(segment.spiketrains for segment in block.segments))
    spikes = [np.concatenate([_bins(t.magnitude / 1000) + 60 * i for i, t in enumerate(of_unit)]) for of_unit in trains]
    return {
        "spikes": spikes,
        "names": names,
        "layers": [train.annotations["layer"] for train in block.segments[0].spiketrains],
        "labels": [label for segment in block.segments for label in segment.epochs[0].labels.tolist()],
        "provenance": block.annotations["model_class"],
    }


def read_neo_nix(folder):
    """neo's NixIO: everything."""
    with neo.NixIO(str(folder / "rec.nix"), "ro") as io:
        block = io.read_block()
    columns = [segment.epochs[0].array_annotations["correct"].tolist() for segment in block.segments]
    return _by_pass(block) | {"columns": [value for of_pass in columns for value in of_pass]}


def read_neo_mat(folder):
    """neo's NeoMatlabIO: everything, columns of the trials as annotations of the Epoch."""
    block = neo.io.NeoMatlabIO(str(folder / "rec.mat")).read_block()
    columns = [segment.epochs[0].annotations["correct"].tolist() for segment in block.segments]
    return _by_pass(block) | {"columns": [value for of_pass in columns for value in of_pass]}


def read_pynwb(folder):
    """pynwb: everything."""
    with pynwb.NWBHDF5IO(str(folder / "rec.nwb"), "r") as io:
        nwbfile = io.read()
        units, trials = nwbfile.units.to_dataframe(), nwbfile.trials.to_dataframe()
        known = nwbfile.processing["ann2neo"]["provenance"].to_dataframe().set_index("key")["value"]
    return {
        "spikes": [_bins(times) for times in units["spike_times"]],
        "names": units["unit_name"].tolist(),
        "layers": units["layer"].tolist(),
        "labels": trials["label_name"].tolist(),
        "columns": trials["correct"].tolist(),
        "provenance": known["model_class"].strip('"'),
    }


def read_h5py(folder):
    """h5py: everything, as arrays."""
    with h5py.File(folder / "rec.nwb") as file:
        units, trials = file["units"], file["intervals/trials"]
        known = file["processing/ann2neo/provenance"]
        pairs = dict(zip(known["key"].asstr()[:], known["value"].asstr()[:]))
        return {
            "spikes": np.split(_bins(units["spike_times"][:]), units["spike_times_index"][:-1].astype(int)),
            "names": units["unit_name"].asstr()[:].tolist(),
            "layers": units["layer"].asstr()[:].tolist(),
            "labels": trials["label_name"].asstr()[:].tolist(),
            "columns": trials["correct"][:].tolist(),
            "provenance": pairs["model_class"].strip('"'),
        }


def read_pynapple(folder):
    """pynapple: units with all columns, trials with all columns; no provenance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pynapple.load_file(str(folder / "rec.nwb"))
        units, trials = data["units"], data["trials"]
    return {
        "spikes": [_bins(units[unit].index) for unit in units.index],
        "names": units["unit_name"].tolist(),
        "layers": units["layer"].tolist(),
        "labels": trials["label_name"].tolist(),
        "columns": trials["correct"].tolist(),
    }


def read_spikeinterface(folder):
    """SpikeInterface: units with all columns, frames are bins; neither trials nor provenance."""
    pytest.importorskip("spikeinterface")
    from spikeinterface.extractors import read_nwb_sorting

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sorting = read_nwb_sorting(folder / "rec.nwb")
    assert sorting.get_sampling_frequency() == 1000
    return {
        "spikes": [sorting.get_unit_spike_train(unit) for unit in sorting.unit_ids],
        "names": list(sorting.unit_ids),
        "layers": sorting.get_property("layer").tolist(),
    }


WHAT = ("spikes", "names", "layers", "labels", "columns", "provenance")
READERS = {
    "neo `NWBIO`": (
        ".nwb",
        read_neo_nwb,
        "columns of units (the name says the layer) and trials (but the labels), passes as Segments, provenance",
    ),
    "neo `NixIO`": (".nix", read_neo_nix, ""),
    "neo `NeoMatlabIO`": (".mat", read_neo_mat, "types: columns of the trials become annotations"),
    "pynwb": (".nwb", read_pynwb, ""),
    "h5py": (".nwb", read_h5py, ""),
    "pynapple": (".nwb", read_pynapple, "provenance"),
    "SpikeInterface `read_nwb_sorting`": (".nwb", read_spikeinterface, "trials, provenance"),
}
SHOWN = {
    "neo `NWBIO`": ("spikes", "names", "labels"),
    "pynapple": WHAT[:5],
    "SpikeInterface `read_nwb_sorting`": WHAT[:3],
}


@pytest.mark.parametrize("name", READERS)
def test_readers_show_what_the_table_says(name, folder, recording, bins):
    """Each reader gives just what is promised, and each spike in its bin."""
    found = READERS[name][1](folder)
    expected = {
        "names": [unit for layer in recording.layers for unit in layer.unit_names],
        "layers": [layer.name for layer in recording.layers for _ in range(layer.n_units)],
        "labels": recording.trials["label_name"].tolist(),
        "columns": recording.trials["correct"].tolist(),
        "provenance": "Sequential",
    }
    assert set(found) == set(SHOWN.get(name, WHAT))
    assert _same(found.pop("spikes"), bins)
    assert found == {what: expected[what] for what in found}


def test_pynapple_takes_a_microsecond_from_each_trial_and_no_spike(folder, recording, bins):
    """Trials that touch end 1 us earlier in pynapple, which warns of it; their number, order and spikes stay."""
    with pytest.warns(UserWarning, match="starts and ends are equal. Removing 1 microsecond"):
        trials = pynapple.load_file(str(folder / "rec.nwb"))["trials"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        units = pynapple.load_file(str(folder / "rec.nwb"))["units"]
    assert np.allclose(trials.start, np.arange(120) / 1000, rtol=0, atol=1e-9)
    assert np.allclose(trials.end[:-1], np.arange(1, 120) / 1000 - 1e-6, rtol=0, atol=1e-9)
    counts = units[5].count(ep=trials).values
    assert np.flatnonzero(counts).tolist() == bins[5].tolist()


def test_dandi_finds_nothing_wrong(folder, tmp_path):
    """In the layout of a dandiset the file, with its images, passes the check that DANDI makes before an upload."""
    pytest.importorskip("dandi")
    (tmp_path / "sub-network").mkdir()
    shutil.copy(folder / "rec.nwb", tmp_path / "sub-network" / "sub-network_desc-rec.nwb")
    (tmp_path / "dandiset.yaml").write_text("identifier: DANDI:000000\nname: a test\n")
    command = [Path(sys.executable).parent / "dandi", "validate", tmp_path]
    env = {**os.environ, "HOME": str(tmp_path), "DANDI_NO_ET": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "No errors found" in done.stdout + done.stderr


def test_the_guide_has_the_table_that_these_tests_make():
    """Whoever changes what a reader shows has to change the guide; rows of packages that are not installed are the last ones that were seen."""
    page = Path(__file__).parent.parent / "tutorials" / "guide" / "howto" / "files.md"
    assert works_with() in page.read_text(encoding="utf-8")


def works_with() -> str:
    """Write the guide's table, in Markdown."""
    lines = ["| reader | file | " + " | ".join(WHAT) + " | it loses |", "|" + "---|" * (len(WHAT) + 3)]
    for name, (suffix, _, lost) in READERS.items():
        marks = " | ".join("yes" if what in SHOWN.get(name, WHAT) else "-" for what in WHAT)
        lines.append(f"| {name} | `{suffix}` | {marks} | {lost or 'nothing'} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(works_with(), end="")
