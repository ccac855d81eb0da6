"""The report of a bundle: a page on the recording that needs no software but a browser."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from ann2neo.analysis import analyze
from ann2neo.errors import Ann2NeoWarning
from ann2neo.recording import Recording
from ann2neo.report import write_report
from ann2neo.results import HOW_TO_READ, Result, drawings, facts, found, picture, recorded, section

MOST_BINS = 100


def write_page(recording: Recording, path: Path, *, title: str) -> None:
    """Analyze a recording and write figures and indicators of its units as one page.

    Spikes are counted in label windows where there are labels, else in windows of 100 bins, or of all bins if there are fewer. Warnings of `ann2neo.analyze` appear
    at the top of the page.

    Parameters
    ----------
    recording
        The recording that is shared.
    path
        Name of the page.
    title
        Heading of the page.
    """
    table, warned = _analyzed(recording)
    result = Result(name="Units and layers", table=table, recording=recording)
    first, *rest = [picture(drawn, caption, alt) for _, drawn, caption, alt in drawings(result)]
    write_report(
        path,
        title=title,
        lead=[recorded("This recording", table, recording), found(table), *warned],
        facts=facts([result]),
        figure=first,
        limits=[HOW_TO_READ],
        sections=[section(result, rest)],
        provenance=recording.provenance,
    )


def _analyzed(recording: Recording) -> tuple[pd.DataFrame, list[str]]:
    """Measure all units, and collect warnings instead of showing them on a terminal."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = analyze(recording, windows=_windows(recording), progress=False)
    told = [str(each.message).replace("\n", " ") for each in caught if issubclass(each.category, Ann2NeoWarning)]
    return table, told


def _windows(recording: Recording) -> str | int:
    known = recording.trials.get("label")
    if known is not None and (known.to_numpy() >= 0).any():
        return "label"
    return min(MOST_BINS, int(np.diff(recording.stretches).max()))
