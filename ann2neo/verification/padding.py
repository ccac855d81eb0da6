"""Padding in a batch: what a model that sorts by length, or packs, goes by, where no lengths or masks come with its inputs."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ann2neo.probe.nested import leaves
from ann2neo.verification.places import axis_of_inputs, is_sparse, preferred_axis

# Inputs verify the order by length as long as the lengths of later ones differ by no more than this many times as much.
TIMES = 2
# A word may come twice at the end by chance: at each end at most this many values other than 0 count as padding.
MOST_VALUES = 4
# A number that may be padding, and where: path, axis, end.
Key = tuple[Hashable, ...]


@dataclass(slots=True)
class Padding:
    """By how many positions the padding of inputs differed in the batches that were verified, by path, axis, end and padding number.

    Padding is what is 0 at either end of an axis, or the number that ends the longest run of equal ones. On devices, where to read a number is to wait, nothing is measured.

    Examples
    --------
    >>> padding = Padding()
    >>> padding.see(torch.tensor([[5, 6, 7], [5, 6, 0]]), 2)
    >>> [padding.differs(torch.tensor([[5, 6, 7], row]), 2) for row in ([5, 0, 0], [0, 0, 0], [0, 0, 1])]
    [False, True, True]
    """

    known: dict[Key, int] = field(default_factory=dict)

    def differs(self, x: Any, n_inputs: int, axis: int | None = None) -> bool:
        """Whether padding differs more in a batch than in those before; inputs lie along this axis if it is known."""
        return any(True for _ in self._more(x, n_inputs, axis))

    def see(self, x: Any, n_inputs: int, axis: int | None = None) -> None:
        """Count a batch that was verified."""
        self.known |= dict(self._more(x, n_inputs, axis))

    def _more(self, x: Any, n_inputs: int, axis: int | None) -> Iterator[tuple[Key, int]]:
        """Yield by how much padding differs where it does so more than before."""
        if n_inputs < 2:
            return
        for path, part in _parts(x, n_inputs, axis):
            for place in range(1, part.ndim):
                if part.shape[place] > 1:
                    ends = part if place == 1 else part.swapaxes(1, place)
                    # Of most batches one number of each input and position tells.
                    line = (
                        ends if ends.ndim < 3 else ends[(slice(None), slice(None), *(n // 2 for n in ends.shape[2:]))]
                    )
                    for end, step in (("end", 1), ("start", -1)):
                        last = line[:, -1 if step > 0 else 0]
                        empty, again = last == 0, last == line[:, -2 if step > 0 else 1]
                        # Asked of every batch: all else only where a number is 0 or comes twice.
                        if np.count_nonzero(empty) or np.count_nonzero(again):
                            yield from self._more_at((path, place, end), ends[:, ::step], line[:, ::step], empty, again)

    def _more_at(
        self, where: Key, every: np.ndarray, line: np.ndarray, empty: np.ndarray, again: np.ndarray
    ) -> Iterator[tuple[Key, int]]:
        """Measure padding at the end of all rows, of which these end in 0, and these in a number that comes twice."""
        if np.count_nonzero(empty):
            yield from self._beyond((*where, 0), every, line, empty, self.known.get((*where, 0), 0))
        rows, last = np.flatnonzero(again & ~empty), line[:, -1]
        if rows.size:
            number = last[rows[0]]
            if np.count_nonzero(last[rows] != number):
                number = last[rows[_runs(line[rows] == line[rows, -1:]).argmax()]]
            key = (*where, number.item())
            others = [n for other, n in self.known.items() if other[:-1] == where and other[-1] != 0]
            known = self.known.get(key, max(others) if len(others) >= MOST_VALUES else 0)
            yield from self._beyond(key, every, line, last == number, known)

    def _beyond(
        self, key: Key, every: np.ndarray, line: np.ndarray, here: np.ndarray, known: int
    ) -> Iterator[tuple[Key, int]]:
        """Measure by how much this number, at the end of these rows, differs, if it does so by more than was known."""
        number, least = key[-1], known * TIMES + 1
        if least > line.shape[1]:
            return
        # Of what has units too the first of these rows shows what padding is in all of them.
        pad: Any = number if every.ndim < 3 or number == 0 else every[here.argmax(), -1]
        # The number that lies furthest within decides for most rows, which need not be read whole.
        here = here & (line[:, -least] == number)
        if every.ndim > 2 and np.count_nonzero(here):
            here &= _are(every[:, -least, None], pad)[:, 0]
        rows = np.flatnonzero(here)
        rows = rows[_are(every[rows, -least:], pad).all(1)] if rows.size else rows
        if rows.size:
            runs = _runs(_are(every, pad))
            if runs.max() - runs.min() >= least:
                yield key, int(runs.max() - runs.min())


def _parts(x: Any, n_inputs: int, axis: int | None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the parts of a batch that have positions, with inputs first."""
    if isinstance(x, torch.Tensor):
        # Most batches are one tensor, and this is done for each of them.
        every, preferred = [("", x)], 1 if axis == 1 or (axis is None and x.ndim > 1 and len(x) != n_inputs) else 0
    else:
        every, preferred = leaves(x), 1 if axis == 1 else preferred_axis(x, n_inputs)
    for path, leaf in every:
        found = None if isinstance(leaf, torch.Tensor) and leaf.is_nested else axis_of_inputs(leaf, n_inputs, preferred)
        if found is None or leaf.ndim < 2 or is_sparse(leaf) or 0 in leaf.shape:
            continue
        if isinstance(leaf, torch.Tensor):
            if type(leaf) is not torch.Tensor or leaf.device.type != "cpu":
                continue
            leaf = leaf.detach()
            part = _array(leaf.resolve_conj().resolve_neg() if leaf.is_conj() or leaf.is_neg() else leaf)
        else:
            part = np.asarray(leaf)
        if part.dtype.kind in "biufc":
            yield path, np.moveaxis(part, found, 0) if found else part


def _are(every: np.ndarray, pad: Any) -> np.ndarray:
    """Tell which positions of which inputs hold nothing but padding."""
    same = every == pad
    return same if same.ndim < 3 else same.all(tuple(range(2, same.ndim)))


def _runs(same: np.ndarray) -> np.ndarray:
    """Count the true values at the end of each row."""
    return np.where(same.all(1), same.shape[1], (~same[:, ::-1]).argmax(1))


def _array(part: torch.Tensor) -> np.ndarray:
    """View numbers, bit by bit where NumPy does not know them."""
    try:
        return part.numpy()
    except (TypeError, RuntimeError):
        return part.contiguous().view(torch.int16 if part.element_size() == 2 else torch.uint8).numpy()
