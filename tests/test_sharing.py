"""Bundles to publish."""

import hashlib
import re
import subprocess
import warnings
from dataclasses import replace

import h5py
import pytest
from strategies import small_recording

import ann2neo
from ann2neo.errors import FormatError, OutputExists, ShareError
from ann2neo.sharing.card import data_card


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle of a store."""
    place = tmp_path_factory.mktemp("share")
    ann2neo.save(small_recording(), place / "my recording.zarr")
    return ann2neo.share(place / "my recording.zarr", place / "bundle")


def test_a_bundle_has_four_files_and_the_recording(bundle):
    """The NWB file holds the very recording, under a name that every shell takes."""
    assert {file.name for file in bundle.iterdir()} == {"my_recording.nwb", "README.md", "inspection.txt", "SHA256SUMS"}
    assert ann2neo.load(bundle / "my_recording.nwb").identical(small_recording())


def test_checksums_are_those_of_sha256sum(bundle):
    """The tool that everybody has finds every file sound, and there is a line for each."""
    done = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=bundle, capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stdout.count(b": OK") == 3


def test_the_card_says_what_has_to_be_known(bundle):
    """Network, layers, thresholds, order, labels, meaning of a spike, licence and citation are on the card."""
    card = (bundle / "README.md").read_text()
    for known in [
        "| features.3 | 1 x 2 x 3 | 6 | 1 | 1 | 0 to 1 | float32 |",
        "| model\\_class | Sequential |",
        "order of the trials is: presented",
        "bird/fish (20), cat (19), dog (21)",
        "strictly above its threshold",
        "not an action potential",
        "presented 2 times",
        "Licence: not stated",
        "arXiv:2308.00858",
        "doi:10.1016/j.neucom.2024.128473",
    ]:
        assert known in card


def test_a_license_of_the_provenance_is_named():
    """Who records can say under which licence."""
    recording = small_recording()
    licensed = replace(recording, provenance={**recording.provenance, "license": "CC0-1.0"})
    assert "Licence: CC0-1.0." in data_card(licensed, "a.nwb")


def test_odd_names_do_not_break_the_card():
    """Names of layers with pipes and line breaks stay in their cells."""
    recording = small_recording()
    odd = replace(recording, layers=(replace(recording.layers[0], name="a|b\nc`d"),))
    assert "| a\\|b c\\`d | 1 x 2 x 3 |" in data_card(odd, "a.nwb")


@pytest.mark.parametrize("number", range(4), ids=["neo", "neo, Elephant", "pynapple", "pynwb"])
def test_the_ways_to_open_it_work(bundle, number, monkeypatch):
    """What the card tells people to type runs beside the file and gives all units."""
    code = re.findall(r"```python\n(.*?)```", (bundle / "README.md").read_text(), flags=re.DOTALL)
    assert len(code) == 5
    monkeypatch.chdir(bundle)
    known = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in code[:2] if number == 1 else [code[number]]:
            exec(block, known)
    assert len(known.get("units", known.get("spiketrains"))) == 12
    assert len(known["trials"]) == 120
    assert number != 1 or len(known["rates"]) == 10


def test_the_verdict_of_the_inspector_is_told(bundle):
    """The first line counts, and nothing is critical."""
    lines = (bundle / "inspection.txt").read_text().splitlines()
    assert re.fullmatch(r"my_recording\.nwb: 0 critical, 0 violations of best practice, \d suggestions", lines[0])
    assert "nwbinspector" in lines[1]


def test_an_nwb_file_is_copied_as_it_is(tmp_path):
    """A file that is NWB already has the same checksum in the bundle."""
    ann2neo.save(small_recording(), tmp_path / "a.nwb")
    out = ann2neo.share(tmp_path / "a.nwb", tmp_path / "bundle")
    digest = hashlib.sha256((tmp_path / "a.nwb").read_bytes()).hexdigest()
    assert f"{digest}  a.nwb\n" in (out / "SHA256SUMS").read_text()


def test_critical_findings_are_refused(tmp_path):
    """Without a subject no archive takes the file: there is an error with the finding, and no folder."""
    ann2neo.save(small_recording(), tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb", "r+") as file:
        del file["general/subject"]
    with pytest.raises(ShareError, match=r"critical point(?s:.*)[Ss]ubject"):
        ann2neo.share(tmp_path / "a.nwb", tmp_path / "bundle")
    assert [file.name for file in tmp_path.iterdir()] == ["a.nwb"]


def test_a_bundle_is_replaced_only_if_allowed(tmp_path):
    """A bundle that is there is not touched unasked; if allowed, the new one takes its place alone."""
    ann2neo.save(small_recording(), tmp_path / "a.nwb")
    ann2neo.save(small_recording(), tmp_path / "b.nwb")
    ann2neo.share(tmp_path / "a.nwb", tmp_path / "bundle")
    with pytest.raises(OutputExists, match="exists already"):
        ann2neo.share(tmp_path / "b.nwb", tmp_path / "bundle")
    assert (tmp_path / "bundle" / "a.nwb").exists()
    ann2neo.share(tmp_path / "b.nwb", tmp_path / "bundle", overwrite=True)
    assert (tmp_path / "bundle" / "b.nwb").exists()
    assert not (tmp_path / "bundle" / "a.nwb").exists()


def test_a_folder_of_other_things_is_never_replaced(tmp_path):
    """Overwriting means a bundle: a folder that holds something else stays, even if overwriting is allowed."""
    ann2neo.save(small_recording(), tmp_path / "a.nwb")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists, match="holds other things"):
        ann2neo.share(tmp_path / "a.nwb", tmp_path / "home", overwrite=True)
    assert [file.name for file in (tmp_path / "home").iterdir()] == ["mine.txt"]


def test_a_missing_file_is_named(tmp_path):
    """The error is that of `load`."""
    with pytest.raises(FormatError, match="there is no file"):
        ann2neo.share(tmp_path / "a.nwb", tmp_path / "bundle")
