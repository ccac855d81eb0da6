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
                    yield from self._more_at((path, place, "end"), ends)
                    yield from self._more_at((path, place, "start"), ends[:, ::-1])

    def _more_at(self, where: Key, every: np.ndarray) -> Iterator[tuple[Key, int]]:
        # Of most batches one number of each input and position tells.
        line = every if every.ndim < 3 else every[(slice(None), slice(None), *(size // 2 for size in every.shape[2:]))]
        last = line[:, -1]
        empty = last == 0
        if empty.any():
            yield from self._beyond((*where, 0), every, line, np.flatnonzero(empty), self.known.get((*where, 0), 0))
        again = (last == line[:, -2]) & ~empty
        if again.any():
            rows = np.flatnonzero(again)
            row = rows[_runs(line[rows] == line[rows, -1:]).argmax()]
            key = (*where, line[row, -1].item())
            others = [n for other, n in self.known.items() if other[:-1] == where and other[-1] != 0]
            known = self.known.get(key, max(others) if len(others) >= MOST_VALUES else 0)
            yield from self._beyond(key, every, line, np.flatnonzero(last == line[row, -1]), known)

    def _beyond(
        self, key: Key, every: np.ndarray, line: np.ndarray, rows: np.ndarray, known: int
    ) -> Iterator[tuple[Key, int]]:
        """Measure by how much this number at the end of some rows differs, if it does so by more than was known."""
        least = known * TIMES + 1
        if least > line.shape[1]:
            return
        pad = every[rows[:1], -1:]
        rows = rows[(line[rows, -least:] == line[rows[:1], -1:]).all(1)]
        if key[-1] == 0:
            pad = np.zeros_like(pad)
        if rows.size and (every.ndim < 3 or _are(every[rows, -least:], pad).all(1).any()):
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
            part = _array(leaf.detach().resolve_conj().resolve_neg())
        else:
            part = np.asarray(leaf)
        if part.dtype.kind in "biufc":
            yield path, np.moveaxis(part, found, 0) if found else part


def _are(every: np.ndarray, pad: np.ndarray) -> np.ndarray:
    """Tell which positions of which inputs hold nothing but padding."""
    same = every == pad
    return same.all(tuple(range(2, same.ndim)))


def _runs(same: np.ndarray) -> np.ndarray:
    """Count the true values at the end of each row."""
    return np.where(same.all(1), same.shape[1], (~same[:, ::-1]).argmax(1))


def _array(part: torch.Tensor) -> np.ndarray:
    """View numbers, bit by bit where NumPy does not know them."""
    try:
        return part.numpy()
    except (TypeError, RuntimeError):
        return part.contiguous().view(torch.int16 if part.element_size() == 2 else torch.uint8).numpy()
