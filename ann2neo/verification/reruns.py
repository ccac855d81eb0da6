"""Reruns of the first batch: its inputs run again in other places, in fewer numbers, along another axis or as they were, as often as a budget allows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch

from ann2neo.errors import Ann2NeoError, Ann2NeoWarning, InputsError
from ann2neo.probe.nested import arrays
from ann2neo.probe.outputs import Arrangement, Watched
from ann2neo.verification.comparison import Call, Comparison, Outcome, Reference, is_close
from ann2neo.verification.influence import Influence
from ann2neo.verification.orders import halves, kept_inputs, mixed, places_within, shuffled
from ann2neo.verification.places import (
    LISTED,
    are_entries,
    has_steps,
    is_square,
    main_part,
    movable,
    preferred_axis,
    taken,
)

# No layer has such a name.
OUTPUT = "the model's output "
MOST_OF_OUTPUT = 2**24
# If all is well two are made, which are one and a half.
MOST_RERUNS = 6
EITHER = "nothing says which axis of the first batch is that of its inputs: of shape {shape}, it has {n} entries along its first and {other} along its second one, layers follow both, and the first was taken"
CURE_OF_EITHER = (
    "If its steps come first, each bin is a step and not an input.\n"
    "Say it: Inputs(data, n_inputs=lambda batch: batch.shape[0]) if the first axis is that of inputs, batch.shape[1] if its steps come first; or give a tensor or data set, whose first axis is that of inputs."
)

Verify = Callable[[Any, Any, int], Any]
See = Callable[[str, torch.Tensor], None]
Look = Callable[[Any, int, See], None]


class NotVerifiable(Exception):
    """The inputs of a batch cannot change places."""


class Both:
    """A sink that compares what it is shown with the same inputs, and, only where that differs, with those that lay at the same places."""

    def __init__(self, same: Comparison, unmoved: Comparison) -> None:
        self._same, self._unmoved = same, unmoved

    def take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        """Compare an activation."""
        self.see(layer, activation)

    def see(self, layer: str, activation: torch.Tensor) -> None:
        """Compare what came out."""
        self._same.see(layer, activation)
        if self._same.last_differs:
            self._unmoved.see(layer, activation)
        else:
            self._unmoved.skip(layer)

    def take_again(self, layer: str, output: Any) -> bool:
        """Return False: every value is to be seen."""
        return False

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Ignore it: it was told of the first batch."""


class Reruns:
    """Runs inputs of one batch again, and compares what the layers give with what was kept of the batch.

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
    look
        Shows what the model returns for this many inputs, as if it were layers; None if that was not kept.
    """

    def __init__(
        self,
        run: Verify,
        x: Any,
        n_inputs: int,
        reference: Reference,
        *,
        axis: int | None = None,
        look: Look | None = None,
    ) -> None:
        self.run, self.x, self.n, self.reference = run, x, n_inputs, reference
        self.movable = movable(x, n_inputs)
        self.first_only, self.preferred, self.pairs = False, preferred_axis(x, n_inputs), False
        self.axis, self._look = axis, look
        self.is_square = is_square(x, n_inputs)
        if axis == LISTED:
            self.preferred = LISTED
        if axis == 1 and self.preferred == 0:
            self.preferred = 2 if max((leaf.ndim for _, leaf in self.movable), default=0) > 2 else 1
        self.n_left = MOST_RERUNS
        self.unverified: list[str] = []
        self.compared: list[Comparison] = []

    def rerun(self, inputs: Sequence[int], in_order: Sequence[int]) -> tuple[Comparison, Comparison]:
        """Run some inputs again, shuffled; where the model refuses that, in their original order; then with only the first tensor moved.

        Returns the comparison with the same inputs, and with those that lay at the same places in the first batch.
        """
        failed: Exception | None = None
        ways = [(inputs, self.first_only), (in_order, self.first_only)]
        for order, first_only in [*ways, (in_order, True)] if len(self.movable) > 1 else ways:
            same = Comparison(self.reference, order)
            unmoved = Comparison(self.reference, range(len(order)))
            try:
                moved = self.taken(order, first_only=first_only)
                self.run_once(moved, Both(same, unmoved), len(order))
            except Exception as error:
                failed = failed if isinstance(error, NotVerifiable) else error
                continue
            self.compared.append(same)
            return same, unmoved
        raise NotVerifiable(
            f"that row k is input k could not be verified: a rerun failed with {type(failed).__name__}: {first_line(failed)}"
        )

    def taken(self, order: Sequence[int], *, first_only: bool) -> Any:
        """Make a batch of some of the inputs, in some order."""
        return taken(self.x, order, self.n, first_only=first_only, preferred=self.preferred, pairs=self.pairs)

    def other_ways(self) -> list[tuple[bool, int]]:
        """List other ways to let inputs change places: in the main part only, and along the second axis of what has as many steps as inputs."""
        square = {one.ndim for _, one in self.movable if tuple(one.shape[:2]) == (self.n,) * 2}
        # Masks of what has its steps first may have theirs first or not.
        turned = ([1] if square else []) + ([2] if min(square, default=0) == 2 < max(square, default=0) else [])
        turned = [] if self.axis == 0 else [one for one in turned if one != self.preferred]
        listed = [LISTED] * (self.axis is None and are_entries(self.x, self.n, LISTED))
        return [(True, self.preferred)] * self._is_ambiguous() + [(False, one) for one in [*turned, *listed]]

    def _is_ambiguous(self) -> bool:
        """Whether something has as many entries as the batch by chance: a row of positions, or edges where there are two inputs; of squares alone nothing tells which is of pairs."""
        if len(self.movable) > 1 and all(tuple(one.shape) == (self.n,) * 2 for _, one in self.movable):
            return False
        first = main_part(self.x, self.n, self.preferred)
        others = [one for _, one in self.movable if one is not first]
        return (
            first is not None
            and bool(others)
            and (self.n == 2 or any(one.ndim == 1 for one in others) or self.n in tuple(first.shape[1:]))
        )

    def has_others(self) -> bool:
        """Whether the batch holds tensors without an axis of inputs, which may be what the model works on."""
        known = {path for path, _ in self.movable}
        return any(path not in known for path, _ in arrays(self.x))

    def plain(self, call: Call) -> Arrangement | None:
        """Arrangement in which the inputs lie along the first axis; None if the call has no such."""
        return next((one for one in self.reference.kept[call] if one.is_plain), None)

    def is_close(self, outcome: Outcome | None, call: Call) -> bool:
        """Whether a call gave the same again, within rounding."""
        return is_close(self.reference, outcome, call)

    def are_others(self, call: Call, arrangement: Arrangement) -> bool:
        """Whether rows were exchanged in some rerun, and nothing was in those that differ that was not in others."""
        found = (one.outcomes.get(call, {}).get(arrangement) for one in self.compared)
        return any(one is not None and one.are_others for one in found)

    def following(self, comparison: Comparison, call: Call) -> list[Arrangement]:
        """Arrangements in which the values of a call follow their inputs."""
        found = comparison.outcomes.get(call, {})
        return [one for one in self.reference.kept[call] if self.is_close(found.get(one), call)]

    def influence(self) -> Influence | None:
        """Let some inputs within the batch change places, while all others stay where they are; None where that cannot be done, or too few reruns are left."""
        middle = places_within(self.n)
        if not middle or self.n_left < 2:
            return None
        order = list(range(self.n))
        for place, other in zip(middle, [*middle[1:], middle[0]]):
            order[place] = other
        return self._influence(order, middle)

    def replaced(self, place: int, other: int) -> Influence | None:
        """Replace one input of the batch by another one of it, while all others stay where they are; None where that cannot be done."""
        order = list(range(self.n))
        order[place] = other
        return self._influence(order, [place])

    def _influence(self, order: Sequence[int], places: Sequence[int]) -> Influence | None:
        influence = Influence(self.reference, places)
        try:
            self.run_once(self.taken(order, first_only=self.first_only), influence, self.n)
        except Exception:
            return None
        return influence

    def permuted(self) -> Comparison | None:
        """Run all inputs of the batch in another order."""
        order = shuffled(list(range(self.n)))
        permuted = Comparison(self.reference, order)
        try:
            self.run_once(self.taken(order, first_only=self.first_only), permuted, self.n)
        except Exception:
            return None
        return permuted

    def again(self) -> Comparison | None:
        """Run the batch once more as it was."""
        again = Comparison(self.reference, range(self.n))
        try:
            self.run_once(self.x, again, self.n)
        except Exception:
            return None
        return again

    def run_once(self, x: Any, sink: Any, n_inputs: int) -> None:
        """Run a batch, as long as reruns are left."""
        if not self.n_left:
            raise NotVerifiable("no rerun is left")
        self.n_left -= 1
        output = self.run(x, sink, n_inputs)
        if self._look is not None and isinstance(sink, (Reference, Comparison, Both, Influence)):
            self._look(output, n_inputs, sink.see)


def see_output(output: Any, _n_inputs: int, see: See) -> None:
    """See what a model returns as if it were layers: where nothing but sizes says which axis is that of inputs, it may tell."""
    for path, part in arrays(output):
        if not isinstance(part, torch.Tensor) or part.layout != torch.strided or part.is_nested or part.is_meta:
            continue
        if part.is_floating_point() and part.ndim and part.numel() < MOST_OF_OUTPUT:
            see(OUTPUT + path, part)


def first_line(error: BaseException | None) -> str:
    """First line of what an error says."""
    return (str(error).splitlines() or [""])[0][:200]


def tell_of_either_axis(
    reruns: Reruns, order: Sequence[int], in_order: Sequence[int], following: Mapping[Call, list[Arrangement]]
) -> None:
    """Warn if nothing says which axis of a batch is that of its inputs: everything follows what moves along its first one and along its second one."""
    if reruns.axis is not None or not all(following.values()):
        return
    if reruns.preferred or reruns.first_only or not reruns.n_left:
        return
    shape = next((tuple(part.shape) for _, part in reruns.movable if has_steps(part, reruns.n)), (0, 0))
    if (
        _follow_either(reruns, order, in_order, following)
        if reruns.is_square
        else _follow_second(reruns, shape, following)
    ):
        said = EITHER.format(shape=shape, n=reruns.n, other=shape[1])
        reruns.unverified.append(said)
        warnings.warn(Ann2NeoWarning(f"{said}.\n{CURE_OF_EITHER}"), stacklevel=2)


def _follow_either(
    reruns: Reruns, order: Sequence[int], in_order: Sequence[int], following: Mapping[Call, list[Arrangement]]
) -> bool:
    """Whether everything follows entries along the second axis, of which there are as many."""
    reruns.preferred = 1
    try:
        again, _ = reruns.rerun(order, in_order)
    except NotVerifiable:
        return False
    finally:
        reruns.preferred = 0
    return all(reruns.following(again, call) for call in following)


def _follow_second(reruns: Reruns, shape: tuple[int, ...], calls: Collection[Call]) -> bool:
    """Whether everything follows the entries of the second axis, of another number; asked only where each layer and output has both axes as the batch has them."""
    whole, flat = shape[:2], (shape[0] * shape[1],)
    alike = all(one[:2] == whole or one[:1] == flat for one in (reruns.reference.shapes[call] for call in calls))
    return alike and bool(calls) and shape[1] > 0 and reruns.n_left > 1 and _along_second(reruns, shape[1], calls)


def see_whether_steps_are_first(reruns: Reruns, wrong: Sequence[Call]) -> None:
    """See whether what does not follow inputs along the first axis of a batch follows them along the second: then its steps come first.

    Where batches come as they are it is refused; of a tensor or array, whose first axis is that of inputs, it is told.

    Parameters
    ----------
    reruns
        The batch, and how it is run again.
    wrong
        Layers, and parts of what the model returns, that do not follow along the first axis.

    Raises
    ------
    InputsError
        If all layers, and what the model returns, follow the entries of the second axis.
    """
    shape = next((tuple(part.shape) for _, part in reruns.movable if has_steps(part, reruns.n)), (0, 0))
    n, n_here = int(shape[1]), reruns.n
    if not n or reruns.n_left < 2 or reruns.preferred:
        return
    if not _along_second(reruns, n, wrong):
        return
    layers = dict.fromkeys("what the model returns" if one.startswith(OUTPUT) else repr(one) for one, _ in wrong)
    follows = "follow" if len(layers) > 1 else "follows"
    what = f"{', '.join(list(layers)[:5])} {follows} the {n} entries of the second axis of a batch of shape {shape}, and not the {n_here} of its first"
    if reruns.axis is not None:
        text = (
            f"{what}.\nIf steps come first in it, each bin is a step and not an input: inputs lie along the first axis of a tensor or data set.\n"
            "Give Inputs(x.transpose(0, 1), forward=lambda model, x: model(x.transpose(0, 1))), or use batch_first=True in the model."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
        return
    raise InputsError(
        f"{what}, which were taken for inputs.",
        "Its steps come first, it seems: a bin would be a step.",
        f"Say how many inputs a batch holds, Inputs(data, n_inputs=lambda batch: ...): {n} in this one, or {n_here} if the first axis is that of inputs all the same.",
    )


def _along_second(reruns: Reruns, n: int, calls: Collection[Call]) -> bool:
    """Whether these calls, and all others, follow the entries of the second axis of a batch, of which there are this many; two runs of it."""
    other = Reruns(reruns.run, reruns.x, n, Reference(None, n, kept_inputs(n)), axis=1, look=see_output)
    order = mixed(halves(n)[1], n) if n > 1 else [0, 0]
    again = Comparison(other.reference, order)
    try:
        other.run_once(reruns.x, other.reference, n)
        other.run_once(other.taken(order, first_only=False), again, len(order))
    # A model that cannot take other entries along the second axis has something else than inputs there.
    except Exception:
        return False
    finally:
        reruns.n_left -= 2
    return all(call in other.reference.kept and other.following(again, call) for call in {*again.outcomes, *calls})
