"""Which of the inputs that were drawn came out of a collating function, found by their content."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch.utils.data import default_collate

from ann2neo.capture.fingerprints import input_checksums
from ann2neo.probe.nested import arrays, parts, with_parts
from ann2neo.probe.state import GENERATORS, random_states_kept, set_state, state_of

Row = np.ndarray
# Of fewer items each is looked at.
FEW = 4
Named = dict[str, np.ndarray]


def is_own(collate: Any) -> bool:
    """Whether a collating function is not torch's, which keeps each input in its place."""
    return collate is not default_collate


class Collated(NamedTuple):
    """What a collating function made of items.

    Parameters
    ----------
    batch, n_items
        The batch, and of how many items it was made.
    second, listed, padded
        Paths of arrays in which items lie along the second axis, of lists that have one entry for each, and of arrays whose steps were padded.
    places
        Place of each input of the batch among the items, shape (input,); None if it is not known.
    """

    batch: Any
    n_items: int
    second: Sequence[str] = ()
    listed: Sequence[str] = ()
    padded: Sequence[str] = ()
    places: Int[np.ndarray, " input"] | None = None


class TracedCollation:
    """Collates as a loader does, and finds for each input that came out its place among those that went in, and the arrays in which inputs lie along the second axis.

    Each item is collated once more, with itself: that shows what it looks like in a batch. Where each input of the batch is one of these, padded or cut to the length of the
    batch, it is known which (``with_places``); where one is none, as after random changes, nothing is known of the batch. The random states that collating uses are restored, and so is the
    state of the function itself as far as it lies in plain attributes.

    Examples
    --------
    >>> longest_first = TracedCollation(lambda items: torch.stack(sorted(items, key=lambda x: -x[0])))
    >>> found = longest_first([torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([2.0])])
    >>> found.batch.flatten().tolist(), found.places.tolist()
    ([3.0, 2.0, 1.0], [1, 2, 0])
    >>> TracedCollation(lambda items: torch.stack(items, dim=1))([torch.zeros(4), torch.ones(4)]).second
    ['']
    """

    def __init__(self, collate: Callable[[Any], Any], *, with_places: bool = True) -> None:
        self.collate, self._with_places = collate, with_places

    def __call__(self, items: Any) -> Collated:
        """Collate items."""
        shells = [_shell(item) for item in items]
        batch = self.collate(items)
        with random_states_kept(), _generators_kept(self.collate):
            collate = copy.copy(self.collate)
            second = _second(_named(batch), shells, collate)

            def inputs_first(x: Any) -> Named:
                return {name: one.swapaxes(0, 1) if name in second else one for name, one in _named(x).items()}

            def turned(some: Any) -> Named:
                return inputs_first(collate(some))

            listed = [] if second else _listed(batch, shells, collate)
            if listed:
                places = _places_in_lists(batch, listed, shells, collate) if self._with_places else None
                return Collated(batch, len(shells), second, listed, places=places)
            padded = _padded(inputs_first(batch), shells, turned)
            if not self._with_places:
                return Collated(batch, len(shells), second, padded=padded)
            places = _places(inputs_first(batch), shells, turned) if second else _places(batch, shells, collate)
            return Collated(batch, len(shells), second, padded=padded, places=places)


def _second(whole: Named, items: Sequence[Any], collate: Callable[[Any], Any]) -> list[str]:
    """Find the arrays in which items lie along the second axis: where one item more is one entry more."""
    found = [name for name, array in whole.items() if array.ndim > 1 and array.shape[1] == len(items)]
    if not found:
        return []
    try:
        one, two = (_named(collate([_shell(items[0]) for _ in range(n)])) for n in (1, 2))
    # Whatever goes wrong with an item: it is looked at as others are.
    except Exception:
        return []
    sizes = {name: (one[name].shape[:2], two[name].shape[:2]) for name in found if name in one and name in two}
    return [
        name
        for name, (single, double) in sizes.items()
        if len(single) == len(double) == 2 and (single[1], double[1]) == (1, 2) and single[0] == double[0]
    ]


def _padded(whole: Named, items: Sequence[Any], collate: Callable[[Any], Named]) -> list[str]:
    """Find the arrays whose second axis is shorter where one of the first items is collated alone: it was padded, with inputs first."""
    if len(items) < 2 or not any(array.ndim > 1 and len(array) == len(items) for array in whole.values()):
        return []
    try:
        each = [collate([_shell(item)]) for item in items[:FEW]]
    # Whatever goes wrong with an item alone: nothing is known of its length.
    except Exception:
        return []
    return [
        name
        for name, array in whole.items()
        if array.ndim > 1 and all(name in one and one[name].ndim == array.ndim and len(one[name]) == 1 for one in each)
        if any(one[name].shape[1] < array.shape[1] for one in each)
    ]


def _lists(x: Any, path: str = "") -> Iterator[tuple[str, list[Any] | tuple[Any, ...]]]:
    """Yield lists in a batch, the outermost ones first, that hold tensors."""
    inner = parts(x) if isinstance(x, (Mapping, list, tuple)) else {}
    if (type(x) is list or type(x) is tuple) and x and all(any(True for _ in arrays(one)) for one in x):
        yield path, x
    for key, value in inner.items():
        yield from _lists(value, f"{path}/{key}")


def _listed(batch: Any, items: Sequence[Any], collate: Callable[[Any], Any]) -> list[str]:
    """Find the lists that have one entry for each item: where there is one item they have one entry."""
    found = [path for path, one in _lists(batch) if len(one) == len(items)]
    if not found:
        return []
    try:
        alone = {path: len(one) for path, one in _lists(collate([_shell(items[0])]))}
        double = {path: len(one) for path, one in _lists(collate([_shell(items[0]), _shell(items[0])]))}
    # Whatever goes wrong with an item: it is looked at as others are.
    except Exception:
        return []
    found = [path for path in found if (alone.get(path), double.get(path)) == (1, 2)]
    return [path for path in found if not any(path.startswith(f"{other}/") or (path and not other) for other in found)]


def _places_in_lists(
    batch: Any, listed: Sequence[str], items: Sequence[Any], collate: Callable[[Any], Any]
) -> Int[np.ndarray, " input"] | None:
    """Find the item that each entry of the lists of a batch is."""

    def entry(x: Any, k: int) -> list[Row]:
        return [one for path, some in _lists(x) if path in listed for one in _named(some[k]).values()]

    try:
        alone = [entry(collate([_shell(item)]), 0) for item in items]
    # Whatever goes wrong with an item: it is not known which is which.
    except Exception:
        return None
    rows = [entry(batch, k) for k in range(len(items))]
    alike = all(len(row) == len(one) for row, one in zip(rows, alone))
    return _matched(rows, alone) if alike and all(rows) else None


def _places(batch: Any, items: Sequence[Any], collate: Callable[[Any], Any]) -> Int[np.ndarray, " input"] | None:
    whole = _named(batch)
    if _keeps_places(whole, items, collate):
        return np.arange(len(items))
    each = [_alone(item, collate, checked=len(items) == 2) for item in items]
    known = next((one for one in each if one), {})
    whole = {name: array for name, array in whole.items() if not _is_count(name, array, each)}
    aligned = [name for name, array in whole.items() if name in known and _is_aligned(name, array, each)]
    joined = [
        name for name, array in whole.items() if name not in aligned and name in known and _is_joined(name, array, each)
    ]
    in_place = {name: _is_in_order(whole[name], [one[name] for one in each if one]) for name in joined}
    if any(not kept for name, kept in in_place.items() if whole[name].dtype.kind == "f"):
        return None
    if not aligned:
        return np.arange(len(items)) if any(in_place.values()) else None
    rows = [[whole[name][row : row + 1] for name in aligned] for row in range(len(items))]
    alone = [[one[name] for name in aligned] if one else None for one in each]
    return _matched(rows, alone)


def _keeps_places(whole: Named, items: Sequence[Any], collate: Callable[[Any], Any]) -> bool:
    """Whether items that are given in another order come out in it, all else being the same; one collation instead of one for each item.

    It shows nothing where inputs are alike, and an exchange of places that does not depend on content might be the same again: the first items are looked at as well.
    """
    n = len(items)
    if n < FEW or any(item is None for item in items) or any(len(array) != n for array in whole.values()):
        return False
    sums = input_checksums(whole, n)
    if sums is None or len(np.unique(sums)) < n:
        return False
    order = np.random.default_rng(0).permutation(n)
    try:
        other = _named(collate([_shell(items[place]) for place in order]))
    # What cannot be collated in another order is looked at item by item.
    except Exception:
        return False
    if set(other) != set(whole) or not all(_same(other[name], array[order]) for name, array in whole.items()):
        return False
    first = [_alone(item, collate, checked=False) for item in items[:2]]
    return all(
        one is not None
        and set(one) == set(whole)
        and _is([whole[name][k : k + 1] for name in whole], [one[name] for name in whole])
        for k, one in enumerate(first)
    )


def _same(a: Row, b: Row) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and _equal(a, b)


def _matched(rows: Sequence[Sequence[Row]], items: Sequence[Sequence[Row] | None]) -> Int[np.ndarray, " input"] | None:
    """Find the item that each row is: the one in its place if it can be, else one that is in no other place, else any."""
    places = np.array([place if _is(row, items[place]) else -1 for place, row in enumerate(rows)])
    free = set(range(len(items))) - set(places.tolist())
    for place in np.flatnonzero(places < 0).tolist():
        found = [other for other in range(len(items)) if _is(rows[place], items[other])]
        if not found:
            return None
        places[place] = next((other for other in found if other in free), found[0])
        free.discard(int(places[place]))
    return places


def _is(row: Sequence[Row], item: Sequence[Row] | None) -> bool:
    return item is not None and all(map(_is_padded, row, item))


def _is_padded(row: Row, item: Row) -> bool:
    """Whether a row is an item, or what is left of it, with one number repeated after or before it."""
    if row.shape == item.shape:
        return _equal(row, item)
    if row.ndim != item.ndim:
        return False
    common = np.minimum(row.shape, item.shape)
    for here, there in (
        ([slice(0, n) for n in common], [slice(0, n) for n in common]),
        (
            [slice(size - n, None) for size, n in zip(row.shape, common)],
            [slice(size - n, None) for size, n in zip(item.shape, common)],
        ),
    ):
        if _equal(row[tuple(here)], item[tuple(there)]):
            outside = np.ones(row.shape, bool)
            outside[tuple(here)] = False
            rest = row[outside]
            return not rest.size or _equal(rest, np.broadcast_to(rest[:1], rest.shape))
    return False


def _equal(a: Row, b: Row) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _alone(item: Any, collate: Callable[[Any], Any], *, checked: bool) -> Named | None:
    """Collate an item with itself; None if it cannot be, or does not come out as two of the same.

    An array that has two rows for any number of items, as the edges of graphs have, would pass for that of a batch of two: then it is checked with a single item.
    """
    try:
        found = _named(collate([_shell(item), _shell(item)]))
        single = _named(collate([_shell(item)])) if checked else {}
    # Whatever goes wrong with an item, such as None for a file that could not be read: it is not in the batch.
    except Exception:
        return None
    halves = {name: np.array_split(array, 2) for name, array in found.items() if array.shape[0] % 2 == 0}
    return {name: half[0] for name, half in halves.items() if name not in single or len(single[name]) == len(half[0])}


def _is_aligned(name: str, array: np.ndarray, each: Sequence[Named | None]) -> bool:
    """Whether an array of the batch has one row for each item."""
    return array.shape[0] == len(each) and all(
        one is None or (name in one and _fits(one[name], array) and len(one[name]) == 1) for one in each
    )


def _is_count(name: str, array: np.ndarray, each: Sequence[Named | None]) -> bool:
    """Whether an array just numbers the items, as the vector does that says of each node to which graph it belongs."""
    alone = [one[name] for one in each if one and name in one]
    numbers = array.dtype.kind in "iu" and bool(alone) and not any(one.any() for one in alone)
    return numbers and len(np.unique(array)) == len(each) and bool((np.diff(array.reshape(-1)) >= 0).all())


def _is_joined(name: str, array: np.ndarray, each: Sequence[Named | None]) -> bool:
    """Whether an array of the batch may be those of the items, one after another, as the nodes of graphs are."""
    parts = [one[name] if one and name in one else None for one in each]
    return all(part is not None and _fits(part, array) and part.shape[1:] == array.shape[1:] for part in parts) and (
        sum(len(part) for part in parts if part is not None) == len(array)
    )


def _fits(part: np.ndarray, array: np.ndarray) -> bool:
    return part.dtype == array.dtype and part.ndim == array.ndim


def _is_in_order(array: np.ndarray, parts: Sequence[np.ndarray]) -> bool:
    return _equal(array, np.concatenate(parts))


def _named(x: Any) -> Named:
    """Read the arrays of a batch that have rows, by their path."""
    found = {}
    for path, array in arrays(x):
        if isinstance(array, torch.Tensor):
            if array.layout != torch.strided or array.is_nested or array.is_quantized:
                continue
            array = array.detach().cpu()
            array = (array.float() if array.dtype == torch.bfloat16 else array.resolve_conj().resolve_neg()).numpy()
        if array.ndim and array.dtype.kind in "biufc":
            found[path] = array
    return found


def _shell(item: Any) -> Any:
    """Copy the mappings, lists and objects of an item but not its tensors: collating functions take items apart."""
    return with_parts(item, _shell)


@contextmanager
def _generators_kept(collate: Any) -> Iterator[None]:
    generators = [one for one in getattr(collate, "__dict__", {}).values() if isinstance(one, GENERATORS)]
    states = [copy.deepcopy(state_of(one)) for one in generators]
    try:
        yield
    finally:
        for one, state in zip(generators, states):
            set_state(one, state)
