"""What recording into a store takes of memory, disk and time; run with ``pytest tests/bench/bench_capture_memory.py -s``.

Memory must depend neither on the number of inputs nor on what was recorded before.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import ann2neo

LIMIT_MB = 1500


def network(n_units: int) -> nn.Module:
    """One wide layer whose units spike with probability 0.2 or so, each with a weight and a bias of its own."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(4, n_units), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.randn(n_units, 4, generator=generator))
        model[0].bias.fill_(-1.7)
    return model


def data(n_inputs: int) -> torch.Tensor:
    return torch.randn(n_inputs, 4, generator=torch.Generator().manual_seed(1))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def record(path: str, n_units: int, n_inputs: int, batch_size: int) -> None:
    """Record in a process of its own, and print what it took above the model and one forward pass."""
    torch.set_num_threads(2)
    import numba  # noqa: F401
    import zarr  # noqa: F401

    model, x = network(n_units), data(n_inputs)
    with torch.no_grad():
        begin = time.perf_counter()
        model(x[:batch_size])
        plain = time.perf_counter() - begin
        before = peak_mb()
    begin = time.perf_counter()
    ann2neo.record(model, ann2neo.Inputs(x, batch_size=batch_size), store=Path(path), progress=False)
    print(peak_mb() - before, time.perf_counter() - begin, plain * n_inputs / batch_size)


def measured(path: Path, n_units: int, n_inputs: int, batch_size: int) -> float:
    """Record elsewhere; gives the megabytes."""
    command = [sys.executable, __file__, str(path), str(n_units), str(n_inputs), str(batch_size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    megabytes, seconds, plain = map(float, done.stdout.split())
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    print(
        f"\n{n_units:,} units x {n_inputs:,} inputs: {megabytes:.0f} MB above the model, {seconds:.0f} s (the first forward alone "
        f"would take {plain:.0f} s), {size / n_units / n_inputs:.3f} bytes per unit and bin on disk"
    )
    return megabytes


def check_units(path: Path, n_units: int, n_inputs: int) -> None:
    """Some units, read back, are what the model computes."""
    begin = time.perf_counter()
    recording = ann2neo.load(path)
    units = np.linspace(0, n_units - 1, 50).astype(int)
    spikes = recording.select(units=units).raster("1")
    print(f"50 units read in {time.perf_counter() - begin:.2f} s")
    model, x = network(n_units), data(n_inputs)
    with torch.no_grad():
        expected = x @ model[0].weight[units].T + model[0].bias[units]
    # Sums in another order may differ in the last bits.
    clear = expected.abs().numpy() > 1e-5
    assert ((expected > 0).numpy() == spikes.T)[clear].all()
    begin = time.perf_counter()
    n_spikes = recording.layers[0].raster.n_spikes()
    print(f"all {n_units * n_inputs / 8e6:,.0f} MB read in {time.perf_counter() - begin:.1f} s")
    assert np.array_equal(n_spikes[units], spikes.sum(axis=1))


@pytest.mark.parametrize(("n_units", "n_inputs", "batch_size"), [(100_000, 100_000, 64), (1_000_000, 20_000, 16)])
def test_large_recordings(tmp_path, n_units, n_inputs, batch_size):
    """1e5 units x 1e5 inputs take little memory, and 1e6 units are recorded and read back."""
    megabytes = measured(tmp_path / "a.zarr", n_units, n_inputs, batch_size)
    check_units(tmp_path / "a.zarr", n_units, n_inputs)
    assert megabytes < LIMIT_MB


def test_memory_does_not_grow_with_inputs(tmp_path):
    """Ten times the inputs take the same memory."""
    few, many = (measured(tmp_path / f"{n}.zarr", 20_000, n, 64) for n in (8_000, 80_000))
    assert many < few + 60


if __name__ == "__main__":
    record(sys.argv[1], *map(int, sys.argv[2:]))
