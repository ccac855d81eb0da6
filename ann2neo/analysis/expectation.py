"""What chance predicts for each measure of the units of a chunk, given their numbers of spikes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from ann2neo import chance
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.bulk import count_in_windows, count_labels
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import Over, fano_is_fixed, milliseconds_per

Spikes = SpikeBits | SpikeArrays
Expectations = dict[str, Float[np.ndarray, " unit"]]


def expectations(
    spikes: Spikes, n: Int[np.ndarray, "unit stretch"], over: Over, refractory_period: float | None = None
) -> Expectations:
    """Expect each measure given the spikes of each unit in each stretch: over the bins of a lattice, or over continuous time where there is none.

    LvR is only expected with a refractory period, in the unit of time of the spikes.
    """
    if spikes.stretch_bins is not None:
        return _on_lattice(spikes, n, spikes.stretch_bins, over, refractory_period)
    arrays = spikes.arrays() if isinstance(spikes, SpikeBits) else spikes
    return _in_continuous_time(arrays, n, over, refractory_period)


def _on_lattice(
    spikes: Spikes,
    n: Int[np.ndarray, "unit stretch"],
    bins: Int[np.ndarray, " stretch"],
    over: Over,
    period: float | None,
) -> Expectations:
    """Expect each measure for spikes that lie in the bins of each stretch in uniformly random arrangement."""
    if isinstance(spikes, SpikeBits):
        bin_size, ms = spikes.bin_size_ms, 1.0
    else:
        bin_size, ms = float(spikes.stretch_durations.sum() / bins.sum()), milliseconds_per(spikes.time_unit)
    lvr = (
        {} if period is None else {"lvr_expected": chance.expected_lvr(n, bins, refractoriness_bins=period / bin_size)}
    )
    return {
        "isi_mean_expected": chance.expected_isi_mean(n, bins) * (bin_size * ms),
        "isi_var_expected": chance.expected_isi_var(n, bins) * (bin_size * ms) ** 2,
        "cv_expected": chance.expected_cv(n, bins),
        "cv2_expected": chance.expected_cv2(n, bins),
        "lv_expected": chance.expected_lv(n, bins),
        **lvr,
        "fano_expected": _fano_on_lattice(spikes, over),
        "label_share_expected": _label_share(spikes),
    }


def _in_continuous_time(
    spikes: SpikeArrays, n: Int[np.ndarray, "unit stretch"], over: Over, period: float | None
) -> Expectations:
    """Expect each measure for spikes that lie uniformly at random in the time of each stretch."""
    ms, durations = milliseconds_per(spikes.time_unit), spikes.stretch_durations
    lvr = {} if period is None else {"lvr_expected": chance.poisson_expected_lvr(n, durations, refractoriness=period)}
    return {
        "isi_mean_expected": chance.poisson_expected_isi_mean(n, durations) * ms,
        "isi_var_expected": chance.poisson_expected_isi_var(n, durations) * ms**2,
        "cv_expected": chance.poisson_expected_cv(n, durations),
        "cv2_expected": chance.poisson_expected_cv2(n),
        "lv_expected": chance.poisson_expected_lv(n),
        **lvr,
        "fano_expected": _fano_in_continuous_time(spikes, over),
        "label_share_expected": np.full(len(n), np.nan),
    }


def _fano_on_lattice(spikes: Spikes, over: Over) -> Float[np.ndarray, " unit"]:
    if spikes.window_bins is None or fano_is_fixed(spikes.window_bins):
        return np.full(spikes.n_units, np.nan)
    if over == "passes":
        return _fano_over_passes(spikes)
    return chance.expected_fano(_by_pass(spikes), spikes.window_bins, spikes.window_pass)


def _fano_over_passes(spikes: Spikes) -> Float[np.ndarray, " unit"]:
    """Expect it where passes are permuted in each bin; without the bins of a network's passes it is unknown."""
    if not isinstance(spikes, SpikeBits):
        return np.full(spikes.n_units, np.nan)
    n_passes = spikes.bits.shape[0]
    hits = np.unpackbits(spikes.bits, axis=2, count=spikes.pass_bins).sum(axis=0, dtype=np.int64)
    return chance.expected_fano_over_passes(hits, spikes.window[: spikes.pass_bins], n_passes=n_passes)


def _fano_in_continuous_time(spikes: SpikeArrays, over: Over) -> Float[np.ndarray, " unit"]:
    if over == "windows":
        return chance.poisson_expected_fano(_by_pass(spikes), spikes.window_durations, spikes.window_pass)
    # Given its number in a window of all passes, a spike falls into each pass with equal probability.
    n_passes = int(spikes.window_pass.max()) + 1
    return np.where(count_in_windows(spikes).any(axis=1), 1 - 1 / n_passes, np.nan)


def _by_pass(spikes: Spikes) -> Int[np.ndarray, "unit pass"]:
    """Count the spikes inside the windows of each pass."""
    n_passes = int(spikes.window_pass.max()) + 1
    member = spikes.window_pass[:, None] == np.arange(n_passes)
    return count_in_windows(spikes) @ member.astype(np.int64)


def _label_share(spikes: Spikes) -> Float[np.ndarray, " unit"]:
    if spikes.label is None or spikes.label_bins is None:
        return np.full(spikes.n_units, np.nan)
    return chance.expected_label_share(count_labels(spikes).sum(axis=1), spikes.label_bins)
