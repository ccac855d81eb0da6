"""How selective units are for classes, and how sparse their class means, beside what exchanged labels give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt64

from ann2neo.arguments import check_whole
from ann2neo.compiled import compiled
from ann2neo.errors import AnalysisError, WindowError
from ann2neo.exchange import Exchange, exchange_by_column
from ann2neo.population.ensemble import Choice, choose, facts
from ann2neo.population.recorded import RecordedUnits
from ann2neo.raster import Raster
from ann2neo.recording import Layer
from ann2neo.threads import over_units
from ann2neo.windows import STIMULUS

MEASURES = ("class_selectivity", "class_sparseness")
# Values that differ by less are equal but for rounding.
ROUNDING = 1e-12


def selectivity(
    spikes: Any,
    *,
    by: str = "label",
    n_permutations: int = 200,
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Measure how selective each unit is for one class, and how sparse its class means are, beside chance.

    Let :math:`p_c` be a unit's spikes per bin over all bins of the inputs of class c of K (all their steps and passes). **Class selectivity** is

    .. math:: \frac{\mu_{max} - \mu_{-max}}{\mu_{max} + \mu_{-max}},

    with the largest :math:`p_c` and the mean of the K - 1 others, each class of weight 1: 0 where all classes have one rate, 1 where only one class makes the unit spike. **Class sparseness** is
    :math:`(1 - (\sum_c p_c / K)^2 / (\sum_c p_c^2 / K)) / (1 - 1/K)`: 0 where all classes have one rate, 1 where one has all spikes. Both are NaN for silent units.

    *Chance.* The maximum of noisy means is above their mean: both measures are far above 0 in units that ignore the class, the more so the fewer spikes there are (a unit with a single spike has 1 in both). Classes are exchanged between
    inputs, each with all its bins in all its passes, as many inputs of each class as there are, and the same exchange for all units. ``_expected`` is the mean over the exchanges that are drawn (neither the
    mean of a largest class mean nor that of a ratio has a closed form), with ``_expected_error`` as its standard error, sd / sqrt(n_permutations - 1); ``_adjusted`` is (value - expected) / (1 - expected): 0 by chance, 1 at most; NaN where chance gives 1. ``_p`` is the share of exchanges, the observed
    one included, with a value at least as large: at least 1 / (n_permutations + 1). Units share the exchanges, so that they are not independent of each other. All four are NaN where no class has two inputs, or no exchange is asked for.

    *Refused.* Where every class holds one bin, a class mean is a bit. Sparseness is then (1 - p) / (1 - 1/M) over M inputs, whatever the network does, and selectivity (M - n) / (M + n - 2) for n spikes: both say the rate again.

    Parameters
    ----------
    spikes
        A `Recording`, in memory or in a store.
    by
        Column of the trials table (also "stimulus_id", over passes). Inputs without a class are left out; where inputs change their class from pass to pass, those of the first pass count.
    n_permutations
        How often classes are exchanged; 0 for never.
    layer
        Name of a layer; None for all.
    units
        How many units to draw at random, or their positions; None for all.
    seed
        Seed of the draw, and of the exchanges.

    Returns
    -------
    pandas.DataFrame
        A row per unit: ``layer``, ``unit``, ``n_spikes`` (in inputs with a class), ``preferred`` (class of the largest mean, the first of equal ones; of a silent unit the first class) and, for ``class_selectivity`` and ``class_sparseness``,
        the value and its ``_expected``, ``_expected_error``, ``_adjusted`` and ``_p``.

    Raises
    ------
    AnalysisError
        If the source has no bins, there are fewer than two classes, or every class holds one bin.
    WindowError
        If there are no such classes, or they belong to the steps of inputs.

    See Also
    --------
    ann2neo.population.tuning, ann2neo.chance.exchanged_labels

    References
    ----------
    Morcos, Barrett, Rabinowitz, Botvinick (2018), arXiv:1803.06959. Treves, Rolls (1991), doi:10.1088/0954-898X_2_4_004; Vinje, Gallant (2000), doi:10.1126/science.287.5456.1273 (sparseness).
    Phipson and Smyth (2010), doi:10.2202/1544-6115.1585 (p).

    Examples
    --------
    >>> import ann2neo
    >>> spikes = np.zeros((40, 2), bool)
    >>> spikes[:20, 0], spikes[::2, 1] = True, True
    >>> found = selectivity(ann2neo.from_array(spikes, labels=np.repeat([3, 8], 20)))
    >>> found[["unit", "preferred", "class_selectivity", "class_selectivity_p", "class_sparseness"]].round(3)
       unit  preferred  class_selectivity  class_selectivity_p  class_sparseness
    0     0          3                1.0                0.005               1.0
    1     1          3                0.0                1.000               0.0
    """
    n_permutations = check_whole(n_permutations, "n_permutations", low=0, such_as=200)
    chosen = choose(spikes, layer, units, seed)
    if not isinstance(chosen, RecordedUnits):
        raise AnalysisError(
            "these spike trains are in continuous time.",
            "They have no spikes per bin.",
            "Give a recording of a network; of cells take `ann2neo.population.tuning`.",
        )
    exchange, names = _classes(chosen, by)
    masks, n_bins = _masks(
        (chosen.recording.n_passes, chosen.recording.n_bins // chosen.recording.n_passes),
        exchange,
        len(names),
        n_permutations,
        seed,
    )
    tables = [_of_layer(each, masks, n_bins, names) for each in chosen.recording.layers]
    table = pd.concat(tables, ignore_index=True)
    measured_in = {
        f"{name}{end}": "1" for name in MEASURES for end in ("", "_expected", "_expected_error", "_adjusted", "_p")
    }
    table.attrs = facts(
        chosen,
        by=by,
        units=measured_in,
        n_classes=len(names),
        n_permutations=len(masks) - 1,
        chance="classes exchanged between inputs, jointly for all units",
    )
    return table


def selectivity_of_rates(rates: Float[np.ndarray, "unit label"]) -> dict[str, Float[np.ndarray, " unit"]]:
    """Compute class selectivity and class sparseness of rates by class; NaN where all are 0.

    Examples
    --------
    >>> {name: value.round(2).tolist() for name, value in selectivity_of_rates(np.array([[0.4, 0.1, 0.1]])).items()}
    {'class_selectivity': [0.6], 'class_sparseness': [0.5]}
    """
    n_labels = rates.shape[1]
    largest, total = rates.max(axis=1), rates.sum(axis=1)
    others = (total - largest) / (n_labels - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        selective = (largest - others) / (largest + others)
        sparse = (1 - total**2 / (n_labels * (rates**2).sum(axis=1))) / (1 - 1 / n_labels)
    return {"class_selectivity": np.clip(selective, 0, 1), "class_sparseness": np.clip(sparse, 0, 1)}


def _classes(chosen: RecordedUnits, by: str) -> tuple[Exchange, np.ndarray]:
    """Find which input each bin belongs to, which class each input has, and the names of the classes."""
    if chosen.has_steps(by):
        raise WindowError(
            f"{by!r} belongs to the steps of inputs.",
            "The steps of an input are not exchangeable, so that chance would be unknown.",
            f"Use `ann2neo.population.tuning(recording, by={by!r})`, which exchanges whole sequences, or a column of the trials.",
        )
    trials = chosen.recording.trials
    if by == STIMULUS:
        # Each input is a class of its own, which pays where it is shown in several passes.
        by, trials = "stimulus", trials.assign(stimulus=trials[STIMULUS])
    exchange = exchange_by_column(trials, by, labels_are_windows=True)
    known = np.unique(exchange.label[exchange.label >= 0])
    if known.size < 2:
        raise AnalysisError(
            f"{by!r} has {known.size} classes.",
            "Nothing can be selective.",
            "Give two classes or more, or another column with `by`.",
        )
    named = trials[by].to_numpy()
    values = np.unique(named[named >= 0] if np.issubdtype(named.dtype, np.number) else named)
    size = np.bincount(exchange.label[exchange.label >= 0], weights=exchange.size[exchange.label >= 0])
    if size.max() <= 1:
        raise AnalysisError(
            f"each of {known.size} classes of {by!r} holds one bin.",
            "Class means would be bits: sparseness over bits is (1 - p) / (1 - 1 / M) by construction, the rate once more.",
            "Use classes of several inputs, such as by='label', or record with passes.",
        )
    label = np.where(exchange.label >= 0, np.searchsorted(known, exchange.label), -1)
    own = Exchange(
        ids=exchange.ids,
        label=label.astype(np.int64),
        size=exchange.size,
        labels_are_windows=True,
        first_pass_only=exchange.first_pass_only,
    )
    return own, values[known]


def _masks(
    shape: tuple[int, int], exchange: Exchange, n_labels: int, n_permutations: int, seed: int
) -> tuple[UInt64[np.ndarray, "exchange label word"], Float[np.ndarray, "exchange label"]]:
    """Mark the bins of each class, first as they are, then with classes exchanged between the inputs that have one; and count them."""
    rng, known = np.random.default_rng(seed), np.flatnonzero(exchange.label >= 0)
    repeats = np.bincount(exchange.label[known]).max() > 1
    n_arrangements = 1 + (n_permutations if repeats else 0)
    n_passes, n_bins = shape
    n_words = -(-n_passes * -(-n_bins // 8) // 8)
    masks = np.zeros((n_arrangements, n_labels, n_words), np.uint64)
    sizes = np.zeros((n_arrangements, n_labels))
    inside = exchange.ids >= 0
    for number in range(n_arrangements):
        label = exchange.label.copy()
        if number:
            label[known] = rng.permutation(label[known])
        of_bin = np.where(inside, label[exchange.ids], -1)
        sizes[number] = np.bincount(of_bin[of_bin >= 0], minlength=n_labels)
        marked = (of_bin == np.arange(n_labels)[:, None]).reshape(n_labels, n_passes, n_bins)
        masks[number] = _words(np.packbits(marked, axis=2).reshape(n_labels, -1))
    return masks, sizes


def _words(rows: np.ndarray) -> UInt64[np.ndarray, "row word"]:
    """Fill rows of bytes up to whole words."""
    filled = np.zeros((len(rows), 8 * -(-rows.shape[1] // 8)), np.uint8)
    filled[:, : rows.shape[1]] = rows
    return filled.view(np.uint64)


def _of_layer(
    layer: Layer,
    masks: UInt64[np.ndarray, "exchange label word"],
    n_bins: Float[np.ndarray, "exchange label"],
    names: np.ndarray,
) -> pd.DataFrame:
    parts = [_of_units(layer.raster, units, masks, n_bins) for units in layer.raster.chunks()]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    columns["preferred"] = names[columns["preferred"]]
    return pd.DataFrame({"layer": layer.name, "unit": layer.units} | columns)


def _of_units(
    raster: Raster,
    units: slice,
    masks: UInt64[np.ndarray, "exchange label word"],
    n_bins: Float[np.ndarray, "exchange label"],
) -> dict[str, Any]:
    """Measure some units: their classes as they are, then in each exchange, without keeping more than sums."""
    bits = raster.bits(units)
    words = _words(np.moveaxis(bits, 0, 1).reshape(bits.shape[1], -1))
    first = _counts(words, masks[0])
    value = selectivity_of_rates(first / n_bins[0])
    total, squares, extreme = ({name: np.zeros(len(words)) for name in MEASURES} for _ in range(3))
    for mask, sizes in zip(masks[1:], n_bins[1:]):
        drawn = selectivity_of_rates(_counts(words, mask) / sizes)
        for name in MEASURES:
            total[name] += drawn[name]
            squares[name] += drawn[name] ** 2
            extreme[name] += drawn[name] >= value[name] - ROUNDING
    found: dict[str, Any] = {"n_spikes": first.sum(axis=1), "preferred": (first / n_bins[0]).argmax(axis=1)}
    n_drawn = len(masks) - 1
    for name in MEASURES:
        undefined = np.isnan(value[name]) | (n_drawn == 0)
        expected = np.where(undefined, np.nan, total[name] / max(n_drawn, 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            adjusted = np.where(expected < 1 - ROUNDING, (value[name] - expected) / (1 - expected), np.nan)
        error = np.sqrt(
            np.maximum(squares[name] / max(n_drawn, 1) - expected**2, 0) / (n_drawn - 1 if n_drawn > 1 else np.nan)
        )
        found |= {name: value[name], f"{name}_expected": expected, f"{name}_expected_error": error}
        found[f"{name}_adjusted"] = adjusted
        found[f"{name}_p"] = np.where(undefined, np.nan, (1 + extreme[name]) / (1 + n_drawn))
    return found


def _counts(
    words: UInt64[np.ndarray, "unit word"], mask: UInt64[np.ndarray, "label word"]
) -> Int[np.ndarray, "unit label"]:
    """Count the spikes of each unit in the bins of each class."""
    counts = np.zeros((len(words), len(mask)), np.int64)
    over_units(lambda first, last: _add(words, mask, first, last, counts), len(words))
    return counts


@compiled
def _add(words: np.ndarray, mask: np.ndarray, first: int, last: int, counts: np.ndarray) -> None:
    """Count the bits of a range of units that lie in each mask."""
    m1, m2, m4 = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
    h01, one, two = np.uint64(0x0101010101010101), np.uint64(1), np.uint64(2)
    four, top = np.uint64(4), np.uint64(56)
    for unit in range(first, last):
        for label in range(mask.shape[0]):
            total = np.uint64(0)
            for k in range(words.shape[1]):
                x = words[unit, k] & mask[label, k]
                x = x - ((x >> one) & m1)
                x = (x & m2) + ((x >> two) & m2)
                x = (x + (x >> four)) & m4
                total += (x * h01) >> top
            counts[unit, label] = np.int64(total)
