"""The table of bins: what is known of each step of an input, such as its label; the same in every pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from ann2neo.errors import RecordingError


def is_of_steps(values: np.ndarray) -> bool:
    """Whether a column that belongs to inputs holds an array of one value per step for each of them.

    Examples
    --------
    >>> is_of_steps(per_input([np.array([1, 2]), np.array([3])])), is_of_steps(np.array([1, 2]))
    (True, False)
    """
    return values.dtype == object and all(isinstance(one, np.ndarray) for one in values)


def per_input(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Lay one array per input into an array of objects, shape (input,), also where all are equally long."""
    found = np.empty(len(parts), object)
    found[:] = [None] * len(parts)
    for place, part in enumerate(parts):
        found[place] = part
    return found


def join_bins(passes: Sequence[Mapping[str, Any]], lengths: Int[np.ndarray, " input"]) -> pd.DataFrame | None:
    """Make the table of bins of the columns that hold values per step; None if there are none.

    Parameters
    ----------
    passes
        Columns of each pass; those of steps count from the first one, and must not change.
    lengths
        Number of bins of each input, shape (input,).

    Raises
    ------
    RecordingError
        If an input has another number of values than bins, or values change from pass to pass.

    Examples
    --------
    >>> join_bins([{"label": per_input([np.array([4, 5]), np.array([6])])}], np.array([2, 1]))["label"].tolist()
    [4, 5, 6]
    """
    columns = {name: values for name, values in passes[0].items() if is_of_steps(np.asarray(values))}
    if not columns or not lengths.size:
        return None
    for name, values in columns.items():
        later = [known[name] for known in passes[1:] if name in known]
        if any(not all(map(np.array_equal, values, other)) for other in later):
            raise RecordingError(
                f"steps have another {name} in a later pass than in the first.",
                "In each pass a bin would stand for something else.",
                "Give the same inputs, in the same order, in every pass.",
            )
        if not np.array_equal([one.size for one in values], lengths):
            raise RecordingError(
                f"the number of values of {name!r} is not that of the steps of each input.",
                "It is unclear which value belongs to which bin.",
                "Give one value for each step.",
            )
    return pd.DataFrame({name: np.concatenate(list(values)) for name, values in columns.items()})


def check_bins(bins: pd.DataFrame | None, trials: pd.DataFrame, n_bins: int) -> None:
    """Refuse a table that has not one row for each bin of a pass, no column, or a name that the trials have too.

    Raises
    ------
    RecordingError
        If it is so.
    """
    if bins is None:
        return
    twice = [name for name in bins.columns if name in trials.columns]
    if len(bins) != n_bins or twice or not len(bins.columns):
        raise RecordingError(
            f"the table of bins has {len(bins)} rows for {n_bins} bins of a pass, and the columns {list(bins.columns)}"
            + (f", of which the trials have {twice} too." if twice else "."),
            "It is unclear which value belongs to which bin.",
            "Give one row for each bin of a pass, in columns with names of their own; None where nothing is known of bins.",
        )


def same_bins(a: pd.DataFrame | None, b: pd.DataFrame | None) -> bool:
    """Whether two tables hold the same columns and values, or are both missing."""
    if a is None or b is None:
        return a is b
    return list(a.columns) == list(b.columns) and all(np.array_equal(a[name], b[name]) for name in a.columns)
