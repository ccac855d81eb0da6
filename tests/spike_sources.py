"""Spikes to be measured: random units on a lattice and in continuous time, with every kind of unit that is hard."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.csr import SpikeArrays


def hard_units(rng, n_bins):
    """Spikes of a silent and a saturated unit, units of one, two and three spikes, and some of random rates."""
    dense = rng.random((11, n_bins)) < np.array([0, 1, 0, 0, 0, 0.01, 0.05, 0.2, 0.5, 0.8, 0.98])[:, None]
    for unit, n in ((2, 1), (3, 2), (4, 3)):
        dense[unit, rng.permutation(n_bins)[:n]] = True
    return dense


def spike_bits(seed, n_passes=1, pass_bins=100, n_windows=4, n_stretches=1, n_classes=3, bin_size_ms=1.0, dense=None):
    """Random units in scattered windows of unequal size, with bins outside all windows and stretches of any length."""
    rng = np.random.default_rng(seed)
    n_bins = n_passes * pass_bins
    dense = hard_units(rng, n_bins) if dense is None else dense
    window = rng.integers(-1, n_windows, n_bins)
    of_pass = np.arange(n_bins) // pass_bins
    borders = np.sort(rng.integers(0, n_bins + 1, n_stretches - 1))
    return SpikeBits(
        bits=np.packbits(dense.reshape(-1, n_passes, pass_bins).transpose(1, 0, 2), axis=2),
        pass_bins=pass_bins,
        bin_size_ms=bin_size_ms,
        stretch_edges=np.concatenate([[0], borders, [n_bins]]).astype(np.int64),
        window=np.where(window >= 0, window + of_pass * n_windows, -1),
        window_pass=np.repeat(np.arange(n_passes), n_windows),
        label=rng.integers(-1, n_classes, n_bins) if n_classes else None,
    )


# Drawn as arguments, because the run-time type checks of our classes draw random numbers, which strategies must not.
recordings = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "n_passes": st.integers(1, 3),
        "pass_bins": st.integers(1, 150),
        "n_windows": st.integers(0, 5),
        "n_stretches": st.integers(1, 5),
        "n_classes": st.integers(0, 4),
        "bin_size_ms": st.sampled_from([1.0, 0.5, 2.0, 3.0, 0.125]),
    }
)


def spikes_in_time(seed, time_unit="s"):
    """Units that fire in continuous time, in stretches that each have a clock of their own: a recording of a brain."""
    rng = np.random.default_rng(seed)
    n = np.array([0, 1, 2, 3, 300, 1500])
    durations = np.array([7.3, 0.9, 11.1])
    stretch = np.concatenate([np.sort(rng.choice(3, size, p=durations / durations.sum())) for size in n])
    starts = np.array([100.7, 3.3, -5.0])
    times = starts[stretch] + rng.random(stretch.size) * durations[stretch]
    unit = np.repeat(np.arange(n.size), n)
    times = times[np.lexsort((times, stretch, unit))]
    window = np.floor((times - starts[stretch]) / 0.9).astype(int)
    window = np.where(stretch == 0, window, 8)
    return SpikeArrays(
        times=times,
        offsets=np.concatenate([[0], np.cumsum(n)]),
        stretch=stretch,
        window=np.where(window > 8, -1, window),
        label=None,
        stretch_durations=durations,
        stretch_bins=None,
        window_durations=np.full(9, 0.9),
        window_bins=None,
        window_pass=np.zeros(9, int),
        label_bins=None,
        time_unit=time_unit,
    )


def assert_same_bits(measured, expected):
    """Fail unless both have the same measures in the same order, of the same type and bits, NaN where NaN."""
    assert list(measured) == list(expected)
    for name, values in expected.items():
        assert measured[name].dtype == values.dtype, name
        np.testing.assert_array_equal(measured[name], values, err_msg=name, strict=True)
