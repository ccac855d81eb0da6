"""Fano factors over the repeats of a condition, one for each unit, condition and place within the trial."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ann2neo import chance
from ann2neo.analysis.continuous import cells_source
from ann2neo.analysis.lattice import recording_source
from ann2neo.analysis.repeated import trial_windows
from ann2neo.analysis.source import Chunk, Source
from ann2neo.errors import WindowError
from ann2neo.measures.bulk import count_in_windows
from ann2neo.population.ensemble import Choice, choose, facts
from ann2neo.population.recorded import RecordedUnits
from ann2neo.windows import column_of


def fano(
    spikes: Any,
    *,
    windows: Any = "trial",
    within: str | None = None,
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute the Fano factor of the counts of each unit over the trials of each condition, at each place within the trial.

    A group is all trials of a condition that a unit was observed in, in the window at one place ``k`` of the trial; its factor is variance (ddof 0) over mean of
    its counts, as Elephant's `fanofactor` computes it, and NaN for one trial or a mean of 0. ``fano`` of `ann2neo.analyze` with the same ``windows`` and
    ``within`` is the mean of these over ``k`` and then over conditions. ``fano_expected`` is what the same number of spikes gives on average when they fall
    into the group's windows at random: ``1 - 1 / R`` for ``R`` trials in continuous time; on bins of which there are N, n with a spike, that times
    ``(N - n) / (N - 1)``. It is NaN where windows of a group overlap.

    Parameters
    ----------
    spikes
        A `Recording`, or spike trains in any container that `analyze` takes.
    windows
        "trial"; a duration (or, of a recording, a number of bins) into which each trial is cut from its start, an incomplete last window being dropped; or
        `Around`, of spike trains of cells.
    within
        The condition: a column of the trials (also "stimulus_id"), an Epoch with labels, or an annotation of segments.
    layer
        Name of a layer; None for all.
    units
        How many units to draw at random, or their positions; None for all.
    seed
        Seed of the draw.

    Returns
    -------
    pandas.DataFrame
        A row per unit, condition and place: ``layer``, ``unit``, ``condition``, ``position``, ``n_trials``, ``mean`` and ``var`` of the counts, ``fano``,
        ``fano_expected``. Conditions without an observed trial are left out.

    Raises
    ------
    WindowError
        If there is no such condition or event, or no condition has two trials.

    See Also
    --------
    ann2neo.analyze, ann2neo.population.psth, ann2neo.Around

    References
    ----------
    Tolhurst, Movshon, Dean (1983), doi:10.1016/0042-6989(83)90200-6. Churchland et al. (2010), doi:10.1038/nn.2501.

    Examples
    --------
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.array([[1], [0], [1], [1]], bool), labels=[3, 3, 8, 8])
    >>> fano(recording, within="label")[["condition", "n_trials", "mean", "var", "fano", "fano_expected"]]
       condition  n_trials  mean   var  fano  fano_expected
    0          3         2   0.5  0.25   0.5            0.5
    1          8         2   1.0  0.00   0.0            0.0
    """
    if within is None:
        raise WindowError(
            "no condition was named.",
            "A Fano factor over repeats needs trials that repeat each other.",
            'Name one: within="orientation", or within="stimulus_id" for the inputs of a network.',
        )
    chosen = choose(spikes, layer, units, seed)
    if isinstance(chosen, RecordedUnits):
        trials = chosen.recording.trials
        source = recording_source(chosen.recording, windows, within)
        names = np.unique(column_of(trials, within, known=[*trials.columns]))
    else:
        source = cells_source(chosen.cells, windows, chosen.bin_size_ms, within)
        names = np.array(trial_windows(windows, within, chosen.cells.segments).names)
    table = _in_order(source, names)
    measured_in = {"mean": "spikes", "var": "spikes^2", "fano": "1", "fano_expected": "1"}
    table.attrs = facts(
        chosen, within=within, windows=source.facts["windows"], left_out=source.facts.get("left_out"), units=measured_in
    )
    return table


def _in_order(source: Source, names: np.ndarray) -> pd.DataFrame:
    """Concatenate the groups of all chunks, in the order of the units."""
    parts, first = [], 0
    place = np.arange(source.n_units) if source.rows is None else np.argsort(source.rows)
    for read in source.chunks:
        chunk = read()
        found = _groups_of(chunk, names)
        parts.append(found.assign(place=place[first + found["place"].to_numpy(np.int64)]))
        first += len(chunk.units)
    table = pd.concat(parts).sort_values(["place", "condition", "position"], kind="stable")
    return table.drop(columns="place").reset_index(drop=True)


def _groups_of(chunk: Chunk, names: np.ndarray) -> pd.DataFrame:
    spikes: Any = chunk.spikes if chunk.counted is None else chunk.counted
    bins = spikes.window_bins
    sizes = spikes.window_durations if bins is None else bins
    known = np.flatnonzero((sizes > 0) & (spikes.repeats.condition >= 0))
    condition, position = spikes.repeats.condition[known], spikes.repeats.position[known]
    order = np.lexsort((position, condition))
    changes = (np.diff(condition[order]) != 0) | (np.diff(position[order]) != 0)
    first = np.append(0, np.flatnonzero(changes) + 1) if order.size else np.zeros(0, np.int64)
    groups, n_trials = np.stack([condition, position])[:, order[first]], np.diff(np.append(first, order.size))
    counts = count_in_windows(spikes)[:, known[order]]
    n = _sums(counts, first)
    mean = n / n_trials
    var = _sums((counts - np.repeat(mean, n_trials, axis=1)) ** 2, first) / n_trials
    sizes_of = chance.GroupSizes.of(np.split(sizes[known[order]], first[1:]) if order.size else [])
    expected = chance.expected_fano_of_groups(n, sizes_of, lattice=bins is not None)
    return _rows(chunk, names, groups, n_trials, {"mean": mean, "var": var, "fano_expected": expected})


def _sums(values: np.ndarray, first: Int[np.ndarray, " group"]) -> np.ndarray:
    """Add up over the columns of each group, shape (unit, group)."""
    return np.add.reduceat(values, first, axis=1) if first.size else values[:, :0]


def _rows(
    chunk: Chunk,
    names: np.ndarray,
    groups: Int[np.ndarray, "two group"],
    n_trials: Int[np.ndarray, " group"],
    columns: dict[str, Float[np.ndarray, "unit group"]],
) -> pd.DataFrame:
    """Arrange arrays of shape (unit, group) as rows."""
    n_units, n_groups = len(chunk.units), n_trials.size
    place = np.repeat(np.arange(n_units), n_groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = np.where((n_trials > 1) & (columns["mean"] > 0), columns["var"] / columns["mean"], np.nan)
    expected = np.where(np.isnan(factor) | chunk.overlapping, np.nan, columns["fano_expected"])
    who = chunk.units[["layer", "unit"]].loc[place].reset_index(drop=True)
    return who.assign(
        condition=np.tile(names[groups[0]], n_units),
        position=np.tile(groups[1], n_units),
        n_trials=np.tile(n_trials, n_units),
        mean=columns["mean"].ravel(),
        var=columns["var"].ravel(),
        fano=factor.ravel(),
        fano_expected=expected.ravel(),
        place=place,
    )
