"""What is to be recorded into a store, and what is found to be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ann2neo.capture.running import Job
from ann2neo.store.growing import Growing


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A recording that is to be in a store.

    Parameters
    ----------
    job
        What is run.
    path
        The store.
    bin_size_ms
        Size of a bin.
    known
        What the provenance says beside what the job shows.
    threshold_rule, units
        Which thresholds and units were asked for.
    overwrite
        Whether a store of that name that holds another recording may be replaced.
    progress
        Whether to show a progress bar.
    """

    job: Job
    path: Path
    bin_size_ms: float
    known: Mapping[str, Any]
    threshold_rule: Any
    units: Any
    overwrite: bool
    progress: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the first process found: the facts of the recording, the order of its inputs, and how far the store is."""

    facts: Mapping[str, Any]
    drawn: list[list[Any]] | None
    growing: Growing | None
    complete: bool
