"""Along which axis of a batch its inputs lie: what says so, and what is asked where nothing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from ann2neo.capture.inputs.forms import BATCH_SIZE, Inputs
from ann2neo.capture.inputs.labels import number_of
from ann2neo.capture.inputs.presentation import Batch, Presentation
from ann2neo.capture.masks import MASK, masked_positions
from ann2neo.errors import InputsError
from ann2neo.probe.nested import arrays, parts, with_parts
from ann2neo.verification.places import LISTED, are_entries, has_steps, is_square

# Of an image, before its height and width.
CHANNELS = {1, 3, 4}


def check_steps_are_not_inputs(x: Any, y: Any, n_inputs: int) -> None:
    """Refuse a batch whose first axis is taken for that of its inputs, while what comes with it is as many as its second axis is long.

    Raises
    ------
    InputsError
        If it is: labels, whole numbers whose name holds "len", or a mask of shape (input, step) beside (step, input, ...).
    """
    every, shape = list(arrays(x)), _with_steps(x, n_inputs)
    if shape is None:
        return
    found = [
        f"{path.rsplit('/', 1)[-1]!r} has shape {tuple(one.shape)}"
        for path, one in every[1:]
        if ("len" in path and tuple(one.shape) == (shape[1],) and not _is_floating(one))
        or ("mask" in path and tuple(one.shape) == (shape[1], shape[0]))
    ]
    n_labels = number_of(y)
    found += [f"labels are {n_labels}"] if n_labels == shape[1] else []
    if found:
        raise unclear_axis(shape, ", ".join(found))


def inputs_are_first(x: Any, y: Any, n_inputs: int) -> bool:
    """Whether something beside a batch of (input, step, ...) says that its inputs come first: labels, lengths or padding of inputs, or positions of steps.

    Examples
    --------
    >>> x = torch.zeros(4, 3, 2)
    >>> inputs_are_first({"x": x, "lengths": torch.ones(4, dtype=torch.int64)}, None, 4), inputs_are_first({"x": x, "scale": torch.ones(1)}, None, 4)
    (True, False)
    """
    if is_square(x, n_inputs):
        return False
    if number_of(y) == n_inputs or masked_positions(x, n_inputs, ("mask",)):
        return True
    main = max((one for _, one in arrays(x) if has_steps(one, n_inputs)), key=lambda one: one.ndim, default=None)
    n_steps = -1 if main is None else int(main.shape[1])
    return any(_says_so(path.rsplit("/", 1)[-1].lower(), one, n_inputs, n_steps) for path, one in arrays(x))


def _says_so(name: str, one: torch.Tensor | np.ndarray, n_inputs: int, n_steps: int) -> bool:
    shape = tuple(one.shape)
    if "len" in name and shape == (n_inputs,) and not _is_floating(one):
        return True
    if name == MASK and shape == (n_inputs, n_steps):
        return True
    return shape in ((n_steps, n_steps), (1, n_steps)) or ("pos" in name and shape == (n_steps,))


def number_of_entries(x: Any, n_said: int | None) -> int | None:
    """Count the entries of a list of tensors if each is an input: images, or sequences of different lengths; None if they may be what a model takes side by side.

    Parameters
    ----------
    x
        The batch, a list or tuple of tensors; a mapping is looked into.
    n_said
        How many labels there are, or how many inputs were drawn; None if nothing says so.

    Examples
    --------
    >>> images = [torch.zeros(3, 8, 8), torch.zeros(3, 9, 8)]
    >>> number_of_entries(images, None), number_of_entries([torch.zeros(6, 5), torch.zeros(6, 5)], None) is None
    (2, True)
    """
    if isinstance(x, Mapping):
        x = next((one for one in x.values() if any(True for _ in arrays(one))), None)
    if type(x) not in (list, tuple) or not all(isinstance(one, (torch.Tensor, np.ndarray)) for one in x):
        return None
    shapes = [tuple(one.shape) for one in x]
    if not shapes or len({len(shape) for shape in shapes}) > 1 or len(shapes[0]) < 1:
        return None
    first = {shape[0] for shape in shapes}
    if n_said is not None:
        return len(x) if len(x) == n_said and first != {n_said} else None
    are_images = len(shapes[0]) == 3 and len(first) == 1 and first <= CHANNELS
    are_sequences = len(first) > 1 and len(x) > 2 and len({shape[1:] for shape in shapes}) == 1
    return len(x) if are_images or are_sequences else None


class Sizes:
    """Compares batches with the size that a loader declares, where it does not say which inputs it drew.

    Parameters
    ----------
    declared
        Inputs of each batch but the last; None where that is not known, or counted.
    """

    def __init__(self, declared: int | None) -> None:
        self._declared = declared
        self._before: Batch | None = None

    def see(self, batch: Batch) -> None:
        """Take in a batch.

        Raises
        ------
        InputsError
            If it, or the one before, which was not the last, has another number of inputs, and along its second axis the one that is declared.
        """
        if self._declared is None:
            return
        for one in (self._before, batch if batch.n_inputs > self._declared else None):
            shape = None if one is None else _with_steps(one.x, one.n_inputs)
            if shape is not None and shape[1] == self._declared:
                raise unclear_axis(shape, f"it is said that batch_size={self._declared}")
        self._before = batch


def declared_size(source: Presentation, inputs: Inputs) -> int | None:
    """Size of batches that come as they are, as their loader or the user declares it; None if that is not known."""
    if inputs.n_inputs is not None or source.batch_sizes is not None or source.axis is not None or source.counted:
        return None
    if isinstance(inputs.data, DataLoader):
        return inputs.data.batch_size
    return None if inputs.batch_size == BATCH_SIZE else inputs.batch_size


def _with_steps(x: Any, n_inputs: int) -> tuple[int, ...] | None:
    """Shape of the first array of a batch, if what is taken for its inputs may be steps, and its second axis is as long as there are inputs."""
    first = next((one for _, one in arrays(x)), None)
    shape = () if first is None else tuple(first.shape)
    if first is None or len(shape) < 2 or shape[0] in (1, shape[1]) or shape[0] != n_inputs or _is_table(first):
        return None
    return shape


def unclear_axis(shape: tuple[int, ...], why: str) -> InputsError:
    """Explain that it is unclear which axis of a batch is that of its inputs."""
    return InputsError(
        f"a batch has shape {shape}, and {why}.",
        f"It is unclear whether it holds {shape[0]} inputs or, with steps first, {shape[1]}.",
        f"Say it: Inputs(data, n_inputs=lambda batch: ...), which gives {shape[1]} for this batch if its steps come first.",
    )


def _is_table(part: torch.Tensor | np.ndarray) -> bool:
    """Whether a part has two axes of which the second is that of features, not of steps."""
    return part.ndim == 2 and _is_floating(part)


def _is_floating(part: torch.Tensor | np.ndarray) -> bool:
    return part.is_floating_point() if isinstance(part, torch.Tensor) else part.dtype.kind == "f"


def axis_that_is_counted(n_inputs: Callable[[Any], Any], raw: Any, number: int) -> int | None:
    """Find which axis of a batch of as many steps as inputs ``n_inputs`` counts: the one along which it counts one more where there is one entry more.

    -1 where it counts the entries of a list, each of which may have as many of its own. None if the batch has two axes of different lengths there, or something else is counted.

    Examples
    --------
    >>> x = torch.zeros(3, 3, 2)
    >>> axis_that_is_counted(lambda x: x.shape[1], x, 3), axis_that_is_counted(lambda x: 3, x, 3) is None
    (1, True)
    """
    if any(_counted(n_inputs, one) == number + 1 for one in _with_one_entry_more(raw, number)):
        return LISTED
    square = [one for _, one in arrays(raw) if tuple(one.shape[:2]) == (number,) * 2 and not _is_table(one)]
    main = max(square, key=lambda one: one.ndim, default=None)
    if main is None or (isinstance(main, torch.Tensor) and main.layout != torch.strided):
        return None
    found = [axis for axis in (0, 1) if _counted(n_inputs, _with_one_more(raw, main, axis)) == number + 1]
    return found[0] if len(found) == 1 else None


def _with_one_entry_more(x: Any, number: int) -> Iterator[Any]:
    """Make batches in each of which a list of arrays, one for each input, has its first entry twice."""
    if are_entries(x, number, LISTED):
        yield type(x)([*x, x[0]])
    elif isinstance(x, (Mapping, list, tuple)):
        for key, part in parts(x).items():
            for longer in _with_one_entry_more(part, number):
                yield {**x, key: longer} if isinstance(x, Mapping) else [*x[:key], longer, *x[key + 1 :]]


def _with_one_more(x: Any, main: Any, axis: int) -> Any:
    """Make a batch whose main part has its first entry twice along an axis."""
    if isinstance(x, (torch.Tensor, np.ndarray)):
        if x is not main:
            return x
        order = [*range(x.shape[axis]), 0]
        return (
            x.take(order, axis)
            if isinstance(x, np.ndarray)
            else x.index_select(axis, torch.as_tensor(order).to(x.device))
        )
    return with_parts(x, lambda part: _with_one_more(part, main, axis))


def _counted(n_inputs: Callable[[Any], Any], x: Any) -> int | None:
    try:
        return int(n_inputs(x))
    # Whatever goes wrong in a function that expects its own batches.
    except Exception:
        return None
