"""The compiled half of `ann2neo.measures`: counts, sums, threads, cache, and what is refused before it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from spike_sources import assert_same_bits, recordings, spike_bits, spikes_in_time

from ann2neo.compiled import compiled
from ann2neo.errors import AnalysisError, RecordingError, SpikeTrainError
from ann2neo.measures.bulk import (
    count_in_groups,
    count_in_stretches,
    count_in_windows,
    count_labels,
    count_runs,
    kernels,
    measure_bits,
    measure_bulk,
)
from ann2neo.threads import over_units


def test_any_chunking_and_any_threads_give_the_same_bits():
    """Units measured alone, in chunks or all at once by several threads: no bit differs."""
    dense = np.random.default_rng(2).random((1300, 80)) < np.random.default_rng(3).random((1300, 1))
    spikes = spike_bits(0, n_passes=2, pass_bins=40, n_stretches=3, dense=dense)
    whole = measure_bits(spikes, n_threads=2)
    assert_same_bits(measure_bits(spikes, n_threads=1), whole)
    assert_same_bits(measure_bulk(spikes.arrays(), n_threads=2), whole)
    borders = [0, 1, 2, 700, 1299, 1300]
    parts = [measure_bits(replace(spikes, bits=spikes.bits[:, a:b])) for a, b in pairwise(borders)]
    assert_same_bits({name: np.concatenate([part[name] for part in parts]) for name in whole}, whole)


def test_an_error_in_a_thread_is_raised():
    """Work that fails in a thread is not taken for done."""

    def task(first, last):
        raise AnalysisError(f"units {first} to {last} failed")

    with pytest.raises(AnalysisError, match="failed"):
        over_units(task, 2000, n_threads=2)


@settings(max_examples=40, deadline=None)
@given(recordings)
def test_counts_agree_with_slow_loops(parts):
    """Spikes per window, stretch and class and runs per stretch are those of obvious loops, from bits and from times."""
    spikes = spike_bits(**parts)
    dense = np.concatenate(list(np.unpackbits(spikes.bits, axis=2, count=spikes.pass_bins)), axis=1)
    bins = [np.flatnonzero(spiked) for spiked in dense]
    stretch, n_stretches = spikes.stretch_of_bin, spikes.stretch_bins.size
    windows = [oracles.count(spikes.window[own], spikes.window_pass.size) for own in bins]
    stretches = [oracles.count(stretch[own], n_stretches) for own in bins]
    runs = [oracles.runs(spiked, stretch, n_stretches) for spiked in dense]
    for source in (spikes, spikes.arrays()):
        assert count_in_windows(source).tolist() == windows
        assert count_in_stretches(source).tolist() == stretches
        assert count_runs(source).tolist() == runs
        if spikes.label is not None:
            classes = [oracles.count(spikes.label[own], spikes.label_bins.size) for own in bins]
            assert count_labels(source).tolist() == classes


@pytest.mark.parametrize(("n_passes", "pass_bins"), [(1, 5), (2, 64), (1, 1000), (3, 67), (4, 200)])
@pytest.mark.parametrize("n_ids", [1, 3, 16, 17, 60])
def test_counts_are_the_same_however_ids_lie(n_passes, pass_bins, n_ids):
    """Few ids or many, in runs or mixed, with gaps or without, in passes that end within a word: spikes per id are those of a plain sum."""
    rng = np.random.default_rng(n_ids)
    spikes = spike_bits(0, n_passes=n_passes, pass_bins=pass_bins, n_stretches=n_passes, dense=None)
    dense = np.concatenate(list(np.unpackbits(spikes.bits, axis=2, count=pass_bins)), axis=1)
    mixed = rng.integers(-1, n_ids, spikes.n_bins)
    long_runs = np.repeat(rng.integers(-1, n_ids, spikes.n_bins // 7 + 1), 7)[: spikes.n_bins]
    for ids in (mixed, np.sort(mixed), long_runs, np.full(spikes.n_bins, -1)):
        truth = np.stack([dense[:, ids == one].sum(axis=1) for one in range(n_ids)], axis=1)
        np.testing.assert_array_equal(count_in_groups(spikes, ids, n_ids), truth)


def test_counting_labels_needs_labels():
    """Without labels there are no classes: an error, not an empty count."""
    with pytest.raises(AnalysisError, match="no labels"):
        count_labels(spike_bits(0, n_classes=0))


def test_runs_need_bins():
    """In continuous time no two spikes are in successive bins: runs are refused, not invented."""
    with pytest.raises(AnalysisError, match="without bins"):
        count_runs(spikes_in_time(0))


def test_pairwise_sum_is_numpys():
    """The compiled sum gives the bits of the installed NumPy at every length."""
    values = np.random.default_rng(0).random(100_000) ** 5
    sizes = [*range(1, 1100), 1999, 2048, 4095, 10_000, 65_537, 100_000]
    assert [kernels.pairwise_sum(values, 0, size) for size in sizes] == [np.sum(values[:size]) for size in sizes]


def test_kernels_compile_where_no_cache_can_be_written():
    """A function without a file has no place for a cache; it is compiled all the same."""
    names: dict = {}
    exec("def half(value):\n    return value / 2.0", names)
    assert compiled(names["half"])(3.0) == 1.5


def test_kernels_from_the_cache_give_the_same_bits(tmp_path):
    """A second process, which loads the compiled kernels from disk, runs and gives the same bits.

    Once it crashed: numba cannot load functions that call themselves.
    """
    code = (
        "import numpy as np; from ann2neo.measures.bits import SpikeBits;"
        "from ann2neo.measures.bulk import measure_bits;"
        "bits = np.random.default_rng(0).integers(0, 256, (1, 2, 500), np.uint8);"
        "spikes = SpikeBits(bits=bits, pass_bins=4000, bin_size_ms=1.0, stretch_edges=np.array([0, 4000]),"
        "window=np.arange(4000) // 10, window_pass=np.zeros(400, int));"
        "print({name: values.tobytes().hex() for name, values in measure_bits(spikes).items()})"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = partial(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    first = run(check=True)
    assert list(tmp_path.rglob("*.nbc")) != []
    assert run(check=True).stdout == first.stdout


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"stretch_edges": np.array([0, 99])}, "stretch_edges"),
        ({"stretch_edges": np.array([0, 60, 50, 100])}, "stretch_edges"),
        ({"window": np.zeros(99, int), "label": None}, "99 window ids"),
        ({"window": np.full(100, 4)}, "window ids 4 to 4"),
        ({"label": np.full(100, -2)}, "Label ids must be at least -1, got -2"),
        ({"pass_bins": 96}, "need 12 bytes"),
        ({"bits": np.full((1, 2, 13), 255, np.uint8)}, "after the last"),
    ],
)
def test_bits_that_contradict_their_bins_are_refused(changes, fact):
    """Compiled kernels trust ids and bits, so what is out of range is refused before."""
    with pytest.raises(RecordingError, match=fact):
        replace(spike_bits(0), **changes)


@pytest.mark.parametrize(
    ("name", "value"),
    [("window", 9), ("window", -2), ("stretch", 3), ("stretch", -1), ("offsets", 10_000)],
)
def test_arrays_that_contradict_each_other_are_refused(name, value):
    """Ids beyond the known windows and stretches, and offsets that do not ascend, are refused."""
    spikes = spikes_in_time(0)
    changed = getattr(spikes, name).copy()
    changed[2] = value
    with pytest.raises(SpikeTrainError, match=name):
        replace(spikes, **{name: changed})
