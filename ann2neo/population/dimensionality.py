"""How many dimensions the responses of a layer have: of the means of classes (signal), and within classes (noise)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Integer

from ann2neo.arguments import check_whole
from ann2neo.errors import WindowError
from ann2neo.exchange import Exchange, exchange_by_column
from ann2neo.population.ensemble import Choice, choose, facts
from ann2neo.population.observed import ObservedUnits
from ann2neo.population.participation import (
    CHUNK_BYTES,
    ROUNDING,
    Moments,
    Responses,
    arrangements,
    moments,
    noise_traces,
    signal_traces,
)
from ann2neo.population.recorded import RecordedUnits
from ann2neo.population.sizes import MAX_BYTES, say_size
from ann2neo.population.trials import common_trials, labelled_trials, trial_counts
from ann2neo.recording import Layer
from ann2neo.windows import STIMULUS

SIGNAL = ("signal_dimensionality", "signal_dimensionality_plugin", "signal_variance")
CHANCE = (f"{SIGNAL[1]}_expected", f"{SIGNAL[1]}_sd", f"{SIGNAL[1]}_p", "signal_variance_p")
NOISE = ("noise_dimensionality", "noise_dimensionality_plugin")
COLUMNS = (*SIGNAL[:2], *CHANCE[:3], SIGNAL[2], CHANCE[3], *NOISE)
# Fewest inputs of a class: four different ones in each product.
FEWEST = 4


def dimensionality(
    spikes: Any,
    *,
    by: str = "label",
    n_permutations: int = 200,
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
) -> pd.DataFrame:
    r"""Measure in how many dimensions the class means of a layer lie, and the deviations of inputs from them: participation ratios without the bias of few inputs.

    Let an input's response be the rates of all units over all its bins (steps and passes). Of a covariance over units with eigenvalues :math:`\lambda_i` the participation ratio is

    .. math:: \frac{(\sum_i \lambda_i)^2}{\sum_i \lambda_i^2} = \frac{tr(C)^2}{tr(C^2)},

    from 1 (one dimension) to the number of units (equal variance in all directions). **Signal** is the covariance of the true class means over the K classes given, each of weight 1: at most K - 1 dimensions, and with two classes 1 by construction.
    **Noise** is the mean of the covariances within classes, with weights n - 1.

    *Bias.* ``_plugin`` puts estimates in the place of the covariances. That of noise is too small, as the eigenvalues of few inputs spread. In that of the signal, class means still hold noise, which adds dimensions: it is
    mostly too large. In ``signal_dimensionality`` and ``noise_dimensionality``, :math:`tr(C)^2` and :math:`tr(C^2)` are each estimated without bias by U-statistics: products over inputs that are all different,
    averaged over all choices of such inputs (all ways to split a class into folds), so that noise does not enter the signal. Their ratio has a bias left that vanishes with the number of inputs; being an estimate, it can lie
    below 1 or above K - 1. ``signal_variance`` is :math:`tr(C)` of the signal, without bias: around 0, and negative about half of the time, where classes do not matter.

    *Chance.* Classes are exchanged between inputs, jointly for all units. ``signal_dimensionality_plugin_expected`` and ``_sd`` are mean and standard deviation of the plug-in over exchanges (the mean has a standard error of
    sd / sqrt(n_permutations)); ``signal_dimensionality_plugin_p`` is two-sided: whether the means lie in fewer or more dimensions than those of classes that do not matter. The corrected ratio has no chance value, for
    without signal it is 0 / 0. ``signal_variance_p``, one-sided, tells whether there is a signal; do not read ``signal_dimensionality`` where it is large. Both p count the observed classes as one exchange.

    *Undefined.* What cannot be estimated is NaN, and ``attrs["undefined"]`` states the reason for each layer and column: fewer than two classes, a class of fewer than 4 inputs, no variance, estimates that are not positive.

    Parameters
    ----------
    spikes
        A `Recording`, or spike trains of cells, whose responses are those of trials in which all units were observed.
    by
        Column of the trials table. With "stimulus_id" each presentation is a response (over passes), else each input. What has no class is left out; where inputs change their class from pass to pass, those of the first pass count.
    n_permutations
        How often classes are exchanged; 0 for never.
    layer
        Name of a layer; None for all.
    units
        How many units to draw at random, or their positions; None for all. The ratio depends on how many there are.
    seed
        Seed of the draw, and of the exchanges.
    max_bytes
        Memory that may be used.

    Returns
    -------
    pandas.DataFrame
        A row per layer: ``layer``, ``n_units``, ``n_inputs``, ``n_classes``, ``signal_dimensionality``, ``signal_dimensionality_plugin`` with its ``_expected``, ``_sd`` and ``_p``, ``signal_variance`` ((spikes per bin)^2; of cells
        Hz^2) with its ``_p``, ``noise_dimensionality``, ``noise_dimensionality_plugin``.

    Raises
    ------
    AnalysisError
        If more memory is needed than allowed.
    WindowError
        If there are no such classes, or they belong to the steps of inputs.

    See Also
    --------
    ann2neo.population.correlations, ann2neo.population.gpfa_trajectories

    References
    ----------
    Gao et al. (2017), doi:10.1101/214262 (participation ratio of neurons). Chen, Zhang, Zhong (2010), doi:10.1198/jasa.2010.tm09560 (U-statistics of traces). Chun et al. (2025), arXiv:2509.26560 (bias of the participation ratio).

    Examples
    --------
    >>> import ann2neo
    >>> rng, labels = np.random.default_rng(0), np.repeat([0, 1, 2, 3], 50)
    >>> spikes = rng.random((200, 30)) < np.where(np.arange(30) % 4 == labels[:, None], 0.6, 0.2)
    >>> found = dimensionality(ann2neo.from_array(spikes, labels=labels))
    >>> found[["signal_dimensionality", "signal_dimensionality_plugin"]].round(1)
       signal_dimensionality  signal_dimensionality_plugin
    0                    3.0                           3.0
    >>> found[["noise_dimensionality", "noise_dimensionality_plugin"]].round(1)
       noise_dimensionality  noise_dimensionality_plugin
    0                  29.7                         25.8
    """
    n_permutations = check_whole(n_permutations, "n_permutations", low=0, such_as=200)
    chosen = choose(spikes, layer, units, seed)
    recorded = isinstance(chosen, RecordedUnits)
    given = _of_recording(chosen, by, max_bytes) if recorded else _of_cells(chosen, by, max_bytes)
    rows, undefined = [], {}
    for name, responses in given:
        found = _measured(responses, n_permutations, seed)
        reasons = {column: value for column, value in found.items() if isinstance(value, str)}
        undefined |= {name: reasons} if reasons else {}
        shape = (responses.counts.shape[1], responses.counts.shape[0], responses.size.size)
        rows.append(
            {"layer": name}
            | dict(zip(("n_units", "n_inputs", "n_classes"), shape))
            | {column: np.nan if column in reasons else found[column] for column in COLUMNS}
        )
    table = pd.DataFrame(rows)
    ratios = (column for column in COLUMNS if "dimensionality" in column and not column.endswith("_p"))
    table.attrs = facts(
        chosen,
        by=by,
        units=dict.fromkeys(ratios, "1") | {"signal_variance": "(spikes per bin)^2" if recorded else "Hz^2"},
        n_permutations=n_permutations,
        chance="classes exchanged between inputs, jointly for all units",
        undefined=undefined,
    )
    return table


def _measured(responses: Responses, n_permutations: int, seed: int) -> dict[str, float | str]:
    """Estimate everything of one layer; what cannot be estimated is the reason why."""
    n = responses.size
    if not n.size:
        return dict.fromkeys(COLUMNS, "no input has a class")
    of = moments(responses)
    if n.size < 2:
        signal: dict[str, float | str] = dict.fromkeys((*SIGNAL, *CHANCE), "there are fewer than two classes")
    else:
        signal = _signal(responses, of) | _exchanged(responses, n_permutations, seed)
    return signal | _noise(of)


def _signal(responses: Responses, of: Moments) -> dict[str, float | str]:
    square = float((of.gram**2).sum())
    (variance,), (plugin,) = arrangements(responses, responses.label[None])
    scale = of.size.size * (float(responses.duration[0]) ** 2 if responses.equal else 1.0)
    found: dict[str, float | str] = dict.fromkeys(SIGNAL[:2], "all class means are equal")
    if np.isfinite(plugin):
        found = {SIGNAL[0]: _ratio(of, signal_traces, square), SIGNAL[1]: float(plugin)}
    return found | {SIGNAL[2]: float(variance / scale) if of.size.min() > 1 else "a class has one input: 2 are needed"}


def _noise(of: Moments) -> dict[str, float | str]:
    if of.size.max() < 2:
        return dict.fromkeys(NOISE, "no class has two inputs")
    if of.trace.sum() == 0:
        return dict.fromkeys(NOISE, "inputs of a class do not differ")
    free = float(of.size.sum() - of.size.size)
    plugin = float(of.trace.sum() ** 2 / of.pooled)
    return {NOISE[0]: _ratio(of, noise_traces, of.pooled / free**2), NOISE[1]: plugin}


def _ratio(of: Moments, traces: Callable[[Moments], tuple[float, float]], square: float) -> float | str:
    """Divide the estimates of tr(C)^2 and tr(C^2), of which the latter is compared with its plug-in."""
    if of.size.min() < FEWEST:
        return f"a class has {of.size.min()} inputs: {FEWEST} are needed"
    above, below = traces(of)
    if above <= ROUNDING * square or below <= ROUNDING * square:
        return f"the estimates of tr(C)^2 and tr(C^2), {above:.3g} and {below:.3g}, are not both positive"
    return above / below


def _exchanged(responses: Responses, n_permutations: int, seed: int) -> dict[str, float | str]:
    """Exchange the classes between inputs, and hold what is observed against what that gives."""
    if not n_permutations or responses.size.max() < 2:
        reason = (
            "no exchange was asked for" if not n_permutations else "no class has two inputs: exchanges change nothing"
        )
        return dict.fromkeys(CHANCE, reason)
    rng, label = np.random.default_rng(seed), responses.label.astype(np.int32)
    variance, plugin = arrangements(
        responses, np.stack([label, *(rng.permutation(label) for _ in range(n_permutations))])
    )
    found: dict[str, float | str] = dict.fromkeys(CHANCE[:3], "all class means are equal")
    if np.isfinite(plugin[0]):
        drawn = plugin[1:][np.isfinite(plugin[1:])]
        mean, sd = (float(drawn.mean()), float(drawn.std())) if drawn.size else (np.nan, np.nan)
        p = 2 * min(_share(plugin, plugin[0]), _share(-plugin, -plugin[0]))
        found = dict(zip(CHANCE[:3], (mean, sd, min(1.0, p))))
    several = responses.size.min() > 1
    return found | {CHANCE[3]: _share(variance, variance[0]) if several else "a class has one input: 2 are needed"}


def _share(values: Float[np.ndarray, " arrangement"], observed: float) -> float:
    """Return the share of arrangements, the observed one included, that are at least as large; undefined ones count."""
    rounding = 1e-9 * np.nanmax(np.abs(values))
    return float(1 - (values < observed - rounding).mean())


def _of_recording(chosen: RecordedUnits, by: str, max_bytes: int) -> Iterator[tuple[str, Responses]]:
    """Count the spikes of each input with a class, all its bins together, layer by layer."""
    exchange = _exchange(chosen, by)
    known = np.flatnonzero((exchange.label >= 0) & (exchange.size > 0))
    order = known[np.argsort(exchange.label[known], kind="stable")]
    size = np.unique(exchange.label[known], return_counts=True)[1]
    place = np.full(exchange.label.size + 1, -1)
    place[order] = np.arange(order.size)
    of_bin = place[exchange.ids]
    bins = np.argsort(of_bin, kind="stable")[(of_bin < 0).sum() :]
    duration = exchange.size[order].astype(np.float64)
    for layer in chosen.recording.layers:
        _say(layer.name, layer.n_units, order.size, size.size, max_bytes)
        counts = _counted(layer, bins, exchange.size[order])
        yield layer.name, Responses(counts=counts, duration=duration, size=size)


def _exchange(chosen: RecordedUnits, by: str) -> Exchange:
    if chosen.has_steps(by):
        raise WindowError(
            f"{by!r} belongs to the steps of inputs.",
            "The steps of an input are not exchangeable, so that chance would be unknown.",
            "Use a column of the trials.",
        )
    trials = chosen.recording.trials
    if by == STIMULUS:
        # Presentations of a stimulus are independent given the stimulus: each is a response.
        by, trials = "stimulus", trials.assign(stimulus=trials[STIMULUS], **{STIMULUS: np.arange(len(trials))})
    return exchange_by_column(trials, by, labels_are_windows=True)


def _counted(
    layer: Layer, bins: Int[np.ndarray, " bin"], size: Int[np.ndarray, " input"]
) -> Integer[np.ndarray, "input unit"]:
    """Count spikes in consecutive bins, a few units at a time, in the smallest integers that hold them."""
    counts = np.zeros((size.size, layer.n_units), np.min_scalar_type(int(size.max(initial=1))))
    first = np.cumsum(size) - size
    for units in layer.raster.chunks() if size.size else ():
        dense = layer.raster.dense(units)[:, bins]
        counts[:, units] = (dense if size.max() == 1 else np.add.reduceat(dense, first, axis=1, dtype=counts.dtype)).T
    return counts


def _of_cells(chosen: ObservedUnits, by: str, max_bytes: int) -> Iterator[tuple[str, Responses]]:
    """Count the spikes of each trial in which all cells were observed, group by group."""
    trials = common_trials(labelled_trials(chosen, by), chosen.n_units, by)
    order = np.argsort(trials.codes, kind="stable")
    size, duration = trials.n_trials[trials.n_trials > 0], trials.durations_ms[order] / 1000
    group = chosen.units["layer"].to_numpy()
    for name in dict.fromkeys(group):
        own = np.flatnonzero(group == name)
        _say(str(name), own.size, order.size, size.size, max_bytes)
        counts = np.ascontiguousarray(trial_counts(chosen.take(own), trials)[:, order].T)
        yield str(name), Responses(counts=counts, duration=duration, size=size)


def _say(name: str, n_units: int, n_inputs: int, n_classes: int, max_bytes: int) -> None:
    n_bytes = (
        2 * n_units * n_inputs
        + 8 * n_classes * (n_units + 3 * n_inputs)
        + min(4 * CHUNK_BYTES, 32 * n_units * n_inputs)
    )
    what = f"dimensions of {n_units:,} units of layer {name!r} over {n_inputs:,} inputs"
    say_size(n_bytes, max_bytes, what, "Use fewer units (units=), or allow more with max_bytes.")
