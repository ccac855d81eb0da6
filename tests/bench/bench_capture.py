"""What recording costs beside a plain forward pass: ratios in one run, beside packages that keep activations as floats.

Run ``python tests/bench/bench_capture.py``. Each round times a plain loop over batches and then every recorder in turn; a cost is the marginal one of a batch,
``(time of many batches - time of two) / (many - two)``, so that what is paid once (hashes of the weights, compiled kernels) does not count. Medians over rounds.
Inputs come without labels, so that no classes are predicted. Peers that are not installed are left out; theirs is the cost of keeping the same layers' floats of one batch.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import ann2neo

Run = Callable[[torch.Tensor], object]
Clock = Callable[[], float]
FEW, LONGEST = 2, 3.0


def vgg_like() -> nn.Sequential:
    """Convolutions on 32x32 images, 99,840 ReLU units."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(4096, 1024), nn.ReLU(), nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 10)),
    )


def mlp() -> nn.Sequential:
    """784-512-512-512-10."""
    return nn.Sequential(
        *(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU()),
        nn.Linear(512, 10),
    )


class Functional(nn.Module):
    """The same, with calls of a function instead of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.out = (
            nn.Linear(784, 512),
            nn.Linear(512, 512),
            nn.Linear(512, 512),
            nn.Linear(512, 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Three hidden layers."""
        return self.out(functional.relu(self.fc3(functional.relu(self.fc2(functional.relu(self.fc1(x)))))))


# Name: model, shape of an input, batch size, number of batches.
NETWORKS = {
    "vgg": (vgg_like, (3, 32, 32), 64, 10),
    "mlp": (mlp, (784,), 128, 130),
    "functional": (Functional, (784,), 128, 130),
}


def relus(model: nn.Module) -> list[str]:
    """Names of the layers that all recorders keep."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.ReLU)]


def plain(model: nn.Module, batch_size: int) -> Run:
    """A forward pass, without anything kept."""

    def run(x: torch.Tensor) -> None:
        with torch.no_grad():
            for batch in x.split(batch_size):
                model(batch)

    return run


def with_empty_hooks(model: nn.Module, batch_size: int) -> Run:
    """A forward pass with hooks that do nothing: what watching modules costs at least."""

    def run(x: torch.Tensor) -> None:
        hooks = [model.get_submodule(name).register_forward_hook(lambda *_: None) for name in relus(model)]
        plain(model, batch_size)(x)
        for hook in hooks:
            hook.remove()

    return run


def by_hand(model: nn.Module, batch_size: int) -> Run:
    """Keep bits by hooks of one line, as anybody would write them: without thresholds, checks, names or tables."""

    def run(x: torch.Tensor) -> None:
        kept: list[np.ndarray] = []
        hooks = [
            model.get_submodule(name).register_forward_hook(
                lambda _module, _args, output: kept.append(np.packbits((output > 0).numpy(), axis=0))
            )
            for name in relus(model)
        ]
        plain(model, batch_size)(x)
        for hook in hooks:
            hook.remove()

    return run


def into_memory(model: nn.Module, batch_size: int) -> Run:
    """Record into memory."""
    return lambda x: ann2neo.record(model, ann2neo.Inputs(x, batch_size=batch_size), progress=False)


def into_store(model: nn.Module, batch_size: int, folder: Path) -> Run:
    """Record into a new store."""

    def run(x: torch.Tensor) -> None:
        path = folder / "recording.zarr"
        ann2neo.record(model, ann2neo.Inputs(x, batch_size=batch_size), progress=False, store=path)
        shutil.rmtree(path)

    return run


def by_captum(model: nn.Module, batch_size: int) -> Run:
    """Keep floats by captum."""
    from captum.attr import LayerActivation

    layers = LayerActivation(model, [model.get_submodule(name) for name in relus(model)])

    def run(x: torch.Tensor) -> None:
        with torch.no_grad():
            for batch in x.split(batch_size):
                layers.attribute(batch)

    return run


def by_nnsight(model: nn.Module, batch_size: int) -> Run:
    """Keep floats by nnsight."""
    from nnsight import NNsight

    wrapped, names = NNsight(model), relus(model)

    def run(x: torch.Tensor) -> None:
        with torch.no_grad():
            for batch in x.split(batch_size):
                kept = []
                with wrapped.trace(batch):
                    for name in names:
                        kept.append(wrapped.get(name).output.save())

    return run


def by_torchlens(model: nn.Module, batch_size: int) -> Run:
    """Keep floats by TorchLens."""
    import torchlens
    from torchlens.intervention.selectors import func

    def run(x: torch.Tensor) -> None:
        with torch.no_grad():
            for batch in x.split(batch_size):
                torchlens.trace(model, batch, save=func("relu"))

    return run


def recorders(model: nn.Module, batch_size: int, folder: Path, *, peers: bool) -> dict[str, Run]:
    """All recorders that work here."""
    found = {"plain": plain(model, batch_size), "memory": into_memory(model, batch_size)}
    found["store"] = into_store(model, batch_size, folder)
    if relus(model):
        found["floor"] = with_empty_hooks(model, batch_size)
        found["by hand"] = by_hand(model, batch_size)
    # Peers hook modules, and find none where functions are called.
    for name, make in {"captum": by_captum, "nnsight": by_nnsight, "torchlens": by_torchlens}.items():
        try:
            if peers and relus(model):
                found[name] = make(model, batch_size)
        except ImportError:
            print(f"  {name} is not installed")
    return found


def seconds(run: Run, x: torch.Tensor, clock: Clock) -> float:
    """Time of one run."""
    start = clock()
    run(x)
    return clock() - start


def marginal(run: Run, x: torch.Tensor, batch_size: int, clock: Clock) -> float:
    """Seconds per batch beyond what is paid once; slow recorders run over fewer batches."""
    few = seconds(run, x[: FEW * batch_size], clock)
    n_batches = min(len(x) // batch_size, max(2 * FEW, int(LONGEST * FEW / few)))
    return (seconds(run, x[: n_batches * batch_size], clock) - few) / (n_batches - FEW)


def medians_of_ratios(
    network: str, n_rounds: int, *, peers: bool, clock: Clock = time.perf_counter
) -> dict[str, tuple[float, float, float]]:
    """Median, lowest and highest ratio of each recorder to the plain pass of its round; seconds for the plain pass."""
    make, shape, batch_size, n_batches = NETWORKS[network]
    torch.manual_seed(0)
    model, x = make().eval(), torch.randn(n_batches * batch_size, *shape)
    with tempfile.TemporaryDirectory() as folder:
        runs = recorders(model, batch_size, Path(folder), peers=peers)
        for run in runs.values():
            run(x[: FEW * batch_size])
        rounds = [{name: marginal(run, x, batch_size, clock) for name, run in runs.items()} for _ in range(n_rounds)]
    cost = {name: [times[name] / times["plain"] for times in rounds] for name in runs if name != "plain"}
    cost["plain"] = [times["plain"] for times in rounds]
    return {name: (statistics.median(values), min(values), max(values)) for name, values in cost.items()}


def test_recording_into_memory_costs_little():
    """Bits of 1e5 units cost less than a quarter of their forward pass, even where other work shares the processor."""
    assert medians_of_ratios("vgg", 5, peers=False)["memory"][0] < 1.25


def test_recording_into_a_store_costs_little():
    """A small network, whose forward pass takes 2 ms, is not slowed down by more than its own time while its bits go to the disk."""
    torch.set_num_threads(1)
    assert medians_of_ratios("mlp", 5, peers=False, clock=time.process_time)["store"][0] < 2.0


def main() -> None:
    """Print a table of ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    options.add_argument("--no-peers", action="store_true")
    options.add_argument("--processor-time", action="store_true", help="for one thread on a busy machine")
    given = options.parse_args()
    clock = time.process_time if given.processor_time else time.perf_counter
    for n_threads in given.threads:
        torch.set_num_threads(n_threads)
        for network in NETWORKS:
            load = os.getloadavg()[0]
            found = medians_of_ratios(network, given.rounds, peers=not given.no_peers, clock=clock)
            plain_ms = found.pop("plain")[0] * 1e3
            print(f"{network}, {n_threads} threads: plain {plain_ms:.2f} ms a batch; load {load:.1f}")
            for name, (median, low, high) in found.items():
                print(f"  {name:10} {median:6.2f}x  ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
