"""Metadata from the sharer in an NWB file: experimenter, institution, subject and session."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py

from ann2neo.integrity import seal_file
from ann2neo.sharing.metadata import Metadata

# Characters that DANDI allows in a label, without those that have a meaning in shells, Markdown or sha256sum.
NO_LABEL = re.compile(r"[^A-Za-z0-9-]+")
SUBJECT_ID = "general/subject/subject_id"


def label(text: str) -> str:
    """Convert a text to a label that archives and shells accept in the name of a file.

    Examples
    --------
    >>> label("my recording (2)")
    'my-recording-2'
    """
    return NO_LABEL.sub("-", text).strip("-")


def subject_of(nwb: Path) -> str:
    """Read the subject of a file; "network" for a file without one."""
    with h5py.File(nwb, "r") as file:
        found: Any = file[SUBJECT_ID][()] if SUBJECT_ID in file else b"network"  # type: ignore[index]
    return found.decode("utf-8") if isinstance(found, bytes) else str(found)


def describe(nwb: Path, known: Metadata) -> None:
    """Write metadata into an NWB file and seal it again; fields without metadata stay as they are.

    Keywords are left out, because neo's reader cannot open a file that has them. They go into ``CITATION.cff`` and ``datacite.json``.
    """
    texts = {
        "general/institution": known.institution,
        "general/lab": known.lab,
        "general/session_id": known.session,
        SUBJECT_ID: known.subject,
    }
    names = known.experimenter or tuple(author.name for author in known.authors)
    changes: dict[str, Any] = {place: text for place, text in texts.items() if text}
    changes |= {"general/experimenter": list(names)} if names else {}
    if not changes:
        return
    with h5py.File(nwb, "r+") as file:
        for place, value in changes.items():
            if place == SUBJECT_ID and "general/subject" not in file:
                continue
            if place in file:
                del file[place]
            file.create_dataset(place, data=value, dtype=h5py.string_dtype("utf-8"))
    seal_file(nwb)
