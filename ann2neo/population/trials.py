"""Trials with a label, and how many spikes each unit has in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ann2neo.errors import AnalysisError
from ann2neo.population.ensemble import Ensemble


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
    """

    table: pd.DataFrame
    names: tuple[Any, ...]
    codes: Int[np.ndarray, " trial"]

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


def labelled_trials(ensemble: Ensemble, by: str) -> LabelledTrials:
    """Find the trials that have a label.

    Raises
    ------
    AnalysisError
        If none has.
    WindowError
        If there is no such label.
    """
    table = ensemble.trials(by)
    if table.empty:
        raise AnalysisError(
            f"no trial has a known {by!r}.",
            "There is nothing to compare.",
            "Give labels, or another column or Epoch with `by`.",
        )
    names, codes = np.unique(table["label"].to_numpy(), return_inverse=True)
    return LabelledTrials(table=table, names=tuple(names.tolist()), codes=codes.astype(np.int64))


def trial_counts(ensemble: Ensemble, trials: LabelledTrials) -> Int[np.ndarray, "unit trial"]:
    """Count the spikes of each unit in each trial; a trial holds its begin and not its end."""
    return np.diff(ensemble.spikes_before(trials.segment, trials.edges_ms), axis=2)[:, :, 0]
