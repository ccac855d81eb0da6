"""Expected CV2, Lv and IR of one stretch: sums over what two successive intervals can add up to.

Given their sum s, the first of two successive intervals is uniform on 1 ... s - 1, and s has the chance (s - 1) C(L -
s, n - 2) / C(L, n).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln


@lru_cache(maxsize=1 << 17)
def cv2_of_stretch(n: int, bins: int) -> float:
    """Return the expectation of ``2 |I1 - I2| / (I1 + I2)`` for two successive intervals; NaN below 3 spikes.

    Parameters
    ----------
    n
        Spikes in the stretch.
    bins
        Bins of the stretch.

    Examples
    --------
    >>> round(cv2_of_stretch(3, 4), 4)
    0.3333
    """
    if n < 3:
        return np.nan
    sums, chances = _sum_of_two_intervals(n, bins)
    even = sums % 2 == 0
    return float(np.sum(chances * np.where(even, (sums - 2) / (sums - 1), (sums - 1) / sums)))


@lru_cache(maxsize=1 << 17)
def lvr_of_stretch(n: int, bins: int, *, refractoriness_bins: float) -> float:
    """Return the expectation of LvR's term for two successive intervals; NaN below 3 spikes.

    The term is ``3 (I1 - I2)^2 / (I1 + I2)^2 * (1 + 4 R / (I1 + I2))``.

    Parameters
    ----------
    n
        Spikes in the stretch.
    bins
        Bins of the stretch.
    refractoriness_bins
        The refractoriness constant R in bins; 0 gives Lv.

    Examples
    --------
    >>> round(lvr_of_stretch(3, 4, refractoriness_bins=0.0), 4)
    0.1667
    """
    if n < 3:
        return np.nan
    sums, chances = _sum_of_two_intervals(n, bins)
    return float(np.sum(chances * (sums - 2) / sums * (1 + 4 * refractoriness_bins / sums)))


@lru_cache(maxsize=1 << 17)
def ir_of_stretch(n: int, bins: int) -> float:
    """Expect ``|log(I2 / I1)|`` for two successive intervals; NaN below 3 spikes.

    Given their sum s, the first is uniform on 1 ... s - 1, and the mean over these is ``2 log((s - 1)! / (a! (b - 1)!)) / (s - 1)`` with a and b the halves of
    s, rounded down and up: what is above the middle less what is below.

    Parameters
    ----------
    n
        Spikes in the stretch.
    bins
        Bins of the stretch.

    Examples
    --------
    >>> round(ir_of_stretch(3, 4), 4)  # intervals (1,1), (1,2), (2,1), (1,1)
    0.3466
    """
    if n < 3:
        return np.nan
    sums, chances = _sum_of_two_intervals(n, bins)
    below, above = np.floor(sums / 2), np.ceil(sums / 2)
    return float(np.sum(chances * 2 * (gammaln(sums) - gammaln(below + 1) - gammaln(above)) / (sums - 1)))


@lru_cache(maxsize=4)
def _sum_of_two_intervals(n: int, bins: int) -> tuple[Float[np.ndarray, " sum"], Float[np.ndarray, " sum"]]:
    """Possible sums of two successive intervals and their chances, without a tail of less than about 1e-15."""
    # The chance falls at least as fast as s * exp(-(s - 2) (n - 2) / L).
    last = min(bins - n + 2, 2 + int(45 * bins / max(n - 2, 1)) + 1)
    sums = np.arange(2, last + 1, dtype=float)
    steps = sums[:-1] / (sums[:-1] - 1) * (bins - sums[:-1] - n + 2) / (bins - sums[:-1])
    return sums, n * (n - 1) / (bins * (bins - 1.0)) * np.cumprod(np.concatenate(([1.0], steps)))
