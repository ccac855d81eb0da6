"""The checks of annotations that the other tests run under see what they are to see."""

import weakref
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import numpy as np
import pytest
from jaxtyping import Bool, Int, TypeCheckError
from signatures import checked, compiled

from ann2neo.raster import Raster
from ann2neo.windows import make_windows, sums_by_code

P, R = ParamSpec("P"), TypeVar("R")
Rows = Bool[np.ndarray, "unit bin"]
CLOSURE = """
from __future__ import annotations
def keep(rows: Rows):
    def kept() -> np.ndarray:
        return rows
    return kept
"""


@checked
def paired(rows: Rows, counts: Int[np.ndarray, " unit"]) -> Int[np.ndarray, " bin"]:
    return np.zeros(len(counts), int)


@checked
def named(name: str, n: int | None = None) -> str:
    return name if n is None else n


@checked
def numbered(names: list[str]) -> Iterator[str]:
    yield from names


@checked
def again(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    return function(*args, **kwargs)


def test_axes_of_one_name_have_one_length():
    """Also where one of them is named by an alias, and in what is returned."""
    square = np.zeros((3, 3), bool)
    assert paired(square, np.zeros(3, int)).shape == (3,)
    for rows, counts in ((square, np.zeros(2, int)), (np.zeros((3, 2), bool), np.zeros(3, int))):
        with pytest.raises(TypeCheckError):
            paired(rows, counts)


def test_what_is_no_array_is_checked_too():
    """Arguments and what is returned, of functions, generators and wrappers."""
    assert (named("a"), list(numbered(["a"])), again(named, "a")) == ("a", ["a"], "a")
    for wrong in (lambda: named(3), lambda: named("a", 3), lambda: numbered([3]), lambda: again(3)):
        with pytest.raises(TypeCheckError):
            list(wrong())


def test_the_package_is_checked():
    """Public functions, functions of arrays, methods and what dataclasses are made of."""
    raster = Raster.from_dense(np.eye(3, dtype=bool))
    for wrong in (
        lambda: sums_by_code(np.ones((2, 3)), np.zeros(2, int), 1),
        lambda: make_windows([], 3),
        lambda: raster.take([0]),
        lambda: Raster(packed=np.zeros((1, 3, 1), np.uint8), n_bins=3, rows=[0, 1, 2]),
    ):
        with pytest.raises(TypeCheckError):
            wrong()


def test_functions_within_functions_are_let_go():
    """What a closure holds on to ends with it; the function around it is checked."""
    names = {"Rows": Rows, "np": np, "__name__": __name__}
    exec(compiled(CLOSURE, "source"), names)
    rows = np.ones((2, 3), bool)
    kept, alive = names["keep"](rows), weakref.ref(rows)
    assert kept() is rows
    del rows, kept
    assert alive() is None
    with pytest.raises(TypeCheckError):
        names["keep"](np.ones(2, bool))
