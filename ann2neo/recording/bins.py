"""The table of bins: what is known about each step of an input, such as its label. It is the same in every pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from ann2neo.errors import RecordingError


def is_of_steps(values: np.ndarray) -> bool:
    """Whether a column of the trials holds, for each input, an array with one value per step.

    Examples
    --------
    >>> is_of_steps(per_input([np.array([1, 2]), np.array([3])])), is_of_steps(np.array([1, 2]))
    (True, False)
    """
    return values.dtype == object and all(isinstance(one, np.ndarray) for one in values)


def per_input(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Collect one array per input in an array of objects, shape (input,), even if all have the same length."""
    found = np.empty(len(parts), object)
    found[:] = [None] * len(parts)
    for place, part in enumerate(parts):
        found[place] = part
    return found


def join_bins(passes: Sequence[Mapping[str, Any]], lengths: Int[np.ndarray, " input"]) -> pd.DataFrame | None:
    """Build the table of bins from the columns that hold values per step; None if no column does.

    Parameters
    ----------
    passes
        Columns of each pass. Values per step are taken from the first pass and must be the same in every other.
    lengths
        Number of bins of each input, shape (input,).

    Raises
    ------
    RecordingError
        If an input does not have one value per bin, or values change from pass to pass.

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
                f"the {name} of some steps differs between the first pass and a later one.",
                "The same bin would mean something different in each pass.",
                "Present the same inputs, in the same order, in every pass.",
            )
        if not np.array_equal([one.size for one in values], lengths):
            raise RecordingError(
                f"the number of values of {name!r} differs from the number of steps of an input.",
                "It is unclear which value belongs to which bin.",
                "Give one value for each step.",
            )
    return pd.DataFrame({name: np.concatenate(list(values)) for name, values in columns.items()})


def check_bins(bins: pd.DataFrame, trials: pd.DataFrame, n_bins: int) -> None:
    """Check that a table has one row for each bin of a pass, and at least one column, none of which the trials have too.

    Raises
    ------
    RecordingError
        If it does not.
    """
    twice = [name for name in bins.columns if name in trials.columns]
    if len(bins) != n_bins or twice or not len(bins.columns):
        raise RecordingError(
            f"the table of bins has {len(bins)} rows for {n_bins} bins of a pass, and the columns {list(bins.columns)}"
            + (f", of which the trials also have {twice}." if twice else "."),
            "It is unclear which value belongs to which bin.",
            "Give one row for each bin of a pass, in columns that the trials do not have; None if nothing is known about bins.",
        )


def same_bins(a: pd.DataFrame | None, b: pd.DataFrame | None) -> bool:
    """Whether two tables hold the same columns and values, or are both missing."""
    if a is None or b is None:
        return a is b
    return list(a.columns) == list(b.columns) and all(np.array_equal(a[name], b[name]) for name in a.columns)
