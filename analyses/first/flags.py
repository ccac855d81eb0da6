"""When does an indicator leave the range of networks that are known to generalize, epoch by epoch?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

ALARMED = ("memorizing", "noisy")
RULES = ("range", "widened", "online")


def flags(values: pd.DataFrame, rule: str, *, above_only: bool) -> dict[str, list[float]]:
    """Give the epoch at which each network of each state is flagged; NaN if it is not. Generalizing networks are held against the other ones.

    Parameters
    ----------
    values
        One indicator: rows epochs, columns (state, seed).
    rule
        "range" and "widened" (see `outside`): from this epoch on the network stays outside. "online": the first epoch outside the widened range.
    above_only
        Whether only larger values count.
    """
    reference = values["generalizing"].to_numpy()

    def first(column: Float[np.ndarray, " epoch"], others: Float[np.ndarray, "epoch network"]) -> float:
        true = outside(column, others, "range" if rule == "range" else "widened", above_only)
        return _epoch(values.index, np.logical_or.accumulate(true) if rule == "online" else true)

    found = {
        state: [first(column, reference) for column in values[state].to_numpy().T]
        for state in ALARMED
        if state in values.columns
    }
    left_out = [first(column, np.delete(reference, i, axis=1)) for i, column in enumerate(reference.T)]
    return found | {"generalizing": left_out}


def outside(
    values: Float[np.ndarray, " epoch"], reference: Float[np.ndarray, "epoch network"], rule: str, above_only: bool
) -> Bool[np.ndarray, " epoch"]:
    """Say at which epochs a network lies outside the range of others at the same epoch.

    Parameters
    ----------
    values
        Indicator of the network, shape (epoch,).
    reference
        Indicator of the others, shape (epoch, network).
    rule
        "range", or "widened": by its own width on both sides.
    above_only
        Whether only larger values count.

    Examples
    --------
    >>> others = np.array([[1.0, 2.0], [1.0, 2.0]])
    >>> outside(np.array([2.5, 3.5]), others, "range", False), outside(np.array([2.5, 3.5]), others, "widened", False)
    (array([ True,  True]), array([False,  True]))
    """
    low, high = reference.min(axis=1), reference.max(axis=1)
    margin = high - low if rule == "widened" else 0.0
    return (values > high + margin) | ((values < low - margin) & (not above_only))


def from_then_on(true: Bool[np.ndarray, " epoch"]) -> int:
    """Give the first place from which on all are true; -1 if there is none.

    Examples
    --------
    >>> from_then_on(np.array([True, False, True, True])), from_then_on(np.array([True, False]))
    (2, -1)
    """
    if not true[-1]:
        return -1
    return int(np.flatnonzero(~true)[-1]) + 1 if (~true).any() else 0


def _epoch(epochs: pd.Index, true: Bool[np.ndarray, " epoch"]) -> float:
    place = from_then_on(true)
    return float(epochs[place]) if place >= 0 else float("nan")


def counts(found: dict[str, list[float]], gap: dict[str, list[float]]) -> dict[str, float]:
    """Count flags and false alarms; a flag is early if it comes after the start of training and before the gap's for the same network.

    Parameters
    ----------
    found
        What `flags` gave for an indicator.
    gap
        What it gave for the gap between training and held-out accuracy, by the same rule.
    """
    row: dict[str, float] = {"n_generalizing": len(found["generalizing"])}
    row["false_alarms"] = int(np.isfinite(found["generalizing"]).sum())
    for state in (state for state in ALARMED if state in found):
        own, theirs = np.array(found[state]), np.nan_to_num(np.array(gap[state]), nan=np.inf)
        seen = own[np.isfinite(own)]
        row |= {f"n_{state}": own.size, f"flagged_{state}": seen.size, f"at_start_{state}": int((own == 0).sum())}
        row[f"early_{state}"] = int(((own > 0) & (own < theirs)).sum())
        for name, choose in (("first", np.min), ("median", np.median), ("last", np.max)):
            row[f"{name}_{state}"] = float(choose(seen)) if seen.size else float("nan")
    return row


def separations(values: pd.DataFrame) -> dict[str, float]:
    """Give the epoch from which on all networks of a state lie on one and the same side of all generalizing ones."""
    low, high = (values["generalizing"].to_numpy().min(axis=1), values["generalizing"].to_numpy().max(axis=1))
    found = {}
    for state in (state for state in ALARMED if state in values.columns):
        own = values[state].to_numpy()
        sides = [
            _epoch(values.index, side) for side in ((own > high[:, None]).all(axis=1), (own < low[:, None]).all(axis=1))
        ]
        found[f"separated_{state}"] = min((side for side in sides if np.isfinite(side)), default=float("nan"))
    return found


def steady_from(values: pd.DataFrame) -> dict[str, float]:
    """Give the epoch from which on the means of a state's and of the generalizing networks differ in the direction in which they differ at the end.

    Examples
    --------
    >>> columns = pd.MultiIndex.from_tuples([("generalizing", 0), ("memorizing", 0)])
    >>> steady_from(pd.DataFrame([[0.0, 0.0], [1.0, 2.0], [1.0, 0.5], [1.0, 0.2]], columns=columns))
    {'steady_memorizing': 2.0}
    """
    expected = values["generalizing"].to_numpy().mean(axis=1)
    found = {}
    for state in (state for state in ALARMED if state in values.columns):
        sign = np.sign(values[state].to_numpy().mean(axis=1) - expected)
        found[f"steady_{state}"] = _epoch(values.index, (sign == sign[-1]) & (sign != 0))
    return found
