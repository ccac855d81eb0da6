"""What recording costs before the first input counts: on a tiny network, and as modules grow in number.

Run ``python tests/bench/bench_fixed_cost.py``. Processor time, the least of several calls, beyond as many forward passes as were made; a network of twice as many modules
should take twice as long. One thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

import ann2neo


class Block(nn.Module):
    """A module of ours with an activation within."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(8, 8), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Squash."""
        return self.act(self.fc(x))


def of_blocks(n: int) -> nn.Sequential:
    """As many activations, in blocks of three modules each."""
    torch.manual_seed(0)
    return nn.Sequential(*(Block() for _ in range(n)))


def least(call: Callable[[], object], n: int) -> float:
    """Processor time of the fastest of some calls, in seconds."""
    found = []
    for _ in range(n):
        begin = time.process_time()
        call()
        found.append(time.process_time() - begin)
    return min(found)


def tiny() -> dict[str, float]:
    """Seconds that a call takes beyond the forward passes, with 64 units and 200 inputs in four batches."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(10, 64), nn.ReLU()), torch.randn(200, 10)
    with torch.no_grad():
        forward = least(lambda: [model(part) for part in x.split(64)], 50)
    return {
        "record": least(lambda: ann2neo.record(model, x, progress=False), 50) - forward,
        "record, verify=False": least(lambda: ann2neo.record(model, x, progress=False, verify=False), 50) - forward,
        "plan": least(lambda: ann2neo.plan(model, x), 50),
    }


def of_one_batch(model: nn.Module, repeats: int) -> dict[str, float]:
    """Seconds that a call takes beyond the forward pass, with one batch."""
    x = torch.randn(8, 8)
    with torch.no_grad():
        forward = least(lambda: model(x), 3)
    return {
        "record": least(lambda: ann2neo.record(model, x, progress=False), repeats) - forward,
        "plan": least(lambda: ann2neo.plan(model, x), repeats) - forward,
    }


def growth(n: int, *, repeats: int = 3) -> dict[str, tuple[float, float]]:
    """Seconds that one batch through n and through 2 n activations takes beyond the forward pass."""
    once, twice = (of_one_batch(of_blocks(size), repeats) for size in (n, 2 * n))
    return {name: (once[name], twice[name]) for name in once}


def main() -> None:
    """Print both."""
    torch.set_num_threads(1)
    for name, seconds in tiny().items():
        print(f"64 units, 200 inputs: {name} {1e3 * seconds:.2f} ms")
    for name, (once, twice) in growth(1000).items():
        print(f"1,000 activations: {name} {once:.2f} s; 2,000: {twice:.2f} s, {twice / once:.2f} times")


if __name__ == "__main__":
    main()
