"""Notes: what the caller knows of a recording, such as the epoch and the seed of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ann2neo.errors import AnnotationError, StoreError
from ann2neo.outline import check_provenance, plain
from ann2neo.recording import NOTES, notes_of

Note = str | bool | int | float


def provenance_of_notes(notes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Write notes down as facts of the provenance.

    Raises
    ------
    AnnotationError
        If a key is no identifier, or a value no text and no number.

    Examples
    --------
    >>> provenance_of_notes({"epoch": 3, "rule": "hebb"})
    {'notes_epoch': 3, 'notes_rule': 'hebb'}
    """
    if not isinstance(notes, Mapping | None):
        raise AnnotationError(
            f"notes={notes!r} are no notes.", "Nothing was recorded.", 'Use notes={"epoch": 3, "seed": 1}.'
        )
    found: dict[str, Any] = {}
    for key, value in (notes or {}).items():
        if not isinstance(key, str) or not f"{NOTES}{key}".isidentifier():
            raise AnnotationError(
                f"{key!r} cannot be the key of a note.",
                "It would be no name of a column.",
                "Use letters, digits and underscores.",
            )
        written = plain(value)
        if not isinstance(written, Note):
            raise AnnotationError(
                f"the note {key!r} is of type {type(value).__name__}.",
                "File formats keep flat values only.",
                "Use a text or a number; several go by keys of their own.",
            )
        found[f"{NOTES}{key}"] = written
    check_provenance(found)
    return found


def check_notes(path: Any, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuse a store whose recording goes by other notes.

    Raises
    ------
    StoreError
        If a note differs, is missing, or was not given.
    """
    old, new = notes_of(there), notes_of(here)
    if old != new:
        raise StoreError(
            f"{path} holds a recording with other notes ({_shown(old)} there, {_shown(new)} here).",
            "What is there would go by notes that it does not have; nothing was recorded.",
            "Give the same notes, or record into another store.",
        )


def _shown(notes: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.removeprefix(NOTES)}={value!r}" for key, value in notes.items()) or "none"
