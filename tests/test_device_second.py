"""A device whose tensors are no arrays, without a card: nothing mixes devices, bits are the host's, and no batch waits for the device."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow("compiles a device, and records on it what other tests record on the host"),
    pytest.mark.skipif(
        not (shutil.which("c++") and shutil.which("ninja")), reason="it is compiled, with c++ and ninja"
    ),
]
# What is recorded, verified, in steps and passes, into memory and stores, on a device as on the host.
AGAIN = [
    "test_capture_verification.py",
    "test_capture_steps_passes.py",
    "test_capture_store_contents.py",
]

# Run in a process of its own: what torch knows of devices holds for all of it.
PER_BATCH = """
import sys
sys.path.insert(0, sys.argv[1])
from device.second_device import counts, register
import numpy as np, torch
from torch import nn
import ann2neo

device = register()
torch.manual_seed(0)
model = nn.Sequential(
    *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3), nn.GELU(), nn.Flatten()),
    *(nn.Linear(80, 9), nn.Sigmoid(), nn.Dropout(0.3), nn.Linear(9, 3)),
).eval()
x = torch.randn(1600, 3, 8, 8)
options = {
    "every unit": {},
    "a threshold for each unit": {"threshold": {"2": np.linspace(0, 0.4, 144), "*": 0.1}},
    "chosen units": {"units": {"2": ann2neo.Sample(fraction=0.2), "*": slice(1, None, 2)}},
    "store": {"store": True},
    "labels": {"labels": np.arange(1600) % 3},
    "on the device": {"there": True},
}[sys.argv[2]]
labels, there, store = options.pop("labels", None), options.pop("there", False), options.pop("store", False)

def run(n, where):
    data = x[:n].to(device if there else "cpu")
    inputs = ann2neo.Inputs(data, labels=None if labels is None else labels[:n], batch_size=16)
    stored = {"store": f"{sys.argv[3]}/{where}{n}.zarr"} if store else {}
    counts()
    recording = ann2neo.record(model.to(where), inputs, progress=False, **options, **stored)
    return recording, counts()

host, _ = run(1600, "cpu")
few, before = run(800, "second")
many, after = run(1600, "second")
assert all(a.identical(b) for a, b in zip(host.layers, many.layers)), "other bits"
assert len(host.layers) == 3 and before["operator"] > 1000, "not run there"
for kind in ("to_host", "to_device", "number"):
    print(kind, (after[kind] - before[kind]) / 50)
"""


def test_tests_of_recording_pass_on_it():
    """The same tests, with every model on the device."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "device.second_device", *(str(HERE / name) for name in AGAIN)],
        cwd=HERE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 100
    assert int(re.search(r"second device: (\d+)", done.stdout)[1]) > 10_000


@pytest.mark.parametrize(
    "case", ["every unit", "a threshold for each unit", "chosen units", "store", "labels", "on the device"]
)
def test_bits_are_those_of_the_host_and_no_batch_waits(case, tmp_path):
    """A batch goes to the device, counts of values that are not finite come back, and predictions where there are labels."""
    done = subprocess.run([sys.executable, "-c", PER_BATCH, str(HERE), case, str(tmp_path)], capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    per_batch = {kind: float(n) for kind, n in map(str.split, done.stdout.splitlines())}
    assert per_batch["number"] == 0
    assert per_batch["to_device"] <= 1 + (case == "labels") * 0.1
    assert per_batch["to_host"] <= 1.4 + (case == "labels")
