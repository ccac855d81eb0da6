"""Dependence: what layers depend on beside their input, on how many inputs their batch has, or on what the batch left in the model's attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from ann2neo.capture.model.arrangement import Arrangement
from ann2neo.capture.spikes.comparison import Call, Comparison
from ann2neo.capture.verification.places import shuffled, slightly_changed
from ann2neo.capture.verification.reruns import NotVerifiable, Reruns
from ann2neo.capture.verification.verdict import DEPENDS, SIZE

# Share of the inputs beyond which what differs in a batch of another size is looked into.
MOST = 0.9


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
    sized = _by_number(reruns, rounding)
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
        doubled, _ = reruns.rerun(shuffled(repeated), sorted(repeated))
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


def _by_number(reruns: Reruns, rounding: Mapping[str, float]) -> list[str]:
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
    """Find the layers that depend on what the batch left in the model's attributes: with those before it, other inputs beside an input would have given other values."""
    if reset is None or not reruns.n_left:
        return {}
    reset()
    try:
        anew, _ = reruns.rerun(order, in_order)
    except NotVerifiable:
        return {}
    found = [call for call, kept in following.items() if kept and not set(kept) & set(reruns.following(anew, call))]
    return {layer: DEPENDS for layer, _ in found}
