"""Trajectories of a population in a few dimensions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import quantities as pq

from ann2neo.arguments import check_whole
from ann2neo.errors import AnalysisError, Ann2NeoWarning
from ann2neo.extras import require
from ann2neo.population.ensemble import Choice, Ensemble, bin_size_of, choose, facts, milliseconds
from ann2neo.population.quiet import quiet_elephant
from ann2neo.population.recorded import RecordedUnits
from ann2neo.population.sizes import MAX_BYTES, say_size
from ann2neo.population.trials import common_trials, labelled_trials


def gpfa_trajectories(
    spikes: Any,
    *,
    n_dims: int = 3,
    bin_size: pq.Quantity | None = None,
    tau: pq.Quantity | None = None,
    max_iterations: int = 500,
    by: str = "label",
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
) -> pd.DataFrame:
    """Follow a population through each trial in a few smooth dimensions (Gaussian-process factor analysis).

    Elephant's `GPFA` of square-rooted spike counts; the dimensions are orthonormal and sorted by the covariance they explain. A trial is a trial of
    several bins, an interval of an Epoch, or a segment that carries its label as an annotation. Where a trial of a network is a single bin, all bins
    of a label of a pass, in the recording's order, make one trajectory; a network without memory then has no time, and how smooth the trajectory is
    says only how similar successive inputs are.

    Dimensions have no sign or scale of their own, and GPFA finds smooth trajectories in anything: compare with shuffled inputs or permuted labels
    before a shape is believed. Time and memory grow steeply with ``n_dims`` times the number of bins of the longest trial, so that long trials need
    larger bins. Units that never change over bins (silent or saturated) carry nothing and are left out.

    Parameters
    ----------
    spikes
        A `Recording`, a neo.Block, a neo.Segment or a list of neo.SpikeTrain.
    n_dims
        Number of dimensions.
    bin_size
        Width of a bin; on a recording its own bin if not given, else a whole multiple of it.
    tau
        Time scale with which the fit begins; five bins if not given.
    max_iterations
        Largest number of steps of the fit (expectation maximization).
    by
        What the labels are: column of the trials table, name of an Epoch or of an array annotation, or annotation of segments.
    layer
        Name of a layer; None for all.
    units
        How many units to draw at random, or their positions; None for all.
    seed
        Seed of the draw.
    max_bytes
        Memory that may be used.

    Returns
    -------
    pandas.DataFrame
        A row per trial and bin: ``trial`` (its number), ``label``, ``start_ms`` (from the beginning of the trial), ``dim_1``, ``dim_2``, ...;
        ``attrs`` hold the log-likelihood of the fit (``log_likelihood``), the number of units that took part and the share of the explained
        covariance of each dimension (``shares``).

    Raises
    ------
    AnalysisError
        If scikit-learn is missing, there are too few units or bins, units repeat each other, or more memory is needed than allowed.

    See Also
    --------
    ann2neo.figures.trajectories, ann2neo.population.dimensionality

    References
    ----------
    Yu, Cunningham, Santhanam, Ryu, Shenoy, Sahani (2009), doi:10.1152/jn.90941.2008.

    Examples
    --------
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.random.default_rng(0).random((60, 5)) < 0.5, labels=[0, 1] * 30)
    >>> path = gpfa_trajectories(recording, n_dims=1, bin_size=2 * pq.ms, max_iterations=5)
    >>> path.groupby("label").size().tolist(), list(path.columns)
    ([15, 15], ['trial', 'label', 'start_ms', 'dim_1'])
    """
    n_dims = check_whole(n_dims, "n_dims", such_as=3)
    max_iterations = check_whole(max_iterations, "max_iterations", such_as=500)
    chosen = choose(spikes, layer, units, seed)
    width = bin_size_of(chosen, bin_size)
    tau_ms = 5 * float(width) if tau is None else milliseconds(tau, "tau")
    episodes = [(label, trains) for label, trains in _episodes(chosen, by) if _n_bins(trains[0], float(width)) > 0]
    if not episodes:
        raise AnalysisError(
            f"no trial holds a bin of {float(width):g} ms.", "There is no trajectory.", "Use shorter bins."
        )
    longest = max(_n_bins(trains[0], float(width)) for _, trains in episodes)
    n_bytes = (
        8 * (4 * (n_dims * longest) ** 2 + n_dims * longest * chosen.n_units) + chosen.train_bytes * chosen.n_units
    )
    say_size(
        n_bytes,
        max_bytes,
        f"trajectories of {longest} bins in {n_dims} dimensions",
        "Use larger bins, fewer dimensions, or allow more with max_bytes.",
    )
    changing = _changing([trains for _, trains in episodes], width)
    if changing.sum() <= n_dims:
        raise AnalysisError(
            f"only {int(changing.sum())} of {chosen.n_units} units change over bins.",
            f"{n_dims} dimensions need more.",
            "Use fewer dimensions or more units.",
        )
    kept = [[train for train, used in zip(trains, changing) if used] for _, trains in episodes]
    if not changing.all():
        text = f"{int((~changing).sum())} of {changing.size} units are silent or never change.\nThey are left out of the trajectories."
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
    paths, attrs = _fit(kept, n_dims, width, tau_ms, max_iterations)
    table = pd.concat(
        [_rows(number, label, path, float(width)) for number, ((label, _), path) in enumerate(zip(episodes, paths))],
        ignore_index=True,
    )
    used = int(changing.sum())
    table.attrs = facts(
        chosen,
        by=by,
        bin_size_ms=float(width),
        n_units_used=used,
        units="square root of spikes per bin",
        engine="elephant",
        **attrs,
    )
    return table


def _episodes(chosen: Ensemble, by: str) -> list[tuple[Any, list[Any]]]:
    """Yield labelled pieces of time with the trains of all units, on a clock of their own."""
    if isinstance(chosen, RecordedUnits):
        return chosen.episodes(by)
    return chosen.trains_in(common_trials(labelled_trials(chosen, by), chosen.n_units, by).table)


def _fit(
    trials: list[list[Any]], n_dims: int, width: pq.Quantity, tau_ms: float, max_iterations: int
) -> tuple[list[np.ndarray], dict[str, Any]]:
    with quiet_elephant():
        require("sklearn", to="Elephant's GPFA")
        from elephant.gpfa import GPFA

        model = GPFA(bin_size=width, x_dim=n_dims, tau_init=pq.Quantity(tau_ms, pq.ms), em_max_iters=max_iterations)
        try:
            paths = model.fit_transform(trials)
            loadings = np.linalg.svd(model.params_estimated["C"], compute_uv=False) ** 2
        except (ValueError, np.linalg.LinAlgError) as error:
            raise AnalysisError(
                f"Elephant's GPFA gave up: {error}",
                "No trajectory was fitted.",
                "Use larger bins, more trials, fewer dimensions, or leave out units that repeat others.",
            ) from error
    return list(paths), {
        "log_likelihood": float(np.sum(model.transform_info["log_likelihood"])),
        "shares": (loadings / loadings.sum()).tolist(),
    }


def _changing(trials: list[list[Any]], width: pq.Quantity) -> np.ndarray:
    """Whether the binned spikes of each unit differ between any two bins."""
    with quiet_elephant():
        from elephant.conversion import BinnedSpikeTrain

        binned = [BinnedSpikeTrain(trains, bin_size=width).to_array() for trains in trials]
    low, high = np.min([b.min(axis=1) for b in binned], axis=0), np.max([b.max(axis=1) for b in binned], axis=0)
    return low < high


def _rows(number: int, label: Any, path: np.ndarray, width_ms: float) -> pd.DataFrame:
    dims = {f"dim_{i}": values for i, values in enumerate(path, start=1)}
    return pd.DataFrame({"trial": number, "label": label, "start_ms": np.arange(path.shape[1]) * width_ms, **dims})


def _n_bins(train: Any, width_ms: float) -> int:
    return int(float((train.t_stop - train.t_start).rescale("ms")) / width_ms * (1 + 1e-9))
