"""What a Block of many units costs beside neo's own constructor: ratios in one run.

Run ``python tests/bench/bench_trains.py``. The constructor is measured on some units and extrapolated in proportion to their number.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time

import neo
import numpy as np
import quantities as pq

import ann2neo
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording, make_trials


def random_recording(n_units: int, n_bins: int) -> Recording:
    """Units that spike independently in each bin."""
    rng = np.random.default_rng(0)
    rows = [np.packbits(rng.random((min(1000, n_units - i), n_bins)) < 0.2, axis=1) for i in range(0, n_units, 1000)]
    layer = Layer(
        name="relu",
        shape=(n_units,),
        dtype="float32",
        units=np.arange(n_units),
        thresholds=np.zeros(n_units),
        raster=Raster(packed=np.concatenate(rows)[None], n_bins=n_bins),
    )
    trials = make_trials(n_bins, stimulus_id=np.arange(n_bins))
    return Recording(layers=(layer,), trials=trials, bin_size_ms=1.0, provenance={"schema": "ann2neo/1"})


def by_constructor(recording: Recording, n_units: int) -> float:
    """Seconds for some trains by neo's own constructor, as its documentation writes it."""
    bins, offsets = recording.layers[0].raster.spike_bins(slice(0, n_units))
    start = time.perf_counter()
    for a, b in itertools.pairwise(offsets):
        neo.SpikeTrain(
            bins[a:b] + 0.25, units="ms", t_stop=recording.n_bins * pq.ms, sampling_rate=1 * pq.kHz, layer="relu"
        )
    return time.perf_counter() - start


def touch_all(block: neo.Block) -> float:
    """Seconds to touch every train."""
    start = time.perf_counter()
    assert sum(len(train) for train in block.segments[0].spiketrains) > 0
    return time.perf_counter() - start


def test_trains_are_made_faster_than_by_the_constructor_and_not_kept():
    """Touching all trains of a large Block takes less than half the time of the constructor."""
    recording = random_recording(10_000, 10_000)
    by_constructor(recording, 100)
    block = ann2neo.to_block(recording)
    touch_all(ann2neo.to_block(recording.select(units=slice(0, 100))))
    assert touch_all(block) < 0.5 * by_constructor(recording, 2000) * 5


def main() -> None:
    """Print seconds, ratios and memory."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--units", type=int, default=100_000)
    options.add_argument("--bins", type=int, default=10_000)
    n_units, n_bins = vars(options.parse_args()).values()
    recording = random_recording(n_units, n_bins)
    ann2neo.to_block(recording.select(units=slice(0, 10)))
    by_constructor(recording, 100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    block = ann2neo.to_block(recording)
    made = time.perf_counter() - start
    touched = touch_all(block)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    constructed = by_constructor(recording, 2000) / 2000 * n_units
    print(f"{n_units} units x {n_bins} bins, p = 0.2")
    print(f"Block {made:.2f} s; touching all trains {touched:.1f} s; memory grew by {grown:.0f} MB")
    print(f"neo's constructor (2000 units, extrapolated) {constructed:.1f} s: {constructed / (made + touched):.1f} x")


if __name__ == "__main__":
    main()
