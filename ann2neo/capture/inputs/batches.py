"""Batches: what goes into the model, how many inputs that is, and what comes beside it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from ann2neo.capture.inputs.axes import (
    Sizes,
    axis_that_is_counted,
    check_steps_are_not_inputs,
    declared_size,
    inputs_are_first,
    number_of_entries,
    unclear_axis,
)
from ann2neo.capture.inputs.collation import Collated
from ann2neo.capture.inputs.forms import Inputs
from ann2neo.capture.inputs.labels import (
    LABEL_KEYS,
    check_against_batch,
    class_labels,
    given_columns,
    number_of,
    step_labels,
)
from ann2neo.capture.inputs.loaders import batches_told
from ann2neo.capture.inputs.presentation import Batch, Presentation, Streams, draws_at_random
from ann2neo.capture.masks import has_shape
from ann2neo.errors import Ann2NeoWarning, InputsError, kind_of
from ann2neo.probe.nested import arrays, listed_as_arrays, native, parts
from ann2neo.verification.places import LISTED, are_entries, is_square, preferred_axis

# How other libraries say how many things lie in a batch.
N_INPUTS = ("num_graphs", "batch_size")


def read_batches(source: Presentation, inputs: Inputs, first: int = 0) -> Iterator[Batch]:
    """Yield the batches from the one of this number on, split into what the model takes and labels.

    A batch without inputs is left out: a model that ran on it would show nothing of its layers, so that the first batch has at least one input.

    Raises
    ------
    InputsError
        If there is no batch, one is of no known form, labels that are given do not fit those that batches hold, or an order that is drawn at random; if a batch lacks
        inputs that were drawn for it, or workers read the same inputs.
    """
    n_seen, told = 0, False
    given = given_columns(inputs.labels) if first == 0 else {}
    at_random = bool(given) and draws_at_random(source)
    streams, sizes = Streams(source.n_streams), Sizes(declared_size(source, inputs))
    for number, raw in enumerate(batches_told(source.batches(first), inputs.data), first):
        found = raw if source.traced or source.counted else Collated(raw, 0)
        raw, n_drawn, places, second, listed = found.batch, found.n_items, found.places, found.second, found.listed
        said = inputs.n_inputs
        if (second or listed) and said is None:
            said = partial(_as_drawn, n_drawn)
        batch = split_batch(
            raw,
            any_form=inputs.forward is not None,
            n_inputs=said,
            axis=source.axis,
            second=second,
            listed=listed,
        )
        if batch.counted is None and batch.axis is None:
            batch = _steps_turned(replace(batch, counted=_counted(batch, raw, inputs, n_drawn)))
        batch = replace(batch, padded=any(not path.startswith(labelled_path(raw)) for path in found.padded))
        if given:
            check_against_batch(given, batch.labels, n_seen, n_inputs=batch.n_inputs, at_random=at_random)
        if inputs.labels is not None:
            batch = replace(batch, labels=None, step_labels=None)
        # What collates a loader's batches may leave inputs out.
        if source.in_order is not None:
            _check_size(batch, number, source)
        if source.traced:
            batch = replace(batch, stimulus_ids=source.ids_of_batch(number, places))
            told = told or (places is None and _warn_of_unknown_stimuli(number))
        streams.see(number, batch)
        sizes.see(batch)
        if not batch.n_inputs and source.batch_sizes is None:
            continue
        n_seen += batch.n_inputs
        yield batch
    streams.end()
    if n_seen == 0 and first == 0:
        raise _of_nothing(inputs.data)


def split_batch(
    raw: Any,
    *,
    any_form: bool = False,
    n_inputs: Callable[[Any], Any] | None = None,
    axis: int | None = None,
    second: Collection[str] = (),
    listed: Collection[str] = (),
) -> Batch:
    """Tell what goes into the model from the labels.

    One integer or truth value per input is a label; anything else that comes beside the inputs is left out. The number of inputs is what ``n_inputs`` says of a
    batch; or the attribute ``num_graphs`` or ``batch_size`` of an object that is not a mapping; or else the length of the first array along its first axis.

    Parameters
    ----------
    raw
        The batch.
    any_form
        Whether the user says how the model is called, so that all parts may be inputs.
    n_inputs
        Says how many inputs a batch holds.
    axis
        0 if it is known that inputs lie along the first axis.
    second
        Paths of arrays in which they are known to lie along the second one.
    listed
        Paths of lists that are known to have one entry for each of them.

    Raises
    ------
    InputsError
        If the batch has no known form, holds numbers of more digits than torch knows, or labels, lengths or a mask are as many as its second axis is long.

    Examples
    --------
    >>> batch = split_batch((torch.zeros(2, 5), torch.tensor([1, 0])))
    >>> batch.n_inputs, batch.labels
    (2, array([1, 0]))
    """
    x, y, labelled = raw, None, labelled_path(raw)
    if isinstance(raw, Mapping):
        key = next((k for k in LABEL_KEYS if k in raw), None)
        x, y = {k: v for k, v in raw.items() if k != key}, raw.get(key) if key else None
    elif isinstance(raw, (tuple, list)) and len(raw) in (1, 2) and not any_form and "" not in listed:
        x, y = raw[0], raw[1] if len(raw) == 2 else None
    refuse_nested(x)
    x = native(x)
    n_entries = number_of_entries(x, len(y) if isinstance(y, (list, tuple)) else number_of(y))
    number = (n_entries or _n_inputs(x)) if n_inputs is None else _said(n_inputs, raw)
    if number is None:
        raise _of_no_form(raw)
    is_listed = bool(listed) or (n_entries is not None and number == n_entries)
    if n_inputs is None and axis is None and not is_listed:
        check_steps_are_not_inputs(x, y, number)
    if labelled in second and isinstance(y, (torch.Tensor, np.ndarray)):
        y = y.swapaxes(0, 1)
    return Batch(
        x=listed_as_arrays(x, number),
        n_inputs=number,
        labels=class_labels(y, number),
        step_labels=step_labels(y, number),
        target=y,
        axis=1 if second else axis,
        counted=LISTED if is_listed and not second else None,
    )


def _counted(batch: Batch, raw: Any, inputs: Inputs, n_drawn: int) -> int | None:
    """Find the axis of inputs of a batch where nothing but their number, or what lies beside them, says it; see `Batch`."""
    if inputs.n_inputs is not None:
        return axis_that_is_counted(inputs.n_inputs, raw, batch.n_inputs)
    if are_entries(batch.x, batch.n_inputs, LISTED):
        return None
    is_drawn = batch.n_inputs == n_drawn and not is_square(batch.x, batch.n_inputs)
    return 0 if is_drawn or inputs_are_first(batch.x, batch.target, batch.n_inputs) else None


def _steps_turned(batch: Batch) -> Batch:
    """Turn labels of shape (step, input), as batches whose steps come first have them; of as many steps as inputs nothing is known."""
    y = batch.target
    is_first = batch.counted is None and preferred_axis(batch.x, batch.n_inputs) == 1
    if (
        batch.step_labels is not None
        or not isinstance(y, (torch.Tensor, np.ndarray))
        or not (batch.counted == 1 or is_first)
    ):
        return batch
    if y.ndim != 2 or y.shape[0] == y.shape[1] or not has_shape(batch.x, tuple(y.shape)):
        return batch
    return replace(batch, step_labels=step_labels(y.swapaxes(0, 1), batch.n_inputs))


def labelled_path(raw: Any) -> str:
    """Path of what comes beside the inputs of a batch."""
    return f"/{next((k for k in LABEL_KEYS if k in raw), None)}" if isinstance(raw, Mapping) else "/1"


def _as_drawn(n_inputs: int, _raw: Any) -> int:
    return n_inputs


def refuse_nested(x: Any) -> None:
    """Refuse nested tensors, whose activations have no axes that could be recorded, and those without numbers.

    Raises
    ------
    InputsError
        If there is one in a batch; the message says how to pad it.
    """
    nested = next((leaf for _, leaf in arrays(x) if isinstance(leaf, torch.Tensor) and leaf.is_nested), None)
    if nested is not None:
        raise InputsError(
            f"the inputs are a nested tensor of {nested.size(0)} inputs of several lengths.",
            "Its activations are nested too, and have no axis of steps of one length.",
            "Pad it, x.to_padded_tensor(0.0), and record with steps=Steps(1, lengths=[len(one) for one in x.unbind()]).",
        )
    empty = next((leaf for _, leaf in arrays(x) if isinstance(leaf, torch.Tensor) and leaf.is_meta), None)
    if empty is not None:
        raise InputsError(
            f"the inputs of shape {tuple(empty.shape)} are on the meta device.",
            "They have a shape but no numbers: nothing can be computed.",
            "Give inputs on the CPU, such as torch.zeros(x.shape); they are moved to where the model is.",
        )


def _n_inputs(x: Any) -> int | None:
    """Length of the first array along its first axis, however deep it lies, unless an object says how many inputs it holds, or the array comes before that of the inputs.

    A row of positions, a scale or a table of pairs of positions may come before: then it is the length of the array with the most axes.

    Raises
    ------
    InputsError
        If the first array is as long as the second axis of that one, and could be a row of positions or one number for each input.
    """
    if not isinstance(x, (torch.Tensor, np.ndarray, Mapping, tuple, list)):
        said = next((n for n in (getattr(x, name, None) for name in N_INPUTS) if isinstance(n, int)), None)
        if said is not None:
            return said
    for part in parts(x).values() if isinstance(x, (Mapping, tuple, list)) else ():
        if isinstance(part, (torch.Tensor, np.ndarray)):
            break
        if not isinstance(part, (Mapping, tuple, list)) and (said := _n_inputs(part)) is not None:
            return said
    every = [(path, one) for path, one in arrays(x) if one.ndim]
    if not every:
        return None
    (path, first), largest = every[0], max((one for _, one in every), key=lambda one: one.ndim)
    n, n_largest = int(first.shape[0]), int(largest.shape[0])
    if n == n_largest or largest.ndim < 2 or first.ndim == largest.ndim:
        return n
    if "len" in (name := path.rsplit("/", 1)[-1].lower()):
        return n
    is_row = first.ndim > 1 and first.shape[1] == largest.shape[1]
    is_apart = (first.ndim == 1 and n not in largest.shape[:2]) or tuple(first.shape) == (largest.shape[1],) * 2
    if (is_row or np.prod(first.shape) == 1) if n == 1 else is_apart:
        return n_largest
    if first.ndim > 1 or n != largest.shape[1]:
        return n
    if "pos" in name:
        return n_largest
    raise unclear_axis(tuple(largest.shape), f"{name!r} before it has shape {tuple(first.shape)}")


def _said(n_inputs: Callable[[Any], int], raw: Any) -> int:
    found = n_inputs(raw)
    number = found.item() if isinstance(found, (torch.Tensor, np.generic)) and np.size(found) == 1 else found
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InputsError(
            f"n_inputs= gave {found!r} for a batch of type {type(raw).__name__}."[:200],
            "It is unclear how many inputs the batch holds.",
            "Let it return a positive integer, for instance n_inputs=lambda batch: len(batch['lengths']).",
        )
    return number


def _of_nothing(data: Any) -> InputsError:
    if not isinstance(data, Iterator):
        return InputsError("the inputs are empty.", "There is nothing to record.", "Give at least one input.")
    return InputsError(
        f"the inputs are {kind_of(data)} that holds no batch: it was empty, or was read to its end before.",
        "An iterator can be read once; there is nothing to record.",
        "Give a function without arguments that returns a fresh one, or a list of the batches.",
    )


def _of_no_form(raw: Any) -> InputsError:
    """Explain why a batch cannot be read, and what helps."""
    inner = raw if isinstance(raw, Mapping) else {}
    listed = [key for key, value in inner.items() if isinstance(value, (list, tuple))]
    if listed:
        return InputsError(
            f"a batch is a mapping of lists ({', '.join(map(repr, listed[:5]))}), not of tensors.",
            "The model cannot be called with it, and it is unclear which of the lists go together.",
            "Let batches hold tensors: data_set.with_format('torch') of Hugging Face's data sets, or tokenizer(texts, padding=True, return_tensors='pt').",
        )
    return InputsError(
        f"a batch of type {type(raw).__name__} holds no tensor with inputs along its first axis.",
        "It is unclear what the model takes, and how many inputs that is.",
        "Say both with Inputs(data, forward=lambda model, batch: ..., n_inputs=lambda batch: ...).",
    )


def _check_size(batch: Batch, number: int, source: Presentation) -> None:
    """Refuse a batch that is not as long as it was drawn.

    Raises
    ------
    InputsError
        If it is not.
    """
    drawn = batch.n_inputs if source.batch_sizes is None else int(source.batch_sizes[number])
    if batch.n_inputs != drawn:
        raise InputsError(
            f"batch {number} has {batch.n_inputs} inputs, but {drawn} were drawn.",
            "The inputs after it would lie in wrong places.",
            "Mind what collates the batches; each input that was drawn must be there.",
        )


def _warn_of_unknown_stimuli(number: int) -> bool:
    text = (
        f"batch {number}, as the loader's collate_fn made it, holds inputs that are not those of the data set one by one: which is which is not known.\n"
        "stimulus_id counts the inputs as they came, and the order says 'presented'; labels are taken as the batches hold them, and nothing shows whether they are those of these inputs.\n"
        "Change inputs in the data set rather than in the collate_fn, which should only join them."
    )
    warnings.warn(Ann2NeoWarning(text), stacklevel=3)
    return True
