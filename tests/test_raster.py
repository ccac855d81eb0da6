"""Packed bits are the boolean array they came from, whatever view is taken."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ann2neo.errors import RecordingError
from ann2neo.raster import Raster

DENSE = hnp.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 40)))


@given(DENSE, st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_views_agree_with_the_dense_array(one_pass, n_passes, seed):
    """Selecting units and arranging bins in each pass gives what indexing the boolean array gives."""
    dense = np.concatenate([np.roll(one_pass, p, axis=1) for p in range(n_passes)], axis=1)
    rng, n_bins = np.random.default_rng(seed), one_pass.shape[1]
    order, units = rng.permutation(n_bins), rng.permutation(len(dense))[: rng.integers(1, len(dense) + 1)]
    raster = Raster.from_dense(dense, n_passes=n_passes)
    assert (raster.dense() == dense).all()
    view = raster.arrange(order).take(units)
    expected = np.concatenate([part[:, order] for part in np.split(dense, n_passes, axis=1)], axis=1)[units]
    assert (view.dense() == expected).all()
    assert (view.n_spikes() == expected.sum(axis=1)).all()
    assert view.identical(Raster.from_dense(expected, n_passes=n_passes))
    bins, offsets = view.spike_bins()
    assert [bins[a:b].tolist() for a, b in itertools.pairwise(offsets)] == [
        np.flatnonzero(row).tolist() for row in expected
    ]


@given(DENSE, st.integers(0, 2**32 - 1))
def test_arranging_and_back_is_the_identity(dense, seed):
    """The inverse permutation undoes an arrangement."""
    order = np.random.default_rng(seed).permutation(dense.shape[1])
    raster = Raster.from_dense(dense)
    assert raster.arrange(order).arrange(np.argsort(order)).identical(raster)


@given(DENSE, st.integers(1, 200))
def test_chunks_cover_all_units_once(dense, n_bytes):
    """Chunk by chunk is the whole, whatever the chunks."""
    raster = Raster.from_dense(dense)
    parts = [raster.dense(units) for units in raster.chunks(n_bytes)]
    assert (np.concatenate(parts) == dense).all()


def test_many_units_are_arranged_alike():
    """Bits of more units than are arranged at once, of several passes, are those of the arranged bins."""
    rng = np.random.default_rng(1)
    dense, order = rng.random((150, 2, 37)) < 0.4, rng.permutation(37)
    raster = Raster.from_dense(dense.reshape(150, 74), n_passes=2).arrange(order)
    np.testing.assert_array_equal(raster.bits(), np.packbits(dense[:, :, order].transpose(1, 0, 2), axis=2))
    np.testing.assert_array_equal(raster.dense(), dense[:, :, order].reshape(150, 74))


def test_pad_bits_are_zero():
    """The bits that fill up a byte hold no spikes, also after an arrangement."""
    raster = Raster.from_dense(np.ones((1, 3), bool)).arrange(np.array([2, 1, 0]))
    assert raster.bits().tolist() == [[[0b11100000]]]


def test_a_different_bit_is_not_identical():
    """One bit is enough, and so is another shape."""
    a, b = np.zeros((2, 9), bool), np.zeros((2, 9), bool)
    b[1, 8] = True
    assert not Raster.from_dense(a).identical(Raster.from_dense(b))
    assert not Raster.from_dense(a).identical(Raster.from_dense(a[:, :8]))


def test_packed_bytes_must_fit_the_bins():
    """Nine bins need two bytes."""
    with pytest.raises(RecordingError, match="9 bins need 2 bytes"):
        Raster(packed=np.zeros((1, 1, 1), np.uint8), n_bins=9)
