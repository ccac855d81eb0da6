"""Batches in which inputs change places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ann2neo.probe.nested import arrays, leaves, parts, with_parts

# Preferred where the entries of a list are the inputs, whatever axes they have.
LISTED = -1


def movable(x: Any, n_inputs: int) -> list[tuple[str, Any]]:
    """List the tensors and arrays of a batch along whose first or second axis inputs may lie, each with its path.

    Batches of other kinds than tensors, mappings, lists, tuples and dataclasses (graphs of other libraries) have none: what belongs together in them is not known.
    """
    if not isinstance(x, (torch.Tensor, np.ndarray, Mapping, list, tuple)) and not hasattr(x, "__dataclass_fields__"):
        return []
    preferred = preferred_axis(x, n_inputs)
    return [
        (path, leaf)
        for path, leaf in _apart(x, n_inputs, preferred)
        if axis_of_inputs(leaf, n_inputs, preferred) is not None
    ]


def preferred_axis(x: Any, n_inputs: int) -> int:
    """Find the axis along which inputs lie in most of a batch: 1 if its steps come first, that is if something has as many entries as inputs along axis 1 and nothing but a row of numbers has along axis 0.

    2 if that is so of what has the most axes, three at least, beside a mask of shape (input, step): then inputs lie along axis 1 of what has three axes, and along axis 0 of what has two.

    Examples
    --------
    >>> preferred_axis({"x": torch.zeros(9, 4, 2), "lengths": torch.ones(4)}, 4), preferred_axis({"x": torch.zeros(4, 2), "edges": torch.ones(2, 4)}, 4)
    (1, 0)
    >>> preferred_axis({"x": torch.zeros(9, 4, 2), "mask": torch.ones(4, 9)}, 4)
    2
    """
    if isinstance(x, (torch.Tensor, np.ndarray)):
        # Most batches; the same in one step.
        return int(x.ndim > 1 and x.shape[0] != n_inputs and axis_of_inputs(x, n_inputs, 1) == 1)
    shapes = [leaf.shape for _, leaf in _apart(x, n_inputs, 1) if axis_of_inputs(leaf, n_inputs, 1) is not None]
    tables = [shape for shape in shapes if len(shape) > 1]
    if not tables or all(shape[0] != n_inputs for shape in tables):
        return int(bool(tables))
    largest = max(tables, key=len)
    return 2 if len(largest) > 2 and largest[0] not in (1, n_inputs) else 0


def has_steps(part: Any, n_inputs: int) -> bool:
    """Whether a part of a batch has inputs along its first axis, and what may be steps along its second one: a table of numbers has features there.

    Examples
    --------
    >>> has_steps(torch.zeros(4, 3, 2), 4), has_steps(torch.zeros(4, 3), 4), has_steps(torch.ones(4, 3, dtype=torch.int64), 4)
    (True, False, True)
    """
    if not isinstance(part, (torch.Tensor, np.ndarray)) or part.ndim < 2 or part.shape[0] != n_inputs:
        return False
    floating = part.is_floating_point() if isinstance(part, torch.Tensor) else part.dtype.kind == "f"
    return part.ndim > 2 or not floating


def is_square(x: Any, n_inputs: int) -> bool:
    """Whether something in a batch has as many entries as inputs along its second axis too, which may be steps.

    Examples
    --------
    >>> is_square({"x": torch.zeros(4, 4, 2)}, 4), is_square(torch.zeros(4, 4), 4)
    (True, False)
    """
    return any(has_steps(leaf, n_inputs) and leaf.shape[1] == n_inputs for _, leaf in leaves(x))


def axis_of_inputs(part: Any, n_inputs: int, preferred: int = 0) -> int | None:
    """Find the axis of a part of a batch along which inputs may lie, and can be chosen by number; None if there is none. What is preferred is said as `preferred_axis` does.

    Examples
    --------
    >>> [axis_of_inputs(torch.zeros(3, 4), n, preferred) for n, preferred in ((3, 0), (4, 0), (4, 1), (3, 1))]
    [0, None, 1, 0]
    """
    if not isinstance(part, (torch.Tensor, np.ndarray)):
        return None
    if isinstance(part, torch.Tensor) and part.layout not in (torch.strided, torch.sparse_coo):
        return None
    if preferred in (0, LISTED):
        axes: tuple[int, ...] = (0,)
    else:
        axes = (1, 0) if preferred == 1 or part.ndim > 2 else (0, 1)
    return next((axis for axis in axes if part.ndim > axis and part.shape[axis] == n_inputs), None)


def _chosen(part: Any, order: Sequence[int], axis: int = 0) -> Any:
    """Choose entries of a tensor or array along an axis by number."""
    if isinstance(part, np.ndarray):
        return part.take(order, axis)
    index = torch.as_tensor(order, device=part.device)
    return part.index_select(axis, index) if part.layout == torch.sparse_coo else part[(slice(None),) * axis + (index,)]


def taken(
    x: Any,
    order: Sequence[int],
    n_inputs: int,
    *,
    first_only: bool = False,
    preferred: int | None = None,
    pairs: bool = False,
) -> Any:
    """Make a batch of some inputs of another, in some order; what has no axis of inputs stays as it is.

    With ``first_only`` only the main part that has such an axis is changed. It is looked for first at ``preferred``; None for where most of the batch has it. With ``pairs``
    what has as many entries along its first two axes is changed along both.

    Examples
    --------
    >>> taken({"x": torch.arange(3), "scale": torch.ones(2)}, [2, 2], 3)
    {'x': tensor([2, 2]), 'scale': tensor([1., 1.])}
    """
    preferred = preferred_axis(x, n_inputs) if preferred is None else preferred
    only = main_part(x, n_inputs, preferred) if first_only else None

    def change(part: Any) -> Any:
        if are_entries(part, n_inputs, preferred):
            return type(part)(part[k] for k in order)
        if isinstance(part, (torch.Tensor, np.ndarray)):
            if pairs and _is_of_pairs(part, n_inputs):
                return _pairs_chosen(part, order)
            axis = axis_of_inputs(part, n_inputs, preferred)
            if axis is None or (first_only and part is not only):
                return part
            return _chosen(part, order, axis)
        return with_parts(part, change)

    return change(x)


def main_part(x: Any, n_inputs: int, preferred: int) -> Any:
    """Find the part of a batch with an axis of inputs that has the most axes, the first of several: rows of positions may come before it.

    Examples
    --------
    >>> tuple(main_part({"position": torch.zeros(4), "x": torch.zeros(4, 9)}, 4, 0).shape)
    (4, 9)
    """
    found = [
        leaf for _, leaf in _apart(x, n_inputs, preferred) if axis_of_inputs(leaf, n_inputs, preferred) is not None
    ]
    # Pairs of inputs are between these.
    apart = [leaf for leaf in found if not _is_of_pairs(leaf, n_inputs)] if has_pairs(x, n_inputs) else found
    return max(apart, key=lambda leaf: leaf.ndim, default=None)


def has_pairs(x: Any, n_inputs: int) -> bool:
    """Whether a batch may hold something for each pair of its inputs, as an adjacency matrix does, beside something for each input.

    Beside one number for each input whole numbers other than 0 and 1 are not for pairs: as many steps as inputs may have these.

    Examples
    --------
    >>> has_pairs({"x": torch.zeros(5, 3), "adjacency": torch.eye(5)}, 5), has_pairs({"x": torch.zeros(5, 5)}, 5)
    (True, False)
    """
    every = [leaf for _, leaf in leaves(x) if isinstance(leaf, (torch.Tensor, np.ndarray)) and leaf.ndim]
    pairs = [leaf for leaf in every if _is_of_pairs(leaf, n_inputs)]
    beside = {leaf.ndim > 1 for leaf in every if leaf.shape[0] == n_inputs and not _is_of_pairs(leaf, n_inputs)}
    return n_inputs > 3 and bool(beside) and any(True in beside or _is_adjacency(leaf) for leaf in pairs)


def _is_of_pairs(leaf: Any, n_inputs: int) -> bool:
    return leaf.ndim > 1 and tuple(leaf.shape[:2]) == (n_inputs, n_inputs)


def _is_adjacency(leaf: Any) -> bool:
    if is_sparse(leaf):
        return True
    values = torch.as_tensor(leaf)
    return leaf.ndim == 2 and (values.is_floating_point() or bool(((values == 0) | (values == 1)).all()))


def _pairs_chosen(part: Any, order: Sequence[int]) -> Any:
    """Choose pairs of inputs along both axes."""
    layout = part.layout if isinstance(part, torch.Tensor) else torch.strided
    if layout in (torch.sparse_csr, torch.sparse_csc):
        return _chosen(_chosen(part.to_sparse_coo(), order), order, 1).to_sparse(layout=layout)
    return _chosen(_chosen(part, order), order, 1)


def has_entries(x: Any, n_inputs: int, preferred: int = 0) -> bool:
    """Whether a batch holds something that has one entry for each input.

    Examples
    --------
    >>> has_entries({"text": ["a", "b"]}, 2), has_entries({"text": "ab"}, 2)
    (True, False)
    """
    return any(True for _ in _entries(x, n_inputs, preferred))


def _entries(x: Any, n_inputs: int, preferred: int, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what has one entry for each input, with its path."""
    if are_entries(x, n_inputs, preferred):
        yield path, x
    elif isinstance(x, (Mapping, list, tuple)):
        for key, part in parts(x).items():
            yield from _entries(part, n_inputs, preferred, f"{path}/{key}")


def are_entries(part: Any, n_inputs: int, preferred: int = 0) -> bool:
    """Whether a part of a batch is a list of texts, or of tensors or more of them, one for each input.

    Tensors all or some of which have an axis of as many entries could as well be what the model takes side by side, unless `LISTED` is preferred.

    Examples
    --------
    >>> are_entries(("a", "b"), 2), are_entries(["a", "b"], 3), are_entries("ab", 2)
    (True, False, False)
    >>> images = [torch.zeros(3, 8, 8), torch.zeros(3, 9, 8)]
    >>> are_entries(images, 2), are_entries([torch.zeros(2, 4), torch.zeros(2, 5)], 2), are_entries([torch.zeros(2, 4), torch.zeros(2, 5)], 2, LISTED)
    (True, False, True)
    """
    if type(part) not in (list, tuple) or len(part) != n_inputs or not n_inputs:
        return False
    if all(isinstance(one, str) for one in part):
        return True
    inner = [[leaf for _, leaf in leaves(one) if isinstance(leaf, (torch.Tensor, np.ndarray))] for one in part]
    if not all(inner):
        return False
    every = [leaf for some in inner for leaf in some]
    have = [axis_of_inputs(leaf, n_inputs, preferred) is not None for leaf in every]
    # Some of as many axes may have as many entries by chance, as images of some height.
    by_chance = len({leaf.ndim for leaf in every}) == 1 and not all(have)
    return preferred == LISTED or by_chance or not any(have)


def _apart(x: Any, n_inputs: int, preferred: int, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield everything in a batch that has no parts, but for what is in lists that have one entry for each input."""
    if are_entries(x, n_inputs, preferred):
        return
    inner = parts(x)
    if not inner:
        yield path, x
    for key, value in inner.items():
        yield from _apart(value, n_inputs, preferred, f"{path}/{key}")


def relabelled(x: Any, order: Sequence[int], n_inputs: int) -> Any:
    """Let inputs change places, and change integers that name places of inputs accordingly; None if there are none.

    Examples
    --------
    >>> relabelled({"x": torch.tensor([5, 6, 7]), "edges": torch.tensor([[0, 1], [1, 2]])}, [2, 0, 1], 3)
    {'x': tensor([7, 5, 6]), 'edges': tensor([[1, 2], [2, 0]])}
    """
    place_of = np.argsort(np.asarray(order))
    found = [False]

    def change(part: Any) -> Any:
        if not isinstance(part, (torch.Tensor, np.ndarray)):
            return with_parts(part, change)
        if axis_of_inputs(part, n_inputs) is not None and n_inputs > 2:
            return _chosen(part, order)
        whole = part.dtype in (torch.int64, torch.int32) if isinstance(part, torch.Tensor) else part.dtype.kind == "i"
        if not whole or not part.ndim or is_sparse(part) or int(part.min()) < 0 or int(part.max()) >= n_inputs:
            return part
        found[0] = True
        return (
            torch.as_tensor(place_of, device=part.device)[part.long()]
            if isinstance(part, torch.Tensor)
            else place_of[part]
        )

    moved = change(x)
    return moved if found[0] else None


def slightly_changed(x: Any, n_inputs: int) -> Any:
    """Change the floating-point numbers of all inputs by one ten-thousandth, some up, some down: more than rounding does."""
    generator = torch.Generator().manual_seed(2)
    preferred = preferred_axis(x, n_inputs)

    def change(part: Any, within: bool = False) -> Any:
        if not isinstance(part, (torch.Tensor, np.ndarray)):
            within = within or are_entries(part, n_inputs, preferred)
            return with_parts(part, lambda one: change(one, within))
        other = torch.as_tensor(part)
        has_inputs = within or axis_of_inputs(part, n_inputs, preferred) is not None
        if not has_inputs or is_sparse(part) or not other.is_floating_point():
            return part
        up = torch.rand(other.shape, generator=generator).to(other.device) < 0.5
        other = (other.double() * torch.where(up, 1 + 1e-4, 1 - 1e-4)).to(other.dtype)
        return other if isinstance(part, torch.Tensor) else other.numpy()

    return change(x)


def are_alike(x: Any, n_inputs: int, paths: Sequence[str] | None = None) -> list[str]:
    """List what does not differ between the inputs of a batch, by path: if that decides where an input lies, nothing was verified.

    In a batch of one input nothing differs.

    Parameters
    ----------
    x, n_inputs
        The batch, and its number of inputs.
    paths
        Where to look; None for everywhere.

    Examples
    --------
    >>> are_alike({"x": torch.arange(3), "length": torch.tensor([5, 5, 5])}, 3)
    ['/length']
    """
    preferred = preferred_axis(x, n_inputs)
    entries = [(path, part) for path, part in _entries(x, n_inputs, preferred) if any(True for _ in arrays(part))]
    return [
        path
        for path, leaf in [*movable(x, n_inputs), *entries]
        if (paths is None or path in paths) and (n_inputs < 2 or _is_alike(leaf, n_inputs, preferred))
    ]


def _is_alike(leaf: Any, n_inputs: int, preferred: int) -> bool:
    """Whether all inputs hold the same; of sparse ones, which would be written out to compare them, it is taken that they do not."""
    if not isinstance(leaf, (torch.Tensor, np.ndarray)):
        first, *others = ([torch.as_tensor(one) for _, one in arrays(entry)] for entry in leaf)
        return all(len(one) == len(first) and all(map(_equal, one, first)) for one in others)
    if is_sparse(leaf):
        return False
    every, axis = torch.as_tensor(leaf), axis_of_inputs(leaf, n_inputs, preferred) or 0
    # Most batches differ in their first two inputs, and need not be read whole.
    return all(bool((every.narrow(axis, 0, n) == every.narrow(axis, 0, 1)).all()) for n in (min(n_inputs, 2), n_inputs))


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and not is_sparse(a) and not is_sparse(b) and bool((a == b).all())


def is_sparse(part: torch.Tensor | np.ndarray) -> bool:
    """Whether a part of a batch is a tensor that does not hold each of its numbers."""
    return isinstance(part, torch.Tensor) and part.layout != torch.strided
