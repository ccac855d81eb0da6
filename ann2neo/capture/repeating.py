"""Running again what a store holds, to see whether it would come out the same."""

from __future__ import annotations

import numpy as np

from ann2neo.capture.inputs import Source
from ann2neo.capture.running import Job, run_pass, watching
from ann2neo.store.growing import Growing
from ann2neo.store.layout import open_bits


def gives_its_bits(job: Job, source: Source, growing: Growing) -> bool:
    """Whether the first batch, run again, gives the bits that a store begins with.

    Weights and names are the same where only the code of a model was changed; its spikes are not.
    """
    with watching(job):
        seen = next(run_pass(job, source, 0, progress=False))
    for number, layer in enumerate(growing.layers):
        planes = seen.planes.get(layer.name)
        if planes is None or planes.bits.shape[1] != layer.n_units:
            return False
        n_bins = min(planes.n_bins, growing.column_bins)
        here = np.unpackbits(planes.bits, axis=0, count=n_bins)
        there = open_bits(growing.path, number)[0, :, : -(-n_bins // 8)]
        if not np.array_equal(here.T, np.unpackbits(there, axis=1, count=n_bins)):
            return False
    return True
