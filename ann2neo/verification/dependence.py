"""Dependence: what layers depend on beside their input, on how many inputs their batch has, on what the batch left in the model's attributes; and those that depend on no input at all."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import numpy as np
import torch

from ann2neo.errors import Ann2NeoWarning
from ann2neo.probe.nested import leaves, with_parts
from ann2neo.probe.outputs import Arrangement
from ann2neo.verification.comparison import Call, Comparison, distances
from ann2neo.verification.entries import Changes
from ann2neo.verification.orders import apart, halves, mixed, shuffled
from ann2neo.verification.places import (
    are_alike,
    axis_of_inputs,
    has_pairs,
    is_sparse,
    preferred_axis,
    slightly_changed,
    taken,
)
from ann2neo.verification.reruns import NotVerifiable, Reruns
from ann2neo.verification.verdict import DEPENDS, PREDICTIONS, SIZE

# Share of the inputs beyond which what differs in a batch of another size is looked into.
MOST = 0.9


def follow_as_pairs(reruns: Reruns, following: dict[Call, list[Arrangement]]) -> set[Call]:
    """Where some calls do not follow, find those that do if pairs of inputs, as those of an adjacency matrix, change places along both axes, and keep to that.

    What they depend on beside their input shows where fewer inputs are run.
    """
    wrong = [call for call, found in following.items() if not found]
    if not wrong or not has_pairs(reruns.x, reruns.n):
        return set()
    reruns.pairs = True
    permuted = reruns.permuted()
    found = {} if permuted is None else {call: reruns.following(permuted, call) for call in wrong}
    paired = {call for call, arrangements in found.items() if arrangements}
    following |= {call: found[call] for call in paired}
    reruns.pairs = bool(paired)
    return paired


def with_fewer(
    reruns: Reruns, calls: Sequence[Call], following: Mapping[Call, list[Arrangement]], first: Sequence[int]
) -> tuple[set[Call], dict[str, float], dict[str, str]]:
    """Run half of the inputs alone: calls that do not follow, layers that follow but for rounding, and those that depend on how many inputs there are."""
    try:
        fewer, _ = reruns.rerun(shuffled(first), sorted(first))
    except NotVerifiable as error:
        reruns.unverified.append(str(error))
        return set(), {}, {}
    objecting = {call for call in calls if following[call] and not _agrees(fewer, call, following[call])}
    rounding = _of_size(reruns, objecting, following, fewer, first)
    sized = by_number(reruns, rounding)
    return objecting, rounding, dict.fromkeys(sized, SIZE)


def _agrees(comparison: Comparison, call: Call, arrangements: list[Arrangement]) -> bool:
    """Whether fewer inputs give shapes that follow and values that differ by no more than the last bits; forget arrangements that do not."""
    found = comparison.outcomes.get(call, {})
    fitting = [one for one in arrangements if one in found and found[one].fits]
    fine = [one for one in fitting if not found[one].gross_share]
    if fine:
        arrangements[:] = fine
    return bool(fine)


def _of_size(
    reruns: Reruns,
    objecting: set[Call],
    following: Mapping[Call, list[Arrangement]],
    fewer: Comparison,
    first: Sequence[int],
) -> dict[str, float]:
    """Of the calls that object to fewer inputs, find those that agree if these are as many as before: it was rounding."""
    fitting = {
        call
        for call in objecting
        if any((o := fewer.outcomes.get(call, {}).get(one)) is not None and o.fits for one in following[call])
    }
    if not fitting:
        return {}
    repeated = [first[k % len(first)] for k in range(reruns.n)]
    try:
        # No two places that held the same input hold the same again: what exchanges them would go unseen twice.
        order = apart(repeated, mixed(halves(reruns.n)[1], reruns.n))
        doubled, _ = reruns.rerun(order, sorted(repeated))
    except NotVerifiable as error:
        reruns.unverified.append(str(error))
        return {}
    shares: dict[str, float] = {}
    for call in fitting:
        agreeing = [one for one in following[call] if one in reruns.following(doubled, call)]
        if agreeing:
            following[call][:] = agreeing
            share = fewer.outcomes[call][agreeing[0]].gross_share
            shares[call[0]] = max(share, shares.get(call[0], 0.0))
    return shares


def by_number(reruns: Reruns, rounding: Mapping[str, float]) -> list[str]:
    """Of the layers that give other values in a batch of another size, find those where it cannot be rounding: nearly all inputs are concerned, and a change of the inputs that is larger than rounding changes few."""
    nearly_all = [layer for layer, share in rounding.items() if share > MOST]
    if not nearly_all or reruns.n_left < 1:
        return []
    nudged = Comparison(reruns.reference, range(reruns.n))
    with suppress(Exception):
        reruns.run_once(slightly_changed(reruns.x, reruns.n), nudged, reruns.n)
    shares: dict[str, float] = {}
    for (layer, _), outcomes in nudged.outcomes.items():
        shares[layer] = max(shares.get(layer, 0.0), *(o.gross_share for o in outcomes.values() if o.fits), 0.0)
    return [layer for layer in nearly_all if layer in shares and shares[layer] < rounding[layer] / 2]


def of_kept(
    reruns: Reruns,
    reset: Callable[[], None] | None,
    following: Mapping[Call, list[Arrangement]],
    order: Sequence[int],
    in_order: Sequence[int],
) -> dict[str, str]:
    """Find the layers that depend on what the batch left in the model's attributes: with those before it, other inputs beside an input would have given other values.

    Either half of the inputs is run: the largest number of all, say, is in one of them only.
    """
    other = mixed(halves(reruns.n)[0], reruns.n)
    found: set[str] = set()
    for half in ((order, in_order), (other, sorted(other))):
        if reset is None or not reruns.n_left or found:
            break
        reset()
        try:
            anew, _ = reruns.rerun(*half)
        except NotVerifiable:
            break
        found |= {
            call[0] for call, kept in following.items() if kept and not set(kept) & set(reruns.following(anew, call))
        }
    return dict.fromkeys(found, DEPENDS)


def independent(
    reruns: Reruns,
    following: Mapping[Call, list[Arrangement]],
    contents_kept: Callable[[], AbstractContextManager[None]],
) -> list[str]:
    """Find the layers that are the same for all inputs because they do not depend on them; what is silent or saturated for all of them does.

    Told apart by inputs far off, and by such as are not numbers, where the batch holds floating-point numbers only; what is 0 throughout is silent, whatever it is.
    """
    kept = reruns.reference.kept
    alike = {call: kept[call][found[0]] for call, found in following.items() if found and call[0] != PREDICTIONS}
    alike = {call: one for call, one in alike.items() if _are_same(reruns, call, one.columns) and one.rows.any()}
    alike = {call: one for call, one in alike.items() if _are_same(reruns, call, one.rows)}
    if not alike or are_alike(reruns.x, reruns.n):
        return []
    other = disturbed(reruns.x, reruns.n)
    again = Comparison(reruns.reference, range(reruns.n))
    try:
        if other is not None:
            with contents_kept():
                reruns.run_once(other, again, reruns.n)
    # Whatever a model raises where it is given what it was not made for.
    except Exception:
        again.outcomes = {}
    unknown = [call[0] for call in alike if call not in again.outcomes]
    if unknown:
        listed = ", ".join(map(repr, unknown[:5]))
        text = f"These layers are the same for all inputs of the first batch; whether they depend on them could not be found out: {listed}."
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
        reruns.unverified.append(
            f"whether these layers, the same for all inputs of the first batch, depend on them: {listed}"
        )
    same = {call for call in alike if call not in _seen_to_change(reruns, again, following)}
    return [call[0] for call in alike if call in again.outcomes and call in same]


def _are_same(reruns: Reruns, call: Call, rows: torch.Tensor) -> bool:
    """Whether rows are the same, but for the last bits in which rows of one matrix product may differ."""
    if torch.equal(rows, rows[:1].expand_as(rows)):
        return True
    least = 16 * reruns.reference.eps[call] * reruns.reference.largest[call]
    spread = float((rows.amax(0) - rows.amin(0)).max())
    return spread <= least if math.isfinite(spread) else float(distances(rows, rows[:1]).max()) <= least


def warn_of_constant_entries(
    reruns: Reruns,
    following: Mapping[Call, list[Arrangement]],
    contents_kept: Callable[[], AbstractContextManager[None]],
) -> None:
    """Warn of layers with several rows for each input some of which do not depend on it: of padding, or of a prompt as long as the batch, that a model puts beside its inputs.

    Told by inputs far off, as in `independent`; rows that are 0 throughout are silent.
    """
    reference = reruns.reference
    several = {call: found[0] for call, found in following.items() if found and found[0].kind != "axis"}
    alike = {call: _entries_alike(reruns, call, one) for call, one in several.items() if call[0] != PREDICTIONS}
    alike = {call: same for call, same in alike.items() if same.any() and not same.all()}
    other = disturbed(reruns.x, reruns.n) if alike and not are_alike(reruns.x, reruns.n) else None
    if other is None or not reruns.n_left:
        return
    kept = reference.kept_inputs
    changes = Changes(reference, several, kept)
    with suppress(Exception), contents_kept():
        reruns.run_once(taken(other, kept, reruns.n, preferred=reruns.preferred), changes, len(kept))
    constant = {
        call: int((same & ~changes.seen[call][1].changed.any(0)).sum())
        for call, same in alike.items()
        if call in changes.seen
    }
    listed = ", ".join(f"{call[0]!r} ({n} of {alike[call].size})" for call, n in constant.items() if n)
    if listed:
        what = f"some of the rows that these layers give for each input are the same whatever the inputs are: {listed}"
        reruns.unverified.append(what)
        text = (
            f"{what}.\nRows of padding, or of a prompt that the model puts beside its inputs, count as units of each input.\n"
            "Leave these layers out (layers='!name'), or call what takes the inputs alone, Inputs(data, forward=lambda model, x: ...)."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)


def _entries_alike(reruns: Reruns, call: Call, arrangement: Arrangement) -> np.ndarray:
    """Find the entries of an input that are the same for all that are kept, and not silent, shape (entry,)."""
    rows = reruns.reference.kept[call][arrangement].rows
    if len(rows) < 2:
        return np.zeros(rows.shape[1], bool)
    flat = rows.reshape(*rows.shape[:2], -1)
    limit = 16 * reruns.reference.eps[call] * reruns.reference.largest[call]
    same = distances(flat, flat[:1]).amax((0, 2)) <= limit
    return (same & (flat[0] != 0).any(1)).cpu().numpy()


def _seen_to_change(reruns: Reruns, again: Comparison, following: Mapping[Call, list[Arrangement]]) -> set[Call]:
    outcomes = {
        call: again.outcomes[call].get(found[0])
        for call, found in following.items()
        if found and call in again.outcomes
    }
    return {call for call, one in outcomes.items() if not reruns.is_close(one, call)}


def disturbed(x: Any, n_inputs: int) -> Any:
    """Replace all floating-point numbers of a batch by others far off, of every second input by NaN, which goes through what is saturated; None if the batch holds anything else.

    Examples
    --------
    >>> disturbed(torch.zeros(2, 1), 2).isnan().tolist(), disturbed({"ids": torch.arange(3)}, 3)
    ([[True], [False]], None)
    """
    generator = torch.Generator().manual_seed(3)
    every = [torch.as_tensor(leaf) for _, leaf in leaves(x) if isinstance(leaf, (torch.Tensor, np.ndarray))]
    if not every or any(not leaf.is_floating_point() or is_sparse(leaf) for leaf in every):
        return None
    preferred = preferred_axis(x, n_inputs)

    def change(part: Any) -> Any:
        if not isinstance(part, (torch.Tensor, np.ndarray)):
            return with_parts(part, change)
        given = torch.as_tensor(part)
        size = 1e3 * (1 + float(given.abs().nan_to_num().max())) if given.numel() else 1.0
        other = (torch.randn(given.shape, generator=generator) * size).to(given)
        axis = axis_of_inputs(part, n_inputs, preferred)
        if axis is not None:
            other.movedim(axis, 0)[::2] = float("nan")
        return other if isinstance(part, torch.Tensor) else other.numpy()

    return change(x)
