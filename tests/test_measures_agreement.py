"""The bulk engine is used only with a NumPy whose sums it repeats."""

import numpy as np
import pytest
from strategies import small_recording

import ann2neo
from ann2neo.errors import Ann2NeoWarning
from ann2neo.measures.bulk import agreement, kernels


@pytest.fixture
def another_order(monkeypatch):
    """A NumPy that adds from the first number to the last, as it seems to the kernels."""

    def in_order(values, start, size):
        total = 0.0
        for value in values[start : start + size].tolist():
            total += value
        return total

    agreement.sums_as_numpy.cache_clear()
    monkeypatch.setattr(kernels, "pairwise_sum", in_order)
    yield
    agreement.sums_as_numpy.cache_clear()


def test_another_order_is_noticed_and_elephant_computes(another_order):
    """The right numbers come from the reference, a warning says why it takes long, and the table says who computed it."""
    recording = small_recording(4, 60)
    expected = ann2neo.analyze(recording, engine="elephant", progress=False)
    with pytest.warns(Ann2NeoWarning, match="adds in an order(?s:.*)Elephant is used instead"):
        found = ann2neo.analyze(recording, engine="bulk", progress=False)
    assert found.attrs["engine"] == "elephant"
    assert found.equals(expected)


def test_other_logarithms_are_noticed(monkeypatch):
    """A last bit that differs in one logarithm in a thousand is enough for Elephant to compute."""
    monkeypatch.setattr(
        kernels, "log_or_nan", lambda value: np.nextafter(np.log(value), 9) if value == 7 else np.log(value)
    )
    agreement.sums_as_numpy.cache_clear()
    with pytest.warns(Ann2NeoWarning, match="Compiled logarithms(?s:.*)Elephant itself"):
        assert not agreement.sums_as_numpy()
    agreement.sums_as_numpy.cache_clear()


def test_this_numpy_adds_as_the_kernels_do():
    """Also on numbers of its own, of every size up to some blocks."""
    assert agreement.sums_as_numpy()
    rng = np.random.default_rng(5)
    for size in range(1, 700, 3):
        values = rng.standard_normal(size) * 10.0 ** rng.integers(-12, 12, size)
        assert kernels.pairwise_sum(values, 0, size) == values.sum()
