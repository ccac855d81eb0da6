"""What is paid once does not outgrow the model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import ann2neo

HERE = Path(__file__).parent
GROWTH = (
    "import json, torch; torch.set_num_threads(1); from bench_fixed_cost import growth; print(json.dumps(growth(150)))"
)


@pytest.mark.slow("times a process of its own")
def test_start_up_is_linear_in_modules():
    """Twice as many modules take twice as long, not four times; the best of several tries, since the machine has other things to do."""
    # In a process of its own: where signatures are checked, that is what is timed.
    folders = os.pathsep.join([str(HERE / "bench"), str(HERE.parent)])
    ratios = {"record": [], "plan": []}
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-c", GROWTH],
            env=os.environ | {"PYTHONPATH": folders},
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        for name, (once, twice) in json.loads(done.stdout).items():
            ratios[name].append(twice / once)
        if all(min(found) <= 2.6 for found in ratios.values()):
            return
    raise AssertionError(f"twice as many modules took {ratios} times as long")


class Counting(TorchFunctionMode):
    """Counts the calls of torch that a mode of the user's is asked about."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.n += 1
        return func(*args, **(kwargs or {}))


def test_a_layer_more_is_few_calls_more():
    """Of each activation that is added a mode sees what the model calls and what little is asked of its module, and nothing of what is compared but whether the rows of a layer are all the same."""
    x, calls = torch.randn(8, 8, generator=torch.Generator().manual_seed(0)), []
    for n in (5, 10):
        torch.manual_seed(0)
        model = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(n)))
        with Counting() as counting:
            ann2neo.record(model, x, progress=False)
        calls.append(counting.n)
    assert calls[1] - calls[0] <= 5 * 90
