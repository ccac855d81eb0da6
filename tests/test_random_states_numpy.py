# ruff: noqa: NPY002
"""What is restored of NumPy's global generator, however it is read."""

import random

import numpy as np
import pytest
import torch

from ann2neo.probe.state import has_drawn, random_states, random_states_kept, set_random_states

DRAWS = {
    "number": lambda: np.random.rand(),
    "normal": lambda: np.random.randn(),
    "two normals": lambda: np.random.randn(2),
    "many": lambda: np.random.rand(2000),
    "seed": lambda: np.random.seed(3),
    "torch": lambda: torch.rand(1),
    "python": lambda: random.random(),
}


@pytest.fixture(autouse=True)
def _generator():
    """Every test begins with the usual generator, and leaves none of its own."""
    before = np.random.get_bit_generator()
    np.random.seed(0)
    yield
    np.random.set_bit_generator(before)


@pytest.mark.parametrize("kind", ["usual", "half a pair is kept", "another generator"])
@pytest.mark.parametrize("draw", DRAWS)
def test_what_was_drawn_is_seen_and_drawn_again(kind, draw):
    """Also the second of two normal numbers, which changes nothing but that it is used up."""
    if kind == "half a pair is kept":
        np.random.randn()
    elif kind == "another generator":
        np.random.set_bit_generator(np.random.PCG64(5))
        if draw == "seed":
            pytest.skip("NumPy seeds no other generator so")
    before = random_states()
    assert not has_drawn(before)
    first = DRAWS[draw]()
    assert has_drawn(before)
    set_random_states(before)
    assert not has_drawn(before)
    assert np.array_equal(DRAWS[draw](), first) or first is None
    np.random.rand(5)
    with random_states_kept() as now:
        DRAWS[draw]()
        assert has_drawn(now)
    assert not has_drawn(now)
    numbers = np.random.randn(5)
    set_random_states(now)
    assert np.array_equal(np.random.randn(5), numbers)
