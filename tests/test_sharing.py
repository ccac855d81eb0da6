"""Bundles to publish."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from strategies import small_recording

import ann2neo
from ann2neo.errors import FormatError, OutputExists, ShareError
from ann2neo.sharing.card import data_card
from ann2neo.sharing.citation import citation, datacite
from ann2neo.sharing.metadata import Metadata, with_provenance


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle of a store."""
    place = tmp_path_factory.mktemp("share")
    ann2neo.save(small_recording(), place / "my recording.zarr")
    return ann2neo.share(place / "my recording.zarr", place / "bundle")


NWB = "sub-network/sub-network_desc-my-recording.nwb"


def test_a_bundle_has_its_files_and_the_recording(bundle):
    """The NWB file holds the very recording, where DANDI wants it, under a name that every shell takes."""
    found = {str(file.relative_to(bundle)) for file in bundle.rglob("*") if file.is_file()}
    assert found == {
        NWB,
        "README.md",
        "report.html",
        "CITATION.cff",
        "datacite.json",
        "inspection.txt",
        "SHA256SUMS",
        ".ann2neo.json",
    }
    assert ann2neo.load(bundle / NWB).identical(small_recording())


def test_it_says_how_to_cite_it():
    """Who recorded it, under what title and licence, stands where archives look for it; what is not known is marked as such."""
    recording = small_recording()
    known = {"title": 'Digits: "a" study', "authors": ["Ada Byron", "Élie: K."], "license": "CC0-1.0"}
    known |= {"created": "2025-03-04T05:06:07+00:00"}
    told = replace(recording, provenance={**recording.provenance, **known})
    stated = with_provenance(Metadata(), told.provenance)
    cff = yaml.safe_load(citation(told, "rec", stated))
    assert (cff["title"], cff["license"], cff["type"]) == ('Digits: "a" study', "CC0-1.0", "dataset")
    assert [author["name"] for author in cff["authors"]] == ["Ada Byron", "Élie: K."]
    assert str(cff["date-released"]) == "2025-03-04"
    metadata = json.loads(datacite(told, "rec", stated))
    assert metadata["creators"] == [{"name": "Ada Byron"}, {"name": "Élie: K."}]
    assert metadata["publicationYear"] == "2025"
    assert metadata["rightsList"][0]["rightsIdentifier"] == "CC0-1.0"
    unknown = json.loads(datacite(recording, "rec", Metadata()))
    assert unknown["creators"] == [{"name": ":unkn"}]
    # What DataCite's schema 4.5 requires, in the types that it requires; the archive adds the DOI.
    assert {"creators", "titles", "publisher", "publicationYear", "types", "schemaVersion"} <= set(unknown)
    assert unknown["publisher"] == {"name": ":tba"}
    assert set(unknown["types"]) == {"resourceTypeGeneral", "resourceType"}
    assert unknown["schemaVersion"] == "http://datacite.org/schema/kernel-4"
    assert "identifiers" not in unknown
    assert "license" not in yaml.safe_load(citation(recording, "rec", Metadata()))


def test_dandi_finds_nothing_wrong(bundle, tmp_path):
    """Beside the description of a dandiset, the bundle passes the check that DANDI makes before an upload."""
    pytest.importorskip("dandi")
    shutil.copytree(bundle, tmp_path / "dandiset")
    (tmp_path / "dandiset" / "dandiset.yaml").write_text("identifier: DANDI:000000\nname: a test\n")
    done = subprocess.run(
        [Path(sys.executable).parent / "dandi", "validate", tmp_path / "dandiset"],
        env={**os.environ, "HOME": str(tmp_path), "DANDI_NO_ET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No errors found" in done.stdout


def test_checksums_are_those_of_sha256sum(bundle):
    """The tool that everybody has finds every file sound, and there is a line for each."""
    done = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=bundle, capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stdout.count(b": OK") == 6


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


def test_the_report_is_in_the_bundle(bundle):
    """The page shows every layer and is named on the card and among the checksums; nothing in it points elsewhere."""
    page = (bundle / "report.html").read_text()
    summary = ann2neo.summarize(ann2neo.analyze(small_recording(), progress=False))
    for layer in summary["layer"].unique():
        assert f"<td>{layer}</td>" in page
    assert page.count("data:image/png;base64,") == 6
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "| `report.html` |" in (bundle / "README.md").read_text()
    digest = hashlib.sha256((bundle / "report.html").read_bytes()).hexdigest()
    assert f"{digest}  report.html\n" in (bundle / "SHA256SUMS").read_text()


@pytest.mark.parametrize(
    ("ids", "order", "words"),
    [
        ([0, 1, 2, 3], "presented", "presented, which is the order of the data set"),
        ([2, 0, 3, 1], "presented", "shuffled by the loader that presented them"),
        ([2, 0, 3, 1], "label", "by label, and within a label as presented"),
        ([2, 0, 3, 1], "shuffled", "shuffled afterwards with seed 5"),
    ],
)
def test_the_card_tells_the_order_as_it_was(ids, order, words):
    """A loader that shuffles presents another order than that of its data set, and the card says so, with the hash of the order."""
    recording = ann2neo.from_array(np.eye(4, dtype=bool))
    known = {**recording.provenance, "input_order": order, "input_order_seed": 5, "input_order_sha256": "abc"}
    told = replace(recording, trials=recording.trials.assign(stimulus_id=ids), provenance=known)
    assert f"The order of the trials is: {words} (SHA-256 of the stimulus ids: abc)." in data_card(
        told, "a.nwb", Metadata()
    )


@pytest.mark.parametrize("kind", ["silent", "unlabelled", "one bin"])
def test_odd_recordings_can_be_shared(tmp_path, kind):
    """No spike at all (where checks of the inspector stumble), labels that are unknown, a single bin: a bundle with a report."""
    spikes = {"silent": np.zeros((9, 2), bool), "unlabelled": np.eye(9, dtype=bool), "one bin": np.ones((1, 1), bool)}
    recording = ann2neo.from_array(spikes[kind], labels=[-1] * len(spikes[kind]) if kind == "unlabelled" else None)
    ann2neo.save(recording, tmp_path / "a.nwb")
    out = ann2neo.share(tmp_path / "a.nwb", tmp_path / "bundle")
    assert (out / "report.html").stat().st_size > 10_000
    first = (out / "inspection.txt").read_text().splitlines()[0]
    assert ("checks that could not be made" in first) == (kind == "silent")


def test_what_analysis_warns_of_is_on_the_page(tmp_path):
    """A shuffled order is shared with the warning at the head of the report instead of on a terminal."""
    ann2neo.save(small_recording(n_passes=1).arrange("shuffled", seed=1), tmp_path / "a.nwb")
    out = ann2neo.share(tmp_path / "a.nwb", tmp_path / "bundle")
    assert "carry no temporal information" in (out / "report.html").read_text()


def test_a_license_of_the_provenance_is_named():
    """Who records can say under which licence."""
    recording = small_recording()
    licensed = replace(recording, provenance={**recording.provenance, "license": "CC0-1.0"})
    assert "Licence: CC0-1.0." in data_card(licensed, "a.nwb", with_provenance(Metadata(), licensed.provenance))


def test_odd_names_do_not_break_the_card():
    """Names of layers with pipes and line breaks stay in their cells."""
    recording = small_recording()
    odd = replace(recording, layers=(replace(recording.layers[0], name="a|b\nc`d"),))
    assert "| a\\|b c\\`d | 1 x 2 x 3 |" in data_card(odd, "a.nwb", Metadata())


@pytest.mark.parametrize("number", range(5), ids=["neo", "neo, Elephant", "pynapple", "SpikeInterface", "pynwb"])
def test_the_ways_to_open_it_work(bundle, number, monkeypatch):
    """What the card tells people to type runs beside the file and gives all units."""
    code = re.findall(r"```python\n(.*?)```", (bundle / "README.md").read_text(), flags=re.DOTALL)
    assert len(code) == 6
    if number == 3:
        pytest.importorskip("spikeinterface")
    monkeypatch.chdir(bundle)
    known = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in code[:2] if number == 1 else [code[number]]:
            exec(block, known)
    if number == 3:
        assert known["sorting"].get_num_units() == 12
        return
    assert len(known.get("units", known.get("spiketrains"))) == 12
    assert len(known["trials"]) == 120
    assert number != 1 or len(known["rates"]) == 10


def test_the_verdict_of_the_inspector_is_told(bundle):
    """The first line counts, and nothing is critical."""
    lines = (bundle / "inspection.txt").read_text().splitlines()
    assert re.fullmatch(
        r"sub-network_desc-my-recording\.nwb: 0 critical, 0 violations of best practice, \d suggestions", lines[0]
    )
    assert "nwbinspector" in lines[1]


def test_an_nwb_file_is_copied_as_it_is(tmp_path):
    """A file that is NWB already has the same checksum in the bundle."""
    ann2neo.save(small_recording(), tmp_path / "a.nwb")
    out = ann2neo.share(tmp_path / "a.nwb", tmp_path / "bundle")
    digest = hashlib.sha256((tmp_path / "a.nwb").read_bytes()).hexdigest()
    assert f"{digest}  sub-network/sub-network_desc-a.nwb\n" in (out / "SHA256SUMS").read_text()


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
    with pytest.raises(OutputExists, match="already exists"):
        ann2neo.share(tmp_path / "b.nwb", tmp_path / "bundle")
    assert (tmp_path / "bundle" / "sub-network" / "sub-network_desc-a.nwb").exists()
    ann2neo.share(tmp_path / "b.nwb", tmp_path / "bundle", overwrite=True)
    assert (tmp_path / "bundle" / "sub-network" / "sub-network_desc-b.nwb").exists()
    assert not (tmp_path / "bundle" / "sub-network" / "sub-network_desc-a.nwb").exists()


def test_a_folder_of_other_things_is_never_replaced(tmp_path):
    """Overwriting means a bundle: a folder that holds something else stays, even if overwriting is allowed."""
    ann2neo.save(small_recording(), tmp_path / "a.nwb")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists, match="holds files that ann2neo did not write"):
        ann2neo.share(tmp_path / "a.nwb", tmp_path / "home", overwrite=True)
    assert [file.name for file in (tmp_path / "home").iterdir()] == ["mine.txt"]


def test_a_missing_file_is_named(tmp_path):
    """The error is that of `load`."""
    with pytest.raises(FormatError, match="there is no file"):
        ann2neo.share(tmp_path / "a.nwb", tmp_path / "bundle")
