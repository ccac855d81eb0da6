"""How often each test rejects: type-I error on trains that are truly random, power on trains that are not."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from ann2neo.arguments import check_number
from ann2neo.chance.axes import by_annotation
from ann2neo.chance.dispersion import dispersion_test, dispersion_test_naive
from ann2neo.chance.isi_law import isi_law_test, isi_law_test_exponential_naive
from ann2neo.chance.runs import runs_test
from ann2neo.chance.stationarity import stationarity_test
from ann2neo.errors import WindowError


@by_annotation
def rejection_rates(
    spikes: Bool[np.ndarray, "unit bin"], window_bins: Int[np.ndarray, " window"], *, level: float = 0.05
) -> dict[str, float]:
    """Return the share of units that each test rejects; units for which it is undefined are left out (NaN where all are).

    Parameters
    ----------
    spikes
        Whether each unit spiked in each bin of one stretch, shape (unit, bin).
    window_bins
        Bins of each window; windows follow one another from the first bin, shape (window,).
    level
        A unit is rejected where its p-value is at most this.

    Raises
    ------
    WindowError, AnalysisError
        If the windows need more bins than there are, or the level is not between 0 and 1.

    See Also
    --------
    ann2neo.chance.false_discovery

    Examples
    --------
    >>> rates = rejection_rates(np.random.default_rng(0).random((400, 1000)) < 0.5, np.full(10, 100))
    >>> {name: round(rate, 2) for name, rate in rates.items() if "naive" not in name}
    {'dispersion': 0.04, 'runs': 0.06, 'isi_law': 0.04, 'stationarity': 0.06}
    """
    check_number(level, "level", above=0, below=1, such_as=0.05)
    if window_bins.sum() > spikes.shape[1]:
        raise WindowError(
            f"Windows of {window_bins.sum()} bins were asked for, but there are {spikes.shape[1]} bins.",
            "Spikes cannot be counted in them.",
            "Use fewer or smaller windows.",
        )
    p_values = _all_tests(spikes, window_bins)
    return {name: _share(p, level) for name, p in p_values.items()}


def _share(p: Float[np.ndarray, " unit"], level: float) -> float:
    known = p[~np.isnan(p)]
    return float(np.mean(known <= level)) if known.size else float("nan")


def _all_tests(
    spikes: Bool[np.ndarray, "unit bin"], window_bins: Int[np.ndarray, " window"]
) -> dict[str, Float[np.ndarray, " unit"]]:
    n_units, n_bins = spikes.shape
    n, bins = spikes.sum(axis=1), np.array([n_bins])
    ends = np.concatenate(([0], np.cumsum(window_bins)))
    counts = np.diff(np.pad(np.cumsum(spikes, axis=1), ((0, 0), (1, 0)))[:, ends], axis=1)
    unit, place = np.nonzero(spikes)
    isis = np.diff(place)[np.diff(unit) == 0]
    offsets = np.concatenate(([0], np.cumsum(np.maximum(n - 1, 0))))
    n_runs = (spikes & ~np.pad(spikes, ((0, 0), (1, 0)))[:, :-1]).sum(axis=1)
    return {
        "dispersion": dispersion_test(counts, window_bins),
        "runs": runs_test(n_runs, n[:, None], bins),
        "isi_law": isi_law_test(isis, offsets, n[:, None], bins, keys=np.arange(n_units)),
        "stationarity": stationarity_test(spikes @ np.arange(n_bins), n, n_bins=n_bins),
        "dispersion_naive": dispersion_test_naive(counts, window_bins),
        "isi_law_exponential_naive": isi_law_test_exponential_naive(isis, offsets),
    }
