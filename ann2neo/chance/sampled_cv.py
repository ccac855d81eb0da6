"""Expected coefficient of variation of a few intervals, sampled with a fixed seed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from ann2neo.chance.pairs import cv2_of_stretch
from ann2neo.chance.spacings import IsiSums, isi_sums

SAMPLED_UP_TO = 64
_DRAWS = 1 << 22


@lru_cache(maxsize=1 << 14)
def sampled_cv(n: int, size: float | int, *, lattice: bool) -> float:
    """Give the expected coefficient of variation of the n - 1 intervals of one stretch.

    NaN below 2 spikes, 0 at 2, exact at 3; otherwise the mean over at least 8,000 random arrangements, of which what
    the sums of intervals and of their squares explain to second order is replaced by its known expectation.

    Parameters
    ----------
    n
        Spikes in the stretch.
    size
        Bins (lattice) or duration of the stretch.
    lattice
        Whether spikes lie on bins or anywhere in continuous time.

    Examples
    --------
    >>> sampled_cv(2, 10, lattice=True)
    0.0
    """
    if n < 3:
        return 0.0 if n == 2 else np.nan
    if n == 3:  # the CV of two intervals is half of their CV2
        return cv2_of_stretch(n, int(size)) / 2 if lattice else 0.5
    rng = np.random.default_rng((n, int(size) if lattice else 0, lattice))
    scale = size if lattice else 1.0
    isis = random_gaps(n, scale, max(_DRAWS // n**2, 1 << 13), rng, lattice=lattice)[:, 1:-1]
    total, squares = isis.sum(axis=1), (isis**2).sum(axis=1)
    sums = isi_sums(np.array([[n]]), np.array([scale]), lattice=lattice)
    cv = np.sqrt(np.maximum((n - 1) * squares / total**2 - 1, 0))
    controls = _controls(total - sums.total, squares - sums.squares, sums)
    slopes = np.linalg.lstsq((controls - controls.mean(axis=1, keepdims=True)).T, cv - cv.mean(), rcond=None)[0]
    return float(cv.mean() - slopes @ controls.mean(axis=1))


def _controls(
    total: Float[np.ndarray, " draw"], squares: Float[np.ndarray, " draw"], sums: IsiSums
) -> Float[np.ndarray, "control draw"]:
    """Deviations of the two sums and their products, each scaled and less its known expectation."""
    x, y = total / sums.total, squares / sums.squares
    products = (
        x * x - sums.var_total / sums.total**2,
        x * y - sums.covariance / (sums.total * sums.squares),
        y * y - sums.var_squares / sums.squares**2,
    )
    return np.stack([x, y, *products])


def random_gaps(
    n: int, size: float | int, draws: int, rng: np.random.Generator, *, lattice: bool
) -> Float[np.ndarray, "draw gap"]:
    """Draw the n + 1 gaps between start, n uniformly arranged spikes and end; on bins they add up to size + 1.

    Uniform compositions are Dirichlet-multinomial: draw a split of the line, then drop the empty bins into it.

    Parameters
    ----------
    n
        Spikes in the stretch.
    size
        Bins (lattice) or duration of the stretch.
    draws
        Number of arrangements.
    rng
        Source of randomness.
    lattice
        Whether spikes lie on bins or anywhere in continuous time.

    Examples
    --------
    >>> random_gaps(3, 10, 2, np.random.default_rng(0), lattice=True).sum(axis=1)
    array([11., 11.])
    """
    split = rng.standard_exponential((draws, n + 1))
    split /= split.sum(axis=1, keepdims=True)
    return rng.multinomial(int(size) - n, split) + 1.0 if lattice else split * size
