"""What fitting and simulating models costs, as a ratio to analyzing the same recording, in processor time of one process.

Run ``python tests/bench/bench_models.py``. Targets: rate, label and markov together 1, gain 3 and renewal 5 more, a simulation 2.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

import ann2neo
from ann2neo import models

P_SPIKE, N_LABELS, N_BINS_OF_WINDOW = (0.05, 0.5), 10, 100


def recording(n_units: int, n_bins: int) -> ann2neo.Recording:
    """Make units of different rates that spike independently in each bin, inputs of ten labels."""
    rng = np.random.default_rng(0)
    dense = rng.random((n_units, n_bins)) < rng.uniform(*P_SPIKE, (n_units, 1))
    return ann2neo.from_array(dense.T, labels=np.arange(n_bins) % N_LABELS)


def seconds(task: Callable[[], object]) -> float:
    """Measure the processor time of a task."""
    start = time.process_time()
    task()
    return time.process_time() - start


def tasks(spikes: ann2neo.Recording) -> dict[str, Callable[[], object]]:
    """Name what is measured."""
    fitted = models.fit(spikes, progress=False)

    def fit(*names: str, **options: int) -> Callable[[], object]:
        return lambda: models.fit(spikes, names, progress=False, **options)

    def simulate(model: str) -> Callable[[], object]:
        return lambda: models.simulate(fitted, like=spikes, model=model, seed=0)

    return {
        "analyze": lambda: ann2neo.analyze(spikes, windows=N_BINS_OF_WINDOW, progress=False),
        "fit rate, label, markov": fit("rate", "label", "markov"),
        "fit gain": fit("gain", windows=N_BINS_OF_WINDOW),
        "fit renewal": fit("renewal"),
        **{f"simulate {model}": simulate(model) for model in ("rate", "label", "markov")},
    }


def main() -> None:
    """Print ratios: the median of several rounds."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--units", type=int, default=5000)
    options.add_argument("--bins", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=5)
    n_units, n_bins, n_rounds = vars(options.parse_args()).values()
    for task in tasks(recording(8, n_bins)).values():
        task()  # compiled kernels are loaded
    found = tasks(recording(n_units, n_bins))
    rounds = np.array([[seconds(task) for task in found.values()] for _ in range(n_rounds)])
    ratios = np.median(rounds / rounds[:, :1], axis=0)
    print(f"{n_units} units x {n_bins} bins; analyze: {np.median(rounds[:, 0]):.2f} s of processor time")
    for name, ratio in zip(found, ratios):
        print(f"{name:24} {ratio:6.2f}")


if __name__ == "__main__":
    main()
