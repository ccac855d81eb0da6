"""The bundle: files that belong together, made at once or not at all."""

from __future__ import annotations

import hashlib
import re
import shutil
from os import PathLike
from pathlib import Path

from ann2neo.atomic import complete_or_absent
from ann2neo.errors import ShareError
from ann2neo.formats import load, save
from ann2neo.recording import Recording
from ann2neo.sharing.card import data_card
from ann2neo.sharing.inspection import Finding, inspect, report

# Letters that sha256sum escapes or Markdown and shells give a meaning of their own.
NO_FILE_NAME = re.compile(r"[^\w.-]+")


def share(path: str | PathLike[str], out: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Make a folder to publish: an NWB file, a data card, the inspector's verdict and checksums.

    The folder holds the recording as NWB (a file that is NWB already is copied as it is), ``README.md`` (what was recorded, what a spike stands for and
    what not, how to open the file), ``inspection.txt`` (what nwbinspector finds by the rules of the DANDI archive) and ``SHA256SUMS`` (checked by
    ``sha256sum -c SHA256SUMS``). The recording's provenance may name a ``license`` for the data card.

    Parameters
    ----------
    path
        A file that ann2neo wrote.
    out
        Name of the folder.
    overwrite
        Whether an existing folder may be replaced.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ShareError
        If the inspector finds something critical or something that is no valid NWB.
    OutputExists
        If there is such a folder and it may not be replaced.
    FormatError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile, numpy as np, ann2neo
    >>> place = Path(tempfile.mkdtemp())
    >>> ann2neo.save(ann2neo.from_array(np.eye(3, dtype=bool)), place / "rec.nwb")
    >>> sorted(file.name for file in share(place / "rec.nwb", place / "bundle").iterdir())
    ['README.md', 'SHA256SUMS', 'inspection.txt', 'rec.nwb']
    """
    source, folder = Path(path), Path(out)
    with complete_or_absent(folder, overwrite=overwrite, marker="SHA256SUMS") as part:
        recording = load(source)
        part.mkdir()
        nwb = part / (NO_FILE_NAME.sub("_", source.stem) + ".nwb")
        _put_nwb(recording, source, nwb)
        findings = inspect(nwb)
        _refuse_critical(findings, source)
        (part / "inspection.txt").write_text(report(findings, nwb.name), encoding="utf-8")
        (part / "README.md").write_text(data_card(recording, nwb.name), encoding="utf-8")
        (part / "SHA256SUMS").write_text(checksums(part), encoding="utf-8")
    return folder


def checksums(folder: Path) -> str:
    """List the SHA-256 of each file of a folder, as ``sha256sum`` writes it."""
    files = sorted(file for file in folder.iterdir() if file.name != "SHA256SUMS")
    return "".join(f"{_sha256(file)}  {file.name}\n" for file in files)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put_nwb(recording: Recording, source: Path, nwb: Path) -> None:
    if source.suffix == ".nwb":
        shutil.copyfile(source, nwb)
    else:
        save(recording, nwb)


def _refuse_critical(findings: list[Finding], source: Path) -> None:
    bad = [finding for finding in findings if finding.critical]
    if bad:
        raise ShareError(
            f"nwbinspector finds {len(bad)} critical point{'s' * (len(bad) != 1)} in {source}: {bad[0].message}",
            "No archive would take the file, and no bundle was made.",
            "Save the recording anew with this version of ann2neo and share that file.",
        )
