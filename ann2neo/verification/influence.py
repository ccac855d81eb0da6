"""Influence: which rows of a layer change when inputs of a batch change places, or one of them is replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from ann2neo.errors import Ann2NeoError
from ann2neo.probe.outputs import Watched
from ann2neo.verification.comparison import GROSS, Call, Reference, distances


class Influence:
    """Sees which rows change when some inputs change places among themselves and all others stay where they are.

    Parameters
    ----------
    reference
        What was kept of the batch as it was.
    places
        Places of the inputs that changed places.
    """

    def __init__(self, reference: Reference, places: Sequence[int]) -> None:
        self._reference, self._places = reference, list(places)
        self._changes: dict[Call, torch.Tensor] = {}
        self._calls: Counter[str] = Counter()

    def take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        """Measure by how much the row at each place changes, as a share of the layer's largest value."""
        self.see(layer, activation)

    def see(self, layer: str, activation: torch.Tensor) -> None:
        """Measure what came out."""
        call = (layer, self._calls[layer])
        self._calls[layer] += 1
        n = self._reference.n_inputs
        plain = next((one for one in self._reference.kept.get(call, {}) if one.is_plain), None)
        if plain is None or activation.layout != torch.strided or not plain.fits(activation, n):
            return
        kept, flat = self._reference.kept[call][plain], activation.detach().reshape(n, -1)
        if int(kept.places.max()) < flat.shape[1]:
            change = distances(flat.index_select(1, kept.places), kept.columns).amax(1)
            self._changes[call] = change.cpu() / (self._reference.largest[call] or 1.0)

    def take_again(self, layer: str, output: Any) -> bool:
        """Return False: every value is to be seen."""
        return False

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Ignore it: it was told of the first batch."""

    def changed(self, call: Call) -> list[bool]:
        """Whether the row at each place changes; empty if that is not known."""
        change = self._changes.get(call)
        return [] if change is None else (change > GROSS).tolist()

    def is_own(self, call: Call) -> bool:
        """Whether rows are those of the inputs that lie at their places, even if they depend on others as well.

        The rows of most inputs that changed places have to change. And either no row before them does (recurrence along the batch), or none after them, or the others,
        which can only by way of the batch, change less: by the median. What is sorted does not change at all, and what is turned or shifted changes elsewhere.
        """
        change = self._changes.get(call)
        if change is None:
            return False
        changed, own = change > GROSS, torch.zeros(len(change), dtype=torch.bool)
        own[self._places] = True
        if 2 * int(changed[own].sum()) <= len(self._places):
            return False
        before, after = changed[: self._places[0]], changed[self._places[-1] + 1 :]
        alone = any(len(part) > 0 and not bool(part.any()) for part in (before, after))
        return alone or float(change[own].median()) > float(change[~own].median())


def is_along(last: Sequence[bool], first: Sequence[bool]) -> bool:
    """Whether rows are those of their inputs and depend on others along the batch, as running sums, recurrence and convolution do.

    What is sorted, even by each unit by itself, changes all but one row, or those within the batch; what is turned or shifted changes rows at the other end.

    Parameters
    ----------
    last, first
        Whether each row changes when the last input is replaced by the first one, and when the first is by the last.

    Examples
    --------
    >>> is_along([False, False, True], [True, True, True]), is_along([False, True, True], [True, True, False]), is_along([True, False, False], [False, False, True])
    (True, False, False)
    """
    n, n_last, n_first = len(last), sum(last), sum(first)
    at_ends = n_last > 0 < n_first and all(last[n - n_last :]) and all(first[:n_first])
    return at_ends and n_last + n_first > 2 and (min(n_last, n_first) < n - 1 or (n == 2 and n_last != n_first))
