"""Checks of arguments before a model is fitted, simulated or rescaled."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import pandas as pd

from ann2neo.errors import AnalysisError, kind_of, suggestion

DRAWN = ("rate", "label", "markov")
"""Models that give each bin a probability of a spike."""
SIMULATED = (*DRAWN, "gain", "label_gain", "renewal")
"""Models of which spikes can be drawn."""


def check_model(fitted: Any, model: Any, known: tuple[str, ...] = DRAWN) -> None:
    """Check that the table holds fitted models of bins, and that the model is one of those that are known.

    Raises
    ------
    AnalysisError
        If one of these does not hold.
    """
    if not isinstance(fitted, pd.DataFrame) or not {"layer", "unit"} <= set(fitted.columns):
        raise AnalysisError(
            f"a table of fitted models is needed, and {kind_of(fitted)} was given, or one without layer and unit.",
            "There are no parameters.",
            "Pass the table that `ann2neo.models.fit` returned.",
        )
    if "rate_hz" in fitted:
        raise AnalysisError(
            "the table holds rates in Hz, of cells.",
            "These models need the probability of a spike in a bin.",
            "Fit a recording (`ann2neo.from_array` makes one of spikes in bins).",
        )
    if model not in known:
        raise AnalysisError(
            f"There is no model {model!r} of {'single ' if known == DRAWN else ''}bins."
            + suggestion(str(model), known),
            "Nothing was computed.",
            f"Use {', '.join(map(repr, known[:-1]))} or {known[-1]!r}.",
        )


def check_whole(name: str, value: Any, low: int, high: int = 2**62, usual: int | None = None) -> None:
    """Check that an argument is a whole number in a range; truth values are refused.

    Raises
    ------
    AnalysisError
        If it is not.

    Examples
    --------
    >>> check_whole("seed", -1, 0)
    Traceback (most recent call last):
        ...
    ann2neo.errors.AnalysisError: seed=-1 is not a whole number of at least 0.
    Nothing was computed.
    Use seed=0, for instance.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) <= high:
        asked = f"of at least {low}" if high == 2**62 else f"from {low} to {high}"
        raise AnalysisError(
            f"{name}={value!r} is not a whole number {asked}.",
            "Nothing was computed.",
            f"Use {name}={low if usual is None else usual}, for instance.",
        )
