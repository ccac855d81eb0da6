"""Reasons: why a figure has no unit to show."""

from __future__ import annotations

import pandas as pd

from ann2neo.measures.quality import WANTING

WORDS = dict(zip(WANTING, ("silent", "saturated", "of too few spikes")))


def no_unit(units: pd.DataFrame, population: str, measure: str = "") -> str:
    """Return why no unit is drawn: what units lack instead of a measure, or of good quality.

    Parameters
    ----------
    units
        Table of all units among which those to draw were sought.
    population
        Which of them were to be drawn, "all" or "good".
    measure
        What none of them has, such as "Fano factor"; empty where every unit of the population has it.

    Examples
    --------
    >>> no_unit(pd.DataFrame({"quality": ["silent", "silent"]}), "all", "CV")
    'no unit has a CV: all are silent'
    >>> no_unit(pd.DataFrame({"quality": ["silent", "saturated", "too_few"]}), "good", "CV")
    'no unit is of good quality: 1 silent, 1 saturated, 1 of too few spikes'
    """
    if units.empty:
        return "there are no units"
    quality = units["quality"].astype(str)
    counts = {words: int((quality == name).sum()) for name, words in WORDS.items()}
    told = [words for words, n in counts.items() if n]
    why = f"all are {told[0]}" if sum(counts.values()) == counts.get(told[0] if told else "", 0) == len(units) else ""
    why = why or ", ".join(f"{counts[words]:,} {words}" for words in told)
    if population == "good" and not (quality == "good").any():
        return f"no unit is of good quality: {why}" if why else "no unit is of good quality"
    if (
        measure == "Fano factor"
        and units.attrs.get("n_windows") == 1
        and why not in ("all are silent", "all are saturated")
    ):
        why = "there is one window"  # few spikes would do
    of_good = " of good quality" if population == "good" else ""
    return f"no unit{of_good} has a {measure}" + (f": {why}" if why and population == "all" else "")
