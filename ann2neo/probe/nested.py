"""Nested batches: mappings, tuples, lists, dataclasses and objects that hold tensors, walked by one pair of functions, moved to where a model is, and copied."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ann2neo.errors import InputsError

# Of a tensor in memory, in bytes.
ALIGNMENT = 64
# Inputs, of which a list of as many numbers may be a shape.
FEW = 4


def parts(x: Any) -> dict[Any, Any]:
    """Return the parts of a batch by name or position; none if it is a single thing.

    An object of another library counts as a mapping if it has ``keys`` and ``x[key]`` (graphs of PyTorch Geometric), and otherwise by those of its attributes that hold tensors or arrays.

    Examples
    --------
    >>> parts({"a": 1}), parts((1, 2)), parts(3)
    ({'a': 1}, {0: 1, 1: 2}, {})
    """
    # Most of what is asked about.
    if isinstance(x, (torch.Tensor, np.ndarray)):
        return {}
    if isinstance(x, Mapping):
        return dict(x)
    if isinstance(x, (tuple, list)):
        return dict(enumerate(x))
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return {one.name: getattr(x, one.name) for one in dataclasses.fields(x)}
    if _is_plain(x):
        return {}
    if _has_keys(x):
        return _keyed(x)
    return {name: value for name, value in vars(x).items() if any(True for _ in arrays(value))}


def with_parts(x: Any, change: Callable[[Any], Any]) -> Any:
    """Return a batch of the same form with every part changed.

    Examples
    --------
    >>> with_parts({"a": 1, "b": 2}, lambda part: 10 * part), with_parts([1, 2], str), with_parts(3, str)
    ({'a': 10, 'b': 20}, ['1', '2'], 3)
    """
    if isinstance(x, Mapping):
        return {key: change(value) for key, value in x.items()}
    if isinstance(x, (tuple, list)):
        changed = [change(value) for value in x]
        return type(x)(*changed) if hasattr(x, "_fields") else type(x)(changed)
    inner = parts(x)
    if not inner:
        return x
    other = copy.copy(x)
    for name, value in inner.items():
        if not dataclasses.is_dataclass(x) and _has_keys(x):
            other[name] = change(value)
        else:
            # Frozen ones too: this one is not in use yet.
            object.__setattr__(other, name, change(value))
    return other


def leaves(x: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield everything in a batch that has no parts, each with its path.

    Examples
    --------
    >>> list(leaves({"a": [1, 2], "b": 3}))
    [('/a/0', 1), ('/a/1', 2), ('/b', 3)]
    """
    inner = parts(x)
    if not inner:
        yield path, x
    for key, value in inner.items():
        yield from leaves(value, f"{path}/{key}")


def arrays(x: Any) -> Iterator[tuple[str, torch.Tensor | np.ndarray]]:
    """Yield the tensors and arrays in a batch, each with its path.

    Examples
    --------
    >>> [path for path, _ in arrays({"x": torch.zeros(2), "name": "a"})]
    ['/x']
    """
    return ((path, leaf) for path, leaf in leaves(x) if isinstance(leaf, (torch.Tensor, np.ndarray)))


class Listed(np.ndarray):
    """Numbers of the inputs that a batch holds as a list or tuple; as an array they change places with their inputs. A model is given the list."""

    kind: type = list

    def __array_finalize__(self, other: Any) -> None:
        self.kind = getattr(other, "kind", list)


def listed_as_arrays(x: Any, n_inputs: int, path: str = "") -> Any:
    """Make arrays of lists of numbers, one for each input; where there are few inputs only of what is called a length, as a list may be the size of an image.

    Examples
    --------
    >>> listed_as_arrays({"x": torch.zeros(2, 9), "lengths": [9, 4], "size": (3, 3)}, 2)["lengths"]
    Listed([9, 4])
    >>> as_given(_), as_given(listed_as_arrays((torch.ones(1), [1.5] * 5), 5))[1]
    ([9, 4], [1.5, 1.5, 1.5, 1.5, 1.5])
    """
    if type(x) not in (list, tuple) and not isinstance(x, Mapping):
        return x
    if type(x) in (list, tuple) and len(x) == n_inputs and len(types := set(map(type, x))) == 1:
        are_lengths = "len" in path.rsplit("/", 1)[-1].lower()
        if (
            types <= {int, float, bool}
            and (are_lengths or n_inputs > FEW)
            and (array := np.array(x)).dtype.kind in "bif"
        ):
            found = array.view(Listed)
            found.kind = type(x)
            return found
    inner = parts(x)
    changed = {key: listed_as_arrays(value, n_inputs, f"{path}/{key}") for key, value in inner.items()}
    if all(changed[key] is value for key, value in inner.items()):
        return x
    values = iter(changed.values())
    return with_parts(x, lambda _: next(values))


def as_given(x: Any) -> Any:
    """Make lists again of what were lists in a batch."""
    if isinstance(x, Listed):
        return x.kind(x.tolist())
    return x if isinstance(x, (torch.Tensor, np.ndarray)) else with_parts(x, as_given)


def native(x: Any) -> Any:
    """Copy those arrays of a batch that torch cannot read as they lie: with negative steps (images whose channels were turned), or in the byte order of other machines.

    A batch without such arrays is returned as it is.

    Raises
    ------
    InputsError
        If numbers are of more digits than torch has (``numpy.longdouble``).

    Examples
    --------
    >>> native({"x": np.arange(3, dtype=">f4")[::-1]})["x"].dtype == np.float32
    True
    """
    if isinstance(x, torch.Tensor) or all(_is_native(one) for _, one in arrays(x)):
        return x
    return _native(x)


def _native(x: Any) -> Any:
    if not isinstance(x, np.ndarray):
        return with_parts(x, _native)
    return x if _is_native(x) else x.astype(x.dtype.newbyteorder("="), order="C")


def _is_native(x: torch.Tensor | np.ndarray) -> bool:
    """Whether torch can read an array as it lies; of what holds no numbers something else is told."""
    if isinstance(x, torch.Tensor) or x.dtype.kind not in "biufc":
        return True
    if x.dtype.char in "gG":
        raise InputsError(
            f"the inputs hold an array of type {x.dtype}.",
            "torch has no numbers of this precision.",
            f"Round them first: x.astype({'complex128' if x.dtype.kind == 'c' else 'float64'!r}).",
        )
    return x.dtype.isnative and all(step >= 0 and step % x.itemsize == 0 for step in x.strides)


def _keyed(x: Any) -> dict[Any, Any]:
    return {key: x[key] for key in (x.keys() if callable(x.keys) else x.keys)}  # pyright: ignore[reportGeneralTypeIssues]


def _has_keys(x: Any) -> bool:
    return hasattr(x, "keys") and hasattr(x, "__getitem__")


def _is_plain(x: Any) -> bool:
    """Whether a thing is taken as a whole: it has no attributes, or is a tensor, an array, a type, a function or a module."""
    whole = (torch.Tensor, np.ndarray, type, torch.nn.Module)
    return not hasattr(x, "__dict__") or isinstance(x, whole) or callable(x)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is and of which type its numbers are; None where it has no parameters that would say so."""

    device: torch.device | None
    dtype: torch.dtype | None


def place_of(model: torch.nn.Module) -> Place:
    """Find the place of a model by its first floating-point parameter.

    Examples
    --------
    >>> place_of(torch.nn.Linear(2, 3)), place_of(torch.nn.ReLU())
    (Place(device=device(type='cpu'), dtype=torch.float32), Place(device=None, dtype=None))
    """
    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    return Place(None, None) if first is None else Place(first.device, first.dtype)


def to_place(x: Any, place: Place) -> Any:
    """Move tensors to a place; NumPy arrays of floating-point numbers also get its type (NumPy's default is twice as wide as torch's)."""
    if isinstance(x, Listed):
        return as_given(x)
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "biufc":
            raise InputsError(
                f"the inputs are an array of type {x.dtype}.",
                "A network takes numbers.",
                "Make numbers of it first, for instance by x.astype('float32'), or by a tokenizer.",
            )
        tensor = torch.as_tensor(x)
        x = tensor.to(place.dtype) if tensor.is_floating_point() and place.dtype is not None else tensor
    if isinstance(x, torch.Tensor):
        return x if place.device is None else x.to(place.device)
    return with_parts(x, lambda part: to_place(part, place))


@dataclass(slots=True)
class Copies:
    """Copies of the tensors of a batch, and how often each had been written to when it was made."""

    made: list[tuple[torch.Tensor, torch.Tensor, int | None]] = field(default_factory=list)

    def of(self, x: Any) -> Any:
        """Copy the tensors in a batch; earlier copies are forgotten."""
        self.made = []
        return self._copy(x)

    def changed(self) -> bool:
        """Whether a copy was written to, or was asked for gradients. A tensor that does not count how often (an inference tensor) may have been."""
        return any(
            n is None or copy._version != n or copy.requires_grad != x.requires_grad or _differs(x, copy)
            for x, copy, n in self.made
        )

    def _copy(self, x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            copy = copied(x).requires_grad_(x.requires_grad)
            self.made.append((x, copy, None if copy.is_inference() else copy._version))
            return copy
        return with_parts(x, self._copy)


def copied(x: torch.Tensor) -> torch.Tensor:
    """Copy a tensor with its strides and, on a CPU, its place among 64 bytes: on both may depend which kernel runs, and on that the last bits of its sums.

    Examples
    --------
    >>> x = torch.arange(6.0).reshape(2, 3)[:, 1:]
    >>> copied(x).tolist() == x.tolist(), copied(x).stride() == x.stride()
    (True, True)
    """
    if (
        type(x) not in (torch.Tensor, torch.nn.Parameter)
        or x.layout != torch.strided
        or x.is_nested
        or x.is_quantized
        or 0 in x.stride()
        or not x.numel()
    ):
        return x.clone()
    n_reached = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride()))
    room = torch.empty(n_reached + ALIGNMENT // x.element_size(), dtype=x.dtype, device=x.device)
    first = (x.data_ptr() - room.data_ptr()) % ALIGNMENT // x.element_size() if x.device.type == "cpu" else 0
    return room.as_strided(x.shape, x.stride(), first).copy_(x)


def _differs(x: torch.Tensor, copy: torch.Tensor) -> bool:
    """Whether a copy is another one now; NaN counts as a difference."""
    return x.layout == torch.strided and not x.is_quantized and not x.is_nested and not torch.equal(x, copy)
