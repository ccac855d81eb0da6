"""The presentation: which inputs come when, fixed once before the model runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt64

from ann2neo.capture.fingerprints import batch_checksum, input_checksums
from ann2neo.errors import Ann2NeoWarning, InputsError
from ann2neo.probe.state import random_states_kept
from ann2neo.recording import COUNTED, PLACES, TRACED

MOST_DRAWS = 30
FEW = 8


def draws_at_random(source: Presentation) -> bool:
    """Whether the order is another one each time that it is drawn. Random states are restored."""
    return source.draw is not None and draws_differ(source.draw)


def draws_differ(draw: Callable[[], Drawn]) -> bool:
    """Whether orders that are drawn one after the other differ. Random states are restored."""
    with random_states_kept():
        first = draw()
        return any(draw() != first for _ in range(n_draws(sum(map(len, first)))))


def n_draws(n_inputs: int) -> int:
    """Return how many draws show what changes with a draw: few inputs often come in the same order twice."""
    return MOST_DRAWS if n_inputs <= FEW else 4


def order_comes_again(source: Presentation) -> bool:
    """Whether the same call in another process presents the same order: it is fixed, or drawn by a generator that the loader or its sampler holds.

    An order that is drawn from the global random state is another one in each process, unless that is seeded.
    """
    return source.comes_again is None or source.comes_again()


def check_listed_lengths(lengths: Any, source: Presentation) -> None:
    """Refuse lengths that are listed for inputs whose order is drawn at random.

    Raises
    ------
    InputsError
        If it is unclear which length belongs to which input.
    """
    if lengths is None or callable(lengths) or isinstance(lengths, str):
        return
    listed = np.asarray(lengths.detach().cpu() if isinstance(lengths, torch.Tensor) else lengths)
    if (listed != listed.flat[0]).any() and draws_at_random(source):
        raise InputsError(
            f"lengths are listed for {listed.size} inputs, but a shuffling loader draws their order at random.",
            "They are listed in the order in which inputs are presented, and that order is not known in advance.",
            "Give a function that finds the lengths of a batch (Steps(..., lengths=lambda x: ...)), or a loader that draws in order (shuffle=False).",
        )


def warn_of_unknown_order(source: Presentation) -> None:
    """Warn if a loader draws at random and reads in its own way, so that it is not known which input is which."""
    if source.in_order is None and draws_at_random(source):
        text = (
            "a DataLoader with an __iter__ of its own draws its inputs at random: which of the data set's inputs comes when is not known.\n"
            "stimulus_id counts the inputs as they came, and the order says 'presented'; labels that come with the batches are right.\n"
            "Do in a collate_fn what its __iter__ does, or draw in order."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)


Drawn = list[list[Any]]
# This many inputs in the same order are not a coincidence.
ALIKE = 4
# How many inputs are compared, from how many on, and from which share on repeated ones are told.
MOST_COMPARED, FEWEST_TOLD, MOST_REPEATED = 1024, 100, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some inputs that go through the model together.

    Parameters
    ----------
    x, n_inputs
        What the model takes, and how many inputs that is.
    labels
        The class of each input, shape (input,); None if the batch has none.
    step_labels
        The class of each step of each input, shape (input, step), which counts where inputs are recorded in steps; None if the batch has none.
    target
        What came beside the inputs, labels or not.
    stimulus_ids
        Which inputs came out of a collating function, shape (input,); None if it is not known, or was known before.
    axis
        Along which axis of the batch inputs lie, where something says so: 0, or 1 if steps come before them. None if nothing but sizes does.
    counted
        The same where only the number of inputs says so: it is that of one axis alone, or the user's function counts one of two axes of as many entries; -1 where they are the entries of a list. None if it is unclear.
    padded
        Whether a collating function is known to have padded the steps of some inputs.
    """

    x: Any
    n_inputs: int
    labels: Int[np.ndarray, " input"] | None
    step_labels: Int[np.ndarray, "input step"] | None = None
    target: Any = None
    stimulus_ids: Int[np.ndarray, " input"] | None = None
    axis: int | None = None
    counted: int | None = None
    padded: bool = False

    @property
    def known_axis(self) -> int | None:
        """Axis along which inputs lie, as far as anything says so."""
        return self.counted if self.axis is None else self.axis

    @property
    def checksums(self) -> UInt64[np.ndarray, " input"] | None:
        """Check sum of each input, the same for inputs of the same content, shape (input,); None where an input is more than its rows."""
        return input_checksums(self.x, self.n_inputs) if self.known_axis in (0, None) else None


class Readings:
    """Check sums of batches that were read before, by which the same inputs are known at every reading."""

    def __init__(self) -> None:
        self._sums: dict[int, int] = {}

    def check(self, place: int, batch: Batch, number: int) -> None:
        """Refuse a batch that is another one than that of an earlier pass.

        Raises
        ------
        InputsError
            If it is.
        """
        found = batch_checksum([batch.x, batch.labels])
        if self._sums.setdefault(place, found) != found:
            raise InputsError(
                f"batch {place} holds other inputs or labels in pass {number + 1} than when it was read before.",
                "In each pass a bin would stand for another input.",
                "Give inputs that are the same at every reading: seed what draws or changes them each time, "
                "or use a DataLoader over a map-style data set that holds the same under each index; its order is drawn once.",
            )


class Repeated:
    """Counts inputs that were presented before, among the first ones.

    Not among all: to read every byte of every input once more takes some per cent of a small network's forward pass.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self.n, self.n_inputs = 0, 0

    def see(self, batch: Batch) -> None:
        """Take in a batch, as long as it is among the first."""
        if self.n_inputs >= MOST_COMPARED:
            return
        sums = batch.checksums
        if sums is None:
            return
        self.n_inputs += sums.size
        self._seen.update(sums.tolist())
        self.n = self.n_inputs - len(self._seen)

    def tell(self) -> None:
        """Warn where more than a few were presented before."""
        if self.n_inputs >= FEWEST_TOLD and self.n > MOST_REPEATED * self.n_inputs:
            text = (
                f"{self.n} of the first {self.n_inputs} inputs hold the same as an earlier one.\n"
                "They give the same spikes, and count as inputs of their own in all statistics.\n"
                "Present each input once, if that is not what you want; for repeats of one stimulus use passes=Passes(n)."
            )
            warnings.warn(Ann2NeoWarning(text), stacklevel=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """All batches, in the order that was drawn once.

    Parameters
    ----------
    batches
        Returns the batches from the one of this number on; each call begins again.
    n_batches, n_inputs
        How many there are, where that is known.
    stimulus_ids
        Which inputs of a data set were drawn, shape (input,); None if they are not numbered.
    batch_sizes
        Inputs of each batch, shape (batch,); None if that shows only when they are read. Where it is known, batches that are left out are not read.
    draw
        Draws another order, batch by batch; None where there is only one, or none is drawn in advance.
    comes_again
        Tells whether the same generators draw the same order in any process and for any global random state; None where there is only one order.
    in_order
        Returns the same inputs in an order that was drawn before, batch by batch; None where it cannot be kept.
    readings
        Where batches might be others when they are read again: what compares them; None where they cannot be.
    traced
        Whether each batch comes with the places of its inputs among those that were drawn, because a collating function may have changed them.
    n_streams
        Number of workers each of which reads an iterable data set by itself.
    axis
        0 where inputs were put together along the first axis; None where batches come as they are.
    counted
        Whether each batch comes with the number of its inputs, the paths of arrays in which they lie along the second axis, and of lists that have one entry for each.
    """

    batches: Callable[[int], Iterable[Any]]
    n_batches: int | None = None
    n_inputs: int | None = None
    stimulus_ids: Int[np.ndarray, " input"] | None = None
    batch_sizes: Int[np.ndarray, " batch"] | None = None
    draw: Callable[[], Drawn] | None = None
    comes_again: Callable[[], bool] | None = None
    in_order: Callable[[Drawn], Presentation] | None = None
    readings: Readings | None = None
    traced: bool = False
    n_streams: int = 1
    axis: int | None = None
    counted: bool = False

    @property
    def stimulus_ids_are(self) -> str:
        """How it is known which inputs of the data are presented."""
        return TRACED if self.traced else COUNTED if self.stimulus_ids is None else PLACES

    @property
    def drawn(self) -> Drawn | None:
        """The order of a data set's inputs, batch by batch; None where it is not known or cannot be kept."""
        if self.in_order is None or self.stimulus_ids is None or self.batch_sizes is None:
            return None
        return in_batches(self.stimulus_ids, self.batch_sizes)

    def ids_of_batch(self, number: int, places: Int[np.ndarray, " input"] | None) -> Int[np.ndarray, " input"] | None:
        """Return which inputs of the data set a batch holds, given their places among those that were drawn for it."""
        if places is None or self.stimulus_ids is None or self.batch_sizes is None:
            return None
        first = int(self.batch_sizes[:number].sum())
        return self.stimulus_ids[first : first + int(self.batch_sizes[number])][places]


def in_batches(ids: Int[np.ndarray, " input"], sizes: Int[np.ndarray, " batch"]) -> Drawn:
    """Cut an order of inputs into batches.

    Examples
    --------
    >>> in_batches(np.array([4, 2, 0]), np.array([2, 1]))
    [[4, 2], [0]]
    """
    return [part.tolist() for part in np.split(ids, np.cumsum(sizes)[:-1])]


@dataclass(slots=True)
class Streams:
    """Compares what several workers read of an iterable data set: each input belongs to one of them.

    Workers take turns, batch by batch, for as long as all of them have some.
    """

    n: int
    _seen: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self._seen = [[] for _ in range(self.n)]

    def see(self, number: int, batch: Batch) -> None:
        """Take in a batch.

        Raises
        ------
        InputsError
            If two workers begin with the same inputs, in the same order.
        """
        if self.n == 1:
            return
        sums = batch.checksums
        self._seen[number % self.n] += [batch_checksum(batch.x)] if sums is None else sums.tolist()
        if number % self.n == self.n - 1:
            first, *others = self._seen
            if len(set(first)) >= ALIKE and first in others:
                self._refuse(len(first))

    def end(self) -> None:
        """Compare all inputs when the last batch was read.

        Raises
        ------
        InputsError
            If each came as often as there are workers.
        """
        if self.n == 1:
            return
        _, counts = np.unique([one for seen in self._seen for one in seen], return_counts=True)
        if counts.size > 1 and (counts == self.n).all():
            self._refuse(counts.size)
        self._warn_of_overlap()

    def _warn_of_overlap(self) -> None:
        """Warn of inputs that several workers read, unless inputs come again within what a single one reads as well: then it is the data that repeat them."""
        own = [set(seen) for seen in self._seen]
        n_within = sum(len(seen) - len(once) for seen, once in zip(self._seen, own))
        n_across = sum(map(len, own)) - len(set[int]().union(*own))
        # Repeats of the data that are dealt at random lie in two workers n - 1 times as often as in one.
        if n_across > 2 * (self.n - 1) * n_within:
            text = (
                f"{n_across} of the {sum(map(len, self._seen))} inputs hold the same as one that another of the {self.n} workers of the DataLoader read.\n"
                "If the workers' shares of the iterable data set overlap, these inputs count once per worker.\n"
                "Give a loader with num_workers=0, or shares without an overlap (torch.utils.data.get_worker_info())."
            )
            warnings.warn(Ann2NeoWarning(text), stacklevel=3)

    def _refuse(self, n_inputs: int) -> None:
        raise InputsError(
            f"{self.n} workers of the DataLoader read the same {n_inputs} inputs of its iterable data set.",
            "Each input would count once per worker.",
            "Give a loader with num_workers=0, or let the data set share its inputs among workers (torch.utils.data.get_worker_info()).",
        )
