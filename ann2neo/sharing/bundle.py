"""The bundle: files that belong together, created all together or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from ann2neo.atomic import complete_or_absent
from ann2neo.errors import ShareError
from ann2neo.formats import load, path_of, save
from ann2neo.formats.damage import AS_NAMED, SUMS, check
from ann2neo.ownership import SIGNATURE, files_of, results, sha256
from ann2neo.recording import Recording
from ann2neo.sharing.card import data_card
from ann2neo.sharing.citation import REQUIRED, citation, datacite, title
from ann2neo.sharing.described import describe, label, subject_of
from ann2neo.sharing.inspection import Finding, inspect, report
from ann2neo.sharing.metadata import Metadata, read_metadata, with_provenance
from ann2neo.sharing.page import write_page


def share(
    path: str | PathLike[str],
    out: str | PathLike[str],
    *,
    metadata: Mapping[str, Any] | str | PathLike[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Make a folder to publish: an NWB file in the layout of the DANDI archive, a report, a data card, citation, the inspector's findings and checksums.

    The folder holds the recording as NWB in a folder of its subject, which is the network. A file that is already NWB is copied, with the given metadata added. The bundle also holds ``README.md`` (what was recorded, what a spike
    means and does not mean, how to open the file, where to publish it), ``report.html`` (figures and indicators of all units), ``CITATION.cff`` and ``datacite.json``, ``inspection.txt`` (findings of nwbinspector by
    the rules of the DANDI archive) and ``SHA256SUMS`` (checked by ``sha256sum -c SHA256SUMS``). Files of a bundle may be edited: `ann2neo.sharing.seal` then updates their check sums.

    Parameters
    ----------
    path
        A file that ann2neo wrote.
    out
        Name of the folder.
    metadata
        Facts that the file does not contain, as a mapping or the name of a YAML file: ``title``, ``description``, ``authors`` (names, or mappings with ``given``,
        ``family``, ``orcid``, ``affiliation``, ``email``), ``license`` (of the SPDX list), ``contact``, ``experimenter``, ``institution``, ``lab``, ``keywords``,
        ``subject``, ``session``, ``doi``. Where title, authors or licence are left out, those of the recording's provenance are used.
    overwrite
        Whether an existing folder may be replaced.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ShareError
        If the inspector finds something critical or invalid NWB, if no file was given, or if the metadata are invalid.
    OutputExists
        If the folder exists and may not be replaced.
    FormatError
        If the file cannot be read.

    See Also
    --------
    ann2neo.save, ann2neo.check, ann2neo.browse

    Examples
    --------
    >>> from pathlib import Path
    >>> import tempfile, numpy as np, ann2neo
    >>> place = Path(tempfile.mkdtemp())
    >>> ann2neo.save(ann2neo.from_array(np.eye(3, dtype=bool)), place / "rec.nwb")
    >>> bundle = share(place / "rec.nwb", place / "bundle")
    >>> sorted(str(file.relative_to(bundle)) for file in bundle.rglob("[!.]*.*"))
    ['CITATION.cff', 'README.md', 'datacite.json', 'inspection.txt', 'report.html', 'sub-network/sub-network_desc-rec.nwb']
    """
    if isinstance(path, Recording):
        raise ShareError(
            "a Recording was given instead of a file.",
            "A bundle is made from a file, which is checked as others will read it.",
            'Save it first: ann2neo.save(recording, "rec.nwb"), then share("rec.nwb", "bundle").',
        )
    source, folder, given = path_of(path), path_of(out), read_metadata(metadata)
    with complete_or_absent(folder, overwrite=overwrite, marker=results("a bundle"), inputs=[source]) as part:
        recording = load(source)
        known = with_provenance(given, recording.provenance)
        name = label(source.stem) or "recording"
        place = _put_nwb(recording, source, part, given)
        findings = inspect(part / place)
        _refuse_critical(findings, source)
        texts = {
            "inspection.txt": report(findings, Path(place).name),
            "README.md": data_card(recording, place, known),
            "CITATION.cff": citation(recording, name, known),
            "datacite.json": datacite(recording, name, known),
        }
        for file, text in texts.items():
            (part / file).write_text(text, encoding="utf-8")
        write_page(recording, part / "report.html", title=title(known, name))
        (part / SUMS).write_text(checksums(part), **AS_NAMED)
    return folder


def seal(folder: str | PathLike[str]) -> list[str]:
    """Update the check sums of a bundle after its texts were edited; the NWB file must be unchanged.

    Returns
    -------
    list of str
        Files that were changed, added or removed since.

    Raises
    ------
    ShareError
        If the folder is not a bundle, or ``CITATION.cff`` or ``datacite.json`` can no longer be read.
    FormatError
        If an NWB file is damaged.
    """
    place = path_of(folder)
    if not (place / SUMS).is_file():
        raise ShareError(
            f"{place} is not a bundle.", "It has no SHA256SUMS.", "Use a folder that `ann2neo.share` made."
        )
    for nwb in place.rglob("*.nwb"):
        check(nwb)
    _check_texts(place)
    if strange := [name for name in files_of(place) if not (place / name).is_file()]:
        raise ShareError(f"{strange[0]} is not a file.", "The bundle was not sealed.", f"Remove it from {place}.")
    before, now = (place / SUMS).read_text(**AS_NAMED).splitlines(), checksums(place)
    with complete_or_absent(place / SUMS, overwrite=True) as part:
        part.write_text(now, **AS_NAMED)
    return sorted({line.partition("  ")[2] for line in set(before) ^ set(now.splitlines())})


def _check_texts(folder: Path) -> None:
    for name, read in (("CITATION.cff", yaml.safe_load), ("datacite.json", json.loads)):
        try:
            found = read((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ShareError(
                f"{name} can no longer be read ({' '.join(str(error).split())[:120]}).",
                "The bundle was not sealed.",
                "Correct its syntax.",
            ) from error
        missing = [key for key in REQUIRED[name] if not isinstance(found, dict) or not found.get(key)]
        if missing:
            raise ShareError(
                f"{name} lacks {', '.join(missing)}.", "Archives would refuse it.", "Add it, and seal again."
            )


def dandi_path(subject: str, name: str, session: str = "") -> str:
    """Return the path of a file in a dandiset.

    Examples
    --------
    >>> dandi_path("network", "rec"), dandi_path("net-7", "rec", "epoch 3")
    ('sub-network/sub-network_desc-rec.nwb', 'sub-net-7/sub-net-7_ses-epoch-3_desc-rec.nwb')
    """
    of_session = f"_ses-{label(session)}" if label(session) else ""
    return f"sub-{label(subject)}/sub-{label(subject)}{of_session}_desc-{name}.nwb"


def checksums(folder: Path) -> str:
    """List the SHA-256 of each file of a folder and its subfolders, in the format of ``sha256sum``."""
    return "".join(f"{sha256(folder / name)}  {name}\n" for name in files_of(folder) if name not in (SUMS, SIGNATURE))


def _put_nwb(recording: Recording, source: Path, folder: Path, known: Metadata) -> str:
    """Copy the NWB file to the path of its subject and session, and return this path."""
    folder.mkdir(parents=True)
    made = folder / "recording.nwb"
    if source.suffix == ".nwb":
        shutil.copyfile(source, made)
    else:
        save(recording, made)
    describe(made, known)
    place = dandi_path(subject_of(made), label(source.stem) or "recording", known.session)
    (folder / place).parent.mkdir(parents=True)
    made.replace(folder / place)
    return place


def _refuse_critical(findings: list[Finding], source: Path) -> None:
    bad = [finding for finding in findings if finding.critical]
    if bad:
        raise ShareError(
            f"nwbinspector finds {len(bad)} critical point{'s' * (len(bad) != 1)} in {source}: {bad[0].message}",
            "No archive would accept the file, and no bundle was made.",
            "Save the recording again with this version of ann2neo and share that file.",
        )
