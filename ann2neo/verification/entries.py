"""Sinks of the reruns that verify steps: the shape of each call, and which of its entries changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ann2neo.errors import Ann2NeoError
from ann2neo.probe.outputs import Arrangement, Watched
from ann2neo.verification.comparison import GROSS, Call, Reference, distances


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How the entries of a layer along an axis changed when one step of each input did.

    Parameters
    ----------
    changed
        Whether any value did, beyond rounding, shape (row, entry).
    size
        By how much the one that changed most did, shape (row, entry).
    is_flat
        Whether all units had the same value, as silent ones have, shape (row, entry).
    """

    changed: np.ndarray
    size: np.ndarray
    is_flat: np.ndarray


class Shapes:
    """Sees the shape of each call, with inputs first, where there are this many inputs."""

    def __init__(self, chosen: Mapping[Call, Arrangement], n_inputs: int) -> None:
        self._chosen, self._n = chosen, n_inputs
        self.seen: dict[Call, tuple[int, ...]] = {}
        self._calls: Counter[str] = Counter()

    def take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        """Note a shape."""
        call = (layer, self._calls[layer])
        self._calls[layer] += 1
        arrangement = self._chosen.get(call)
        if arrangement is not None and arrangement.fits(activation, self._n):
            self.seen[call] = tuple(arrangement.inputs_first(activation, self._n).shape)

    def take_again(self, layer: str, output: object) -> bool:
        """Return False: every shape is to be seen."""
        return False

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Ignore it: it was told of the first batch."""


class Changes:
    """Sees which entries of each call are others than in the first batch.

    Parameters
    ----------
    reference
        What was kept of the first batch.
    chosen
        Calls of the layers, each with the arrangement of its inputs.
    inputs
        The input of the first batch at each row; all of them are kept.
    """

    def __init__(self, reference: Reference, chosen: Mapping[Call, Arrangement], inputs: Sequence[int]) -> None:
        self._reference, self._chosen = reference, chosen
        number = {k: i for i, k in enumerate(reference.kept_inputs)}
        self._own = torch.as_tensor([number[k] for k in inputs])
        self.seen: dict[Call, dict[int, Change]] = {}
        self._calls: Counter[str] = Counter()

    def take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        """Compare the entries along each axis; of what has inputs only, each call as a whole."""
        call, n_rows = (layer, self._calls[layer]), len(self._own)
        self._calls[layer] += 1
        arrangement = self._chosen.get(call)
        if arrangement is None or activation.layout != torch.strided or not arrangement.fits(activation, n_rows):
            return
        here = arrangement.inputs_first(activation.detach(), n_rows)
        kept = self._reference.kept[call][arrangement].rows
        if here.shape[1:] != kept.shape[1:]:
            return
        there = kept[self._own.to(kept.device)]
        size = distances(here, there) / (self._reference.largest[call] or 1.0)
        least = max(GROSS, 16 * self._reference.eps[call])
        self.seen[call] = {axis: _along(axis, size, there, least) for axis in range(1, here.ndim)}
        self.seen[call][0] = _along(1, size.reshape(n_rows, 1, -1), there.reshape(n_rows, 1, -1), least)

    def take_again(self, layer: str, output: object) -> bool:
        """Return False: every value is to be seen."""
        return False

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Ignore it: it was told of the first batch."""


def _along(axis: int, size: torch.Tensor, there: torch.Tensor, least: float) -> Change:
    by_entry = size.movedim(axis, 1).flatten(2) if size.ndim > 2 else size[..., None]
    values = there.movedim(axis, 1).flatten(2) if there.ndim > 2 else there[..., None]
    largest = by_entry.amax(2)
    return Change(
        changed=(largest > least).cpu().numpy(),
        size=largest.cpu().numpy(),
        is_flat=(values == values[..., :1]).all(2).cpu().numpy(),
    )
