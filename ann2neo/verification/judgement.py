"""Verification: that row k of a layer is input k, depends on nothing else, and comes out the same again.

Directly after the first batch its inputs are run again: half of them, each twice and shuffled, in a batch of the same size; then the other half alone, permuted. The values of
a layer have to follow their inputs within rounding. Only if some do not, further reruns find the reason. What depends on the size of a batch by rounding alone (a network that is
chaotic, or routes by the largest of nearly equal numbers, turns the last bits into others) is told from what depends on the other inputs by a batch of the same size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ann2neo.errors import Ann2NeoWarning
from ann2neo.probe.outputs import Arrangement
from ann2neo.verification.comparison import Call, Comparison, Reference
from ann2neo.verification.dependence import follow_as_pairs, independent, of_kept, warn_of_constant_entries, with_fewer
from ann2neo.verification.influence import Influence, is_along
from ann2neo.verification.orders import halves, mixed, shuffled
from ann2neo.verification.places import has_entries, relabelled
from ann2neo.verification.reruns import (
    MOST_RERUNS,
    OUTPUT,
    Look,
    NotVerifiable,
    Reruns,
    Verify,
    first_line,
    see_whether_steps_are_first,
    tell_of_either_axis,
)
from ann2neo.verification.steps import Axis, StepsFound, verify_steps
from ann2neo.verification.verdict import (
    CONSTANT,
    DEPENDS,
    DIFFERS,
    NOT_CALLED,
    NOT_FIRST,
    NOT_ROWS,
    PREDICTIONS,
    UNCLEAR,
    Verdict,
    predictions_apart,
)

CURE = "Give batches of tensors with inputs along the first axis, or a list with one entry for each input; or verify=False if rows are known to be the inputs."


class Verification:
    """Verifies the layers of one batch by running its inputs again.

    Parameters
    ----------
    run
        Runs the model on a batch of this many inputs and shows its activations to a sink: ``run(x, sink, n)``.
    x, n_inputs
        The batch, and its number of inputs.
    reference
        What was kept when the batch was run.
    axis
        Along which axis of the batch inputs lie, 0 or 1; None where only sizes tell.
    asks
        Whether nothing but the shape of the batch says that its first axis is that of inputs; what the model returns was kept then.
    tells
        Whether it is to be told if layers follow both axes.
    look
        Shows what the model returns, or the scores of its predictions, as if they were layers; None if these were not kept.
    steps, positions
        Along which axis of a layer steps lie, with inputs first, or "calls"; None where inputs have none. And which of them count.
    reset
        Gives the model the attributes that it had before the batch; None if the batch changed none.
    kept
        Makes a context after which buffers and attributes of the model hold what they held before, for a rerun of inputs that are not numbers.
    entries
        Whether rows of an input that do not depend on it are looked for where inputs have no steps.
    """

    def __init__(
        self,
        run: Verify,
        x: Any,
        n_inputs: int,
        reference: Reference,
        *,
        axis: int | None = None,
        asks: bool = False,
        tells: bool = False,
        look: Look | None = None,
        steps: Axis | None = None,
        positions: np.ndarray | None = None,
        reset: Callable[[], None] | None = None,
        kept: Callable[[], AbstractContextManager[None]] = nullcontext,
        entries: bool = True,
    ) -> None:
        self._reruns = Reruns(run, x, n_inputs, reference, axis=axis, look=look)
        self._asks, self._tells = asks, tells
        self._steps: Axis | None = steps
        self._entries = entries and steps is None
        self._positions, self._reset, self._kept = positions, reset, kept
        self._relabelled: Comparison | None = None
        self._first: Influence | None = None
        self._paired: set[Call] = set()
        self.following: dict[Call, list[Arrangement]] = {}

    def verdict(self) -> Verdict:
        """Run the inputs again and judge every layer, and what predictions follow from."""
        return predictions_apart(self._verdict())

    def _verdict(self) -> Verdict:
        calls = list(self._reruns.reference.kept)
        if self._reruns.n == 1 or not (
            self._reruns.movable or has_entries(self._reruns.x, self._reruns.n, self._reruns.preferred)
        ):
            return self._only_again(calls)
        first, second = halves(self._reruns.n)
        doubled = [i for pair in zip(second, second) for i in pair]
        order, in_order = mixed(second, self._reruns.n), sorted(doubled)[: self._reruns.n]
        try:
            same_size, unmoved = self._reruns.rerun(order, in_order)
            following = {call: self._reruns.following(same_size, call) for call in calls}
        except NotVerifiable as error:
            self._reruns.unverified.append(str(error))
            return self._only_again(calls)
        self._paired = follow_as_pairs(self._reruns, following)
        if not self._paired:
            following, same_size, unmoved = self._best_way(order, in_order, following, (same_size, unmoved))
        if self._tells:
            tell_of_either_axis(self._reruns, order, in_order, following)
        objecting_output = [call for call in calls if call[0].startswith(OUTPUT) and not following[call]]
        calls = [call for call in calls if not call[0].startswith(OUTPUT)]
        following = self.following = {call: following[call] for call in calls}
        objecting, rounding, of_size = with_fewer(self._reruns, calls, following, first)
        wrong = [call for call in calls if not following[call] or (call in objecting and call[0] not in rounding)]
        reasons, dependent = self._reasons(wrong, unmoved)
        dependent |= of_size | of_kept(self._reruns, self._reset, following, order, in_order)
        reasons |= {
            layer: CONSTANT for layer in independent(self._reruns, following, self._kept) if layer not in reasons
        }
        if self._entries:
            warn_of_constant_entries(
                self._reruns, {call: one for call, one in following.items() if call[0] not in reasons}, self._kept
            )
        dependent = {layer: why for layer, why in dependent.items() if layer not in reasons}
        arranged, steps = self._arranged(following, reasons)
        # Dependence is told, with the same cure.
        told = self._reruns.axis is not None and bool(dependent)
        wrong = [call for call in wrong if call[0] != PREDICTIONS]
        if self._asks and not told and (objecting_output or any(reasons.get(call[0]) != DIFFERS for call in wrong)):
            see_whether_steps_are_first(self._reruns, [*objecting_output, *wrong])
        return Verdict(
            left_out=reasons | steps.left_out,
            arranged=arranged,
            dependent=dependent,
            rounding=rounding,
            unverified=tuple(self._reruns.unverified),
            turned=self._reruns.is_square and self._reruns.preferred > 0,
            shifted=tuple(steps.shifted),
            n_steps=steps.n_steps,
        )

    def _best_way(
        self,
        order: Sequence[int],
        in_order: Sequence[int],
        following: dict[Call, list[Arrangement]],
        compared: tuple[Comparison, Comparison],
    ) -> tuple[dict[Call, list[Arrangement]], Comparison, Comparison]:
        """Where some calls do not follow, let inputs change places in other ways that the batch allows; keep to the one in which most calls follow."""
        reruns = self._reruns
        best = (reruns.first_only, reruns.preferred)
        for way in reruns.other_ways():
            # What the model returns may be anything; it is asked where it could tell inputs from as many steps.
            if all(found or (call[0].startswith(OUTPUT) and not reruns.is_square) for call, found in following.items()):
                break
            reruns.first_only, reruns.preferred = way
            try:
                again = reruns.rerun(order, in_order)
            except NotVerifiable:
                continue
            found = {call: reruns.following(again[0], call) for call in following}
            if sum(map(bool, found.values())) > sum(map(bool, following.values())):
                following, compared, best = found, again, way
        reruns.first_only, reruns.preferred = best
        return following, *compared

    def _only_again(self, calls: Sequence[Call]) -> Verdict:
        """Of what cannot change places, see at least whether it comes out the same again."""
        calls = [call for call in calls if not call[0].startswith(OUTPUT)]
        if not self._reruns.unverified:
            what = (
                "the first batch holds one input"
                if self._reruns.n == 1
                else "no tensor of the batch has an axis of inputs"
            )
            self._reruns.unverified.append(f"that row k is input k could not be verified: {what}")
            if self._reruns.n > 1 and isinstance(self._reruns.x, (torch.Tensor, np.ndarray, Mapping, list, tuple)):
                text = f"{self._reruns.unverified[-1]}, of which there are said to be {self._reruns.n}.\nRows are recorded as they come.\n{CURE}"
                warnings.warn(Ann2NeoWarning(text), stacklevel=2)
        found: dict[str, str] = {}
        again = Comparison(self._reruns.reference, range(self._reruns.n))
        try:
            self._reruns.run_once(self._reruns.x, again, self._reruns.n)
        except Exception as error:
            self._reruns.unverified.append(f"a second run failed with {type(error).__name__}: {first_line(error)}")
            return Verdict(unverified=tuple(self._reruns.unverified))
        arranged: dict[str, Arrangement] = {}
        second = Arrangement("axis", 1)
        for call in calls:
            here = self._reruns.plain(call)
            if here is None and self._reruns.preferred > 0 and second in self._reruns.reference.kept[call]:
                here = arranged[call[0]] = second
            if here is None:
                found[call[0]] = NOT_FIRST.format(shape=self._reruns.reference.shapes[call], n=self._reruns.n)
            elif not self._reruns.is_close(again.outcomes.get(call, {}).get(here), call):
                found[call[0]] = DIFFERS
        following = {call: [arranged[call[0]]] if call[0] in arranged else [] for call in calls}
        arranged, steps = self._arranged(following, found)
        return Verdict(
            left_out=found | steps.left_out,
            arranged=arranged,
            unverified=tuple(self._reruns.unverified),
            shifted=tuple(steps.shifted),
            n_steps=steps.n_steps,
        )

    def _reasons(self, wrong: Sequence[Call], unmoved: Comparison) -> tuple[dict[str, str], dict[str, str]]:
        """Find out why layers are not what they should be: they differ from run to run, depend on others, or their rows are not inputs."""
        if not wrong:
            return {}, {}
        left_out: dict[str, str] = {}
        dependent: dict[str, str] = {}
        # So that the batch as it was is run after an odd number of others: a state that comes back after every second call shows.
        has_left = self._reruns.n_left == MOST_RERUNS - 2 and not self._asks
        last = self._reruns.replaced(self._reruns.n - 1, 0) if has_left else None
        influence = self._reruns.influence()
        # In a small batch no places tell everything apart; but what depends on others whatever their order follows its inputs.
        permuted = self._reruns.permuted() if influence is None and self._reruns.n_left > 1 else None
        # Directly after another batch of the same size: a state that is kept shows.
        again = self._reruns.again()
        for call in wrong:
            layer, kept = call[0], self._reruns.reference.kept[call]
            plain = self._reruns.plain(call)
            repeats = again is None or any(
                self._reruns.is_close(o, call) for o in again.outcomes.get(call, {}).values()
            )
            if not kept:
                left_out[layer] = NOT_FIRST.format(shape=self._reruns.reference.shapes[call], n=self._reruns.n)
            elif again is not None and call not in again.outcomes:
                left_out[layer] = NOT_CALLED
            elif not repeats:
                left_out[layer] = DIFFERS
            elif plain is None:
                is_constant = (
                    any(self._is_constant(call, one, unmoved) for one in kept) and not self._reruns.has_others()
                )
                left_out[layer] = CONSTANT if is_constant else NOT_ROWS
            elif self._is_constant(call, plain, unmoved):
                if self._reruns.has_others():
                    self._reruns.unverified.append(
                        f"layer {layer!r} does not depend on the tensors that have an axis of inputs"
                    )
                else:
                    left_out[layer] = CONSTANT
            elif call in self._paired:
                dependent[layer] = DEPENDS
            elif self._reruns.are_others(call, plain):
                left_out[layer] = NOT_ROWS
            elif (
                (influence is not None and influence.is_own(call))
                or (permuted is not None and self._reruns.is_close(permuted.outcomes.get(call, {}).get(plain), call))
                or self._is_along(call, last)
                or self._moves_along(call, plain)
            ):
                dependent[layer] = DEPENDS
            else:
                left_out[layer] = NOT_ROWS if influence is not None else UNCLEAR.format(n=self._reruns.n)
        return left_out, {layer: why for layer, why in dependent.items() if layer not in left_out}

    def _is_constant(self, call: Call, plain: Arrangement, unmoved: Comparison) -> bool:
        """Whether values are the same at each place although other inputs lie there; values that followed are if they are all alike."""
        if call in unmoved.outcomes:
            return self._reruns.is_close(unmoved.outcomes[call].get(plain), call)
        rows = self._reruns.reference.kept[call][plain].rows
        return bool((rows == rows[:1]).all())

    def _is_along(self, call: Call, last: Influence | None) -> bool:
        """Whether values depend on the others along the batch, as its ends show; the first one is replaced once for all calls."""
        if last is None or not (changed := last.changed(call)) or not changed[-1]:
            return False
        if self._first is None and self._reruns.n_left:
            self._first = self._reruns.replaced(0, self._reruns.n - 1)
        first = [] if self._first is None else self._first.changed(call)
        return len(first) == len(changed) and is_along(changed, first)

    def _moves_along(self, call: Call, plain: Arrangement) -> bool:
        """Whether values follow their inputs if the places that integers of the batch name, as the edges of a graph do, change with them; run once for all calls."""
        if self._relabelled is None:
            order = shuffled(list(range(self._reruns.n)))
            comparison = self._relabelled = Comparison(self._reruns.reference, order)
            moved = relabelled(self._reruns.x, order, self._reruns.n)
            try:
                if moved is not None:
                    self._reruns.run_once(moved, comparison, self._reruns.n)
            except Exception:
                comparison.outcomes = {}
        return self._reruns.is_close(self._relabelled.outcomes.get(call, {}).get(plain), call)

    def _arranged(
        self, following: Mapping[Call, list[Arrangement]], left_out: Mapping[str, str]
    ) -> tuple[dict[str, Arrangement], StepsFound]:
        """Choose an arrangement for each layer; with steps, see that the entries of an input are its steps."""
        chosen = {call: found[0] for call, found in following.items() if found and call[0] not in left_out}
        # What depends on its batch has inputs along the first axis.
        chosen |= {
            call: plain
            for call in following
            if call not in chosen and call[0] not in left_out and (plain := self._reruns.plain(call)) is not None
        }
        arranged = {layer: one for (layer, number), one in chosen.items() if not one.is_plain and number == 0}
        axis: Axis | None = self._steps
        if axis is None:
            return arranged, StepsFound()
        chosen = {call: one for call, one in chosen.items() if call[0] != PREDICTIONS}
        steps = verify_steps(self._reruns, axis, chosen, self._positions)
        self._reruns.unverified += steps.unverified
        for layer, found in steps.along.items():
            arranged[layer] = replace(chosen[layer, 0], moved=(found, int(axis)))
        return {layer: one for layer, one in arranged.items() if layer not in steps.left_out}, steps
