"""jackknife: the uncertainty of indicators with respect to the inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt8
from scipy import stats

from ann2neo.analysis.lattice import recording_source
from ann2neo.arguments import check_whole
from ann2neo.errors import AnalysisError
from ann2neo.exchange import Exchange
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.definitions import Over
from ann2neo.measures.indicators import INDICATORS, PERMUTED
from ann2neo.recording import Recording, with_bins
from ann2neo.surrogates.indicators import (
    Values,
    check_confidence,
    indicator_unit,
    indicator_values,
)
from ann2neo.surrogates.linearization import Errors, fano_errors
from ann2neo.surrogates.permutations import trial_lengths
from ann2neo.windows import stretch_edges

SCHEMA = "ann2neo-jackknife/1"
OF_INTERVALS = tuple(name for name in PERMUTED if INDICATORS[name].measure.of == "intervals")
OF_FANO = tuple(name for name in PERMUTED if INDICATORS[name].measure.of == "windows")


def jackknife(
    recording: Recording,
    *,
    windows: Any = None,
    over: Over = "windows",
    indicators: Sequence[str] = PERMUTED,
    n_groups: int = 20,
    confidence: float = 0.95,
    min_spikes: int = 10,
    progress: bool = True,
) -> pd.DataFrame:
    r"""Estimate standard errors and confidence intervals of indicators with respect to the inputs, with a grouped jackknife.

    The inputs of each window (of each label, with label windows) are divided into :math:`G` successive groups of equal
    size. The g-th groups of all windows are left out together, from all units, layers and passes, and their bins are
    removed from windows and time. With :math:`T_g` the indicator of the remaining inputs,

    .. math:: s^2 = \frac{G-1}{G} \sum_g (T_g - \bar T)^2, \qquad T \pm t_{G-1} s .

    Units vary together because they share inputs, which sd / sqrt(units) ignores. The interval refers to new inputs
    with the same labels and the same trained network; for other seeds see `across_networks`. Inputs are assumed to
    be independent (or to depend only on neighbouring inputs, which groups of successive inputs allow for).

    Indicators of intervals (CV, CV2, Lv, IR) depend on the order of inputs. Their groups are blocks of successive inputs
    of all labels; if inputs are sorted by label, blocks within each label. If windows lie inside trials, inputs are
    grouped within labels if labels are known, otherwise over all inputs. If a window has fewer inputs than ``n_groups``,
    the interval is wider than necessary.

    A Fano factor depends on the size of windows, and groups that do not divide a label evenly leave windows of unequal
    size. Over label windows, errors of mean and variance of Fano factors are therefore computed by linearization with
    a second-order term, see `ann2neo.surrogates.linearization.fano_errors`, with a normal interval.

    If inputs are unrelated to windows, squares of counts have no linear part, and the interval of other
    indicators (label shares, Fano factors in other windows) is too wide, never too narrow in expectation: by sqrt(2) for
    means, by 2 for variances. The interval of CV, CV2, Lv and IR in shuffled order is 1.2 to 1.4 times too wide. Test
    against chance with `null_bands`.

    Parameters
    ----------
    recording
        Recording of several trials.
    windows
        As in `ann2neo.analyze`.
    over
        As in `ann2neo.analyze`.
    indicators
        Columns of `ann2neo.summarize`.
    n_groups
        Number G of groups; with as many groups as inputs, this is the delete-one jackknife.
    confidence
        Approximate coverage probability of an interval.
    min_spikes
        Units with fewer spikes, or fewer empty bins, in the whole recording are not "good".
    progress
        Whether to show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row per layer, population ("all", "good") and indicator, the network last: ``value``, ``standard_error``,
        ``low``, ``high``.

    Raises
    ------
    AnalysisError
        If an indicator is unknown, or ``n_groups`` is below 2 or above the number of trials.
    WindowError
        If the recording does not support the windows.

    See Also
    --------
    ann2neo.surrogates.across_networks, ann2neo.surrogates.null_bands

    References
    ----------
    Efron and Stein (1981), doi:10.1214/aos/1176345462. Shao and Wu (1989), doi:10.1214/aos/1176347263. Künsch (1989),
    doi:10.1214/aos/1176347265.

    Examples
    --------
    >>> import ann2neo
    >>> together = np.tile(np.random.default_rng(0).random((40, 1)) < 0.5, 1000)  # all units do the same
    >>> rate = jackknife(ann2neo.from_array(together), windows=10, indicators=["p_spike_mean"], progress=False)
    >>> bool(0.05 < rate["standard_error"][0] < 0.12)  # that of one unit is sqrt(0.25 / 40) = 0.079
    True
    """
    check_confidence(confidence)
    check_whole(n_groups, "n_groups", low=0, such_as=20)
    check_whole(min_spikes, "min_spikes", low=0, such_as=10)
    lengths = trial_lengths(recording)
    if not 2 <= n_groups <= lengths.size:
        raise AnalysisError(
            f"{lengths.size} trials cannot be divided into {n_groups} groups.",
            "Nothing was estimated.",
            f"Use n_groups from 2 to {lengths.size}.",
        )
    by_window, by_time = _strata(recording, windows, lengths)
    of_intervals = any(name in OF_INTERVALS for name in indicators)
    cuts = [_cut(strata, n_groups) for strata in ([by_window, by_time] if of_intervals else [by_window])]
    values = indicator_values(
        recording,
        [_leaving_out(cut == group, recording, lengths) for cut in cuts for group in range(n_groups)],
        windows=windows,
        over=over,
        indicators=indicators,
        min_spikes=min_spikes,
        progress=progress,
    )
    result = values.rows.assign(value=values.observed, **_interval(values, n_groups, confidence))
    source = recording_source(recording, windows)
    if over == "windows" and result["indicator"].isin(OF_FANO).any() and (errors := fano_errors(source, min_spikes)):
        _linearize(result, errors, confidence)
    result.attrs = {
        "schema": SCHEMA,
        **values.facts,
        "replicate": "input",
        "n_groups": n_groups,
        "confidence": confidence,
        "units": {name: indicator_unit(name) for name in indicators},
    }
    return result


def without(
    spikes: SpikeBits,
    dense: UInt8[np.ndarray, "pass unit bin"],
    *,
    kept: Int[np.ndarray, " kept"],
    edges: Int[np.ndarray, " edge"],
) -> SpikeBits:
    """Keep some bins of every pass; windows that lose all their bins are removed.

    Parameters
    ----------
    spikes
        Spikes of some units.
    dense
        Their unpacked bits, shape (pass, unit, bin).
    kept
        Bins of a pass that are kept, ascending, shape (kept,).
    edges
        First bin of each stretch of the kept bins, over all passes, and the end of the last stretch, shape (edge,).

    Examples
    --------
    >>> spikes = SpikeBits(
    ...     bits=np.packbits(np.array([[[1, 0, 1, 1]]], bool), axis=2), pass_bins=4, bin_size_ms=1.0,
    ...     stretch_edges=np.array([0, 4]), window=np.array([0, 1, 2, 2]), window_pass=np.array([0, 0, 0]),
    ... )
    >>> dense = np.unpackbits(spikes.bits, axis=2, count=4)
    >>> without(spikes, dense, kept=np.array([0, 2]), edges=np.array([0, 2])).window
    array([0, 1])
    """
    window = spikes.window.reshape(-1, spikes.pass_bins)[:, kept].ravel()
    left = np.unique(window[window >= 0])
    return replace(
        spikes,
        bits=np.packbits(dense[:, :, kept], axis=2),
        pass_bins=kept.size,
        stretch_edges=edges,
        window=np.where(window >= 0, np.searchsorted(left, window), -1),
        window_pass=spikes.window_pass[left],
        label=None if spikes.label is None else spikes.label.reshape(-1, spikes.pass_bins)[:, kept].ravel(),
        exchange=None if spikes.exchange is None else _kept_inputs(spikes.exchange, spikes.pass_bins, kept),
        sequences=None if spikes.sequences is None else spikes.sequences.keep(kept),
    )


def _kept_inputs(exchange: Exchange, pass_bins: int, kept: Int[np.ndarray, " kept"]) -> Exchange:
    """Exclude inputs without bins from the exchangeable inputs."""
    ids = exchange.ids.reshape(-1, pass_bins)[:, kept].ravel()
    size = np.bincount(ids[ids >= 0], minlength=exchange.size.size)
    over_passes = exchange.over_passes
    if over_passes is not None:
        n_passes = over_passes.label.size // pass_bins
        over_passes = over_passes.keep((np.arange(n_passes)[:, None] * pass_bins + kept).ravel())
    return replace(exchange, ids=ids, size=size, label=np.where(size > 0, exchange.label, -1), over_passes=over_passes)


def _leaving_out(
    left_out: Bool[np.ndarray, " trial"], recording: Recording, lengths: Int[np.ndarray, " trial"]
) -> partial[SpikeBits]:
    trials = recording.trials[np.tile(~left_out, recording.n_passes)]
    return partial(without, kept=np.flatnonzero(np.repeat(~left_out, lengths)), edges=stretch_edges(with_bins(trials)))


def _strata(
    recording: Recording, windows: Any, lengths: Int[np.ndarray, " trial"]
) -> tuple[Int[np.ndarray, " trial"], Int[np.ndarray, " trial"]]:
    """Return the stratum of each input, within which groups are formed, for indicators of counts and of intervals."""
    spikes = recording_source(recording, windows).chunks[0]().spikes
    first_bins = np.cumsum(lengths) - lengths
    of_window = spikes.window[first_bins]
    label = np.zeros(lengths.size, np.int64) if spikes.label is None else spikes.label[first_bins]
    several_inputs = np.bincount(of_window + 1)[1:].max(initial=0) > 1
    # Intervals stay within trials of several bins; if inputs are sorted by label, only a few intervals cross labels.
    lies_by_label = np.count_nonzero(np.diff(label)) == np.unique(label).size - 1
    by_time = label if lengths.max() > 1 or lies_by_label else np.zeros_like(label)
    return of_window if several_inputs else label, by_time


def _cut(strata: Int[np.ndarray, " trial"], n_groups: int) -> Int[np.ndarray, " trial"]:
    """Divide the inputs of each stratum into successive groups of equal or nearly equal size.

    If the inputs do not divide evenly, strata begin at different fractions of an input: the larger shares fall to
    different groups in each stratum, and the groups as a whole have similar sizes.
    """
    groups = np.empty(strata.size, np.int64)
    known = np.unique(strata)
    for number, stratum in enumerate(known):
        members = np.flatnonzero(strata == stratum)
        groups[members] = (np.arange(members.size) + (number + 0.5) / known.size) * n_groups // members.size
    return groups


def _linearize(result: pd.DataFrame, errors: Errors, confidence: float) -> None:
    """Replace the standard errors of Fano factors by those from linearization."""
    own = result["indicator"].isin(OF_FANO).to_numpy()
    keys = zip(result["layer"].tolist(), result["population"].tolist(), result["indicator"].tolist())
    error = np.array([errors[layer, p][name] if mine else np.nan for (layer, p, name), mine in zip(keys, own)])
    value, reach = result["value"].to_numpy(np.float64), float(stats.norm.isf((1 - confidence) / 2)) * error
    for column, values in {"standard_error": error, "low": value - reach, "high": value + reach}.items():
        result[column] = np.where(own, values, result[column].to_numpy(np.float64))


def _interval(values: Values, n_groups: int, confidence: float) -> dict[str, Float[np.ndarray, " row"]]:
    of_intervals = values.rows["indicator"].isin(OF_INTERVALS).to_numpy()
    kept = np.where(of_intervals[:, None], values.variants[:, -n_groups:], values.variants[:, :n_groups])
    error = math.sqrt(n_groups - 1) * kept.std(axis=1)
    reach = float(stats.t.isf((1 - confidence) / 2, n_groups - 1)) * error
    return {"standard_error": error, "low": values.observed - reach, "high": values.observed + reach}
