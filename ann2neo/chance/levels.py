"""How often each test rejects what is truly random, in every shape of data: ``python -m ann2neo.chance.levels`` prints the table of ``help(ann2neo.chance)``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from ann2neo.chance.dispersion import dispersion_tests
from ann2neo.chance.input_dispersion import input_dispersion_tests
from ann2neo.chance.isi_law import isi_law_test, isi_law_test_poisson
from ann2neo.chance.runs import runs_test
from ann2neo.chance.stationarity import stationarity_test, stationarity_test_of_inputs

N_UNITS, N_BINS, N_INPUTS = 2000, 1200, 200
WINDOWS = (2, 3, 4, 5, 6, 10, 100)
RATES = (0.01, 0.2, 0.8)
STEPS = {"steps": np.full(N_INPUTS, 6), "ragged steps": 1 + np.arange(N_INPUTS) % 11, "passes": np.ones(N_INPUTS, int)}
TRIALS = ("segments as trials", "unequal durations")
N_PASSES = {"steps": 1, "ragged steps": 1, "passes": 5}
COLUMNS = ("dispersion", "excess", "excess, 1 %", "runs", "ISI law", "stationarity")
WIDTHS = (31, 12, 8, 13, 6, 9, 14)

P = Float[np.ndarray, " unit"]


def table() -> Iterator[str]:
    """Write the table line by line, as reStructuredText.

    Examples
    --------
    >>> next(table())
    '=============================== ============ ======== ============= ====== ========= =============='
    """
    border = " ".join("=" * width for width in WIDTHS)
    yield border
    yield _line(("shape of data", *COLUMNS))
    yield border
    for shape in shapes():
        yield row(shape)
    yield border


def shapes() -> list[str]:
    """Name the rows of the table.

    Examples
    --------
    >>> shapes()[0], shapes()[-1]
    ('2 windows of bins, p 0.01', 'unequal durations, 10 labels')
    """
    bins = [f"{w} windows of bins, p {p}" for w in WINDOWS for p in RATES]
    time = [f"{w} windows of time" for w in WINDOWS]
    return [
        *bins,
        *time,
        *(f"{kind}, {w} labels" for kind in ("passes", "steps", "ragged steps", *TRIALS) for w in (2, 10)),
    ]


def row(shape: str) -> str:
    """Simulate the units of a row, and write down how many of 100 each test rejects; NaN where there is no such test.

    Parameters
    ----------
    shape
        One of `shapes`.
    """
    rng = np.random.default_rng(shapes().index(shape))
    number = int(shape.split(" windows")[0]) if " windows" in shape else int(shape.split(", ")[1].split()[0])
    if "of bins" in shape:
        found = _on_bins(rng, number, float(shape.rpartition(" ")[2]))
    elif "of time" in shape:
        found = _in_time(rng, number)
    elif shape.split(",")[0] in TRIALS:
        found = _of_trials(rng, shape.split(",")[0], number)
    else:
        found = _of_inputs(rng, shape.split(",")[0], number)
    both, more, *rest = found
    shares = [_share(both), _share(more), _share(more, 0.01), *(_share(p) for p in rest)]
    return _line((shape, *shares))


def _line(cells: tuple[str, ...]) -> str:
    return " ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS)).rstrip()


def _share(p: P | None, level: float = 0.05) -> str:
    if p is None or np.isnan(p).all():
        return "-"
    return f"{100 * np.mean(p[~np.isnan(p)] <= level):.1f}"


def _on_bins(rng: np.random.Generator, n_windows: int, rate: float) -> list[P | None]:
    spikes = rng.random((N_UNITS, 1, N_BINS)) < rate
    sizes = np.full(n_windows, N_BINS // n_windows)
    counts = spikes[:, 0].reshape(N_UNITS, n_windows, -1).sum(axis=2)
    return [*dispersion_tests(counts, sizes), *_order_tests(spikes)]


def _in_time(rng: np.random.Generator, n_windows: int) -> list[P | None]:
    n, durations = rng.poisson(N_BINS * 0.2, N_UNITS), np.ones(n_windows)
    times = [np.sort(rng.random(one)) * n_windows for one in n]
    counts = np.array([np.bincount(one.astype(int), minlength=n_windows) for one in times])
    isis, offsets = np.concatenate([np.diff(one) for one in times]), np.cumsum([0, *(n - 1)])
    return [
        *dispersion_tests(counts, durations, lattice=False),
        None,
        isi_law_test_poisson(isis, offsets, n[:, None], np.array([float(n_windows)])),
        stationarity_test_of_inputs(counts, durations, lattice=False),
    ]


def _of_trials(rng: np.random.Generator, kind: str, n_labels: int) -> list[P | None]:
    """Each trial has a gain of its own for the tests over labels and the trend, which do not mind; the law of intervals is tested on units that have one rate."""
    durations = np.ones(N_INPUTS) if kind == "segments as trials" else rng.uniform(0.2, 1.8, N_INPUTS)
    label = rng.permutation(np.arange(N_INPUTS) % n_labels)
    spikes = rng.poisson(durations * rng.gamma(2, 0.6, (N_UNITS, N_INPUTS)))
    both, more = input_dispersion_tests(spikes, durations, label, lattice=False)
    n = rng.poisson(1.2 * durations, (N_UNITS, N_INPUTS))
    isis = [np.diff(np.sort(rng.random(one) * long)) for unit in n for one, long in zip(unit, durations) if one > 1]
    offsets = np.concatenate(([0], np.cumsum(np.maximum(n - 1, 0).sum(axis=1))))
    return [
        both,
        more,
        None,
        isi_law_test_poisson(np.concatenate(isis), offsets, n, durations),
        stationarity_test_of_inputs(spikes, durations, lattice=False),
    ]


def _of_inputs(rng: np.random.Generator, kind: str, n_labels: int) -> list[P | None]:
    """Rates differ from input to input for the tests over labels, which do not mind; the others are of units that have one rate."""
    lengths, passes = STEPS[kind], N_PASSES[kind]
    rates = rng.beta(1, 2, (N_UNITS, N_INPUTS))
    label = rng.permutation(np.arange(N_INPUTS) % n_labels)
    spikes = rng.binomial(lengths * passes, rates)
    both, more = input_dispersion_tests(spikes, lengths * passes, label)
    dense = np.zeros((N_UNITS, lengths.size, lengths.max()), bool)
    present = np.arange(lengths.max()) < lengths[:, None]
    dense[:, present] = rng.random((N_UNITS, lengths.sum())) < 0.3
    return [both, more, *_order_tests(dense.transpose(0, 2, 1) if kind == "passes" else dense, lengths)]


def _order_tests(
    spikes: Bool[np.ndarray, "unit stretch bin"], lengths: Int[np.ndarray, " input"] | None = None
) -> list[P | None]:
    """Runs, law of intervals and trend of units on stretches of bins; bins beyond the length of a stretch are empty."""
    n_units, n_stretches, longest = spikes.shape
    bins = np.full(n_stretches, longest) if lengths is None or n_stretches == 1 else lengths
    n = spikes.sum(axis=2)
    unit, stretch, place = np.nonzero(spikes)
    isis = np.diff(place)[(np.diff(unit) == 0) & (np.diff(stretch) == 0)]
    offsets = np.concatenate(([0], np.cumsum(np.maximum(n - 1, 0).sum(axis=1))))
    runs = np.diff(spikes.astype(np.int8), axis=2, prepend=0).clip(min=0).sum(axis=(1, 2))
    first = np.cumsum(bins) - bins
    sums = np.bincount(unit, weights=first[stretch] + place, minlength=n_units).astype(np.int64)
    return [
        runs_test(runs, n, bins),
        isi_law_test(isis, offsets, n, bins, keys=np.arange(n_units)),
        stationarity_test_of_inputs(n, bins)
        if n_stretches > 1 and lengths is not None and lengths.max() > 1
        else stationarity_test(sums, n.sum(axis=1), n_bins=int(bins.sum())),
    ]


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)
