"""Verification: that row k of a layer is input k, depends on nothing else, and comes out the same again.

Directly after the first batch its inputs are run again: half of them, each twice and shuffled, in a batch of the same size; then the other half alone, permuted. The values of
a layer have to follow their inputs within rounding. Only if some do not, further reruns find the reason. What depends on the size of a batch by rounding alone (a network that is
chaotic, or routes by the largest of nearly equal numbers, turns the last bits into others) is told from what depends on the other inputs by a batch of the same size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from ann2neo.capture.model.arrangement import Arrangement
from ann2neo.capture.model.probe import Watched
from ann2neo.capture.nested import leaves
from ann2neo.capture.spikes.comparison import Call, Comparison, Influence, Outcome, Reference
from ann2neo.capture.verification.places import (
    halves,
    mixed,
    movable,
    places_within,
    relabelled,
    shuffled,
    slightly_changed,
    taken,
    with_other_last_step,
)
from ann2neo.capture.verification.verdict import (
    CONSTANT,
    DEPENDS,
    DIFFERS,
    NOT_CALLED,
    NOT_FIRST,
    NOT_ROWS,
    NOT_STEPS,
    SIZE,
    Verdict,
)
from ann2neo.errors import Ann2NeoError

# If all is well two are made, which are one and a half.
MOST_RERUNS = 6
# Share of the inputs beyond which what differs in a batch of another size is looked into.
MOST = 0.9

Verify = Callable[[Any, Any, int], Any]


class NotVerifiable(Exception):
    """The inputs of a batch cannot change places."""


class Both:
    """A sink that compares what it is shown with the same inputs, and, only where that differs, with those that lay at the same places."""

    def __init__(self, same: Comparison, unmoved: Comparison) -> None:
        self._same, self._unmoved = same, unmoved

    def take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        """Compare an activation."""
        self._same.take(layer, watched, activation)
        if self._same.last_differs:
            self._unmoved.take(layer, watched, activation)
        else:
            self._unmoved.skip(layer)

    def take_again(self, layer: str, output: Any) -> bool:
        """Return False: every value is to be seen."""
        return False

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Ignore it: it was told of the first batch."""


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
    n_steps
        Whether each input has steps along axis 1, so that flattened layers have to have them too.
    reset
        Gives the model the attributes that it had before the batch; None if the batch changed none.
    """

    def __init__(
        self,
        run: Verify,
        x: Any,
        n_inputs: int,
        reference: Reference,
        *,
        with_steps: bool = False,
        reset: Callable[[], None] | None = None,
    ) -> None:
        self._run, self._x, self._n, self._reference, self._with_steps = run, x, n_inputs, reference, with_steps
        self._reset = reset
        self._movable = movable(x, n_inputs)
        self._first_only = False
        self._n_left = MOST_RERUNS
        self._relabelled: Comparison | None = None
        self._unverified: list[str] = []

    def verdict(self) -> Verdict:
        """Run the inputs again and judge every layer."""
        calls = list(self._reference.kept)
        if self._n == 1 or not self._movable:
            return self._only_again(calls)
        first, second = halves(self._n)
        doubled = [i for pair in zip(second, second) for i in pair]
        order = mixed(second, self._n)
        try:
            same_size, unmoved = self._rerun(order, sorted(doubled)[: self._n])
            following = {call: self._following(same_size, call) for call in calls}
            if self._is_ambiguous() and not all(following.values()):
                self._first_only = True
                again, _ = self._rerun(order, sorted(doubled)[: self._n])
                better = {call: self._following(again, call) for call in calls}
                if sum(map(bool, better.values())) > sum(map(bool, following.values())):
                    following = better
                else:
                    self._first_only = False
        except NotVerifiable as error:
            self._unverified.append(str(error))
            return self._only_again(calls)
        objecting, rounding, of_size = self._with_fewer(calls, following, first)
        wrong = [call for call in calls if not following[call] or (call in objecting and call[0] not in rounding)]
        reasons, dependent = self._reasons(wrong, unmoved)
        dependent |= of_size | self._of_kept(following, order, sorted(doubled)[: self._n])
        dependent = {layer: why for layer, why in dependent.items() if layer not in reasons}
        arranged, not_steps = self._arranged(following, reasons)
        return Verdict(
            left_out=reasons | not_steps,
            arranged={name: one for name, one in arranged.items() if name not in not_steps},
            dependent=dependent,
            rounding=rounding,
            unverified=tuple(self._unverified),
        )

    def _with_fewer(
        self, calls: Sequence[Call], following: Mapping[Call, list[Arrangement]], first: Sequence[int]
    ) -> tuple[set[Call], dict[str, float], dict[str, str]]:
        """Run half of the inputs alone: calls that do not follow, layers that follow but for rounding, and those that depend on how many inputs there are."""
        try:
            fewer, _ = self._rerun(shuffled(first), sorted(first))
        except NotVerifiable as error:
            self._unverified.append(str(error))
            return set(), {}, {}
        objecting = {call for call in calls if following[call] and not self._agrees(fewer, call, following[call])}
        rounding = self._of_size(objecting, following, fewer, first)
        sized = self._by_number(rounding)
        return objecting, rounding, dict.fromkeys(sized, SIZE)

    def _by_number(self, rounding: Mapping[str, float]) -> list[str]:
        """Of the layers that give other values in a batch of another size, find those where it cannot be rounding: nearly all inputs are concerned, and a change of the inputs that is larger than rounding changes few."""
        nearly_all = [layer for layer, share in rounding.items() if share > MOST]
        if not nearly_all or self._n_left < 1:
            return []
        nudged = Comparison(self._reference, range(self._n))
        with suppress(Exception):
            self._run_once(slightly_changed(self._x, self._n), nudged, self._n)
        shares: dict[str, float] = {}
        for (layer, _), outcomes in nudged.outcomes.items():
            shares[layer] = max(shares.get(layer, 0.0), *(o.gross_share for o in outcomes.values() if o.fits), 0.0)
        return [layer for layer in nearly_all if layer in shares and shares[layer] < rounding[layer] / 2]

    def _of_kept(
        self, following: Mapping[Call, list[Arrangement]], order: Sequence[int], in_order: Sequence[int]
    ) -> dict[str, str]:
        """Find the layers that depend on what the batch left in the model's attributes: with those before it, other inputs beside an input would have given other values."""
        if self._reset is None or not self._n_left:
            return {}
        self._reset()
        try:
            anew, _ = self._rerun(order, in_order)
        except NotVerifiable:
            return {}
        found = [call for call, kept in following.items() if kept and not set(kept) & set(self._following(anew, call))]
        return {layer: DEPENDS for layer, _ in found}

    def _only_again(self, calls: Sequence[Call]) -> Verdict:
        """Of what cannot change places, see at least whether it comes out the same again."""
        if not self._unverified:
            what = "the first batch holds one input" if self._n == 1 else "no tensor of the batch has an axis of inputs"
            self._unverified.append(f"that row k is input k could not be verified: {what}")
        found: dict[str, str] = {}
        again = Comparison(self._reference, range(self._n))
        try:
            self._run_once(self._x, again, self._n)
        except Exception as error:
            self._unverified.append(f"a second run failed with {type(error).__name__}: {_line(error)}")
            return Verdict(unverified=tuple(self._unverified))
        for call in calls:
            plain = self._plain(call)
            if plain is None:
                found[call[0]] = NOT_FIRST.format(shape=self._reference.shapes[call], n=self._n)
            elif not self._is_close(again.outcomes.get(call, {}).get(plain), call):
                found[call[0]] = DIFFERS
        return Verdict(left_out=found, unverified=tuple(self._unverified))

    def _rerun(self, inputs: Sequence[int], in_order: Sequence[int]) -> tuple[Comparison, Comparison]:
        """Run some inputs again, shuffled; where the model refuses that, in their original order; then with only the first tensor moved.

        Returns the comparison with the same inputs, and with those that lay at the same places in the first batch.
        """
        failed: Exception | None = None
        ways = [(inputs, self._first_only), (in_order, self._first_only)]
        for order, first_only in [*ways, (in_order, True)] if len(self._movable) > 1 else ways:
            same = Comparison(self._reference, order)
            unmoved = Comparison(self._reference, range(len(order)))
            try:
                moved = taken(self._x, order, self._n, first_only=first_only)
                self._run_once(moved, Both(same, unmoved), len(order))
            except Exception as error:
                failed = failed if isinstance(error, NotVerifiable) else error
                continue
            return same, unmoved
        raise NotVerifiable(
            f"that row k is input k could not be verified: a rerun failed with {type(failed).__name__}: {_line(failed)}"
        )

    def _plain(self, call: Call) -> Arrangement | None:
        return next((one for one in self._reference.kept[call] if one.is_plain), None)

    def _is_close(self, outcome: Outcome | None, call: Call) -> bool:
        eps = self._reference.eps[call]
        return outcome is not None and outcome.fits and outcome.worst <= (16 if eps < 1e-5 else 4) * eps

    def _following(self, comparison: Comparison, call: Call) -> list[Arrangement]:
        """Arrangements in which the values of a call follow their inputs."""
        found = comparison.outcomes.get(call, {})
        return [one for one in self._reference.kept[call] if self._is_close(found.get(one), call)]

    def _agrees(self, comparison: Comparison, call: Call, arrangements: list[Arrangement]) -> bool:
        """Whether fewer inputs give shapes that follow and values that differ by no more than the last bits; forget arrangements that do not."""
        found = comparison.outcomes.get(call, {})
        fitting = [one for one in arrangements if one in found and found[one].fits]
        fine = [one for one in fitting if not found[one].gross_share]
        if fine:
            arrangements[:] = fine
        return bool(fine)

    def _of_size(
        self,
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
        repeated = [first[k % len(first)] for k in range(self._n)]
        try:
            doubled, _ = self._rerun(shuffled(repeated), sorted(repeated))
        except NotVerifiable as error:
            self._unverified.append(str(error))
            return {}
        shares: dict[str, float] = {}
        for call in fitting:
            agreeing = [one for one in following[call] if one in self._following(doubled, call)]
            if agreeing:
                following[call][:] = agreeing
                share = fewer.outcomes[call][agreeing[0]].gross_share
                shares[call[0]] = max(share, shares.get(call[0], 0.0))
        return shares

    def _reasons(self, wrong: Sequence[Call], unmoved: Comparison) -> tuple[dict[str, str], dict[str, str]]:
        """Find out why layers are not what they should be: they differ from run to run, depend on others, or their rows are not inputs."""
        if not wrong:
            return {}, {}
        left_out: dict[str, str] = {}
        dependent: dict[str, str] = {}
        influence = self._influence()
        # In a small batch no places tell everything apart; but what depends on others whatever their order follows its inputs.
        permuted = self._permuted() if influence is None and self._n_left > 1 else None
        # Directly after another batch of the same size: a state that is kept shows.
        again = self._again()
        for call in wrong:
            layer, kept = call[0], self._reference.kept[call]
            plain = self._plain(call)
            repeats = again is None or any(self._is_close(o, call) for o in again.outcomes.get(call, {}).values())
            if not kept:
                left_out[layer] = NOT_FIRST.format(shape=self._reference.shapes[call], n=self._n)
            elif again is not None and call not in again.outcomes:
                left_out[layer] = NOT_CALLED
            elif not repeats:
                left_out[layer] = DIFFERS
            elif plain is None:
                left_out[layer] = NOT_ROWS
            elif self._is_constant(call, plain, unmoved):
                if self._has_others():
                    self._unverified.append(
                        f"layer {layer!r} does not depend on the tensors that have an axis of inputs"
                    )
                else:
                    left_out[layer] = CONSTANT
            elif (
                (influence is not None and influence.is_own(call))
                or (permuted is not None and self._is_close(permuted.outcomes.get(call, {}).get(plain), call))
                or self._moves_along(call, plain)
            ):
                dependent[layer] = DEPENDS
            else:
                left_out[layer] = NOT_ROWS
        return left_out, {layer: why for layer, why in dependent.items() if layer not in left_out}

    def _is_constant(self, call: Call, plain: Arrangement, unmoved: Comparison) -> bool:
        """Whether values are the same at each place although other inputs lie there; values that followed are if they are all alike."""
        if call in unmoved.outcomes:
            return self._is_close(unmoved.outcomes[call].get(plain), call)
        rows = self._reference.kept[call][plain].rows
        return bool((rows == rows[:1]).all())

    def _influence(self) -> Influence | None:
        """Let some inputs within the batch change places, while all others stay where they are; None where that cannot be done, or too few reruns are left."""
        middle = places_within(self._n)
        if not middle or self._n_left < 2:
            return None
        order = list(range(self._n))
        for place, other in zip(middle, [*middle[1:], middle[0]]):
            order[place] = other
        influence = Influence(self._reference, middle)
        try:
            self._run_once(taken(self._x, order, self._n, first_only=self._first_only), influence, self._n)
        except Exception:
            return None
        return influence

    def _permuted(self) -> Comparison | None:
        """Run all inputs of the batch in another order."""
        order = shuffled(list(range(self._n)))
        permuted = Comparison(self._reference, order)
        try:
            self._run_once(taken(self._x, order, self._n, first_only=self._first_only), permuted, self._n)
        except Exception:
            return None
        return permuted

    def _again(self) -> Comparison | None:
        """Run the batch once more as it was."""
        again = Comparison(self._reference, range(self._n))
        try:
            self._run_once(self._x, again, self._n)
        except Exception:
            return None
        return again

    def _moves_along(self, call: Call, plain: Arrangement) -> bool:
        """Whether values follow their inputs if the places that integers of the batch name, as the edges of a graph do, change with them; run once for all calls."""
        if self._relabelled is None:
            order = shuffled(list(range(self._n)))
            comparison = self._relabelled = Comparison(self._reference, order)
            moved = relabelled(self._x, order, self._n)
            try:
                if moved is not None:
                    self._run_once(moved, comparison, self._n)
            except Exception:
                comparison.outcomes = {}
        return self._is_close(self._relabelled.outcomes.get(call, {}).get(plain), call)

    def _run_once(self, x: Any, sink: Any, n_inputs: int) -> None:
        """Run a batch, as long as reruns are left."""
        if not self._n_left:
            raise NotVerifiable("no rerun is left")
        self._n_left -= 1
        self._run(x, sink, n_inputs)

    def _arranged(
        self, following: Mapping[Call, list[Arrangement]], left_out: Mapping[str, str]
    ) -> tuple[dict[str, Arrangement], dict[str, str]]:
        """Choose an arrangement for each layer; with steps, see that the entries of an input are its steps."""
        arranged: dict[str, Arrangement] = {}
        for (layer, number), found in following.items():
            if found and not found[0].is_plain and layer not in left_out and number == 0:
                arranged[layer] = found[0]
        flattened = [layer for layer, one in arranged.items() if one.kind != "axis"]
        if not flattened or not self._with_steps:
            return arranged, {}
        return arranged, {layer: NOT_STEPS for layer in flattened if layer not in self._with_last_step(arranged)}

    def _with_last_step(self, arranged: Mapping[str, Arrangement]) -> set[str]:
        """Find the layers whose last entry changes, for every input, when its last step does."""
        found: set[str] = set()
        sizes = {one.shape[1] for _, one in self._movable if one.ndim > 1}
        comparison = _LastEntries(self._reference, arranged, self._n)
        for n_steps in sizes:
            comparison.n_steps = n_steps
            try:
                self._run_once(with_other_last_step(self._x, self._n, n_steps), comparison, self._n)
            except Exception:
                continue
            found |= comparison.changed
        return found

    def _is_ambiguous(self) -> bool:
        """Whether something has as many entries as the batch by chance: a row of positions, or edges where there are two inputs."""
        others = [one for _, one in self._movable[1:]]
        first = self._movable[0][1]
        return bool(others) and (
            self._n == 2 or any(one.ndim == 1 for one in others) or self._n in tuple(first.shape[1:])
        )

    def _has_others(self) -> bool:
        """Whether the batch holds tensors without an axis of inputs, which may be what the model works on."""
        known = {path for path, _ in self._movable}
        return any(isinstance(leaf, (torch.Tensor, np.ndarray)) and path not in known for path, leaf in leaves(self._x))


class _LastEntries:
    """Sees of flattened layers whether the last entry of each kept input is another one than before."""

    def __init__(self, reference: Reference, arranged: Mapping[str, Arrangement], n_inputs: int) -> None:
        self._reference, self._arranged, self._n = reference, arranged, n_inputs
        self.n_steps = 0
        self.changed: set[str] = set()
        self._seen: set[str] = set()

    def take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        """Look at the last entries."""
        arrangement = self._arranged.get(layer)
        if arrangement is None or arrangement.kind == "axis" or not arrangement.fits(activation, self._n):
            return
        view = arrangement.inputs_first(activation.detach(), self._n)
        kept = self._reference.kept[layer, 0][arrangement].rows
        if view.shape[1] == self.n_steps and view.shape[1:] == kept.shape[1:]:
            here = view[self._reference.kept_inputs]
            if bool((here[:, -1] != kept[:, -1]).flatten(1).any(1).all()):
                self.changed.add(layer)

    def take_again(self, layer: str, output: Any) -> bool:
        """Return False: every value is to be seen."""
        return False

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Ignore it: it was told of the first batch."""


def _line(error: BaseException | None) -> str:
    return (str(error).splitlines() or [""])[0][:200]
