"""Verifying steps: that the entries of a layer along its axis of steps are the steps of an input, in their order.

Two small reruns tell. In one, two inputs have about half of their steps: the axis that gets shorter is that of steps, and one that does not holds channels, heads or
slots. In the other, of eight inputs at most, each has another step replaced: the entry of that step has to change. Where the number of steps is fixed the second one
alone has to tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from ann2neo.probe.outputs import Arrangement
from ann2neo.verification.comparison import Call
from ann2neo.verification.entries import Change, Changes, Shapes
from ann2neo.verification.reruns import Reruns
from ann2neo.verification.sequences import Sequences, replaced, sequences_of, shortened
from ann2neo.verification.verdict import NOT_IN_ORDER, NOT_STEP_AXIS, NOT_STEPS

# Inputs of the rerun in which each has another step replaced, and of the one with fewer steps.
MOST_ROWS, N_SHORT = 8, 2
# Share of the entries from which on each step is taken to change all of them, but for silent ones.
MOST_CHANGED = 0.8
UNSEEN = "whether the entries of these layers are the steps of an input, in their order: {layers} ({why})"

Axis = int | Literal["calls"]


@dataclass(slots=True)
class StepsFound:
    """What was found out about the steps of layers.

    Parameters
    ----------
    left_out
        Layers whose entries are not the steps of an input, each with the reason.
    along
        Layers whose steps lie along another axis than the one that was named, and along which, counted with inputs first.
    shown
        Layers of which the axis of steps is known to be one, each with its number of entries.
    shifted
        Layers whose entries are those of the step before or after.
    unverified
        What could not be found out.
    n_steps
        Entries that most of these layers have, or else steps of the inputs; None where they have none.
    """

    left_out: dict[str, str] = field(default_factory=dict)
    along: dict[str, int] = field(default_factory=dict)
    shown: dict[str, int] = field(default_factory=dict)
    shifted: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    n_steps: int | None = None


def verify_steps(
    reruns: Reruns, axis: Axis, chosen: Mapping[Call, Arrangement], positions: np.ndarray | None
) -> StepsFound:
    """Find out of each layer whether its entries along an axis, or its calls, are the steps of an input.

    Parameters
    ----------
    reruns
        The batch, and how it is run again.
    axis
        Along which axis steps are said to lie, with inputs first; or "calls".
    chosen
        Calls of the layers, each with the arrangement of its inputs.
    positions
        Steps of each input that count: how many from the first one on, or which of them; None for all.
    """
    found = StepsFound()
    known = sequences_of(reruns.x, reruns.n, axis, preferred=reruns.preferred, first_only=reruns.first_only)
    if known is None or known.n_steps < 2 or not chosen:
        if chosen:
            found.unverified.append(_unseen([call[0] for call in chosen], "no tensor of the batch has several steps"))
        return found
    shapes: dict[Call, tuple[int, ...]] = {}
    if axis != "calls":
        known, shapes = _with_fewer_steps(reruns, known, chosen)
    seen, at = _with_other_steps(reruns, known, chosen, positions)
    of_layers = _by_layer(seen, chosen, axis)
    unseen: dict[str, str] = {}
    for (layer, number), arrangement in chosen.items():
        if number == 0:
            short = shapes.get((layer, 0))
            whole = tuple(reruns.reference.kept[layer, 0][arrangement].rows.shape)
            axes = None
            if short is not None and len(short) == len(whole):
                axes = {one for one in range(1, len(whole)) if short[one] != whole[one]}
            why = _judge(layer, whole, arrangement, axis, known, axes, of_layers.get(layer, {}), at, found)
            if why:
                unseen[layer] = why
    if axis != "calls":
        counts = Counter(found.shown.values())
        usual = max(counts, key=lambda n: (counts[n], n == known.n_steps), default=known.n_steps)
        found.n_steps = usual if counts or known.axis == axis else None
    for why in dict.fromkeys(unseen.values()):
        found.unverified.append(_unseen([layer for layer, one in unseen.items() if one == why], why))
    return found


def _unseen(layers: Sequence[str], why: str) -> str:
    listed = ", ".join(map(repr, dict.fromkeys(layers[:5]))) + (", ..." if len(layers) > 5 else "")
    return UNSEEN.format(layers=listed, why=why)


def _judge(
    layer: str,
    shape: tuple[int, ...],
    arrangement: Arrangement,
    axis: Axis,
    known: Sequences,
    shorter: set[int] | None,
    changes: Mapping[int, Change],
    at: Sequence[int],
    found: StepsFound,
) -> str | None:
    """Judge one layer; returns why nothing could be shown."""
    place = 1 if axis == "calls" else axis
    if not shorter:
        shorter = _by_single_steps(changes, place, at, known.n_steps)
    if shorter and place not in shorter:
        if len(shorter) > 1 or known.axis != axis:
            listed = ", ".join(map(str, sorted(shorter)))
            found.left_out[layer] = NOT_STEP_AXIS.format(axis=place, others=listed)
            return None
        place = found.along[layer] = next(iter(shorter))
    if shorter:
        found.shown[layer] = shape[place]
    change = changes.get(place)
    order = None if change is None else _order(change, at, known.n_steps)
    flattened = arrangement.kind != "axis" and axis != "calls"
    mixed = change is not None and order is None and _share(change) >= MOST_CHANGED
    if flattened and (place >= len(shape) or shape[place] != known.n_steps or not (order == "same" or mixed)):
        found.left_out[layer] = NOT_STEPS
    elif order == "other":
        found.left_out[layer] = NOT_IN_ORDER
    elif order in ("same", "next"):
        if axis != "calls":
            found.shown[layer] = shape[place]
        found.shifted += [layer] if order == "next" else []
    else:
        return (
            "no step that was replaced changes them"
            if change is None or not change.changed.any()
            else "each step changes all of them"
        )
    if layer in found.left_out:
        found.along.pop(layer, None)
        found.shown.pop(layer, None)
    return None


def _by_single_steps(changes: Mapping[int, Change], place: int, at: Sequence[int], n_steps: int) -> set[int]:
    """Where the number of steps is fixed, find the axes along which single entries change with single steps, and along the one that was named more of them do."""
    if place not in changes:
        return set()
    return {
        axis
        for axis, change in changes.items()
        if axis != place
        and change.changed.shape[1] == n_steps
        and _order(change, at, n_steps) in ("same", "next")
        and 4 * _share(change) < 3 * _share(changes[place])
    }


def _share(change: Change) -> float:
    """Share of the entries that changed, in rows in which any did."""
    rows = change.changed.any(1)
    return float(change.changed[rows].mean()) if rows.any() else 0.0


def _order(change: Change, at: Sequence[int], n_steps: int) -> str | None:
    """Tell the order of entries: "same" as that of the steps, "next" if they are those of the step before or after, "other"; None if nothing shows it.

    A replaced step has to change its own entry, unless that is silent before and after: only then others may change without it.
    """
    rows = np.flatnonzero(change.changed.any(1)).tolist()
    if len({at[row] for row in rows}) < 2:
        return None
    n = change.changed.shape[1]
    is_local = _share(change) < MOST_CHANGED
    if n != n_steps:
        return _scaled_order(change, rows, at, n_steps)
    if _hits(change, rows, at, 0):
        return "same" if is_local or _peaks(change, rows, at) else None
    return "next" if any(_hits(change, rows, at, shift) for shift in (1, -1)) else "other"


def _hits(change: Change, rows: Sequence[int], at: Sequence[int], shift: int) -> bool:
    n = change.changed.shape[1]
    for row in rows:
        own = at[row] + shift
        # Of two steps an exchange is as good as a shift.
        if not 0 <= own < n and n < 3:
            return False
        if not change.changed[row, own % n] and not change.is_flat[row, own % n]:
            return False
    return True


def _peaks(change: Change, rows: Sequence[int], at: Sequence[int]) -> bool:
    """Whether for most rows the entry of the step that was replaced changes most."""
    return 2 * sum(int(change.size[row].argmax()) == at[row] for row in rows) > len(rows)


def _scaled_order(change: Change, rows: Sequence[int], at: Sequence[int], n_steps: int) -> str | None:
    """Tell the order of entries that are more or fewer than steps: after a first token, without padding, pooled or strided."""
    n = change.changed.shape[1]
    if _share(change) >= MOST_CHANGED:
        return None

    def fit(changed: np.ndarray) -> bool:
        shifts = range(min(0, n - n_steps), max(0, n - n_steps) + 1)
        whole = [[(row, at[row] + shift) for row in rows if 0 <= at[row] + shift < n] for shift in shifts]
        if any(len(pairs) > 1 and all(changed[row, own] for row, own in pairs) for pairs in whole):
            return True
        own = [round(at[row] * (n - 1) / (n_steps - 1)) for row in rows]
        return all(changed[row, max(0, one - 1) : one + 2].any() for row, one in zip(rows, own))

    if fit(change.changed):
        return "same"
    return "other" if fit(change.changed[:, ::-1]) else None


def _with_fewer_steps(
    reruns: Reruns, known: Sequences, chosen: Mapping[Call, Arrangement]
) -> tuple[Sequences, dict[Call, tuple[int, ...]]]:
    """Run two inputs with about half of their steps, along the axes of the inputs that may be those of steps: the shape of each call; none where the model takes no other number."""
    rows = reruns.reference.kept_inputs[:N_SHORT]
    halves = [(known, max(1, known.n_steps // 2)), (known, known.n_steps - 1)]
    others = [replace(known, axis=axis) for axis in range(1, known.ndim) if axis != known.axis]
    tries = halves + [(one, 3 * one.n_steps // 4) for one in others if one.n_steps > 1]
    for one, n_left in tries[:4]:
        shapes = Shapes(chosen, len(rows))
        try:
            reruns.run(shortened(one, rows, n_left), shapes, len(rows))
        except Exception:
            continue
        return one, shapes.seen
    return known, {}


def _with_other_steps(
    reruns: Reruns, known: Sequences, chosen: Mapping[Call, Arrangement], positions: np.ndarray | None
) -> tuple[dict[Call, dict[int, Change]], list[int]]:
    """Run a few inputs, of each of which another step was replaced: what changed, and the step of each."""
    kept = reruns.reference.kept_inputs
    for size in dict.fromkeys((MOST_ROWS, reruns.n)):
        inputs = [kept[row % len(kept)] for row in range(size)]
        at = _steps_at(inputs, known.n_steps, positions)
        changes = Changes(reruns.reference, chosen, inputs)
        try:
            reruns.run(replaced(known, inputs, at), changes, size)
        except Exception:
            continue
        return changes.seen, at
    return {}, []


def _steps_at(inputs: Sequence[int], n_steps: int, positions: np.ndarray | None) -> list[int]:
    """Choose a step of each input that counts, so that all together reach from the first to the last one."""
    found = []
    for row, k in enumerate(inputs):
        share = row % MOST_ROWS / max(1, min(len(inputs), MOST_ROWS) - 1)
        there = np.arange(n_steps)
        # Others show as well, unless they do not reach a layer; of short inputs alone all would have the same one.
        if positions is not None and row % 2 == 0:
            counted = np.arange(n_steps) < positions[k] if positions.ndim == 1 else positions[k]
            there = np.flatnonzero(counted) if len(counted) == n_steps else there
        found.append(int(there[round(share * (len(there) - 1))]) if len(there) else 0)
    return found


def _by_layer(
    seen: Mapping[Call, dict[int, Change]], chosen: Mapping[Call, Arrangement], axis: Axis
) -> dict[str, dict[int, Change]]:
    """Changes by layer and axis; where calls are steps, calls side by side."""
    if axis != "calls":
        return {layer: changes for (layer, number), changes in seen.items() if number == 0}
    found: dict[str, dict[int, Change]] = {}
    for layer in dict.fromkeys(layer for layer, _ in seen):
        calls = [seen[call][0] for call in sorted(call for call in chosen if call[0] == layer) if call in seen]
        found[layer] = {
            1: Change(
                changed=np.stack([one.changed[:, 0] for one in calls], 1),
                size=np.stack([one.size[:, 0] for one in calls], 1),
                is_flat=np.stack([one.is_flat[:, 0] for one in calls], 1),
            )
        }
    return found
