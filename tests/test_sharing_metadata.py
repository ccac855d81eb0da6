"""What the sharer says reaches the file, the citation and the card, or is refused."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pynwb
import pytest
import yaml
from click.testing import CliRunner
from strategies import small_recording

import ann2neo
from ann2neo import sharing
from ann2neo.cli import commands
from ann2neo.errors import FormatError, ShareError
from ann2neo.sharing.citation import citation, datacite
from ann2neo.sharing.metadata import read_metadata

ROOT = Path(__file__).resolve().parents[1]

META = """
title: "Digits: a study"
description: What a small network makes of digits.
license: cc-by-4.0
authors:
  - {given: Ada, family: Byron, orcid: 0000-0002-1825-0097, affiliation: Analytical Society, email: ada@example.org}
  - The Digits Group
contact: Ada Byron <ada@example.org>
experimenter: [Byron, Ada]
institution: Analytical Society
lab: Engines
keywords: [digits, memorization]
subject: net 7
session: epoch 3
doi: https://doi.org/10.5281/zenodo.1234567
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle of an NWB file with all metadata, made by the command line."""
    place = tmp_path_factory.mktemp("described")
    ann2neo.save(small_recording(), place / "rec.nwb")
    (place / "meta.yaml").write_text(META)
    args = ["share", place / "rec.nwb", "-o", place / "bundle", "--metadata", place / "meta.yaml", "-q"]
    done = CliRunner().invoke(commands, [str(arg) for arg in args], catch_exceptions=False)
    assert (done.exit_code, done.stdout) == (0, "")
    return place / "bundle"


# What the specifications state: https://doi.org/10.5281/zenodo.5171937 (schema-guide.md) and https://doi.org/10.14454/g8e5-6293. No package that holds the schema of
# the Citation File Format installs beside jsonschema 4; both files were valid by the published schemas when this was written.
TEXT, DOI = (
    {"type": "string", "minLength": 1},
    {"type": "string", "pattern": r"^10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-\.\(\)\[\]\\]+$"},
)
ORCID = {"type": "string", "pattern": r"^https://orcid\.org/[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]{1}$"}
EMAIL = {"type": "string", "pattern": r"^[\S]+@[\S]+\.[\S]{2,}$"}
PERSON = {"given-names": TEXT, "family-names": TEXT, "affiliation": TEXT, "orcid": ORCID, "email": EMAIL}
WHO = {"anyOf": [
    {"type": "object", "properties": PERSON, "additionalProperties": False},
    {"type": "object", "properties": {"name": TEXT, "orcid": ORCID, "email": EMAIL}, "required": ["name"], "additionalProperties": False},
]}  # fmt: skip
MANY = {"type": "array", "minItems": 1, "uniqueItems": True}
REFERENCE = {
    "type": "object",
    "required": ["authors", "title", "type"],
    "properties": {
        "authors": MANY | {"items": WHO}, "title": TEXT, "type": {"enum": ["article"]}, "journal": TEXT, "year": {"type": "integer"}, "doi": DOI,
        "identifiers": MANY | {"items": {"type": "object", "required": ["type", "value"], "properties": {"type": {"enum": ["doi", "url", "swh", "other"]}}}},
    },
    "additionalProperties": False,
}  # fmt: skip
CFF = {
    "type": "object",
    "required": ["authors", "cff-version", "message", "title"],
    "properties": {
        "cff-version": {"const": "1.2.0"}, "message": TEXT, "title": TEXT, "authors": MANY | {"items": WHO}, "type": {"enum": ["dataset", "software"]},
        "abstract": TEXT, "contact": MANY | {"items": WHO}, "date-released": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"}, "doi": DOI, "version": TEXT,
        "keywords": MANY | {"items": TEXT}, "license": TEXT, "preferred-citation": REFERENCE, "references": MANY | {"items": REFERENCE},
    },
    "additionalProperties": False,
}  # fmt: skip
NAMED = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": TEXT, "nameType": {"enum": ["Organizational", "Personal"]}},
}
DATACITE = {
    "type": "object",
    "required": ["creators", "titles", "publisher", "publicationYear", "types", "schemaVersion"],
    "properties": {
        "schemaVersion": {"const": "http://datacite.org/schema/kernel-4"}, "creators": MANY | {"items": NAMED}, "publisher": NAMED, "doi": DOI,
        "titles": MANY | {"items": {"type": "object", "required": ["title"]}}, "publicationYear": {"type": "string", "pattern": r"^[0-9]{4}$"},
        "types": {"type": "object", "required": ["resourceType", "resourceTypeGeneral"], "properties": {"resourceTypeGeneral": {"const": "Dataset"}}},
        "contributors": {"type": "array", "items": {"allOf": [NAMED, {"required": ["contributorType"]}]}},
        "descriptions": {"type": "array", "items": {"required": ["description", "descriptionType"]}},
        "dates": {"type": "array", "items": {"required": ["date", "dateType"]}}, "formats": {"type": "array", "items": TEXT},
        "relatedIdentifiers": {"type": "array", "items": {"required": ["relatedIdentifier", "relatedIdentifierType", "relationType"]}},
        "rightsList": {"type": "array", "items": {"type": "object"}}, "subjects": {"type": "array", "items": {"required": ["subject"]}},
    },
    "additionalProperties": False,
}  # fmt: skip


@pytest.mark.parametrize("said", ["", META])
def test_citations_have_what_their_formats_require(said):
    """With and without what a sharer says; the citation of the package itself, too."""
    recording, known = small_recording(), read_metadata(yaml.safe_load(said) or None)
    dated = yaml.safe_load(citation(recording, "rec", known)), yaml.safe_load((ROOT / "CITATION.cff").read_text())
    for found in json.loads(json.dumps(dated, default=str)):
        jsonschema.validate(found, CFF)
    jsonschema.validate(json.loads(datacite(recording, "rec", known)), DATACITE)


def test_the_file_says_who_and_where_and_is_the_same_recording(bundle):
    """pynwb reads every field, neo still opens it, and the bits and the seal are right."""
    path = bundle / "sub-net-7" / "sub-net-7_ses-epoch-3_desc-rec.nwb"
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        file = io.read()
        assert (file.institution, file.lab, file.session_id) == ("Analytical Society", "Engines", "epoch 3")
        assert tuple(file.experimenter) == ("Byron", "Ada")
        assert file.subject.subject_id == "net 7"
        assert len(file.units) == 12
    import neo

    assert len(neo.io.NWBIO(str(path), "r").read_block().segments[0].spiketrains) == 12
    assert ann2neo.load(path).identical(small_recording())
    assert "all bytes" in ann2neo.check(path)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (bundle.parent / "damaged.nwb").write_bytes(bytes(damaged))
    with pytest.raises(FormatError):
        ann2neo.load(bundle.parent / "damaged.nwb")


def test_the_citation_names_persons_and_is_yaml(bundle):
    """As the schemas of CFF 1.2.0 and of DataCite 4.5 have it."""
    cff = yaml.safe_load((bundle / "CITATION.cff").read_text())
    assert cff["authors"][0] == {
        "given-names": "Ada",
        "family-names": "Byron",
        "orcid": "https://orcid.org/0000-0002-1825-0097",
        "affiliation": "Analytical Society",
        "email": "ada@example.org",
    }
    assert cff["authors"][1] == {"name": "The Digits Group"}
    assert (cff["license"], cff["doi"], cff["title"]) == ("CC-BY-4.0", "10.5281/zenodo.1234567", "Digits: a study")
    assert {"digits", "memorization", "NWB"} <= set(cff["keywords"])
    found = json.loads((bundle / "datacite.json").read_text())
    assert found["creators"][0]["name"] == "Byron, Ada"
    assert found["creators"][0]["nameIdentifiers"][0]["nameIdentifier"].endswith("0000-0002-1825-0097")
    assert found["rightsList"][0]["rightsIdentifier"] == "CC-BY-4.0"
    assert {one["contributorType"] for one in found["contributors"]} == {
        "ContactPerson",
        "HostingInstitution",
        "ResearchGroup",
    }
    assert found["doi"] == "10.5281/zenodo.1234567"
    card = (bundle / "README.md").read_text()
    for said in (
        "Licence: CC-BY-4.0.",
        "| contact | Ada Byron \\<ada@example.org> |",
        "`sub-net-7` is laid out",
        "Digits: a study",
    ):
        assert said in card


@pytest.mark.parametrize("license_id", ["CC-BY", "BSD", "yes", "MIT AND CC0-1.0", "LicenseRef-mine"])
def test_a_licence_that_archives_do_not_know_is_refused_or_left_out(license_id):
    """Given by the sharer it is refused; in the provenance of old files it does not reach the citation."""
    with pytest.raises(ShareError, match=r"SPDX|one licence"):
        read_metadata({"license": license_id})
    known = sharing.metadata.with_provenance(read_metadata(None), {"license": license_id})
    assert known.license == ""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"autors": ["A"]}, "Did you mean 'authors'"),
        ({"authors": 3}, "authors is 3"),
        ({"authors": [{"nam": "A"}]}, "an author is"),
        ({"authors": [{"given": ""}]}, "given of an author"),
        ({"authors": [{"name": "A", "orcid": "12"}]}, "0000-0002-1825-0097"),
        ({"doi": "zenodo"}, "10.5281"),
        ({"title": 7}, "title is 7"),
        ("none.yaml", "cannot be read .No such file or directory.(.|\\s)*Check the name"),
    ],
)
def test_what_is_not_understood_is_refused_before_anything_is_made(given, words, tmp_path):
    """With the key, and what to write instead."""
    ann2neo.save(ann2neo.from_array(np.eye(4, dtype=bool)), tmp_path / "a.nwb")
    with pytest.raises(ShareError, match=words):
        ann2neo.share(tmp_path / "a.nwb", tmp_path / "bundle", metadata=given)
    assert not (tmp_path / "bundle").exists()


def test_networks_are_subjects_of_their_own(tmp_path):
    """Other weights are another subject; the same ones recorded again are the same, with a session of their own."""
    places = []
    for number, (weights, created) in enumerate([("a" * 64, "01"), ("b" * 64, "01"), ("a" * 64, "02")]):
        known = {"weights_sha256": weights, "created": f"2026-01-{created}T00:00:00+00:00"}
        recording = replace(small_recording(), provenance={**small_recording().provenance, **known})
        ann2neo.save(recording, tmp_path / f"{number}.nwb")
        with pynwb.NWBHDF5IO(str(tmp_path / f"{number}.nwb"), "r") as io:
            file = io.read()
            places.append((file.subject.subject_id, file.session_id))
    assert places == [
        ("network-aaaaaaaa", "20260101T000000"),
        ("network-bbbbbbbb", "20260101T000000"),
        ("network-aaaaaaaa", "20260102T000000"),
    ]
    out = ann2neo.share(tmp_path / "1.nwb", tmp_path / "bundle")
    assert [path.name for path in out.rglob("*.nwb")] == ["sub-network-bbbbbbbb_desc-1.nwb"]


def test_an_edited_bundle_can_be_sealed_again(tmp_path):
    """Sums are those of the new text; a broken citation and a changed NWB file are refused, and the sums stay."""
    ann2neo.save(small_recording(), tmp_path / "a.nwb")
    out = ann2neo.share(tmp_path / "a.nwb", tmp_path / "bundle")
    card = out / "README.md"
    card.write_text(card.read_text().replace("Licence: not stated", "Licence: CC0-1.0, not stated before"))
    with pytest.raises(FormatError, match=r"README\.md"):
        ann2neo.check(out)
    assert sharing.seal(out) == ["README.md"]
    assert ann2neo.check(out)
    assert subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=out, capture_output=True).returncode == 0
    done = CliRunner().invoke(commands, ["share", str(out), "--seal"], catch_exceptions=False)
    assert "changed since: nothing" in done.stdout
    strange = out / "notes\udcff.txt"
    strange.write_text("of a name that is no UTF-8")
    assert sharing.seal(out) == [strange.name]
    assert ann2neo.check(out)
    assert subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=out, capture_output=True).returncode == 0
    strange.unlink()
    assert sharing.seal(out) == [strange.name]
    sums = (out / "SHA256SUMS").read_text()
    (out / "CITATION.cff").write_text("title: [")
    with pytest.raises(ShareError, match=r"CITATION\.cff can no longer be read"):
        sharing.seal(out)
    (out / "CITATION.cff").write_text("title: a\n")
    with pytest.raises(ShareError, match="lacks cff-version"):
        sharing.seal(out)
    nwb = next(out.rglob("*.nwb"))
    nwb.write_bytes(nwb.read_bytes()[:-300] + b"x" * 300)
    with pytest.raises(FormatError):
        sharing.seal(out)
    assert (out / "SHA256SUMS").read_text() == sums
    with pytest.raises(ShareError, match="is not a bundle"):
        sharing.seal(tmp_path)
