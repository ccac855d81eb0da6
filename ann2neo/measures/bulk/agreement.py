"""Agreement of compiled sums and logarithms with those of the installed NumPy and C library, to the last bit."""

from __future__ import annotations

import math
import warnings
from functools import cache

import numpy as np

from ann2neo.errors import Ann2NeoWarning
from ann2neo.measures.bulk import kernels

# Sizes at which NumPy's order of additions changes: eight running sums, blocks of 128, halves at multiples of eight.
SIZES = (1, 7, 8, 9, 15, 16, 127, 128, 129, 136, 255, 257, 1000, 1023, 4097)


@cache
def sums_as_numpy() -> bool:
    """Check, once per process, that compiled sums equal NumPy's on numbers whose sum depends on the order of additions.

    NumPy does not guarantee an order of additions. If it differs from the order of the kernels, the last bits of the bulk engine would differ from Elephant's.
    The reference engine, which is slow and exact, is then used instead, with a warning.

    Examples
    --------
    >>> sums_as_numpy()
    True
    """
    rng = np.random.default_rng(0)
    if not _logs_as_python(rng):
        warnings.warn(
            Ann2NeoWarning(
                "Compiled logarithms are not those of the C library on this computer.\n"
                "Elephant itself computes everything instead, which gives the right numbers and takes about a hundred times as long.\n"
                "Install a numba with which this version of ann2neo was tested (constraints.txt)."
            ),
            stacklevel=4,
        )
        return False
    for size in SIZES:
        values = rng.standard_normal(size) * 10.0 ** rng.integers(-8, 9, size)
        if kernels.pairwise_sum(values, 0, size) != np.add.reduce(values) or not _rows_as_numpy(values):
            warnings.warn(
                Ann2NeoWarning(
                    f"NumPy {np.__version__} adds in an order that the bulk engine does not know.\n"
                    "Elephant is used instead, which gives the same numbers but takes about a hundred times as long.\n"
                    "Install a NumPy with which this version of ann2neo was tested (constraints.txt)."
                ),
                stacklevel=4,
            )
            return False
    return True


def _logs_as_python(rng: np.random.Generator) -> bool:
    """Whether compiled logarithms are those of Python, one by one: of intervals in bins, and of intervals in time."""
    values = np.concatenate([np.arange(1.0, 500.0), rng.exponential(0.01, 500), rng.exponential(100.0, 500)])
    return all(kernels.log_or_nan(value) == math.log(value) for value in values.tolist())


def _rows_as_numpy(values: np.ndarray) -> bool:
    """Whether NumPy adds a row of a table in the same order as a single row."""
    return bool(np.add.reduce(np.stack([values, values]), axis=1)[1] == np.add.reduce(values))
