"""Trials with a label, and how many spikes each unit has in each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from ann2neo.around import Around
from ann2neo.errors import AnalysisError, Ann2NeoWarning
from ann2neo.population.ensemble import Ensemble
from ann2neo.trains.conditions import condition_codes


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledTrials:
    """Trials with a label: when they begin and end, and which label each has.

    Parameters
    ----------
    table
        Columns segment, start_ms, stop_ms, label; a row per trial.
    names
        The labels, ascending.
    codes
        Place of each trial's label among them, shape (trial,).
    observed
        Whether each unit was observed during the whole of each trial, shape (unit, trial).
    """

    table: pd.DataFrame
    names: tuple[Any, ...]
    codes: Int[np.ndarray, " trial"]
    observed: Bool[np.ndarray, "unit trial"]

    def take(self, kept: Bool[np.ndarray, " trial"]) -> LabelledTrials:
        """View some trials; labels that none of them has stay known."""
        return replace(
            self,
            table=self.table.iloc[np.flatnonzero(kept)].reset_index(drop=True),
            codes=self.codes[kept],
            observed=self.observed[:, kept],
        )

    @property
    def segment(self) -> Int[np.ndarray, " trial"]:
        """Segment of each trial."""
        return self.table["segment"].to_numpy(np.int64)

    @property
    def edges_ms(self) -> Float[np.ndarray, "trial two"]:
        """Begin and end of each trial."""
        return self.table[["start_ms", "stop_ms"]].to_numpy(np.float64)

    @property
    def durations_ms(self) -> Float[np.ndarray, " trial"]:
        """Duration of each trial."""
        return np.diff(self.edges_ms, axis=1)[:, 0]

    @property
    def n_trials(self) -> Int[np.ndarray, " label"]:
        """Number of trials of each label."""
        return np.bincount(self.codes, minlength=len(self.names))


def labelled_trials(ensemble: Ensemble, by: str, around: Around | None = None) -> LabelledTrials:
    """Find the trials whose condition is known, or windows about their events, and warn of those that were not observed as a whole.

    Raises
    ------
    AnalysisError
        If there are none, or none was observed.
    WindowError
        If there is no such condition.
    """
    table = ensemble.trials(by, around)
    if table.empty:
        raise AnalysisError(
            f"no trial has a known {by!r}.",
            "There is nothing to compare.",
            "Give labels, or another column or Epoch with `by`.",
        )
    observed = ensemble.observed(table)
    if not observed.any():
        raise AnalysisError(
            f"none of {len(table)} trials of {by!r} ({table['start_ms'].min():g} to {table['stop_ms'].max():g} ms) is wholly inside observed time.",
            "They are on another clock, or nothing was recorded in them.",
            "Give trials and spikes in one unit of time, from one beginning.",
        )
    _warn_unobserved(observed, by)
    seen = np.asarray(observed.any(axis=0), np.bool_)
    table, observed = table.iloc[np.flatnonzero(seen)].reset_index(drop=True), observed[:, seen]
    names, (codes,) = condition_codes([table["label"].to_numpy(object)])
    return LabelledTrials(table=table, names=names, codes=codes, observed=observed)


def common_trials(trials: LabelledTrials, n_units: int, by: str) -> LabelledTrials:
    """Keep the trials in which every unit was observed.

    Raises
    ------
    AnalysisError
        If there are none.
    """
    kept = np.asarray(trials.observed.all(axis=0), np.bool_)
    if not kept.any():
        raise AnalysisError(
            f"no trial of {by!r} was observed of all {n_units} units.",
            "They have no common trials in which they could be compared.",
            "Leave out units (units=) that were not recorded at the same time.",
        )
    return trials if kept.all() else trials.take(kept)


def by_observed_trials(
    part: Ensemble, observed: Bool[np.ndarray, "unit trial"]
) -> Iterator[tuple[Int[np.ndarray, " unit"], Ensemble, Bool[np.ndarray, " trial"]]]:
    """Go through units that were observed in the same trials: their positions, themselves, and these trials."""
    kinds, kind = np.unique(observed, axis=0, return_inverse=True)
    for number, trials in enumerate(kinds):
        units = np.flatnonzero(kind.ravel() == number)
        yield units, part.take(units), trials


def _warn_unobserved(observed: Bool[np.ndarray, "unit trial"], by: str) -> None:
    n_out = (~observed).sum(axis=1)
    if n_out.any():
        text = (
            f"up to {n_out.max()} of {observed.shape[1]} trials of {by!r} are not wholly inside the observed time of {int((n_out > 0).sum())} of "
            f"{len(observed)} units.\nThey are left out for these units: what was not observed is not a silence."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=4)


def trial_counts(ensemble: Ensemble, trials: LabelledTrials) -> Int[np.ndarray, "unit trial"]:
    """Count the spikes of each unit in each trial; a trial holds its begin and not its end."""
    return np.diff(ensemble.spikes_before(trials.segment, trials.edges_ms), axis=2)[:, :, 0]
