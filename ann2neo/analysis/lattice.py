"""A recording as chunks of packed bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ann2neo.analysis.source import Chunk, Source, identity
from ann2neo.errors import WindowError
from ann2neo.measures.bits import SpikeBits
from ann2neo.recording import Recording
from ann2neo.windows import Windows, make_windows, windows_by_column


def recording_source(recording: Recording, windows: Any) -> Source:
    """Cut a recording into chunks.

    Raises
    ------
    WindowError
        If the recording does not support the windows.
    """
    made = make_windows(recording.trials, _in_bins(windows, recording.bin_size_ms))
    classes = _classes(recording, made)
    provenance = recording.provenance
    order = {key.removeprefix("input_"): provenance[key] for key in _ORDER if key in provenance}
    return Source(
        chunks=_Chunks(recording, made, classes),
        n_units=recording.n_units,
        facts={
            "source": "ann2neo recording",
            "order": "presented",
            **order,
            **window_facts(made.kind, made.n_bins, "bins"),
            "label_share_by": None if classes is None else classes.kind,
            "n_passes": recording.n_passes,
            "n_bins": recording.n_bins,
            "bin_size_ms": recording.bin_size_ms,
            "time_unit": "ms",
        },
    )


_ORDER = ("input_order", "input_order_sha256", "input_order_seed")


class _Chunks:
    """The units of all layers in chunks of bounded size; can be gone through several times."""

    def __init__(self, recording: Recording, windows: Windows, classes: Windows | None) -> None:
        self._recording, self._windows, self._classes = recording, windows, classes

    def __iter__(self) -> Iterator[Chunk]:
        recording = self._recording
        label = None if self._classes is None else _over_passes(self._classes)
        for layer in recording.layers:
            table = identity(layer.name, layer.units, layer.coordinates)
            for units in layer.raster.chunks():
                spikes = SpikeBits(
                    bits=layer.raster.bits(units),
                    pass_bins=layer.raster.n_bins,
                    bin_size_ms=float(recording.bin_size_ms),
                    stretch_edges=recording.stretches,
                    window=self._windows.ids,
                    window_pass=self._windows.of_pass,
                    label=label,
                )
                yield Chunk(units=table.iloc[units].reset_index(drop=True), spikes=spikes)


def window_facts(kind: str, sizes: np.ndarray, unit: str) -> dict[str, Any]:
    """Say how many windows there are and how unequal they are."""
    return {
        "windows": kind,
        "n_windows": int(sizes.size),
        f"window_min_{unit}": sizes.min().item(),
        f"window_max_{unit}": sizes.max().item(),
    }


def _in_bins(windows: Any, bin_size_ms: float) -> str | int | None:
    """Turn a duration into a number of bins."""
    if not hasattr(windows, "rescale"):
        return windows
    n_bins = float(windows.rescale("ms")) / bin_size_ms
    if n_bins != round(n_bins) or n_bins < 1:
        raise WindowError(
            f"Windows of {windows} are {n_bins} bins of {bin_size_ms} ms.",
            "Spikes are counted in whole bins.",
            f"Use a multiple of {bin_size_ms} ms, or a number of bins.",
        )
    return round(n_bins)


def _classes(recording: Recording, windows: Windows) -> Windows | None:
    """Choose the classes of the label share: those of the windows, where these are classes; else the labels, where there are any."""
    if windows.kind in recording.trials.columns and windows.kind != "trial":
        return windows
    return windows_by_column(recording.trials, "label") if "label" in recording.trials.columns else None


def _over_passes(classes: Windows) -> np.ndarray:
    """Give a class the same number in every pass."""
    n_classes = int(np.count_nonzero(classes.of_pass == 0))
    return np.where(classes.ids >= 0, classes.ids % n_classes, -1)
