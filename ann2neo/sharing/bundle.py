"""The bundle: files that belong together, made at once or not at all."""

from __future__ import annotations

import re
import shutil
from os import PathLike
from pathlib import Path

from ann2neo.atomic import complete_or_absent
from ann2neo.errors import ShareError
from ann2neo.formats import load, path_of, save
from ann2neo.ownership import files_of, results, sha256
from ann2neo.recording import Recording
from ann2neo.sharing.card import data_card
from ann2neo.sharing.citation import citation, datacite, title
from ann2neo.sharing.inspection import Finding, inspect, report
from ann2neo.sharing.page import write_page

# What DANDI allows in a label, less what shells, Markdown and sha256sum give a meaning of their own.
NO_LABEL = re.compile(r"[^A-Za-z0-9-]+")
SUBJECT = "sub-network"


def share(path: str | PathLike[str], out: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Make a folder to publish: an NWB file where the DANDI archive wants it, a report, a data card, citation, the inspector's verdict and checksums.

    The folder holds the recording as NWB (a file that is NWB already is copied as it is) in ``sub-network/``, ``README.md`` (what was recorded, what a spike
    stands for and what not, how to open the file, where to publish it), ``report.html`` (figures and indicators of all units), ``CITATION.cff`` and ``datacite.json``, ``inspection.txt`` (what nwbinspector finds by
    the rules of the DANDI archive) and ``SHA256SUMS`` (checked by ``sha256sum -c SHA256SUMS``). The recording's provenance may name ``title``, ``authors`` and
    ``license``.

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
        If the inspector finds something critical or something that is no valid NWB, or no file was given.
    OutputExists
        If there is such a folder and it may not be replaced.
    FormatError
        If the file cannot be read.

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
            "A bundle is made of a file, which is checked as others will read it.",
            'Save it first: ann2neo.save(recording, "rec.nwb"), then share("rec.nwb", "bundle").',
        )
    source, folder = path_of(path), path_of(out)
    with complete_or_absent(folder, overwrite=overwrite, marker=results("a bundle"), inputs=[source]) as part:
        recording = load(source)
        name = NO_LABEL.sub("-", source.stem).strip("-") or "recording"
        nwb = part / dandi_path(name)
        nwb.parent.mkdir(parents=True)
        _put_nwb(recording, source, nwb)
        findings = inspect(nwb)
        _refuse_critical(findings, source)
        texts = {
            "inspection.txt": report(findings, nwb.name),
            "README.md": data_card(recording, dandi_path(name)),
            "CITATION.cff": citation(recording, name),
            "datacite.json": datacite(recording, name),
        }
        for file, text in texts.items():
            (part / file).write_text(text, encoding="utf-8")
        write_page(recording, part / "report.html", title=title(recording, name))
        (part / "SHA256SUMS").write_text(checksums(part), encoding="utf-8")
    return folder


def dandi_path(name: str) -> str:
    """Say where a file lies in a dandiset.

    Examples
    --------
    >>> dandi_path("rec")
    'sub-network/sub-network_desc-rec.nwb'
    """
    return f"{SUBJECT}/{SUBJECT}_desc-{name}.nwb"


def checksums(folder: Path) -> str:
    """List the SHA-256 of each file of a folder and those below, as ``sha256sum`` writes it."""
    return "".join(f"{sha256(folder / name)}  {name}\n" for name in files_of(folder) if name != "SHA256SUMS")


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
