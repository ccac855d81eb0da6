"""Spike times are exact, and every way of binning finds the bin again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ann2neo.errors import PseudoTimeError
from ann2neo.pseudotime import PseudoTime

EXACT_SIZES = st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0])


@given(EXACT_SIZES, st.integers(1, 10**6))
def test_times_and_intervals_are_exact(bin_size_ms, last):
    """Times are integers times a quarter of a bin, so that equal numbers of bins give equal intervals."""
    axis = PseudoTime(n_bins=10**6 + 1, bin_size_ms=bin_size_ms)
    times = axis.spike_times_ms(np.array([0, last - 1, last]))
    assert times[2] - times[1] == bin_size_ms
    assert (times / bin_size_ms * 4 == np.array([1, 4 * (last - 1) + 1, 4 * last + 1])).all()


@given(EXACT_SIZES, st.lists(st.integers(0, 9999), min_size=1))
def test_every_rounding_finds_the_bin(bin_size_ms, bins):
    """Truncation, rounding and a histogram agree on the bin of each spike, also after times went through seconds."""
    axis = PseudoTime(n_bins=10000, bin_size_ms=bin_size_ms)
    bins = np.array(bins)
    times = axis.spike_times_ms(bins)
    assert (axis.bins_of(times) == bins).all()
    assert (axis.bins_of(times / 1000.0 * 1000.0) == bins).all()
    assert (np.round(times / bin_size_ms).astype(int) == bins).all()
    assert (np.histogram(times, axis.edges_ms)[0] == np.bincount(bins, minlength=10000)).all()


@pytest.mark.parametrize("bin_size_ms", [0.1, 0.001, 1 / 3])
def test_inexact_bin_sizes_are_refused(bin_size_ms):
    """A bin size without a short binary form makes equal intervals unequal: it is refused, with a cure."""
    with pytest.raises(PseudoTimeError, match="nearest power of two"):
        PseudoTime(n_bins=1000, bin_size_ms=bin_size_ms)


@pytest.mark.parametrize("bin_size_ms", [0.0, -1.0, float("nan"), float("inf")])
def test_bins_without_duration_are_refused(bin_size_ms):
    """A bin must last."""
    with pytest.raises(PseudoTimeError, match="must be positive and finite"):
        PseudoTime(n_bins=1, bin_size_ms=bin_size_ms)


@pytest.mark.parametrize("times", [[4.25], [-0.75]])
def test_times_beyond_the_lattice_are_refused(times):
    """A spike without a bin is an error, not a spike in the nearest bin."""
    with pytest.raises(PseudoTimeError, match="no bin"):
        PseudoTime(n_bins=4).bins_of(np.array(times))


def test_times_off_the_lattice_are_refused():
    """A time at another place in its bin was not made by ann2neo."""
    with pytest.raises(PseudoTimeError, match="quarter"):
        PseudoTime(n_bins=4).bins_of(np.array([1.5]))
