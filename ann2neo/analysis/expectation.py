"""What chance predicts for each measure of the units of a chunk, given their numbers of spikes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int

from ann2neo import chance
from ann2neo.exchange import Exchange
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.bulk import count_in_groups, count_in_windows, count_labels
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import (
    Over,
    WindowGroups,
    fano_is_fixed,
    groups_of_windows,
    mean_of_groups,
    milliseconds_per,
    sums_of_groups,
)
from ann2neo.measures.registry import MEASURES, computed
from ann2neo.step_labels import Sequences

Spikes = SpikeBits | SpikeArrays
REPEATS = tuple(measure.name for measure in MEASURES.values() if measure.needs == "repeats")
FANO = ("fano_expected", "fano_normalized", "fano_normalized_expected")
# Of what power of time a unit of measure is.
POWERS = {"1": 0, "ms": 1, "ms^2": 2}
# Counts of one block of units take eight times as many bytes.
BLOCK_COUNTS = 1 << 22

Expectations = dict[str, Float[np.ndarray, " unit"]]


def expectations(
    spikes: Spikes, n: Int[np.ndarray, "unit stretch"], over: Over, refractory_period: float | None = None
) -> Expectations:
    """Expect each measure given the spikes of each unit in each stretch: over the bins of a lattice, or over continuous time where there is none.

    LvR is only expected with a refractory period, in the unit of time of the spikes.
    """
    known, scale, on_bins = _given(spikes, n, refractory_period)
    found = {}
    for measure in computed(refractoriness=refractory_period is not None):
        function = measure.chance_on_bins if on_bins else measure.chance_in_time
        if measure.of == "intervals" and function is not None:
            value = function(**{name: known[name] for name in signature(function).parameters})
            power = POWERS[measure.unit]
            found[f"{measure.name}_expected"] = value * scale**power if power else value
    return found | fano_columns(spikes, over)


def _given(
    spikes: Spikes, n: Int[np.ndarray, "unit stretch"], period: float | None
) -> tuple[dict[str, Any], float, bool]:
    """Return what expectations ask for by name, the milliseconds of their unit of time, and whether spikes lie on bins."""
    bins = spikes.stretch_bins
    if isinstance(spikes, SpikeBits):
        bin_size, ms = spikes.bin_size_ms, 1.0
    else:
        durations, ms = spikes.stretch_durations, milliseconds_per(spikes.time_unit)
        if bins is None:
            return {"n": n, "durations": durations, "refractoriness": period}, ms, False
        bin_size = float(durations.sum() / bins.sum())
    in_bins = None if period is None else period / bin_size
    return {"n": n, "bins": bins, "refractoriness_bins": in_bins}, bin_size * ms, True


def fano_columns(spikes: Spikes, over: Over) -> Expectations:
    """Expect the Fano factor, and give the normalized one with its own expectation.

    The normalized factor is the mean over groups of windows of the factor over 1 - p, p being the share of the bins of
    the group's windows with a spike; groups with a p of 0 or 1 are left out, and there is none without bins.
    """
    sizes = (
        spikes.window_durations
        if isinstance(spikes, SpikeArrays) and spikes.window_bins is None
        else spikes.window_bins
    )
    if sizes is None or fano_is_fixed(spikes.window_bins, over, spikes.repeats):
        return {name: np.full(spikes.n_units, np.nan) for name in FANO}
    groups = groups_of_windows(spikes.window_pass, sizes, over, spikes.repeats)
    if not groups.members:
        nothing = {name: np.full(spikes.n_units, np.nan) for name in FANO}
        return nothing | ({} if spikes.repeats is None else dict.fromkeys(REPEATS, np.zeros(spikes.n_units)))
    group_sizes = chance.GroupSizes.of([sizes[members] for members in groups.members])
    parts = [_fano_of_block(block, groups, group_sizes, over) for block in unit_blocks(spikes, spikes.window_pass.size)]
    columns: Expectations = dict(zip((*FANO, *REPEATS), np.concatenate(parts, axis=1)))
    return columns if spikes.repeats is not None else {name: columns[name] for name in FANO}


def _fano_of_block(
    spikes: Spikes, groups: WindowGroups, sizes: chance.GroupSizes, over: Over
) -> Float[np.ndarray, "column unit"]:
    """Compute the expected Fano factor, the normalized one and its expectation for some units."""
    n, squares = sums_of_groups(count_in_windows(spikes), groups)
    on_lattice = spikes.window_bins is not None
    exchange = spikes.exchange
    if over == "passes" and spikes.repeats is None and isinstance(spikes, SpikeBits):
        expected = _over_passes(spikes)
    elif isinstance(spikes, SpikeBits) and spikes.sequences is not None and spikes.sequences.labels_are_windows:
        expected = _exchanged_sequences(spikes, spikes.sequences)
    elif (
        isinstance(spikes, SpikeBits)
        and exchange is not None
        and exchange.labels_are_windows
        and _sequences(exchange, spikes)
    ):
        over_passes = exchange.over_passes
        expected = (
            _dealt_to_labels(spikes, exchange)
            if over_passes is None
            else _exchanged_in_passes(spikes, over_passes, groups)
        )
    elif isinstance(spikes, SpikeArrays) and over == "windows" and exchange is not None and not exchange.one_bin:
        expected = _dealt_trials(spikes, exchange, groups, thrown=n, sizes=sizes)
    else:
        expected = chance.expected_fano_of_groups(n, sizes, lattice=on_lattice)
    p = n / sizes.whole
    inside = (p > 0) & (p < 1) & on_lattice
    free = np.where(inside, 1 - p, np.nan)
    mean = np.where(n > 0, n / sizes.n_windows, np.nan)
    factors = squares / sizes.n_windows / mean - mean
    means = [mean_of_groups(v, groups.set_edges) for v in (expected, factors / free, expected / free)]
    return np.stack([*means, *_repeats(n, groups, sizes)])


def _repeats(
    n: Int[np.ndarray, "unit group"], groups: WindowGroups, sizes: chance.GroupSizes
) -> tuple[Float[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
    """Count the sets of groups (conditions) in which a unit has spikes, and the windows of its smallest such group."""
    if not groups.members:
        return np.zeros(len(n)), np.zeros(len(n))
    n_conditions = (np.add.reduceat(n, groups.set_edges[:-1], axis=1) > 0).sum(axis=1)
    fewest = np.where(n > 0, sizes.n_windows, np.iinfo(np.int64).max).min(axis=1)
    return n_conditions.astype(float), np.where(n_conditions > 0, fewest, 0).astype(float)


def _sequences(exchange: Exchange, spikes: SpikeBits) -> bool:
    """Whether an input has several bins in a pass."""
    return bool((exchange.size > spikes.bits.shape[0]).any())


def _over_passes(spikes: SpikeBits) -> Float[np.ndarray, "unit window"]:
    """Expect the factor over the passes of each window where passes are permuted in each bin."""
    n_passes = spikes.bits.shape[0]
    hits = np.unpackbits(spikes.bits, axis=2, count=spikes.pass_bins).sum(axis=0, dtype=np.int64)
    return chance.expected_fano_of_passes(hits, spikes.window[: spikes.pass_bins], n_passes=n_passes)[0]


def unit_blocks(spikes: Spikes, n_columns: int) -> Iterator[Spikes]:
    """Cut bits into blocks of units whose counts, one number per unit and column, fit into bounded memory."""
    if not isinstance(spikes, SpikeBits):
        yield spikes
        return
    step = max(1, BLOCK_COUNTS // max(n_columns, 1))
    for first in range(0, max(spikes.n_units, 1), step):
        yield replace(spikes, bits=spikes.bits[:, first : first + step])


def label_columns(spikes: Spikes, label_share: Float[np.ndarray, " unit"]) -> Expectations:
    """Expect the label share if inputs were dealt to labels at random, and give that of inputs with its expectation.

    Where every input is one bin the two shares are the same. Where inputs differ in their class from pass to pass they exchange their classes in all passes, and
    the share of inputs is NaN.
    """
    exchange, nothing = spikes.exchange, np.full(spikes.n_units, np.nan)
    names = ("label_share_expected", "label_share_trials", "label_share_trials_expected")
    if isinstance(spikes, SpikeBits) and spikes.sequences is not None:
        # A share of the variance over inputs: labels of steps say nothing of an input as a whole.
        return dict.fromkeys(names, nothing) | {names[0]: _share_of_sequences(spikes, spikes.sequences)}
    if exchange is None:
        return dict.fromkeys(names, nothing)
    if exchange.over_passes is not None and isinstance(spikes, SpikeBits):
        # Of which class an input is as a whole cannot be said.
        return dict.fromkeys(names, nothing) | {names[0]: _share_over_passes(spikes, exchange.over_passes)}
    if exchange.one_bin and spikes.label is not None and spikes.label_bins is not None:
        n = count_labels(spikes).sum(axis=1)
        dealt = chance.has_repeats(exchange.label)
        expected = chance.expected_label_share(n, spikes.label_bins) if dealt else nothing
        return dict(zip(names, (expected, label_share, expected)))
    parts = [_labels_of_block(block, exchange) for block in unit_blocks(spikes, exchange.size.size)]
    return dict(zip(names, np.concatenate(parts, axis=1)))


def _share_of_sequences(spikes: SpikeBits, sequences: Sequences) -> Float[np.ndarray, " unit"]:
    """Expect the label share if inputs exchanged their sequences of labels."""
    n_passes, parts = spikes.bits.shape[0], []
    for block in unit_blocks(spikes, 4 * spikes.n_bins):
        own = bins_of_passes(cast(SpikeBits, block)).sum(axis=0, dtype=np.int64)
        parts.append(
            chance.expected_label_share_of_sequences(own, sequences.groups, sequences.label, n_passes=n_passes)
        )
    return np.concatenate(parts)


def _exchanged_sequences(spikes: SpikeBits, sequences: Sequences) -> Float[np.ndarray, "unit pass"]:
    """Expect the factor over the windows of step labels of each pass if inputs exchanged their sequences of labels."""
    parts = [
        [chance.expected_fano_of_sequences(own, sequences.groups, sequences.label) for own in bins_of_passes(block)]
        for block in map(partial(cast, SpikeBits), unit_blocks(spikes, 4 * spikes.n_bins))
    ]
    return np.concatenate([np.stack(part, axis=1) for part in parts])


def _share_over_passes(spikes: SpikeBits, sequences: Sequences) -> Float[np.ndarray, " unit"]:
    """Expect the label share if inputs exchanged the classes that they have in all passes."""
    parts = []
    for block in unit_blocks(spikes, 4 * spikes.n_bins):
        bins = np.concatenate(list(bins_of_passes(cast(SpikeBits, block))), axis=1)
        parts.append(chance.expected_label_share_of_sequences(bins, sequences.groups, sequences.label))
    return np.concatenate(parts)


def _exchanged_in_passes(
    spikes: SpikeBits, sequences: Sequences, groups: WindowGroups
) -> Float[np.ndarray, "unit pass"]:
    """Expect the factor over the label windows of each pass with several if inputs exchanged the classes that they have in all passes."""
    passes = [int(spikes.window_pass[members[0]]) for members in groups.members]
    chosen = [_in_pass(sequences, number * spikes.pass_bins, spikes.pass_bins) for number in passes]
    parts = [
        [chance.expected_fano_of_sequences(bins[number], *one) for number, one in zip(passes, chosen)]
        for bins in (bins_of_passes(cast(SpikeBits, block)) for block in unit_blocks(spikes, 4 * spikes.n_bins))
    ]
    return np.concatenate([np.stack(part, axis=1) for part in parts])


def _in_pass(sequences: Sequences, first: int, n_bins: int) -> tuple[list[np.ndarray], Int[np.ndarray, " bin"]]:
    """Take the bins of one pass out of sequences over all of them; a class that no input has there is no window of it."""
    groups = [group[:, (group[0] >= first) & (group[0] < first + n_bins)] - first for group in sequences.groups]
    known, label = np.unique(sequences.label[first : first + n_bins], return_inverse=True)
    return groups, np.maximum(label - np.count_nonzero(known < 0), -1).astype(np.int64)


def bins_of_passes(spikes: SpikeBits) -> Int[np.ndarray, "pass unit bin"]:
    """Unpack the spikes of some units to numbers, pass by pass."""
    return np.unpackbits(spikes.bits, axis=2, count=spikes.pass_bins).astype(np.int64)


def _labels_of_block(spikes: Spikes, exchange: Exchange) -> Float[np.ndarray, "column unit"]:
    counts = count_in_groups(spikes, exchange.ids, exchange.size.size)
    of_bins, of_inputs = chance.expected_label_shares_of_inputs(counts, exchange.size, exchange.label)
    share = chance.label_share_of_inputs(counts, exchange.size, exchange.label)
    return np.stack([of_bins, share, of_inputs])


def _dealt_trials(
    spikes: SpikeArrays,
    exchange: Exchange,
    groups: WindowGroups,
    *,
    thrown: Int[np.ndarray, "unit group"],
    sizes: chance.GroupSizes,
) -> Float[np.ndarray, "unit group"]:
    """Expect the factor over the label windows of each pass if its trials were dealt to labels; in time, where no label has two, if spikes were thrown into the windows."""
    assert exchange.of_pass is not None  # noqa: S101
    counts = count_in_groups(spikes, exchange.ids, exchange.size.size)
    on_lattice = spikes.window_bins is not None
    expected = chance.expected_fano_of_groups(thrown, sizes, lattice=on_lattice)
    for group, members in enumerate(groups.members):
        own = exchange.of_pass == spikes.window_pass[members[0]]
        if on_lattice or chance.has_repeats(exchange.label[own]):
            expected[:, group] = chance.expected_fano_of_inputs(counts[:, own], exchange.label[own])
    return expected


def _dealt_to_labels(spikes: SpikeBits, exchange: Exchange) -> Float[np.ndarray, "unit pass"]:
    """Expect the factor over the label windows of each pass if inputs were dealt to labels at random."""
    n_passes, n_inputs = spikes.bits.shape[0], exchange.size.size
    of_pass = np.arange(spikes.n_bins) // spikes.pass_bins
    counts = count_in_groups(spikes, exchange.ids + of_pass * n_inputs, n_passes * n_inputs)
    by_pass = counts.reshape(spikes.n_units, n_passes, n_inputs)
    return np.stack(
        [chance.expected_fano_of_inputs(by_pass[:, one], exchange.label) for one in range(n_passes)], axis=1
    )
