"""Where bits go while a model runs: memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Int

from ann2neo.bits import Buffer, Held, Planes, buffer_for
from ann2neo.capture.device.deferred import Deferred
from ann2neo.raster import Raster


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBatch:
    """What is kept of a batch.

    Parameters
    ----------
    planes
        Spikes by layer.
    lengths
        Bins of each input, shape (input,).
    labels, predicted
        Label and predicted class of each input, where they are known, shape (input,).
    stimulus_ids
        Which inputs came out of a collating function, where that is known, shape (input,).
    steps
        Columns of the table of bins: for each input an array with a value for each of its bins, shape (input,).
    """

    planes: Mapping[str, Planes | Held]
    lengths: Int[np.ndarray, " input"]
    labels: Int[np.ndarray, " input"] | None
    predicted: Int[np.ndarray, " input"] | Deferred | None
    stimulus_ids: Int[np.ndarray, " input"] | None = None
    steps: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(slots=True)
class Memory:
    """Batches of several passes, kept as packed bits and what is known of their inputs.

    Parameters
    ----------
    n_bins
        Number of bins of a pass, as far as it is known before.
    """

    n_bins: int | None = None
    passes: list[dict[str, Buffer]] = field(default_factory=list)
    batches: list[list[SeenBatch]] = field(default_factory=list)

    def begin_pass(self) -> None:
        """Begin the next pass."""
        self.passes.append({})
        self.batches.append([])

    def add(self, batch: SeenBatch) -> None:
        """Keep a batch of the pass that was begun last."""
        buffers = self.passes[-1]
        for name, planes in batch.planes.items():
            if name not in buffers:
                buffers[name] = buffer_for(planes, self.n_bins)
            buffers[name].add(planes)
        self.batches[-1].append(replace(batch, planes={}))

    def lengths(self) -> list[Int[np.ndarray, " input"]]:
        """Return the bins of each input in each pass, shape (input,)."""
        return [np.concatenate([batch.lengths for batch in batches]) for batches in self.batches]

    def raster(self, layer: str) -> Raster:
        """Return the spikes of a layer, which are not kept any longer."""
        n_bins = self.passes[0][layer].n_bins
        # Pass by pass, and without a copy where there is one: the bits may take most of the memory.
        first = self.passes[0].pop(layer).pop()
        if len(self.passes) == 1:
            return Raster(packed=first[None], n_bins=n_bins)
        packed = np.empty((len(self.passes), *first.shape), np.uint8)
        packed[0] = first
        for number, buffers in enumerate(self.passes[1:], 1):
            packed[number] = buffers.pop(layer).pop()
        return Raster(packed=packed, n_bins=n_bins)
