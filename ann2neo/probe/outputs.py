"""Which tensor of a module's output is its activation, and where in it the inputs lie."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ann2neo.errors import ActivationError, Ann2NeoError, kind_of
from ann2neo.probe.entries import entry_names, is_activation, parts_of


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How the inputs of a batch lie in an activation.

    Parameters
    ----------
    kind
        "axis": along an axis of their own. "blocks": along the first axis, the entries of an input one after another, as flattening gives them. "turns": along the
        first axis, the first entries of all inputs, then the second ones, and so on.
    axis
        Which axis, for "axis".
    moved
        Where steps lie, with inputs first, and where they were said to lie; None if these are the same.

    Examples
    --------
    >>> x = torch.arange(6)
    >>> Arrangement("blocks").inputs_first(x, 2), Arrangement("turns").inputs_first(x, 2)
    (tensor([[0, 1, 2],
            [3, 4, 5]]), tensor([[0, 2, 4],
            [1, 3, 5]]))
    """

    kind: Literal["axis", "blocks", "turns"]
    axis: int = 0
    moved: tuple[int, int] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the inputs lie along the first axis, and steps where they were said to lie."""
        return self.kind == "axis" and self.axis == 0 and self.moved is None

    def fits(self, activation: torch.Tensor, n_inputs: int) -> bool:
        """Whether an activation of this many inputs may be arranged like this."""
        if self.kind == "axis":
            return activation.ndim > self.axis and activation.shape[self.axis] == n_inputs
        n_rows = activation.shape[0]
        return n_rows > n_inputs and n_rows % n_inputs == 0

    def inputs_first(self, activation: torch.Tensor, n_inputs: int) -> torch.Tensor:
        """View an activation with inputs along the first axis; as it is where it does not fit."""
        if not self.fits(activation, n_inputs) or self.is_plain:
            return activation
        if self.moved is not None:
            return replace(self, moved=None).inputs_first(activation, n_inputs).movedim(*self.moved)
        if self.kind == "axis":
            return activation.movedim(self.axis, 0)
        k = activation.shape[0] // n_inputs
        if self.kind == "blocks":
            return activation.unflatten(0, (n_inputs, k))
        return activation.unflatten(0, (k, n_inputs)).transpose(0, 1)

    def described(self) -> str:
        """Describe it in words, for messages and provenance."""
        steps = "" if self.moved is None else f", steps along axis {self.moved[0]} after these"
        return {
            "axis": f"inputs along axis {self.axis}",
            "blocks": "entries of each input one after another along axis 0",
            "turns": "first entries of all inputs, then the second ones, along axis 0",
        }[self.kind] + steps


def possible(activation: torch.Tensor, n_inputs: int) -> Iterator[Arrangement]:
    """List the arrangements that the shape of an activation allows, the usual one first."""
    for axis in range(activation.ndim):
        if activation.shape[axis] == n_inputs:
            yield Arrangement("axis", axis)
    for kind in ("blocks", "turns"):
        if Arrangement(kind).fits(activation, n_inputs) and n_inputs > 1:
            yield Arrangement(kind)


# What transformer libraries call the hidden states in an output of several parts.
MAIN_PART = "last_hidden_state"
# Entries that a message names.
LISTED = 5


def activation_of(
    name: str, output: Any, *, step_first: bool = False, modules: Collection[str] = ("model",)
) -> torch.Tensor:
    """Pick the tensor that is a layer's activation.

    A tensor is taken as it is. Of a tuple or list the first floating-point tensor is taken (the outputs of an attention module, the hidden states of
    all steps of a recurrent one). Of a mapping or dataclass its only floating-point tensor is taken, or its ``last_hidden_state``. A packed
    sequence is padded with NaN, which `ann2neo.Steps` leaves out if it is given the lengths; like other outputs it has steps before inputs if the module that
    gives it does (``step_first``). Errors list what else can be named; ``modules`` are the names of all modules, the model's first.

    Raises
    ------
    ActivationError
        If there is no such tensor, or several.

    Examples
    --------
    >>> activation_of("attention", (torch.ones(2), None))
    tensor([1., 1.])
    >>> activation_of("encoder", {"last_hidden_state": torch.ones(2), "pooled": torch.zeros(1)})
    tensor([1., 1.])
    """
    if isinstance(output, torch.Tensor):
        return comparable(output) if is_activation(output) and not output.is_meta else _refuse(name, output, modules)
    if isinstance(output, PackedSequence):
        # NaN, so that padding which no lengths leave out is refused instead of being silent. What has no units is not turned afterwards.
        batch_first = not step_first or output.data.ndim < 2
        return pad_packed_sequence(output, batch_first=batch_first, padding_value=math.nan)[0]
    if isinstance(output, (tuple, list)):
        first = next((value for value in output if is_activation(value) or isinstance(value, PackedSequence)), None)
        return _refuse(name, output, modules) if first is None else activation_of(name, first, step_first=step_first)
    parts = parts_of(output)
    return _refuse(name, output, modules) if parts is None else _only_part(name, output, parts, modules)


def without_modes(shown: Any) -> AbstractContextManager[None]:
    """Leave modes unasked, which takes long: what is asked of a tensor that is shown, and what sinks compute, belongs to no layer. Subclasses may mean something else by their calls."""
    return torch._C.DisableTorchFunction() if type(shown) is torch.Tensor else nullcontext()


def step_comes_first(module: nn.Module) -> bool | None:
    """Whether a module, and all within it, has (step, input, unit) instead of (input, step, unit); None if it does not say.

    Examples
    --------
    >>> step_comes_first(nn.LSTM(2, 3)), step_comes_first(nn.LSTM(2, 3, batch_first=True)), step_comes_first(nn.ReLU())
    (True, False, None)
    """
    if isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
        return not module.batch_first
    if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        return not module.self_attn.batch_first
    if isinstance(module, (nn.TransformerEncoder, nn.TransformerDecoder)):
        return any(map(step_comes_first, module.layers))
    return not module.batch_first if isinstance(module, nn.Transformer) else None


def inputs_first(activation: torch.Tensor) -> torch.Tensor:
    """Turn (step, input, ...) into (input, step, ...)."""
    return activation.transpose(0, 1) if activation.ndim > 2 else activation


def _only_part(name: str, output: Any, parts: Mapping[str, Any], modules: Collection[str]) -> torch.Tensor:
    floating = {key: value for key, value in parts.items() if is_activation(value)}
    chosen = next(iter(floating)) if len(floating) == 1 else MAIN_PART
    if chosen not in floating:
        raise ActivationError(
            f"layer {name!r} gives {kind_of(output)} of {', '.join(map(repr, parts)) or 'nothing'}.",
            "It is unclear which of them is its activation.",
            _cure(name, output, modules),
        )
    return comparable(floating[chosen])


def comparable(activation: torch.Tensor) -> torch.Tensor:
    """Write numbers of 8 bits, which torch does not compare, as the same numbers of 32 bits, and sparse ones with all their zeros; nested ones are padded with NaN, as packed sequences are."""
    if activation.is_nested:
        return torch.nested.to_padded_tensor(activation, math.nan)
    if activation.layout not in (torch.strided, torch.jagged):
        activation = activation.to_dense()
    return activation.float() if activation.element_size() == 1 else activation


def _cure(name: str, output: Any, modules: Collection[str]) -> str:
    """List the activations in an output by the names under which they can be recorded."""
    names = entry_names(name, output, modules)
    if not names:
        return f"None of these is one: leave it out (layers='!{name}'), or name a module within it."
    return f"Name one of its activations in layers=: {', '.join(map(repr, names[:LISTED]))}{', ...' if len(names) > LISTED else ''}."


def _refuse(name: str, output: Any, modules: Collection[str]) -> NoReturn:
    if isinstance(output, torch.Tensor):
        _refuse_tensor(name, output)
    raise ActivationError(
        f"layer {name!r} gives {kind_of(output)}.",
        "It is unclear what its activation is.",
        _cure(name, output, modules),
    )


def _refuse_tensor(name: str, output: torch.Tensor) -> NoReturn:
    fact = f"layer {name!r} gives a tensor of {output.dtype} and shape {tuple(output.shape)}."
    if output.is_quantized:
        raise ActivationError(
            fact,
            "Activations of quantised models are not supported.",
            "Record the floating-point model that it was made from.",
        )
    if output.is_meta:
        raise ActivationError(
            fact, "It lies on the meta device: it has a shape but no numbers.", f"Leave it out (layers='!{name}')."
        )
    if output.is_floating_point():
        raise ActivationError(
            fact, "It has no axis along which inputs lie.", "Record a layer that gives one activation for each input."
        )
    if output.is_complex():
        raise ActivationError(
            fact, "Complex numbers are neither above nor below a threshold.", "Record a layer of real numbers."
        )
    raise ActivationError(
        fact,
        "Integers and truth values are not supported: only floating-point activations are compared with a threshold.",
        "Record the layer before it; or, if these are spikes, gather them and use ann2neo.from_array.",
    )


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of a layer when its activation is shown.

    Parameters
    ----------
    module
        The module, or for a function the module that does the same.
    is_activation
        Whether it is an activation function, which has a value at pre-activation 0.
    """

    module: nn.Module
    is_activation: bool


@runtime_checkable
class Sink(Protocol):
    """What is shown the activations of a batch, layer by layer."""

    def take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        """Take in an activation at the moment when it exists."""
        ...

    def take_again(self, layer: str, output: Any) -> bool:
        """Take in an output that is like the last one of this layer, or return False."""
        ...

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Learn that a layer gave something that is not an activation."""
        ...
