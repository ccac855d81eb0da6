"""How the activity of each unit depends on the label of a trial, as a whole and over the time of the trial."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
import quantities as pq
from jaxtyping import Float, Int

from ann2neo import chance
from ann2neo.analysis.cutting import whole_bins
from ann2neo.around import Around
from ann2neo.chance import sd_of_dealt_rates
from ann2neo.errors import AnalysisError
from ann2neo.population.ensemble import Choice, Ensemble, bin_size_of, choose, chunks, facts
from ann2neo.population.recorded import RecordedUnits
from ann2neo.population.sizes import MAX_BYTES, say_size
from ann2neo.population.trials import LabelledTrials, by_observed_trials, labelled_trials, trial_counts
from ann2neo.windows import sums_by_code

BYTES_PER_ROW = 100


def tuning(
    spikes: Any,
    *,
    by: str = "label",
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
) -> pd.DataFrame:
    """Average the activity of each unit over the trials of each label.

    ``expected`` is the unit's rate over all trials, and ``chance_sd`` the standard deviation of a label's rate when labels are permuted over trials:
    ``sqrt(var (M - m) / (m (M - 1)))`` for ``m`` of ``M`` trials and the variance (ddof 0) of the unit's trials, if they are of equal duration; in
    trials of one bin it is the hypergeometric one, given the number of spikes. With unequal durations a label's duration is dealt as well: see
    `ann2neo.chance.sd_of_dealt_rates`. Units share one permutation, so that deviations of different units are not independent; a preferred label exists by chance
    too: of ``K`` labels the largest deviation of an untuned unit is near ``sqrt(2 ln K)`` standard deviations.

    Trials without a label (negative, or empty text) are left out. A silent unit has rate 0 and standard deviation 0.

    Where labels belong to the steps of inputs (a column of the table of bins), each bin of each pass is a trial. ``expected`` and ``chance_sd`` are then those of each
    label, exact, when inputs that are alike exchange their whole sequences of labels (see `ann2neo.chance.sequences`): what depends on the position within an input is
    expected. They are NaN where no two inputs could exchange anything.

    Parameters
    ----------
    spikes
        A `Recording`, a neo.Block, a neo.Segment or a list of neo.SpikeTrain. In neo objects of others a trial is an interval of an Epoch, else a
        segment that carries its label as an annotation.
    by
        Column of the trials table (also "stimulus_id") or of the table of bins, name of an Epoch or of an array annotation, or annotation of segments.
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
        A row per unit and label: ``layer``, ``unit``, ``label``, ``n_trials``, ``n_spikes``, ``mean`` (spikes per trial), ``spikes_per_bin`` (of
        recordings), ``rate_hz``, ``expected`` and ``chance_sd`` of ``rate_hz``.

    Raises
    ------
    WindowError
        If there are no such labels.
    AnalysisError
        If the table is larger than allowed.

    See Also
    --------
    ann2neo.population.selectivity, ann2neo.population.psth, ann2neo.figures.label_rates

    References
    ----------
    Georgopoulos, Kalaska, Caminiti, Massey (1982), doi:10.1523/JNEUROSCI.02-11-01527.1982.

    Examples
    --------
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.array([[1], [1], [0], [0]], bool), labels=[3, 3, 8, 8])
    >>> tuning(recording)[["label", "n_spikes", "rate_hz", "expected", "chance_sd"]].round(1)
       label  n_spikes  rate_hz  expected  chance_sd
    0      3         2   1000.0     500.0      288.7
    1      8         0      0.0     500.0      288.7
    """
    chosen = choose(spikes, layer, units, seed)
    if isinstance(chosen, RecordedUnits) and chosen.has_steps(by):
        table, permuted = (
            _tuning_to_steps(chosen, by, max_bytes),
            "label sequences exchanged between inputs that are alike",
        )
    else:
        trials, permuted = labelled_trials(chosen, by), "labels permuted over trials"
        _say_rows(chosen.n_units * len(trials.names), max_bytes)
        per_unit = 8 * (6 * len(trials.table) + chosen.duration_ms / (chosen.bin_size_ms or np.inf))
        table = _unit_by_unit(chosen, trials, per_unit, _tuning_of)
    measured_in = {
        "n_spikes": "spikes",
        "mean": "spikes per trial",
        "spikes_per_bin": "spikes per bin",
        "rate_hz": "Hz",
        "expected": "Hz",
        "chance_sd": "Hz",
    }
    table.attrs = facts(chosen, by=by, units=measured_in, chance=permuted)
    return table


def psth(
    spikes: Any,
    *,
    bin_size: pq.Quantity | None = None,
    by: str = "label",
    windows: Around | None = None,
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
) -> pd.DataFrame:
    """Average the spikes of each unit over the trials of each label, in bins that are counted from the beginning of a trial (peri-stimulus time histogram).

    Bin ``i`` holds the times ``i b <= t < (i + 1) b`` after a trial begins. Trials of unequal duration are averaged as long as they last (see
    ``n_trials``); an incomplete last bin is dropped. ``expected`` is the mean over all trials that last so long, and ``chance_sd`` the exact standard
    deviation of a label's mean when labels are permuted over these trials, ``sqrt(var (M - m) / (m (M - 1)))`` for ``m`` of ``M`` trials, var with
    ddof 0.

    Trials of a network that are one bin long have a histogram of one bin: use `tuning`.

    Parameters
    ----------
    spikes
        A `Recording`, a neo.Block, a neo.Segment or a list of neo.SpikeTrain. In neo objects of others a trial is an interval of an Epoch, else a
        segment that carries its label as an annotation.
    bin_size
        Width of a bin; on a recording its own bin if not given, else a whole multiple of it.
    by
        Column of the trials table (also "stimulus_id"), name of an Epoch or of an array annotation, or annotation of segments.
    windows
        Of cells: `Around` an event, in whose table ``by`` is a column; times are then relative to the event. None for whole trials.
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
        A row per unit, label and bin: ``layer``, ``unit``, ``label``, ``start_ms`` (after the trial begins, or relative to the event), ``n_trials``, ``mean`` (spikes per bin), ``rate_hz``,
        ``expected`` and ``chance_sd`` of ``mean``. Bins that no trial of a label reaches are left out.

    Raises
    ------
    WindowError
        If there are no such labels.
    AnalysisError
        If the table is larger than allowed, or no trial holds a bin.

    See Also
    --------
    ann2neo.population.tuning, ann2neo.population.instantaneous_rate, ann2neo.population.fano, ann2neo.Around

    References
    ----------
    Gerstein, Kiang (1960), doi:10.1016/S0006-3495(60)86872-5.

    Examples
    --------
    >>> import ann2neo, neo
    >>> train = neo.SpikeTrain([0.1, 0.2, 1.7, 2.1, 3.9] * pq.s, t_stop=4.0)
    >>> segment = neo.Segment()
    >>> segment.spiketrains.append(train)
    >>> segment.epochs.append(neo.Epoch([0, 2] * pq.s, [2, 2] * pq.s, labels=["a", "b"], name="trials"))
    >>> psth(segment, bin_size=1 * pq.s)[["label", "start_ms", "n_trials", "mean", "expected", "chance_sd"]]
      label  start_ms  n_trials  mean  expected  chance_sd
    0     a       0.0         1   2.0       1.5        0.5
    1     a    1000.0         1   1.0       1.0        0.0
    2     b       0.0         1   1.0       1.5        0.5
    3     b    1000.0         1   1.0       1.0        0.0
    """
    chosen = choose(spikes, layer, units, seed)
    width = float(bin_size_of(chosen, bin_size))
    trials = labelled_trials(chosen, by, windows)
    begin = 0.0 if windows is None else windows.offsets_ms[0]
    n_bins = whole_bins(trials.durations_ms / width)
    if n_bins.max() == 0:
        raise AnalysisError(
            f"no trial (longest: {trials.durations_ms.max():g} ms) holds a bin of {width:g} ms.",
            "There is nothing to count in.",
            "Use shorter bins.",
        )
    _say_rows(chosen.n_units * len(trials.names) * int(n_bins.max()), max_bytes)
    per_unit = 8 * (3 * n_bins.size * int(n_bins.max() + 1) + chosen.duration_ms / (chosen.bin_size_ms or np.inf))
    table = _unit_by_unit(chosen, trials, per_unit, partial(_psth_of, width=width, begin=begin))
    measured_in = {
        "start_ms": "ms",
        "mean": "spikes per bin",
        "rate_hz": "Hz",
        "expected": "spikes per bin",
        "chance_sd": "spikes per bin",
    }
    table.attrs = facts(chosen, by=by, bin_size_ms=width, units=measured_in, chance="labels permuted over trials")
    return table


def _unit_by_unit(
    chosen: Ensemble,
    trials: LabelledTrials,
    per_unit: float | int,
    measure: Callable[[Ensemble, LabelledTrials], pd.DataFrame],
) -> pd.DataFrame:
    """Measure units in chunks, each unit over the trials in which it was observed, and put them into their own order."""
    tables, first = [], 0
    for part in chunks(chosen, per_unit):
        observed = trials.observed[first : first + part.n_units]
        for units, own, kept in by_observed_trials(part, observed):
            found = measure(own, trials if kept.all() else trials.take(kept))
            tables.append(found.assign(place_of_unit=first + units[found["place_of_unit"].to_numpy(np.int64)]))
        first += part.n_units
    table = pd.concat(tables).sort_values("place_of_unit", kind="stable")
    return table.drop(columns="place_of_unit").reset_index(drop=True)


def _tuning_of(part: Ensemble, trials: LabelledTrials) -> pd.DataFrame:
    counts, durations = trial_counts(part, trials), trials.durations_ms
    sums, expected, _ = _by_label(counts, durations, trials.codes, len(trials.names))
    time = np.bincount(trials.codes, weights=durations, minlength=len(trials.names))
    columns = {
        "n_trials": np.broadcast_to(trials.n_trials, sums.shape),
        "n_spikes": sums,
        "mean": _ratio(sums, trials.n_trials),
    }
    if part.bin_size_ms is not None:
        columns["spikes_per_bin"] = _ratio(sums, time / part.bin_size_ms)
    columns |= {
        "rate_hz": _ratio(sums, time) * 1000,
        "expected": np.broadcast_to(expected[:, None] * 1000, sums.shape),
        "chance_sd": sd_of_dealt_rates(counts, durations, trials.n_trials) * 1000,
    }
    return _rows(part, trials, columns)


def _tuning_to_steps(chosen: RecordedUnits, by: str, max_bytes: int) -> pd.DataFrame:
    """Average the activity of each unit over the bins of each label of steps."""
    names, sequences = chosen.steps(by)
    groups, label, n_passes = sequences.groups, sequences.label, chosen.recording.n_passes
    _say_rows(chosen.n_units * names.size, max_bytes)
    n_bins, ms = np.bincount(label[label >= 0], minlength=names.size) * n_passes, chosen.recording.bin_size_ms
    known = label >= 0
    dealt, tables = chance.can_exchange(groups, label), []
    for part in chunks(chosen, 40 * chosen.recording.n_bins):
        own = cast(RecordedUnits, part).recording
        rasters = [own.raster(layer.name) for layer in own.layers]
        spikes = np.concatenate(rasters).reshape(part.n_units, n_passes, -1).sum(axis=1, dtype=np.int64)
        sums = sums_by_code(spikes[:, known], label[known], names.size)
        mean = chance.mean_of_sequences(spikes, groups, label) if dealt else np.full(sums.shape, np.nan)
        variance = chance.variance_of_sequences(spikes, groups, label) if dealt else np.full(sums.shape, np.nan)
        columns = {
            "n_trials": np.broadcast_to(n_bins, sums.shape),
            "n_spikes": sums,
            "mean": sums / n_bins,
            "spikes_per_bin": sums / n_bins,
            "rate_hz": sums / (n_bins * ms) * 1000,
            "expected": mean / (n_bins * ms) * 1000,
            "chance_sd": np.sqrt(variance) / (n_bins * ms) * 1000,
        }
        who = part.units[["layer", "unit"]].loc[np.repeat(np.arange(part.n_units), names.size)]
        flat = {name: values.ravel() for name, values in columns.items()}
        tables.append(who.assign(label=np.tile(names, part.n_units), **flat))
    return pd.concat(tables, ignore_index=True)


def _ratio(values: np.ndarray, by: np.ndarray) -> Float[np.ndarray, "unit label"]:
    """Divide; NaN for labels without a trial."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return values / by


def _psth_of(part: Ensemble, trials: LabelledTrials, width: float, begin: float) -> pd.DataFrame:
    n_bins = whole_bins(trials.durations_ms / width)
    edges = trials.edges_ms[:, :1] + np.minimum(np.arange(n_bins.max(initial=0) + 1), n_bins[:, None]) * width
    counts = np.diff(part.spikes_before(trials.segment, edges), axis=2)
    tables = []
    for number in range(counts.shape[2]):
        lasting = n_bins > number
        codes = trials.codes[lasting]
        n_trials = np.bincount(codes, minlength=len(trials.names))
        sums, expected, chance_sd = _by_label(counts[:, lasting, number], np.ones(codes.size), codes, len(trials.names))
        with np.errstate(invalid="ignore"):
            mean = sums / n_trials
            columns = {
                "start_ms": np.full(sums.shape, begin + number * width),
                "n_trials": np.broadcast_to(n_trials, sums.shape),
                "mean": mean,
                "rate_hz": mean * 1000 / width,
            }
            columns |= {"expected": np.broadcast_to(expected[:, None], sums.shape), "chance_sd": chance_sd / n_trials}
        tables.append(_rows(part, trials, columns))
    if not tables:
        return _rows(part, trials, {"start_ms": np.zeros((part.n_units, len(trials.names)))}).iloc[:0]
    # By unit, then label, then bin: the order in which one histogram after the other is read.
    place = np.arange(tables[0].shape[0])
    table = pd.concat([table.assign(place=place) for table in tables]).sort_values(["place", "start_ms"], kind="stable")
    return table[table["n_trials"] > 0].drop(columns="place")


def _by_label(
    counts: Int[np.ndarray, "unit trial"],
    durations: Float[np.ndarray, " trial"],
    codes: Int[np.ndarray, " trial"],
    n_labels: int,
) -> tuple[Int[np.ndarray, "unit label"], Float[np.ndarray, " unit"], Float[np.ndarray, "unit label"]]:
    """Add up the counts of each label; give the rate over all trials, and the sd of each sum when labels are permuted over trials."""
    sums = sums_by_code(counts, codes, n_labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = counts.sum(axis=1) / durations.sum()
        deviations = counts - rate[:, None] * durations
        variance = deviations.var(axis=1) if codes.size else np.full(len(counts), np.nan)
    m, n_trials = np.bincount(codes, minlength=n_labels), codes.size
    return sums, rate, np.sqrt(variance[:, None] * m * (n_trials - m) / max(n_trials - 1, 1))


def _rows(part: Ensemble, trials: LabelledTrials, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """Arrange arrays of shape (unit, label) as rows."""
    who = (
        part.units[["layer", "unit"]].loc[np.repeat(np.arange(part.n_units), len(trials.names))].reset_index(drop=True)
    )
    return who.assign(
        place_of_unit=np.repeat(np.arange(part.n_units), len(trials.names)),
        label=np.tile(np.array(trials.names), part.n_units),
        **{name: values.ravel() for name, values in columns.items()},
    )


def _say_rows(n_rows: int, max_bytes: int) -> None:
    cure = "Use fewer units (units=), larger bins, or allow more with max_bytes."
    say_size(n_rows * BYTES_PER_ROW * 2, max_bytes, f"a table of {n_rows:,} rows", cure)
