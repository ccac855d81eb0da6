"""Quantiles, means and deviations of a stream are those of all its values together, in any order and any memory."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ann2neo.errors import InputsError
from ann2neo.thresholds import Moments, Selection
from ann2neo.thresholds.selection import ordered_keys, place_of, values_of

ORDERS = {
    "as drawn": lambda values: values,
    "ascending": lambda values: np.sort(values, axis=0),
    "descending": lambda values: np.sort(values, axis=0)[::-1],
    "one half, then the other": lambda values: np.concatenate(
        [np.sort(values, axis=0)[::2], np.sort(values, axis=0)[1::2]]
    ),
}
floats = st.sampled_from([np.float16, np.float32, np.float64]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40),
        elements=st.one_of(
            st.sampled_from([0.0, -0.0, 1.0]),
            st.floats(allow_nan=False, allow_infinity=False, width=np.dtype(dtype).itemsize * 8),
        ),
    )
)


def read(selection, blocks):
    """Read a stream as often as needed."""
    while True:
        for block in blocks:
            selection.add(block)
        if selection.end_reading():
            return selection


def expected(values, q):
    return np.quantile(values.astype(np.float64), q, axis=0, method="inverted_cdf")


@settings(max_examples=80, deadline=None)
@given(
    values=floats,
    q=st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0])),
    max_bytes=st.sampled_from([1, 100, 400, 2000, 10**6]),
    order=st.sampled_from(list(ORDERS)),
    n_blocks=st.integers(1, 5),
    n_more=st.sampled_from([None, 0, -3, 5]),
)
def test_a_quantile_is_numpys_in_any_order_and_memory(values, q, max_bytes, order, n_blocks, n_more):
    """NumPy's inverted_cdf to the bit, also where more or fewer values come than were expected; at most a share 1 - q lies above."""
    values = ORDERS[order](values)
    n_expected = None if n_more is None else max(len(values) + n_more, 0)
    blocks = [block for block in np.array_split(values, n_blocks) if len(block)]
    found = read(Selection(q, max_bytes=max_bytes, n_expected=n_expected), blocks)
    assert found.values.dtype == values.dtype
    assert (found.values == expected(values, q)).all()
    assert not np.signbit(found.values[found.values == 0]).any()
    assert found.n_values == len(values)
    assert found.n_readings <= 2 + 8 * max(values.itemsize, 4)
    assert ((values > found.values).sum(axis=0) <= len(values) - len(values) * q + 1e-9).all()


def columns(n_values, dtype=np.float32):
    """Values without ties, values of which half are zero, values of which there are three, and one value; some columns of each."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(n_values, 120))
    noise[:, 30:60] = np.maximum(noise[:, 30:60], 0)
    noise[:, 60:90] = np.rint(noise[:, 60:90]).clip(-1, 1)
    noise[:, 90:] = -0.75
    return noise.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("q", [0.1, 0.5, 0.95])
def test_one_reading_is_enough_for_values_in_random_order(q, dtype):
    """Memory for an eighth of the values, and the place of a quantile is not missed; fewer bytes for other readings, and still it is found."""
    values = columns(8000, dtype)
    eighth = 1000 * 120 * max(values.itemsize, 4)
    for n_expected in (8000, None):
        found = read(Selection(q, max_bytes=eighth, n_expected=n_expected), np.array_split(values, 50))
        assert (found.values == expected(values, q)).all()
        assert found.n_readings == 1
    little = read(Selection(q, max_bytes=eighth // 60), np.array_split(values, 50))
    assert (little.values == expected(values, q)).all()


@pytest.mark.parametrize("order", list(ORDERS))
def test_few_readings_are_enough_in_any_order(order):
    """Where the limits went astray, counting finds the way: 16 bits of float32 in each reading, of which the last keeps what is left."""
    values = ORDERS[order](columns(4000))
    found = read(Selection(0.3, max_bytes=120 * 250 * 4, n_expected=4000), np.array_split(values, 50))
    assert (found.values == expected(values, 0.3)).all()
    assert found.n_readings <= 4


@pytest.mark.parametrize("order", list(ORDERS))
def test_an_extreme_quantile_needs_one_reading_in_any_order(order):
    """If the number of values is known, memory for those beyond the quantile is enough."""
    values = ORDERS[order](columns(4000))
    found = read(Selection(0.95, max_bytes=120 * 300 * 4, n_expected=4000), np.array_split(values, 7))
    assert (found.values == expected(values, 0.95)).all()
    assert found.n_readings == 1


@given(values=floats)
def test_keys_have_the_order_of_the_values(values):
    """Numbers and their keys are ordered alike, and keys are turned back into their numbers."""
    flat = values.reshape(-1)
    keys = ordered_keys(flat)
    assert ((flat[:, None] < flat) == (keys[:, None] < keys)).all()
    assert (values_of(keys) == flat).all()


@pytest.mark.parametrize("n", [1, 2, 3, 10, 37, 1000])
def test_places_are_numpys(n):
    """The place is the one at which NumPy takes its value."""
    for q in [*np.linspace(0, 1, 101), 0.07, 0.7, 1 / 3]:
        assert place_of(q, n) == np.quantile(np.arange(n, dtype=float), q, method="inverted_cdf")


def test_inputs_that_change_between_readings_are_noticed():
    """Random augmentation would make a quantile of nothing."""
    selection = Selection(0.5, max_bytes=32)
    rising = np.arange(90, dtype=np.float32).reshape(-1, 1).repeat(3, axis=1)
    selection.add(rising)
    assert not selection.end_reading()
    with pytest.raises(InputsError, match="not known yet"):
        _ = selection.values
    changed = rising.copy()
    changed[7, 1] += 0.5
    changed[80, 2] -= 0.5
    selection.add(changed)
    with pytest.raises(InputsError, match=r"again \(2 columns"):
        selection.end_reading()


def test_nothing_has_no_quantile():
    """An empty stream is refused."""
    with pytest.raises(InputsError, match="no values"):
        Selection(0.5).end_reading()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("n_blocks", [1, 2, 7, 400])
def test_moments_are_those_of_two_passes(scale, n_blocks):
    """Merged batches agree with NumPy over all values to 1e-12, also where the mean is large beside the standard deviation."""
    values = np.random.default_rng(0).normal(scale, [1.0, 1e-2, 10.0], (400, 3))
    values[:, 2] = np.abs(values[:, 2]) ** 3
    moments = Moments()
    for block in np.array_split(values, n_blocks):
        moments.add(block)
    assert moments.n_values == 400
    np.testing.assert_allclose(moments.mean, values.mean(axis=0), rtol=1e-12)
    # Deviations from the mean cannot be known better than the values: one part in 2^53 of the mean.
    exact = np.array(
        [np.sqrt(np.mean((column - column[0]) ** 2) - np.mean(column - column[0]) ** 2) for column in values.T]
    )
    np.testing.assert_allclose(moments.sd, values.std(axis=0), rtol=1e-12, atol=4e-16 * scale)
    np.testing.assert_allclose(moments.sd, exact, rtol=1e-9)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e300, -7.7])
def test_a_constant_has_no_deviation(value):
    """Not even by rounding, or a unit that never changes would spike always or never by chance."""
    moments = Moments()
    for size in (3, 7, 11):
        moments.add(np.full((size, 2), value))
    assert (moments.mean == value).all()
    assert (moments.sd == 0).all()
