"""null_bands: the distribution of population indicators if inputs came in random order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8

from ann2neo.arguments import check_seed, check_whole
from ann2neo.errors import AnalysisError
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.definitions import Over
from ann2neo.measures.indicators import PERMUTED
from ann2neo.recording import Recording
from ann2neo.surrogates.indicators import (
    Values,
    check_confidence,
    indicator_unit,
    indicator_values,
)
from ann2neo.surrogates.permutations import exchangeable_lengths, joint_bin_order

SCHEMA = "ann2neo-null-bands/1"


def null_bands(
    recording: Recording,
    *,
    windows: Any = None,
    over: Over = "windows",
    indicators: Sequence[str] = PERMUTED,
    n_permutations: int = 199,
    seed: int = 0,
    confidence: float = 0.95,
    min_spikes: int = 10,
    progress: bool = True,
) -> pd.DataFrame:
    r"""Compare each indicator of each layer with its null distribution over random orders of the inputs.

    Each of the :math:`B` surrogates is ``permute(recording, how="jointly", seed=seed, number=i)``; windows and labels
    stay in place. All units are permuted jointly, so their correlations are kept, and a band is as wide as their shared
    noise, however many units there are. With :math:`T_0` observed and :math:`T_i` permuted,

    .. math:: p_> = \frac{1 + \#\{i: T_i \ge T_0\}}{1 + B}, \quad p_< = \frac{1 + \#\{i: T_i \le T_0\}}{1 + B},
              \quad p = \min(1, 2 \min(p_>, p_<)),

    exact for any number of permutations if trials are exchangeable. The band reaches from the k-th smallest to the
    k-th largest surrogate, where k is the integer part of :math:`(1 + B)(1 - \mathrm{confidence}) / 2`: without ties, the
    observed value lies strictly outside if and only if p is at most 2 k / (1 + B). Bands and p values apply to one
    indicator of one layer and are not corrected for multiple comparisons; both populations and all indicators share the
    surrogates.

    The null band is NaN for indicators that no permutation changes: mean and variance of rates always, interval measures
    if trials have several bins (no interval leaves a trial), and Fano factors over windows that are single trials.

    Parameters
    ----------
    recording
        Recording whose order of inputs is tested.
    windows
        As in `ann2neo.analyze`.
    over
        As in `ann2neo.analyze`.
    indicators
        Columns of `ann2neo.summarize`.
    n_permutations
        Number B of surrogates.
    seed
        Seed of the permutations.
    confidence
        Share of surrogates that the band contains.
    min_spikes
        Units with fewer spikes, or fewer empty bins, are not "good".
    progress
        Whether to show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row per layer, population ("all", "good") and indicator, the network last: ``value``; ``null_mean``,
        ``null_sd`` (ddof 1), ``null_low``, ``null_high`` of the surrogates; ``p_greater``, ``p_less`` and two-sided
        ``p``.

    Raises
    ------
    AnalysisError
        If an indicator is unknown, there are too few permutations for this confidence, or no two trials can be
        exchanged.
    WindowError
        If the recording does not support the windows.

    See Also
    --------
    ann2neo.surrogates.permute, ann2neo.figures.null_band

    References
    ----------
    Phipson and Smyth (2010), doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> import ann2neo
    >>> tuned = np.repeat(np.eye(2, dtype=bool), 50, axis=0)
    >>> recording = ann2neo.from_array(tuned, labels=np.repeat([0, 1], 50))
    >>> bands = null_bands(recording, indicators=["firing_rate_mean", "fano_mean"], progress=False)
    >>> bands.loc[:1, ["indicator", "value", "null_high", "p"]].round(2)
              indicator  value  null_high     p
    0  firing_rate_mean  500.0        NaN   NaN
    1         fano_mean   25.0        1.0  0.01
    """
    check_confidence(confidence)
    n_permutations, seed = check_whole(n_permutations, "n_permutations", such_as=199), check_seed(seed)
    check_whole(min_spikes, "min_spikes", low=0, such_as=10)
    rank = math.floor((1 + n_permutations) * (1 - confidence) / 2 + 1e-9)
    if rank < 1:
        raise AnalysisError(
            f"{n_permutations} permutations are too few for a band of confidence {confidence:g}.",
            "The band would be too narrow.",
            f"Use n_permutations={math.ceil(2 / (1 - confidence) - 1e-9) - 1} or more.",
        )
    lengths = exchangeable_lengths(recording)
    values = indicator_values(
        recording,
        [partial(_permuted, lengths=lengths, seed=seed, number=number) for number in range(n_permutations)],
        windows=windows,
        over=over,
        indicators=indicators,
        min_spikes=min_spikes,
        progress=progress,
    )
    bands = values.rows.assign(value=values.observed, **_null(values, rank))
    bands.attrs = {
        "schema": SCHEMA,
        **values.facts,
        "permuted": "trials, jointly for all units",
        "n_permutations": n_permutations,
        "seed": seed,
        "confidence": confidence,
        "units": {name: indicator_unit(name) for name in indicators},
    }
    return bands


def rearranged(
    spikes: SpikeBits, dense: UInt8[np.ndarray, "pass unit bin"], *, order: Int[np.ndarray, " bin"]
) -> SpikeBits:
    """Rearrange bins in the same way in all passes and units; windows and labels stay in place.

    Parameters
    ----------
    spikes
        Spikes of some units.
    dense
        Their unpacked bits, shape (pass, unit, bin).
    order
        Bin of a pass whose spikes move to each position, shape (bin,).
    """
    return replace(spikes, bits=np.packbits(dense[:, :, order], axis=2))


def _permuted(
    spikes: SpikeBits,
    dense: UInt8[np.ndarray, "pass unit bin"],
    *,
    lengths: Int[np.ndarray, " trial"],
    seed: int,
    number: int,
) -> SpikeBits:
    # The order is drawn again for every chunk: stored orders of a long recording would take more memory than its spikes.
    return rearranged(spikes, dense, order=joint_bin_order(lengths, seed=seed, number=number))


def _null(values: Values, rank: int) -> dict[str, Float[np.ndarray, " row"]]:
    """Summarize the surrogates of each row, and compare the observed value with them."""
    observed, tolerance = values.observed[:, None], values.tolerance[:, None]
    ascending = np.sort(values.variants, axis=1)
    varies = (np.abs(values.variants - observed) > tolerance).any(axis=1) & np.isfinite(values.variants).all(axis=1)
    n = 1 + values.variants.shape[1]
    greater = (1 + (values.variants >= observed - tolerance).sum(axis=1)) / n
    less = (1 + (values.variants <= observed + tolerance).sum(axis=1)) / n
    columns = {
        "null_mean": values.variants.mean(axis=1),
        "null_sd": values.variants.std(axis=1, ddof=1),
        "null_low": ascending[:, rank - 1],
        "null_high": ascending[:, -rank],
        "p_greater": greater,
        "p_less": less,
        "p": np.minimum(1.0, 2 * np.minimum(greater, less)),
    }
    known = varies & np.isfinite(values.observed)
    return {name: np.where(known, column, np.nan) for name, column in columns.items()}
