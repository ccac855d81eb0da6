"""analyze: from spikes to one table."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from numbers import Real
from typing import Any, Literal

import pandas as pd

from ann2neo.analysis.continuous import lost_source, neo_source
from ann2neo.analysis.cutting import duration_ms
from ann2neo.analysis.goodness import corrected
from ann2neo.analysis.lattice import recording_source
from ann2neo.analysis.rows import Settings, rows_of
from ann2neo.analysis.source import Source
from ann2neo.arguments import check_choice, check_flag, check_seed, check_text, check_whole
from ann2neo.around import Around
from ann2neo.errors import AnalysisError, Ann2NeoWarning
from ann2neo.measures.definitions import Over
from ann2neo.measures.registry import MEASURES, computed
from ann2neo.progress import progress_bar
from ann2neo.pseudotime import milliseconds
from ann2neo.recording import Recording, notes_of
from ann2neo.trains.matching import IDENTITY
from ann2neo.versions import software
from ann2neo.windows import STIMULUS, order_words

Engine = Literal["auto", "elephant", "bulk"]

TABLE_SCHEMA = "ann2neo-table/1"
ELEPHANTS_REFRACTORINESS_MS = 5.0


def analyze(
    spikes: Any,
    *,
    windows: Any = None,
    within: str | None = None,
    over: Over = "windows",
    engine: Engine = "auto",
    bin_size_ms: Any = None,
    min_spikes: int = 10,
    refractoriness: Any = None,
    tests: bool = False,
    method: Literal["bh", "by"] = "bh",
    seed: int = 0,
    scheduler: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Measure every unit's spike train, and say beside each measure what chance predicts.

    Chance is the same number of spikes in uniformly random arrangement: over the bins of a recording, or over continuous time where the source has no
    bins; over labels of inputs (trials) that hold several bins or last in time, inputs are dealt to labels with all their spikes. A measure that is undefined for a unit is NaN; `ann2neo info --columns` prints the definition of every column.

    Parameters
    ----------
    spikes
        A `Recording`; a neo.Block (its segments are passes, each with its own clock), Segment, Group or list of neo.SpikeTrain from any source; lists of such lists and
        objects of `elephant.trials`; a TsGroup of pynapple; a dict of times with a unit, and ``"t_stop"``.
    windows
        In what spikes are counted for the Fano factor: a column of the trials table or a named Epoch ("label", "target_label"), "trial" (of a Block: the intervals of its Epoch "trials"), a number of bins,
        or a duration such as ``500 * pq.ms``; "stimulus_id" (of a recording) counts in trials and takes the factor over the repeats of each stimulus, that is over
        its passes, and averages over stimuli. None is "label" where labels exist, else 100 bins, else (no bins) 1 s.
    within
        A condition of trials (a column such as "orientation", "stimulus_id"): the Fano factor is then taken over the repeats of each condition. A group is the counts of
        all trials of a condition in the window at one position of the trial; ``fano`` is the mean over positions, then over conditions, of variance over mean.
        Windows are "trial" (None), a duration (each trial is cut from its start), or `Around`.
    over
        "windows": the Fano factor over the windows of a pass, averaged over passes. "passes": over the passes of a window, averaged over windows.
    engine
        "elephant" calls Elephant on neo.SpikeTrains; "bulk" computes the same bits without them; "auto" takes the fastest.
    bin_size_ms
        Bin size of neo spike trains that lie on a lattice; without it their references are those of continuous time.
    min_spikes
        Units with fewer spikes, or fewer empty bins, get the quality "too_few".
    refractoriness
        R of LvR: a number of bins where there are bins (without it there is no column ``lvr``, which would equal ``lv``), else a duration; None is then
        Elephant's 5 ms.
    tests
        Whether to add p values: of the counts in windows (``dispersion_p``, two-sided, and ``overdispersion_p``: over label windows the test of label
        tuning), of runs (``runs_p``), of the law of intervals (``isi_law_p``) and of a trend (``stationarity_p``; of cells over trials, or over windows where there are none), all given the unit's number of spikes;
        ``..._corrected`` bounds the false discovery rate over the good units of a layer.
    method
        "bh" (Benjamini and Hochberg) or "by" (Benjamini and Yekutieli, for any dependence).
    seed
        Seed of the randomness in ``isi_law_p``, which is drawn for each unit by itself.
    scheduler
        Address of a Dask scheduler (``tcp://...``) whose workers measure the chunks; None measures them here, one after another. The table is the same.
    progress
        Whether to show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row per unit; notes of the recording are columns, such as ``notes_epoch``; ``attrs`` holds units of measure, engine, order and windows.

    Raises
    ------
    AnalysisError, SpikeTrainError, WindowError
        If the source holds no usable spike trains, or does not support the windows.

    See Also
    --------
    ann2neo.summarize, ann2neo.compare, ann2neo.Around, ann2neo.models.fit, ann2neo.population

    References
    ----------
    Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473.

    Examples
    --------
    >>> import numpy as np, ann2neo
    >>> recording = ann2neo.from_array(np.array([[1, 0], [1, 0], [0, 1], [1, 0]], bool), labels=[0, 0, 1, 1])
    >>> analyze(recording, progress=False)[["layer", "unit", "n_spikes", "firing_rate", "fano", "fano_expected"]].round(3)
       layer  unit  n_spikes  firing_rate   fano  fano_expected
    0  array     0         3        750.0  0.167          0.167
    1  array     1         1        250.0  0.500          0.500
    """
    # numba is loaded only with the engine that needs it.
    from ann2neo.measures.bulk import sums_as_numpy

    check_choice(engine, "engine", ("auto", "elephant", "bulk"))
    check_choice(method, "method", ("bh", "by"))
    seed, tests, progress = check_seed(seed), check_flag(tests, "tests"), check_flag(progress, "progress")
    if scheduler is not None:
        check_text(scheduler, "scheduler", such_as="tcp://127.0.0.1:8786")
    if not isinstance(bin_size_ms, Real | str | None):
        bin_size_ms = milliseconds(bin_size_ms)
    _check_numbers(min_spikes, bin_size_ms)
    _check_over(over, windows, within)
    source = _source(spikes, windows, bin_size_ms, within, over)
    used = "bulk" if engine != "elephant" and sums_as_numpy() else "elephant"
    refractoriness_ms = _refractoriness_ms(refractoriness, source.facts.get("bin_size_ms"))
    settings = Settings(
        engine=used, over=over, min_spikes=min_spikes, refractoriness_ms=refractoriness_ms, tests=tests, seed=seed
    )
    table = pd.concat(_all_rows(source, settings, scheduler, progress), ignore_index=True)
    table = table if source.rows is None else table.iloc[source.rows].reset_index(drop=True)
    table = _in_order(corrected(table, method) if tests else table).assign(**notes_of(source.facts))
    attributes: dict[Any, Any] = _attributes(source, settings) | ({"correction": method, "seed": seed} if tests else {})
    table.attrs = attributes
    return table


def _check_numbers(min_spikes: Any, bin_size_ms: Any) -> None:
    """Refuse numbers that are none, before NumPy does."""
    check_whole(min_spikes, "min_spikes", low=0, such_as=10)
    is_number = isinstance(bin_size_ms, Real) and not isinstance(bin_size_ms, bool)
    if bin_size_ms is not None and (not is_number or not float(bin_size_ms) > 0):
        raise AnalysisError(
            f"bin_size_ms={bin_size_ms!r} is not a positive number of milliseconds.",
            "Spikes cannot be put into bins.",
            "Give the size of the bins in which the spikes were made, or leave it out where there are none.",
        )


def _all_rows(source: Source, settings: Settings, scheduler: str | None, progress: bool) -> list[pd.DataFrame]:
    """Measure all chunks, here or on a cluster, and put them in their order."""
    parts: dict[int, pd.DataFrame] = {}
    with progress_bar(shown=progress, desc="analyzing", unit="unit", total=source.n_units) as bar:
        for place, rows in _results(source, settings, scheduler):
            parts[place] = rows
            bar.update(len(rows))
    return [parts[place] for place in sorted(parts)]


def _results(source: Source, settings: Settings, scheduler: str | None) -> Iterator[tuple[int, pd.DataFrame]]:
    if scheduler is None:
        for place, read in enumerate(source.chunks):
            yield place, rows_of(read, settings)
        return
    # Dask takes more than a second to load.
    from ann2neo.analysis.cluster import map_on_cluster

    yield from map_on_cluster(rows_of, source.chunks, scheduler, settings)


def _check_over(over: Over, windows: Any, within: str | None) -> None:
    """Refuse passes where trials of all passes are compared already."""
    if over == "passes" and (within is not None or isinstance(windows, Around)):
        raise AnalysisError(
            "over='passes' was asked for together with windows of trials.",
            "Trials of all passes are repeats of their condition already.",
            "Leave `over` out.",
        )


def _source(spikes: Any, windows: Any, bin_size_ms: Any, within: str | None = None, over: Over = "windows") -> Source:
    """Read our own recordings by their bits, and anything else by its spike times."""
    if isinstance(spikes, Recording):
        if bin_size_ms not in (None, spikes.bin_size_ms):
            raise AnalysisError(
                f"bin_size_ms={bin_size_ms} was given, but the recording has bins of {spikes.bin_size_ms} ms.",
                "Its bins are known and cannot be changed.",
                "Leave bin_size_ms out.",
            )
        _warn_if_shuffled(spikes)
        return recording_source(spikes, windows, within)
    from ann2neo.formats.origin import origin_of

    origin = origin_of(spikes)
    if origin is None:
        return neo_source(spikes, windows, bin_size_ms, within, over)
    if origin.recording is None:
        return lost_source(spikes, windows, bin_size_ms or origin.bin_size_ms, within)
    source = _source(origin.recording, windows, bin_size_ms, within)
    return source if origin.rows is None else replace(source, rows=origin.rows)


def _refractoriness_ms(given: Any, bin_size_ms: float | None) -> float | None:
    """Return R of LvR in milliseconds: bins on a lattice, a duration elsewhere; None leaves the column out."""
    if bin_size_ms is None:
        if given is not None and not hasattr(given, "rescale"):
            raise AnalysisError(
                f"refractoriness={given} is a number of bins, but these spike trains have no bins.",
                "LvR cannot be computed.",
                "Give a duration such as 5 * pq.ms.",
            )
        return ELEPHANTS_REFRACTORINESS_MS if given is None else duration_ms(given)
    if given is None:
        return None
    if not isinstance(given, Real) or isinstance(given, bool) or not float(given) > 0:
        raise AnalysisError(
            f"refractoriness={given} is not a positive number of bins.",
            "On bins LvR with R = 0 is Lv, and milliseconds of pseudo-time mean nothing.",
            "Give a number of bins, or leave it out.",
        )
    return float(given) * bin_size_ms


def _warn_if_shuffled(recording: Recording) -> None:
    order = order_words(recording.trials, recording.provenance)
    if order in ("shuffled", "loader's shuffled"):
        how = (
            "are in shuffled order"
            if order == "shuffled"
            else "were presented in another order than that of their data set, as by a shuffling loader"
        )
        text = (
            f"The inputs {how}. In random order a deterministic network's trains carry no temporal information.\n"
            "Interval measures and Fano factors over fixed windows depend on the number of spikes alone and agree with chance.\n"
            "Arrange by label, count in label windows, or record in an order that means something, unless this is the control."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=4)


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """List identity, measures, expectations and quality in this order."""
    measures = [name for name in MEASURES if name in table]
    expected = [name for name in table if str(name).endswith("_expected")]
    rest = [name for name in table if name not in {*IDENTITY, *measures, *expected}]
    return table[[*IDENTITY, *measures, *expected, *rest]]


def _attributes(source: Source, settings: Settings) -> dict[str, Any]:
    on_lattice = "n_bins" in source.facts
    one_bin = on_lattice and source.facts["window_max_bins"] <= 1
    stimuli = source.facts["windows"] == STIMULUS or source.facts.get("within") is not None
    repeated = stimuli or settings.over == "passes"
    single = not repeated and source.facts["n_windows"] <= source.facts["n_passes"]
    masked = "Undefined measures are NaN: intervals need 2 spikes, CV2 and Lv 3, the Fano factor 1 in a window."
    units = {measure.name: measure.unit for measure in computed(refractoriness=True)}
    return {
        "schema": TABLE_SCHEMA,
        "software": software("elephant", "neo", "numpy"),
        "engine": settings.engine,
        "over": settings.over,
        **{key: value for key, value in source.facts.items() if value is not None},
        "reference": "Bernoulli, given the number of spikes" if on_lattice else "Poisson, given the number of spikes",
        "min_spikes": settings.min_spikes,
        **({} if settings.refractoriness_ms is None else {"refractoriness_ms": settings.refractoriness_ms}),
        "masked": masked
        + (
            " Over one-bin windows the Fano factor is 1 - p_spike by construction: NaN."
            if one_bin and not repeated
            else ""
        )
        + (
            " Over the repeats of one-bin inputs the Fano factor is 1 - p of the input by construction: the mean of these."
            if one_bin and repeated
            else ""
        )
        + ("" if not stimuli else " Conditions that have one trial are left out of the Fano factor.")
        + (" One window has no variance: no Fano factor." if single else "")
        + (
            " Classes differ between passes: chance exchanges the classes that inputs have in all passes; the share of inputs is undefined, and tuning is tested in the first pass."
            if source.facts.get("classes_differ_between_passes")
            else ""
        ),
        "units": units | {f"{name}_expected": unit for name, unit in units.items()},
    }
