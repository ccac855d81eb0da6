"""rescaled: a test of whether a fitted model predicts spike times, by the time rescaling theorem."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ann2neo.analysis.goodness import unit_keys
from ann2neo.models.checks import SIMULATED, check_model, check_whole
from ann2neo.models.law import Law, by_of, law_of, rows_of
from ann2neo.models.processes import PROCESSES, Gains, Renewals, process_of
from ann2neo.progress import progress_bar
from ann2neo.recording import Recording
from ann2neo.recording.recording import as_recording
from ann2neo.trains.matching import IDENTITY
from ann2neo.versions import software
from ann2neo.windows import codes_of_column

RESCALED_SCHEMA = "ann2neo-rescaled/1"
QUANTILES = tuple(round(q, 2) for q in np.arange(0.05, 0.96, 0.05).tolist())
# Of fewer draws that could be fitted nothing is concluded.
LEAST_DRAWS = 10
_SALT = 0x5CA1ED
_NUMBERS_AT_ONCE = 1 << 22


def rescaled(
    spikes: Any,
    fitted: pd.DataFrame,
    *,
    model: str,
    by: str | None = None,
    n_draws: int = 199,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    r"""Test whether intervals between spikes follow a fitted model: the discrete time rescaling theorem.

    The model gives bin t a spike with probability :math:`p_t`, given all preceding bins. For ``gain`` and ``label_gain``, after k spikes in the j preceding bins of the same window or input (of all
    passes), it is the mean of the beta law given these bins, :math:`p_t = ((1 - \rho) \mu + \rho k) / (1 - \rho + \rho j)`, where :math:`\mu` is ``gain_mu`` or ``label_p[c]``. For ``renewal``, x
    bins after the last spike of the stretch, it is the hazard of the interval, :math:`p_t = P(I = x) / P(I \ge x)`; in bin f of a stretch before its first spike, :math:`p_t = P(I \ge f) / \sum_{x \ge f} P(I \ge
    x)`. The interval that ends with a spike in bin k becomes

    .. math:: z = 1 - e^{-\xi}, \quad \xi = \sum_{t < k} q_t - \ln(1 - u (1 - e^{-q_k})), \quad q_t = -\ln(1 - p_t)

    with the sum over the bins since the preceding spike and u a uniform random number, which places the spike within its bin. If the model holds, z is
    uniform. Counted bins (those whose condition ``by`` is known) are concatenated. Intervals may cross the borders of trials, because the model gives
    each bin its probability. The first interval begins with the first bin, and the last, which has no spike, is left out. Contexts of ``markov`` cross no border.

    ``ks`` is the largest distance between the distribution of z and the uniform law (Kolmogorov, Smirnov). Because the parameters were estimated from the same spikes, the null
    distribution of ``ks`` is found by parametric bootstrap: the unit is drawn ``n_draws`` times from its model, the model is estimated again from each draw, and ``ks_p`` = (1 + number of draws with a
    distance at least as large) / (1 + number of draws); draws without a spike, or from which the model cannot be estimated, are not counted. The smallest p is 1 / (1 + n_draws). With few spikes of a condition or
    context, or few windows, the test is conservative: 2.6 % (``markov``, all units) to 4 % instead of 5 % at a rate of 0.05 in 900 bins. ``ks_bound`` is the distance
    that 5 % of draws exceed: the width of the band around the diagonal of a QQ plot. ``rescaled[0.05]``, ..., ``rescaled[0.95]`` are quantiles of z (linear between order
    statistics), for the QQ plot.

    Spike trains of cells, fitted with ``by=None``, are rescaled in continuous time (Brown et al. 2002), under "rate", "gamma" or "inverse_gaussian", over all observed time: x after the last spike of a contiguous
    segment the integrated intensity is :math:`-\ln S(x)`, with S the share of intervals that are longer; x after the begin of a segment without a spike so far it is :math:`-\ln \int_x^\infty S / m`. :math:`z = 1 -
    e^{-\xi}`, where xi is its increase since the preceding spike, across borders of segments; what follows the last spike is left out. The bootstrap is the same, and so are columns.
    Fitted with conditions, they are rescaled over trials, under "rate" or "label": the intensity is ``rate_hz`` or ``label_hz[c]`` in trials of condition c, which are concatenated in the order of segments and, within each, of time; intervals cross
    borders of trials, and time outside of counted trials is left out. A rate that changes within trials is rejected, and so are intervals that are regular or come in bursts.

    The cost is about that of ``n_draws`` simulations: some 0.05 s for a unit of 10,000 bins, 0.1 s for a cell of 100 spikes under one rate, 0.4 s under inverse Gaussian and 3 s under gamma intervals. Select units (`Recording.select`) of large networks.

    Parameters
    ----------
    spikes
        The recording that was fitted, or another one of the same units; the fitted parameters are then tested as if they had been estimated from it. Or spike trains of cells, as for `fit`.
    fitted
        Table that `fit` returned, also when read back from CSV or Parquet.
    model
        "rate", "label", "markov", "gain", "label_gain" or "renewal"; for cells "rate", "gamma" or "inverse_gaussian" (fitted with ``by=None``), "rate" or "label" (with conditions).
    by
        Column of trials that holds the conditions; None for the one that was fitted, or "label" where the table does not name it.
    n_draws
        Number of draws, at least 19.
    seed
        Seed of all units; each unit has its own stream of random numbers.
    progress
        Whether to show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row per unit: identity, ``n_intervals``, ``ks``, ``ks_bound``, ``ks_p``, quantiles, ``quality``. Values are NaN for units that are silent or saturated in counted bins,
        and for units without a fitted chain, gain or intervals under these models, or whose intervals are equal; ``ks_bound`` and ``ks_p`` also where the model could be fitted to fewer
        than 10 of the draws.

    Raises
    ------
    AnalysisError
        If parameters, units, conditions or the windows of the gain are missing from the table, or if cells were not fitted with this model.

    See Also
    --------
    ann2neo.models.fit, ann2neo.figures.qq

    References
    ----------
    Haslinger, Pipa & Brown 2010, doi:10.1162/NECO_a_00015; Brown et al. 2002, doi:10.1162/08997660252741149; Stute et al. 1993, doi:10.1007/BF02613687 (bootstrap).

    Examples
    --------
    >>> import numpy as np, ann2neo
    >>> dense = np.stack([np.arange(400) % 4 == 3, np.random.default_rng(0).random(400) < 0.25], axis=1)
    >>> recording = ann2neo.from_array(dense)
    >>> fitted = ann2neo.models.fit(recording, ("rate",), by=None, progress=False)
    >>> rescaled(recording, fitted, model="rate", progress=False)["ks_p"] < 0.05
    0     True
    1    False
    Name: ks_p, dtype: bool
    """
    in_time = isinstance(fitted, pd.DataFrame) and "rate_hz" in fitted and {"layer", "unit"} <= set(fitted.columns)
    if not in_time:
        check_model(fitted, model, SIMULATED)
    check_whole("n_draws", n_draws, 19)
    check_whole("seed", seed, 0)
    if in_time:
        # Loaded only where it is needed.
        from ann2neo.models.rescaled_time import check_cells, rescaled_cells
        from ann2neo.models.rescaled_trials import rescaled_trials

        conditions = check_cells(fitted, model, by)
        options: dict[str, Any] = {"model": model, "n_draws": int(n_draws), "seed": int(seed)}
        if conditions is None:
            rows, found = rescaled_cells(spikes, fitted, progress=progress, **options)
        else:
            rows, found = rescaled_trials(spikes, fitted, by=conditions, progress=progress, **options)
        parts = [_row(*each) if each[0].size else _nothing(int(n)) for each, n in zip(found, rows["n_spikes"])]
        return _table(rows, parts, {**options, "by": conditions})
    recording = as_recording(spikes)
    rows = rows_of(fitted, recording)
    column = by or by_of(fitted, recording.trials)
    if model in PROCESSES:
        law = process_of(rows, recording, model, by, fitted)
    else:
        law = law_of(rows, recording, model, column or "label")
    counted = _counted(recording, column)
    keys, parts, first = unit_keys(rows, seed), [], 0
    with progress_bar(shown=progress, desc="rescaling", unit="unit", total=recording.n_units) as bar:
        for layer in recording.layers:
            for units in layer.raster.chunks():
                for row in layer.raster.dense(units):
                    parts.append(_tested(row, law, model, first, counted, int(keys[first]), n_draws))
                    first += 1
                    bar.update()
    return _table(rows, parts, {"model": model, "by": column, "n_draws": int(n_draws), "seed": int(seed)})


def _table(rows: pd.DataFrame, parts: list[list[Any]], facts: dict[str, Any]) -> pd.DataFrame:
    names = ["n_intervals", "ks", "ks_bound", "ks_p", *(f"rescaled[{q}]" for q in QUANTILES)]
    found = pd.DataFrame(np.array(parts).reshape(-1, len(names)), columns=names).astype({"n_intervals": "int64"})
    identity = rows[[name for name in IDENTITY if name in rows]]
    table = pd.concat([identity, found], axis=1)
    table["quality"] = rows["quality"].to_numpy() if "quality" in rows else None
    table.attrs = {"schema": RESCALED_SCHEMA, **facts, "software": software("numpy")}
    return table


def _nothing(n: int) -> list[Any]:
    """Return the row of a unit that cannot be rescaled."""
    return [n, *[np.nan] * (3 + len(QUANTILES))]


def _row(z: Float[np.ndarray, " interval"], drawn: Float[np.ndarray, " draw"]) -> list[Any]:
    """Return the row of a unit: its distance, beside those of draws."""
    # numba is loaded only where it is needed.
    from ann2neo.models.kernels import uniform_distance

    distance = float(uniform_distance(z))
    if drawn.size < LEAST_DRAWS:
        return [z.size, distance, np.nan, np.nan, *np.quantile(z, QUANTILES)]
    bound = float(np.quantile(drawn, 0.95))
    # Equal distances may differ in the last digits.
    reached = int(np.count_nonzero(drawn >= distance - 1e-12))
    return [z.size, distance, bound, (1 + reached) / (1 + drawn.size), *np.quantile(z, QUANTILES)]


def _counted(recording: Recording, by: str | None) -> Bool[np.ndarray, " bin"]:
    """Return whether the condition of each bin is known."""
    if by is None:
        return np.ones(recording.n_bins, np.bool_)
    length = (recording.trials["stop_bin"] - recording.trials["start_bin"]).to_numpy(np.int64)
    return np.repeat(codes_of_column(recording.trials, by)[0] >= 0, length)


def _tested(
    spikes: Bool[np.ndarray, " bin"],
    law: Law | Gains | Renewals,
    model: str,
    unit: int,
    counted: Bool[np.ndarray, " bin"],
    key: int,
    n_draws: int,
) -> list[Any]:
    """Rescale the intervals of a unit, and those of draws of its model."""
    # numba is loaded only where it is needed.
    from ann2neo.models.kernels import rescale

    n = int(np.count_nonzero(spikes & counted))
    if n in (0, int(counted.sum())) or law.follows_rate[unit]:
        return _nothing(n)
    stream = np.random.Generator(np.random.Philox(key=[key, _SALT]))
    z, numbers = np.empty(spikes.size), stream.random(spikes.size)
    if isinstance(law, Law):
        p = np.ascontiguousarray(law.p[unit])
        rescale(spikes, p, law.state, law.order, counted, numbers, np.ones(p.size), z)
        drawn = _distances(stream, law, p, counted, n_draws)
    else:
        # Loaded only where it is needed.
        from ann2neo.models.hazard import predict

        p = predict(law, law.parameters[unit], spikes)
        rescale(spikes, p, np.arange(p.size), 0, counted, numbers, np.ones(p.size), z)
        drawn = _process_distances(stream, law, model, unit, counted, n_draws)
    return _row(z[:n], drawn)


def _distances(
    stream: np.random.Generator, law: Law, p: np.ndarray, counted: np.ndarray, n_draws: int
) -> Float[np.ndarray, " draw"]:
    """Draw a unit from its model, estimate the model again, and rescale with the estimate."""
    from ann2neo.models.kernels import draw, rescale, shares, uniform_distance

    n_bins = law.state.size
    spikes, z, again, found = np.empty(n_bins, np.bool_), np.empty(n_bins), np.empty(p.size), []
    for _ in range(n_draws):
        numbers = stream.random(n_bins)
        draw(numbers, p, law.state, law.order, spikes)
        shares(spikes, law.state, law.order, counted, again)
        # Where a spike was drawn, its number is uniform up to the probability, and places the spike within its bin.
        n = rescale(spikes, again, law.state, law.order, counted, numbers, p, z)
        found.append(uniform_distance(z[:n]))
    distances = np.array(found)
    return distances[~np.isnan(distances)]


def _process_distances(
    stream: np.random.Generator, law: Gains | Renewals, model: str, unit: int, counted: np.ndarray, n_draws: int
) -> Float[np.ndarray, " draw"]:
    """Do the same for a process: several draws are estimated at once, and each bin is a state."""
    from ann2neo.models.hazard import estimates, predict
    from ann2neo.models.kernels import rescale, uniform_distance

    n_bins, values, found = counted.size, law.parameters[unit], []
    each, z, step = np.arange(n_bins), np.empty(n_bins), max(1, _NUMBERS_AT_ONCE // n_bins)
    for first in range(0, n_draws, step):
        numbers = stream.random((min(step, n_draws - first), n_bins))
        spikes = np.empty(numbers.shape, np.bool_)
        below = [predict(law, values, row, own) for row, own in zip(spikes, numbers)]
        for row, own, p, again in zip(spikes, numbers, below, estimates(law, model, spikes, counted)):
            if np.isfinite(again[1:]).all() and not np.isnan(again[0]):
                n = rescale(row, predict(law, again, row), each, 0, counted, own, p, z)
                found.append(uniform_distance(z[:n]))
    return np.array(found)
