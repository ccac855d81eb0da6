"""The order in which inputs were drawn: kept in a store, and taken from it when it is drawn anew each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ann2neo.capture.inputs import Presentation
from ann2neo.capture.inputs.order import draws_at_random
from ann2neo.errors import StoreError
from ann2neo.store.growing import Growing, Order

Drawn = list[list[Any]]
# In what all draws may be alike, though not in their order.
ALIKE: dict[str, Callable[[Drawn], Any]] = {
    "number of inputs": lambda drawn: sum(map(len, drawn)),
    "sizes of batches": lambda drawn: sorted(map(len, drawn)),
    "inputs": lambda drawn: sorted(index for batch in drawn for index in batch),
}


def order_of(source: Presentation) -> Order | None:
    """Write down the order of the inputs and their batches, if it is known before they are read."""
    if source.stimulus_ids is None or source.batch_sizes is None:
        return None
    return Order(stimulus_ids=source.stimulus_ids, batch_sizes=source.batch_sizes)


def drawn_order(source: Presentation) -> list[list[Any]] | None:
    """Give the order of a data set's inputs, batch by batch."""
    if source.in_order is None or source.stimulus_ids is None or source.batch_sizes is None:
        return None
    return _cut(source.stimulus_ids, source.batch_sizes)


def drawn_before(growing: Growing) -> list[list[Any]] | None:
    """Give the order that a store keeps, batch by batch."""
    return None if growing.order is None else _cut(growing.order.stimulus_ids, growing.order.batch_sizes)


def in_order(source: Presentation, drawn: list[list[Any]] | None) -> Presentation:
    """Give the same inputs in an order that was drawn before; as they come where there is but one."""
    return source if drawn is None or source.in_order is None else source.in_order(drawn)


def drawn_at_random(source: Presentation) -> bool:
    """Whether the order is another one each time that it is drawn, so that the stored one is as good."""
    return drawn_order(source) is not None and draws_at_random(source)


def check_drawn_alike(source: Presentation, growing: Growing) -> None:
    """Refuse a store whose inputs this source never draws: what its draws have in common, the stored one must have too.

    Raises
    ------
    StoreError
        If the number of inputs, the sizes of batches or the inputs are others.
    """
    before, drawn = drawn_before(growing), drawn_order(source)
    if before is None or drawn is None or source.draw is None:
        return
    draws = [drawn, source.draw(), source.draw()]
    for what, of in ALIKE.items():
        here = [of(one) for one in draws]
        if here.count(here[0]) == len(here) and of(before) != here[0]:
            raise StoreError(
                f"{growing.path} holds another recording: its {what} are not those that the loader draws{_shown(of(before), here[0])}.",
                "Nothing was recorded; what is there is unchanged.",
                "Give the same data set, sampler and batch size, record into another store, or allow overwriting.",
            )


def _shown(there: Any, here: Any) -> str:
    return f" ({there} there, {here} here)" if isinstance(there, int) else ""


def _cut(ids: np.ndarray, sizes: np.ndarray) -> list[list[Any]]:
    return [part.tolist() for part in np.split(ids, np.cumsum(sizes)[:-1])]
