"""How much faster the bulk engine is than Elephant as people use it: ratios in one run.

Run ``python tests/bench/bench_measures.py``. The natural way is measured on a few units and extrapolated in proportion
to their number; the bulk engine from bits is measured on all of them.
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from dataclasses import replace

import numpy as np

from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.bulk import measure_bits, measure_bulk
from ann2neo.measures.reference import measure_reference

P_SPIKE = 0.2
N_WINDOWS = 100


def random_units(n_units: int, n_bins: int, seed: int = 0) -> SpikeBits:
    """Units that spike independently in each bin, in windows that follow one another."""
    rng = np.random.default_rng(seed)
    rows = [
        np.packbits(rng.random((min(1000, n_units - i), n_bins)) < P_SPIKE, axis=1) for i in range(0, n_units, 1000)
    ]
    return SpikeBits(
        bits=np.concatenate(rows)[None],
        pass_bins=n_bins,
        bin_size_ms=1.0,
        stretch_edges=np.array([0, n_bins]),
        window=np.arange(n_bins) * N_WINDOWS // n_bins,
        window_pass=np.zeros(N_WINDOWS, np.int64),
    )


def seconds(task, *args, **options) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    task(*args, **options)
    return time.perf_counter() - start


def natural_elephant(spikes: SpikeBits) -> list[dict[str, float]]:
    """Measure each unit as Elephant's tutorials do: a train, its intervals, and slices of it for the Fano factor."""
    import elephant.statistics as es
    import neo
    import quantities as pq

    rows = []
    dense = np.unpackbits(spikes.bits[0], axis=1, count=spikes.n_bins)
    edges = np.linspace(0, spikes.n_bins, N_WINDOWS + 1) * pq.ms
    for row in dense:
        train = neo.SpikeTrain((np.flatnonzero(row) + 0.25) * pq.ms, t_stop=spikes.n_bins * pq.ms)
        isi = es.isi(train)
        rows.append(
            {
                "firing_rate": float(es.mean_firing_rate(train).rescale("Hz")),
                "isi_mean": float(np.mean(isi)),
                "isi_var": float(np.var(isi.magnitude)),
                "cv": float(es.cv(isi.magnitude)),
                "cv2": float(es.cv2(isi)),
                "lv": float(es.lv(isi)),
                "fano": float(es.fanofactor([train.time_slice(a, b) for a, b in itertools.pairwise(edges)])),
            }
        )
    return rows


def test_bulk_is_hundreds_of_times_faster_than_natural_use_and_gives_its_bits():
    """At 1e4 bins and 100 windows, bits take under a hundredth of the time of natural use, with the same numbers."""
    spikes = random_units(512, 10_000)
    few = replace(spikes, bits=spikes.bits[:, :4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        natural_elephant(replace(spikes, bits=spikes.bits[:, :1]))
        start = time.perf_counter()
        expected = natural_elephant(few)
        natural = (time.perf_counter() - start) / 4
    measured = measure_bits(few)
    assert [{name: measured[name][unit] for name in row} for unit, row in enumerate(expected)] == expected
    bulk = seconds(measure_bits, spikes, n_threads=1) / 512
    assert natural / bulk > 100


def test_time_grows_in_proportion_to_units_and_bins():
    """Four times as many units or bins take about four times as long, not sixteen."""
    measure_bits(random_units(64, 800))
    base = min(seconds(measure_bits, random_units(1024, 4000), n_threads=1) for _ in range(3))
    more_units = min(seconds(measure_bits, random_units(4096, 4000), n_threads=1) for _ in range(3))
    more_bins = min(seconds(measure_bits, random_units(1024, 16_000), n_threads=1) for _ in range(3))
    assert more_units / base < 8
    assert more_bins / base < 8


def main() -> None:
    """Print seconds and ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--units", type=int, default=100_000)
    options.add_argument("--bins", type=int, default=10_000)
    n_units, n_bins = vars(options.parse_args()).values()
    warnings.simplefilter("ignore")
    few, some, all_units = random_units(8, n_bins), random_units(2000, n_bins), random_units(n_units, n_bins)
    for warm_up in (natural_elephant, measure_bits):
        warm_up(random_units(1, 800))
    measure_bulk(random_units(1, 800).arrays())
    times = {
        "Elephant, natural use (8 units, extrapolated)": seconds(natural_elephant, few) / 8 * n_units,
        "reference engine (8 units, extrapolated)": seconds(measure_reference, few.arrays()) / 8 * n_units,
        "bulk from times, 1 thread (2000 units, extrapolated)": seconds(measure_bulk, some.arrays(), n_threads=1)
        / 2000
        * n_units,
        "bulk from bits, 1 thread": seconds(measure_bits, all_units, n_threads=1),
        "bulk from bits, all processors": seconds(measure_bits, all_units),
    }
    natural = next(iter(times.values()))
    print(f"{n_units} units x {n_bins} bins, p = {P_SPIKE}, {N_WINDOWS} windows")
    for name, taken in times.items():
        print(f"{name:55} {taken:10.1f} s   {natural / taken:8.0f} x")


if __name__ == "__main__":
    main()
