"""Reruns of the first batch: its inputs run again in other places, in fewer numbers or as they were, as often as a budget allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ann2neo.errors import Ann2NeoError
from ann2neo.probe.nested import arrays
from ann2neo.probe.outputs import Arrangement
from ann2neo.probe.probe import Watched
from ann2neo.verification.comparison import Call, Comparison, Influence, Outcome, Reference
from ann2neo.verification.places import has_steps, movable, places_within, preferred_axis, shuffled, taken

# No layer has such a name.
OUTPUT = "the model's output "
MOST_OF_OUTPUT = 2**24
# If all is well two are made, which are one and a half.
MOST_RERUNS = 6

Verify = Callable[[Any, Any, int], Any]


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
    sees_output
        Whether what the model returns was kept too.
    """

    def __init__(
        self,
        run: Verify,
        x: Any,
        n_inputs: int,
        reference: Reference,
        *,
        axis: int | None = None,
        sees_output: bool = False,
    ) -> None:
        self.run, self.x, self.n, self.reference = run, x, n_inputs, reference
        self.movable = movable(x, n_inputs)
        self.first_only, self.preferred = False, preferred_axis(x, n_inputs)
        self.axis, self.sees_output = axis, sees_output
        self.is_square = any(has_steps(leaf, n_inputs) and leaf.shape[1] == n_inputs for _, leaf in self.movable)
        if axis == 1 and self.preferred == 0:
            self.preferred = 2 if max((leaf.ndim for _, leaf in self.movable), default=0) > 2 else 1
        self.n_left = MOST_RERUNS
        self.unverified: list[str] = []

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
            return same, unmoved
        raise NotVerifiable(
            f"that row k is input k could not be verified: a rerun failed with {type(failed).__name__}: {first_line(failed)}"
        )

    def taken(self, order: Sequence[int], *, first_only: bool) -> Any:
        """Make a batch of some of the inputs, in some order."""
        return taken(self.x, order, self.n, first_only=first_only, preferred=self.preferred)

    def plain(self, call: Call) -> Arrangement | None:
        """Arrangement in which the inputs lie along the first axis; None if the call has no such."""
        return next((one for one in self.reference.kept[call] if one.is_plain), None)

    def is_close(self, outcome: Outcome | None, call: Call) -> bool:
        """Whether a call gave the same again, within rounding."""
        eps = self.reference.eps[call]
        return outcome is not None and outcome.fits and outcome.worst <= (16 if eps < 1e-5 else 4) * eps

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
        influence = Influence(self.reference, middle)
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
        if self.sees_output and isinstance(sink, (Reference, Comparison, Both)):
            see_output(output, sink.see)


def see_output(output: Any, see: Callable[[str, torch.Tensor], None]) -> None:
    """See what a model returns as if it were layers: where nothing but sizes says which axis is that of inputs, it may tell."""
    for path, part in arrays(output):
        if not isinstance(part, torch.Tensor) or part.layout != torch.strided:
            continue
        if part.is_floating_point() and part.ndim and part.numel() < MOST_OF_OUTPUT:
            see(OUTPUT + path, part)


def first_line(error: BaseException | None) -> str:
    """First line of what an error says."""
    return (str(error).splitlines() or [""])[0][:200]
