"""to_design: counts and regressors of a recording, for generalized linear models in nemos or statsmodels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from ann2neo.errors import AnalysisError
from ann2neo.models.checks import check_whole
from ann2neo.models.fitted import HIGHEST_ORDER
from ann2neo.models.observed import bins_by_column
from ann2neo.models.transitions import bins_with_context
from ann2neo.recording import Recording
from ann2neo.recording.recording import as_recording
from ann2neo.step_labels import step_codes
from ann2neo.windows import STIMULUS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Design:
    """Counts and regressors, one row per bin that is used; see `to_design`.

    Parameters
    ----------
    counts
        Whether each unit spiked (0.0 or 1.0), bins by units; columns are (layer, unit).
    conditions
        An indicator (0.0 or 1.0) for each condition such as ``label[3]``, or without conditions a column ``one`` of ones; bins by conditions.
    history
        Whether each unit spiked 1, 2, ... ``order`` bins before, shape (bin, unit, lag).
    bins
        For each row the ``bin``, ``pass``, ``trial`` (row of the table of trials) and ``stimulus_id``, the input: standard errors are clustered by it.

    See Also
    --------
    ann2neo.models.to_design
    """

    counts: pd.DataFrame
    conditions: pd.DataFrame
    history: Bool[np.ndarray, "bin unit lag"]
    bins: pd.DataFrame

    def of_unit(self, place: int) -> tuple[pd.DataFrame, pd.Series]:
        """Return the regressors of a unit (conditions, then ``spike[-1]``, ``spike[-2]``, ...) and its counts.

        Parameters
        ----------
        place
            Column of ``counts``, from 0.
        """
        past = self.history[:, place]
        names = [f"spike[-{lag}]" for lag in range(1, past.shape[1] + 1)]
        own = pd.DataFrame(past.astype(np.float64), columns=names)
        return pd.concat([self.conditions, own], axis=1), self.counts.iloc[:, place].rename("spike")


def to_design(recording: Recording, *, by: str | None = "label", order: int = 0) -> Design:
    r"""Make the counts and regressors of a generalized linear model of each unit, for nemos or statsmodels.

    A row is a bin. Conditions are indicators, one for each value and none left out, so no intercept is added; where ``by`` is None a column of ones is the
    intercept. Spike history is the unit's spikes in the ``order`` preceding bins of its stretch (a pass; a trial where trials have several bins), never across
    stretches. Bins whose condition is unknown are left out, and so are the first ``order`` bins of each stretch, which have no history; bins of unknown condition still count as history.

    A Bernoulli model with logit link has, with ``by="label", order=0``, the probabilities ``label_p[c]`` of `fit`, :math:`p_c = 1 / (1 + e^{-\beta_c})`;
    with ``by=None, order=1``, :math:`\beta_1` of ``one`` and :math:`\beta_2` of ``spike[-1]``, it has those of ``markov``: ``markov_p01`` :math:`= 1 / (1 + e^{-\beta_1})`,
    ``markov_p11`` :math:`= 1 / (1 + e^{-\beta_1 - \beta_2})`. From ``order=2`` on the logit is a sum over lags. It has fewer parameters than ``markov``, which also has all products of lags.
    With both conditions and history, the model separates the effect of the label from that of the history, which `fit` does not do. Bins of one input are not independent: cluster the
    standard errors by the column ``stimulus_id`` of ``bins`` (statsmodels: ``fit(cov_type="cluster", cov_kwds={"groups": design.bins["stimulus_id"]})``).

    Labels of steps (`Recording.bins`) serve as conditions like those of trials.

    Parameters
    ----------
    recording
        A recording. Its spikes are unpacked to 8 bytes per bin and unit, and ``order`` bytes more: select units first (`Recording.select`).
    by
        Column of the trials, or of the table of bins, that holds the conditions; None to use all bins without conditions.
    order
        Number of preceding bins, 0 to 8.

    Raises
    ------
    RecordingError
        If this is not a recording.
    AnalysisError
        If the order is out of range, or all conditions are unknown.
    WindowError
        If the column is missing.

    See Also
    --------
    ann2neo.models.fit, ann2neo.models.Design

    References
    ----------
    Truccolo 2005, doi:10.1152/jn.00697.2004; Pillow 2008, doi:10.1038/nature07140; Liang & Zeger 1986, doi:10.1093/biomet/73.1.13.

    Examples
    --------
    >>> import ann2neo
    >>> spikes = np.array([[1, 0, 1, 1]], bool).T
    >>> design = to_design(ann2neo.from_array(spikes, labels=[7, 7, 8, 8]), order=1)
    >>> regressors, counts = design.of_unit(0)
    >>> regressors.assign(spike=counts)
       label[7]  label[8]  spike[-1]  spike
    0       1.0       0.0        1.0    0.0
    1       0.0       1.0        0.0    1.0
    2       0.0       1.0        1.0    1.0
    """
    given = as_recording(recording)
    check_whole("order", order, 0, HIGHEST_ORDER, usual=1)
    condition, values = _conditions(given, by)
    rows = np.flatnonzero(bins_with_context(given.stretches, condition >= 0, int(order)))
    dense = np.concatenate([layer.raster.dense() for layer in given.layers])
    past = [dense[:, rows - lag].T for lag in range(1, int(order) + 1)]
    return Design(
        counts=pd.DataFrame(dense[:, rows].T.astype(np.float64), columns=_units(given)),
        conditions=_indicators(condition[rows], values, by),
        history=np.stack(past, axis=2) if past else np.zeros((rows.size, len(dense), 0), np.bool_),
        bins=_places(given.trials, rows),
    )


def _conditions(recording: Recording, by: str | None) -> tuple[Int[np.ndarray, " bin"], tuple[Any, ...]]:
    """Return the condition of each bin, -1 where it is unknown, and the values; labels of steps describe one pass and repeat in each."""
    if by is None or recording.bins is None or by not in recording.bins:
        found = bins_by_column(recording.trials, by)
        return found.condition, found.conditions
    codes, values = step_codes(recording.bins, by)
    if not values.size:
        raise AnalysisError(
            f"All {codes.size} bins have an unknown {by} (a negative number).",
            "No bin can be used.",
            "Use another column, or by=None.",
        )
    return np.tile(codes, recording.n_passes), tuple(values.tolist())


def _indicators(condition: Int[np.ndarray, " row"], values: tuple[Any, ...], by: str | None) -> pd.DataFrame:
    names = ["one"] if by is None else [f"{by}[{value}]" for value in values]
    return pd.DataFrame((condition[:, None] == np.arange(len(values))).astype(np.float64), columns=names)


def _units(recording: Recording) -> pd.MultiIndex:
    names = [layer.name for layer in recording.layers for _ in range(layer.n_units)]
    units = np.concatenate([layer.units for layer in recording.layers])
    return pd.MultiIndex.from_arrays([names, units], names=["layer", "unit"])


def _places(trials: pd.DataFrame, rows: Int[np.ndarray, " row"]) -> pd.DataFrame:
    trial = np.searchsorted(trials["stop_bin"].to_numpy(np.int64), rows, side="right")
    own = {name: trials[name].to_numpy()[trial] for name in ("pass", STIMULUS)}
    return pd.DataFrame({"bin": rows, "trial": trial, **own})
