"""What a whole analysis of a store costs in time and memory, with and without tests, beside Elephant as people use it.

Run ``python tests/bench/bench_analyze.py``. Each line is a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

P_SPIKE, N_WINDOWS = 0.2, 100

TASK = """
import json, resource, sys, time
import ann2neo
path, tests, windows = sys.argv[1], sys.argv[2] == "tests", int(sys.argv[3])
small = ann2neo.load(path).select(units=slice(0, 8))
ann2neo.analyze(small, windows=windows, progress=False)  # compiled kernels are loaded
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
table = ann2neo.analyze(ann2neo.load(path), windows=windows, tests=tests, progress=False)
taken, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": taken, "start_mb": before / 1024, "peak_mb": after / 1024, "units": len(table)}))
"""


def make_store(path: Path, n_units: int, n_bins: int) -> None:
    """Write units that spike independently in each bin, a thousand at a time."""
    import ann2neo
    from ann2neo.raster import Raster
    from ann2neo.recording import Layer, Recording, make_trials

    rng = np.random.default_rng(0)
    packed = np.concatenate(
        [np.packbits(rng.random((min(1000, n_units - i), n_bins)) < P_SPIKE, axis=1) for i in range(0, n_units, 1000)]
    )[None]
    layer = Layer(
        name="relu",
        shape=(n_units,),
        dtype="float32",
        units=np.arange(n_units),
        thresholds=np.zeros(n_units),
        raster=Raster(packed=packed, n_bins=n_bins),
    )
    ids = np.arange(n_bins)
    known = {"schema": "ann2neo/1", "input_order": "presented"}
    ann2neo.save(
        Recording(layers=(layer,), trials=make_trials(n_bins, stimulus_id=ids), bin_size_ms=1.0, provenance=known), path
    )


def analyze(path: Path, kind: str, windows: int) -> dict[str, float]:
    """Analyze a store in a process of its own."""
    command = [sys.executable, "-c", TASK, str(path), kind, str(windows)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_memory_is_set_by_a_chunk(tmp_path):
    """Four times the units of a store take no more memory, beyond their rows of the table."""
    peaks = []
    for n_units in (10_000, 40_000):
        make_store(tmp_path / f"{n_units}.zarr", n_units, 10_000)
        found = analyze(tmp_path / f"{n_units}.zarr", "plain", 100)
        peaks.append(found["peak_mb"] - found["start_mb"])
    assert peaks[1] < peaks[0] + 150


def main() -> None:
    """Print seconds and memory."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--units", type=int, default=100_000)
    options.add_argument("--bins", type=int, default=10_000)
    n_units, n_bins = vars(options.parse_args()).values()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rec.zarr"
        start = time.perf_counter()
        make_store(path, n_units, n_bins)
        print(
            f"{n_units} units x {n_bins} bins, p = {P_SPIKE}, {N_WINDOWS} windows; made in {time.perf_counter() - start:.0f} s"
        )
        for kind in ("plain", "tests"):
            found = analyze(path, kind, n_bins // N_WINDOWS)
            print(
                f"{kind:8} {found['seconds']:7.1f} s, peak {found['peak_mb']:6.0f} MB ({found['start_mb']:.0f} MB before)"
            )
    print(f"this process peaked at {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
