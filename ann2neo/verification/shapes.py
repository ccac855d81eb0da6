"""Shapes of inputs: which batches whose inputs have other shapes than those of the first batch are kept, to be verified after the last one."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from ann2neo.probe.nested import arrays, leaves, parts
from ann2neo.verification.orders import FEWEST
from ann2neo.verification.places import are_entries, axis_of_inputs, has_entries, movable, preferred_axis

# Of a batch that is kept, in bytes.
MOST_BYTES = 2**28
MOST_KEPT = 3
# How much it tells where a batch has other parts; where it has many inputs, of which more shows than of few; where a size is the number of inputs, so that two axes may be exchanged; is one; is odd where it was even, or the other way round; is smaller.
WEIGHTS = {"form": 9, "many": 9, "square": 3, "one": 3, "odd": 2, "smaller": 1}

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a batch consists of, whatever its inputs hold.

    Parameters
    ----------
    form
        Its parts: path, type of numbers and number of axes of each.
    sizes
        Sizes of all of these along the axes of an input, one after another.
    n_inputs
        Number of inputs.
    text
        The same for readers.
    """

    form: Hashable
    sizes: tuple[int, ...]
    n_inputs: int
    text: str

    @property
    def squares(self) -> tuple[bool, ...]:
        """Which of the sizes are the number of inputs: axes that may be taken for each other."""
        return tuple(size == self.n_inputs for size in self.sizes)

    @property
    def has_many(self) -> bool:
        """Whether there are enough inputs to tell rows that are exchanged from rows that depend on each other."""
        return self.n_inputs >= FEWEST

    @property
    def volume(self) -> int:
        """Numbers of an input, were all parts one array: what is longer or larger has more."""
        return math.prod(self.sizes)


def shape_of(x: Any, n_inputs: int, axis: int | None = None) -> Shape:
    """Describe the inputs of a batch, which lie along this axis if it is known.

    Of a list with one entry for each input the largest sizes count, and whether its entries differ.

    Examples
    --------
    >>> shape_of({"ids": torch.zeros(4, 9), "mask": None}, 4).text, shape_of([torch.zeros(3, 8, 8), torch.zeros(3, 9, 8)], 2).text
    ('ids (9), no mask', 'entries up to (3, 9, 8)')
    """
    preferred = 1 if axis == 1 else preferred_axis(x, n_inputs)
    every = list(_described(x, n_inputs, preferred))
    texts = [(path.strip("/"), text) for path, _, _, text in every if text is not None]
    return Shape(
        form=tuple((path, kind) for path, kind, _, _ in every),
        sizes=tuple(size for _, _, sizes, _ in every for size in sizes),
        n_inputs=n_inputs,
        text=", ".join(f"no {path}" if text == "None" else f"{path} {text}".strip() for path, text in texts) or "()",
    )


def _described(
    x: Any, n_inputs: int, preferred: int, path: str = ""
) -> Iterator[tuple[str, Hashable, tuple[int, ...], str | None]]:
    """Yield path, kind, sizes and text of each part of a batch; no text for what is not an array."""
    inner = parts(x)
    if are_entries(x, n_inputs, preferred):
        shapes = [tuple(one.shape) for _, one in arrays(x)]
        sizes = tuple(max(each, default=0) for each in zip(*shapes))
        differ = len(set(shapes)) > 1
        yield path, ("entries", len(sizes), differ), sizes, f"entries up to {_written(sizes)}" if differ else "entries"
    elif isinstance(x, (torch.Tensor, np.ndarray)):
        axis = axis_of_inputs(x, n_inputs, preferred)
        sizes = () if axis is None else (*x.shape[:axis], *x.shape[axis + 1 :])
        yield path, (x.dtype, x.ndim, axis is None), sizes, _written(sizes)
    elif not inner or _are_numbers(x):
        yield path, type(x), (), "None" if x is None else None
    else:
        for key, part in inner.items():
            yield from _described(part, n_inputs, preferred, f"{path}/{key}")


def _written(sizes: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, sizes))})" if sizes else ""


def _are_numbers(x: Any) -> bool:
    """Whether it is a list of numbers, which is one thing however many there are."""
    return type(x) in (list, tuple) and all(isinstance(one, (int, float, bool)) for one in x)


@dataclass(slots=True)
class OtherShapes(Generic[Kept]):
    """Few batches whose inputs have other shapes than those that were verified: that of the largest inputs, and others that show what else models may go by (`WEIGHTS`).

    Rows of batches of one or two inputs are hardly verified; others come first. Nothing is copied.

    Examples
    --------
    >>> shapes = OtherShapes()
    >>> shapes.verified(torch.zeros(4, 6), 4)
    >>> for n_steps in (6, 10, 4, 8, 12, 5, 2):
    ...     _ = shapes.see(torch.zeros(4, n_steps), 4, keep=lambda: n_steps)
    >>> [(shape.text, kept) for shape, kept in shapes.kept]
    [('(12)', 12), ('(4)', 4), ('(5)', 5)]
    """

    known: list[Shape] = field(default_factory=list)
    kept: list[tuple[Shape, Kept]] = field(default_factory=list)
    too_large: bool = False
    _seen: dict[Hashable, set[tuple[bool, ...]]] = field(default_factory=dict)
    _last: Hashable = None
    _paths: set[str] = field(default_factory=set)

    @property
    def n_seen(self) -> int:
        """How many shapes there were."""
        return len(self._seen)

    def verified(self, x: Any, n_inputs: int, axis: int | None = None) -> None:
        """Take in a batch that was verified by itself."""
        if n_inputs > 1 and _can_be_verified(x, n_inputs):
            self._last, shape = _outline(x, n_inputs), shape_of(x, n_inputs, axis)
            self._note(shape)
            self._paths |= _paths_of(x, n_inputs)
            self.confirm(shape)

    def confirm(self, shape: Shape) -> None:
        """Take in that a batch of such inputs was verified."""
        self.known.append(shape)

    def see(self, x: Any, n_inputs: int, axis: int | None = None, *, keep: Callable[[], Kept]) -> list[str]:
        """Take in another batch, and keep what this function makes of it if it is to be verified. Most have the outline of the one before.

        Returns the paths of parts that no batch had before.
        """
        outline = _outline(x, n_inputs)
        if outline == self._last or n_inputs < 2:
            return []
        self._last = outline
        if not _can_be_verified(x, n_inputs) or not self._note(shape := shape_of(x, n_inputs, axis)):
            return []
        chosen = self._chosen([*(shape for shape, _ in self.kept), shape])
        if any(one is shape for one in chosen):
            if _n_bytes(x) > MOST_BYTES:
                self.too_large = True
            else:
                kept = [*self.kept, (shape, keep())]
                self.kept = [one for this in chosen for one in kept if one[0] is this]
        new = _paths_of(x, n_inputs) - self._paths
        self._paths |= new
        return sorted(new)

    def forget(self) -> None:
        """Free what was kept."""
        self.kept = []

    def _note(self, shape: Shape) -> bool:
        """Note a shape; whether it is another one than those before."""
        kind, flags = (shape.form, shape.sizes), (shape.has_many, *shape.squares)
        is_new = flags not in self._seen.setdefault(kind, set())
        self._seen[kind].add(flags)
        return is_new

    def _chosen(self, shapes: Sequence[Shape]) -> list[Shape]:
        """Choose those that show most, first that of the largest inputs if they are larger than those that were verified."""
        largest = max(shapes, key=lambda one: (one.n_inputs > 2, one.volume))
        chosen = [largest] if largest.volume > max((one.volume for one in self.known), default=-1) else []
        while len(chosen) < MOST_KEPT and (rest := [one for one in shapes if not any(one is this for this in chosen)]):
            shown = set().union(*(self._shown(one) for one in chosen))
            weights = [sum(WEIGHTS[what] for what, _ in self._shown(one) - shown) for one in rest]
            best = max(zip(rest, weights), key=lambda one: (one[1] > 0, one[0].n_inputs > 2, one[1], -one[0].volume))
            if not best[1]:
                break
            chosen.append(best[0])
        return chosen

    def _shown(self, shape: Shape) -> set[tuple[str, Hashable]]:
        """Find what inputs of this shape show, and along which axis, that those of the shapes which were verified do not."""
        known = [one for one in self.known if one.form == shape.form]
        found: set[tuple[str, Hashable]] = set() if known else {("form", shape.form)}
        if shape.has_many and not any(one.has_many for one in self.known):
            found.add(("many", None))
        if any(one.sizes == shape.sizes for one in known):
            return found
        for k, size in enumerate(shape.sizes):
            before = [one.sizes[k] for one in known]
            is_so = {
                "square": shape.squares[k] and not any(one.squares[k] for one in known),
                "one": size == 1 and 1 not in before,
                "odd": all((size - one) % 2 for one in before),
                "smaller": size < min(before, default=0),
            }
            found |= {(what, k) for what, is_it in is_so.items() if is_it}
        return found


def _can_be_verified(x: Any, n_inputs: int) -> bool:
    """Whether anything in a batch can change places."""
    return bool(movable(x, n_inputs)) or has_entries(x, n_inputs)


def _paths_of(x: Any, n_inputs: int) -> set[str]:
    """Find the paths of what has one entry for each input."""
    return {path for path, _ in movable(x, n_inputs)}


def _outline(x: Any, n_inputs: int) -> Hashable:
    """Return what is the same of batches of one shape and size, at little cost."""
    if isinstance(x, (torch.Tensor, np.ndarray)):
        return n_inputs, x.shape
    return n_inputs, *((path, getattr(one, "shape", type(one))) for path, one in leaves(x))


def _n_bytes(x: Any) -> int:
    return sum(one.nbytes if isinstance(one, np.ndarray) else one.numel() * one.element_size() for _, one in arrays(x))
