"""What NWB costs: time and memory for very many spikes, and beside neo's own writer and reader; ratios in one run, of processor time,
because the machine may be shared.

Run ``python tests/bench/bench_nwb.py``. neo's NWBIO can be measured on fewer units (``--neo-units``) and extrapolated in proportion to their number.
``--units 0`` leaves out the long part.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import neo
from bench_trains import random_recording

import ann2neo

LIMIT_MB = 2000


def megabytes() -> float:
    """Most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(step: str, store: Path, nwb: Path) -> tuple[float, float]:
    """Run a step in a process of its own; seconds and megabytes."""
    done = subprocess.run(
        [sys.executable, __file__, "--step", step, "--store", str(store), "--nwb", str(nwb)],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, most = map(float, done.stdout.split())
    return seconds, most


def run_step(step: str, store: Path, nwb: Path) -> None:
    """Write the store as NWB, or read the NWB file and compare it with the store; print seconds and megabytes."""
    recording = ann2neo.load(store)
    start = time.perf_counter()
    if step == "write":
        ann2neo.save(recording, nwb)
        seconds = time.perf_counter() - start
    else:
        found = ann2neo.load(nwb)
        seconds = time.perf_counter() - start
        assert found.identical(recording)
    print(seconds, megabytes())


def by_neo(n_units: int, n_bins: int, folder: Path) -> tuple[float, float]:
    """Seconds of processor time for some units through neo's NWBIO, written and read."""
    block = ann2neo.to_block(random_recording(n_units, n_bins))
    block.annotations = {"session_start_time": datetime.now(UTC), "session_description": "x", "identifier": "x"}
    path = folder / "neo.nwb"
    start = time.process_time()
    neo.io.NWBIO(str(path), "w").write_all_blocks([block])
    written = time.process_time() - start
    start = time.process_time()
    neo.io.NWBIO(str(path), "r").read_block()
    return written, time.process_time() - start


def ours(n_units: int, n_bins: int, folder: Path) -> tuple[float, float]:
    """Seconds of processor time for all units, written and read: the best of three, because they are short."""
    recording, path = random_recording(n_units, n_bins), folder / "ours.nwb"
    written, read = [], []
    for _ in range(3):
        start = time.process_time()
        ann2neo.save(recording, path, overwrite=True)
        written.append(time.process_time() - start)
        start = time.process_time()
        found = ann2neo.load(path)
        read.append(time.process_time() - start)
        assert found.identical(recording)
    return min(written), min(read)


def test_twenty_million_spikes_take_little_memory(tmp_path):
    """2e7 spikes, 160 MB as times, are written and read back exactly in less memory than times and dense bits would take together."""
    ann2neo.save(random_recording(10_000, 10_000), tmp_path / "a.zarr")
    for step in ("write", "read"):
        _, most = child(step, tmp_path / "a.zarr", tmp_path / "a.nwb")
        assert most < LIMIT_MB / 2


def test_much_faster_than_neo(tmp_path):
    """A unit with few spikes costs at least thirty times less than by neo's NWBIO, written and read."""
    theirs, mine = by_neo(200, 200, tmp_path), ours(4000, 200, tmp_path)
    assert theirs[0] * 20 > 30 * mine[0]
    assert theirs[1] * 20 > 30 * mine[1]


def main() -> None:
    """Print seconds, ratios and memory."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--units", type=int, default=100_000)
    options.add_argument("--bins", type=int, default=10_000)
    options.add_argument("--neo-units", type=int, default=10_000)
    options.add_argument("--step")
    options.add_argument("--store", type=Path)
    options.add_argument("--nwb", type=Path)
    chosen = options.parse_args()
    if chosen.step:
        run_step(chosen.step, chosen.store, chosen.nwb)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if chosen.units:
            ann2neo.save(random_recording(chosen.units, chosen.bins), folder / "a.zarr")
            for step in ("write", "read"):
                seconds, most = child(step, folder / "a.zarr", folder / "a.nwb")
                print(
                    f"{step} {chosen.units} units x {chosen.bins} bins at p = 0.2: {seconds:.0f} s, {most:.0f} MB of memory"
                )
            print(f"file: {(folder / 'a.nwb').stat().st_size / 1e6:.0f} MB")
        for n_bins in (100, 1000):
            theirs, mine = by_neo(chosen.neo_units, n_bins, folder), ours(10_000, n_bins, folder)
            for what, slow, fast in zip(("written", "read"), theirs, mine):
                extrapolated = slow * 10_000 / chosen.neo_units
                print(
                    f"10000 units x {n_bins} bins {what}: neo's NWBIO {extrapolated:.0f} s (of {chosen.neo_units} "
                    f"units), ann2neo {fast:.2f} s: {extrapolated / fast:.0f} x"
                )
            for file in folder.glob("*.nwb"):
                if file.name != "a.nwb":
                    file.unlink()


if __name__ == "__main__":
    main()
