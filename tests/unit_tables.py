"""Unit tables made with NumPy alone, from simulated spikes: what comparison, figures and report read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

NAN = float("nan")


def unit_table(
    rasters: Mapping[str, np.ndarray], labels: np.ndarray, *, min_spikes: int = 10, **attrs: object
) -> pd.DataFrame:
    """Measure the units of bool rasters (unit, bin) over label windows, one bin per ms."""
    table = pd.concat([_layer(name, raster, labels, min_spikes) for name, raster in rasters.items()], ignore_index=True)
    sizes = np.unique(labels, return_counts=True)[1]
    table.attrs = {
        "schema": "ann2neo-table/1",
        "units": {"firing_rate": "Hz", "isi_mean": "ms", "isi_var": "ms^2"},
        "engine": "bulk",
        "order": "presented",
        "windows": "label",
        "window_min_bins": int(sizes.min()),
        "window_max_bins": int(sizes.max()),
        "n_windows": sizes.size,
        "over": "windows",
        "reference": "Bernoulli given n (lattice)",
        "n_bins": labels.size,
        "bin_size_ms": 1.0,
        "min_spikes": min_spikes,
        "label_share_by": "label",
        "source": "Recording",
        "n_units": len(table),
    } | attrs
    return table


def bernoulli(rng: np.random.Generator, p: np.ndarray, labels: np.ndarray, tuning: float) -> np.ndarray:
    """Draw a raster (unit, bin) whose units prefer one label each."""
    n_labels = labels.max() + 1
    preferred = rng.integers(n_labels, size=p.size)
    gain = np.where(labels[None, :] == preferred[:, None], 1 + tuning * (n_labels - 1), 1 - tuning)
    return rng.random((p.size, labels.size)) < np.clip(p[:, None] * gain, 0, 1)


def network(seed: int, *, rate: float = 0.4, tuning: float = 0.3, n_units: int = 40, **attrs: object) -> pd.DataFrame:
    """Simulate a small network of three layers, with some silent and saturated units, and measure it."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(10), 50))
    rasters = {}
    for depth, layer in enumerate(("fc1", "fc2", "fc3")):
        p = np.clip(rng.beta(2, 2 / rate - 2, n_units), 0, 1)
        p[: n_units // 10] = 0
        p[n_units // 10 : n_units // 8] = 1
        spikes = bernoulli(rng, p, labels, tuning * (depth + 1) / 3)
        spikes[p == 1] = True
        rasters[layer] = spikes
    return unit_table(rasters, labels, **attrs)


def _layer(name: str, raster: np.ndarray, labels: np.ndarray, min_spikes: int) -> pd.DataFrame:
    n_bins, n = labels.size, raster.sum(axis=1)
    w = np.unique(labels, return_counts=True)[1]
    p = n / n_bins
    with np.errstate(invalid="ignore", divide="ignore"):
        counts = np.stack([raster[:, labels == label].sum(axis=1) for label in np.unique(labels)], axis=1)
        fano = counts.var(axis=1) / counts.mean(axis=1)
        chance = (n_bins - n) / (n_bins - 1) * (1 - ((w / n_bins) ** 2).sum()) + n * w.size * w.var() / n_bins**2
        share = ((w / n_bins) * (counts / w - p[:, None]) ** 2).sum(axis=1) / (p * (1 - p))
    share_0 = (w.size - 1) / (n_bins - 1)
    isi = [np.diff(np.flatnonzero(row)) for row in raster]
    few = np.minimum(n, n_bins - n) < min_spikes
    quality = np.select([n == 0, n == n_bins, few], ["silent", "saturated", "too_few"], "good")
    rng = np.random.default_rng(0)
    columns = {
        "layer": name, "unit": np.arange(n.size), "channel": np.arange(n.size), "row": -1, "col": -1,
        "n_spikes": n, "p_spike": p, "firing_rate": 1000 * p,
        "isi_mean": [d.mean() if d.size else NAN for d in isi],
        "isi_var": [d.var() if d.size else NAN for d in isi],
        "cv": [d.std() / d.mean() if d.size else NAN for d in isi],
        "cv2": [_cv2(d) for d in isi], "lv": [_lv(d) for d in isi],
        "fano": fano, "label_share": share, "label_share_adjusted": (share - share_0) / (1 - share_0),
        "cv_expected": np.where(n > 1, np.sqrt(1 - p), NAN), "cv2_expected": NAN, "lv_expected": NAN,
        "fano_expected": np.where(n > 0, chance, NAN), "label_share_expected": np.where(np.isfinite(share), share_0, NAN),
        "dispersion_p": np.where(quality == "good", rng.random(n.size) ** (1 + 4 * np.nan_to_num(share)), NAN),
        "runs_p": np.where(quality == "good", rng.random(n.size), NAN),
        "n_windows": w.size, "quality": quality,
    }  # fmt: skip
    return pd.DataFrame(columns)


def _cv2(d: np.ndarray) -> float:
    return float(np.mean(2 * np.abs(np.diff(d)) / (d[1:] + d[:-1]))) if d.size > 1 else NAN


def _lv(d: np.ndarray) -> float:
    return float(3 * np.mean((np.diff(d) / (d[1:] + d[:-1])) ** 2)) if d.size > 1 else NAN
