"""Checks of arguments before a model is fitted, simulated or rescaled."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.errors import AnalysisError, Ann2NeoWarning, kind_of, suggestion

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


def say_negative(values: pd.Series, by: str) -> None:
    """Warn that negative conditions are unknown, unless they are all -1, as an unknown label is written.

    Examples
    --------
    >>> say_negative(pd.Series([-1, 0, 1]), "label")
    """
    negative = np.unique(values[values < 0]) if pd.api.types.is_numeric_dtype(values) else np.zeros(0)
    if (negative != -1).any():
        listed = ", ".join(str(each) for each in negative[:5].tolist()) + ", ..." * (negative.size > 5)
        text = f"{int((values < 0).sum())} of {values.size} trials have a negative {by} ({listed}), which means unknown in a recording: they are left out."
        text += f"\nIf these are conditions, write them as text in the trials, such as trials.assign({by}=trials[{by!r}].astype(str))."
        warnings.warn(Ann2NeoWarning(text), stacklevel=4)
