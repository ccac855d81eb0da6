"""Probability of a spike in each bin under a fitted model, given the condition or the preceding bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from ann2neo.errors import AnalysisError, suggestion
from ann2neo.models.fitted import HIGHEST_ORDER
from ann2neo.recording import Recording
from ann2neo.windows import codes_of_column


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """Probability of a spike in each bin under a fitted model.

    Parameters
    ----------
    p
        Probability of each unit in each state, shape (unit, state): rate, conditions, or contexts.
    state
        State of each bin, shape (bin,). With contexts it is 0 for bins without one; after context c, in binary, a 1 becomes 1 + c.
    order
        Number of bins of a context; 0 for none.
    follows_rate
        Whether each unit follows its rate because it has no fitted chain, shape (unit,).
    """

    p: Float[np.ndarray, "unit state"]
    state: Int[np.ndarray, " bin"]
    order: int
    follows_rate: Bool[np.ndarray, " unit"]


def law_of(rows: pd.DataFrame, recording: Recording, model: str, by: str) -> Law:
    """Read the probabilities of a model from the rows of the units of a recording.

    Raises
    ------
    AnalysisError
        If the table lacks a parameter, or one is not a probability.
    """
    rate = column_of(rows, "rate_p")
    if model == "rate":
        return Law(
            p=rate[:, None],
            state=np.zeros(recording.n_bins, np.int64),
            order=0,
            follows_rate=np.zeros(len(rows), np.bool_),
        )
    if model == "label":
        codes, values = codes_of_column(recording.trials, by)
        p = np.stack([*(column_of(rows, f"label_p[{value}]") for value in values.tolist()), rate], axis=1)
        length = (recording.trials["stop_bin"] - recording.trials["start_bin"]).to_numpy(np.int64)
        return Law(
            p=p,
            state=np.repeat(np.where(codes < 0, values.size, codes), length),
            order=0,
            follows_rate=np.zeros(len(rows), np.bool_),
        )
    order = _order_of(rows)
    chain = np.stack([column_of(rows, f"markov_p{c:0{order}b}1", missing=True) for c in range(2**order)], axis=1)
    without = np.atleast_1d(np.isnan(chain).any(axis=1))
    chain[without] = rate[without, None]
    edges = recording.stretches
    place = np.arange(recording.n_bins) - np.repeat(edges[:-1], np.diff(edges))
    p, state = np.concatenate([rate[:, None], chain], axis=1), np.where(place < order, 0, 1).astype(np.int64)
    return Law(p=p, state=state, order=order, follows_rate=without)


def by_of(fitted: pd.DataFrame, trials: pd.DataFrame) -> str | None:
    """Return the column whose conditions were fitted: the one named in the table, else the label where there is one; None for all bins."""
    if "by" in fitted.attrs:
        return fitted.attrs["by"]
    return "label" if "label" in trials else None


def _order_of(rows: pd.DataFrame) -> int:
    for order in range(1, HIGHEST_ORDER + 1):
        if f"markov_p{'0' * order}1" in rows:
            return order
    raise AnalysisError(
        "The table has no column 'markov_p01'.", "There is no chain to draw from.", "Fit the model 'markov' first."
    )


def rows_of(fitted: pd.DataFrame, recording: Recording) -> pd.DataFrame:
    """Find the row of each unit of the recording."""
    place = pd.MultiIndex.from_arrays([fitted["layer"].astype(str), fitted["unit"]])
    if place.has_duplicates:
        raise AnalysisError(
            f"{int(place.duplicated().sum())} units have more than one row in the table.",
            "It is unclear which row holds their parameters.",
            "Pass the table of one recording.",
        )
    names = [layer.name for layer in recording.layers for _ in range(layer.n_units)]
    units = np.concatenate([layer.units for layer in recording.layers])
    found = place.get_indexer(pd.MultiIndex.from_arrays([names, units]))
    if (found < 0).any():
        first = int(np.argmax(found < 0))
        raise AnalysisError(
            f"{int((found < 0).sum())} of {units.size} units are not in the table; the first is unit {units[first]} of layer {names[first]!r}.",
            "They have no parameters.",
            "Fit the same layers and units, or select those of the table (`recording.select`).",
        )
    return fitted.iloc[found].reset_index(drop=True)


def column_of(rows: pd.DataFrame, name: str, *, missing: bool = False) -> Float[np.ndarray, " unit"]:
    """Read a column of probabilities."""
    if name not in rows:
        model, of_condition = name.split("_p", 1)[0], "[" in name
        # Another condition would not be what was meant.
        known = [] if of_condition else [str(each) for each in rows if "_p" in str(each)]
        conditions = "its conditions (by=)" if of_condition else "by= as it was fitted"
        raise AnalysisError(
            f"The table has no column {name!r}." + suggestion(name, known),
            "The probabilities of this model are unknown.",
            f"Fit the recording with {conditions}: `ann2neo.models.fit(recording, [{model!r}])`.",
        )
    values = pd.to_numeric(rows[name], errors="coerce").to_numpy(np.float64, copy=True)
    missing = missing and bool((np.isnan(values) == rows[name].isna()).all())
    wrong = ~((values >= 0) & (values <= 1)) & ~(np.isnan(values) & missing)
    if wrong.any():
        raise AnalysisError(
            f"{int(wrong.sum())} of {values.size} values of {name!r} are not probabilities.",
            "No spike can be drawn from them.",
            "Pass the table that `ann2neo.models.fit` returned for a recording.",
        )
    return values
