"""What all sinks share: what the first batch shows of a layer, and how its activations become bins."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from ann2neo.bits import Held, Planes
from ann2neo.capture.spikes.bins import calls_as_bins, check_unit_axes, positions_as_bins, unusual_positions
from ann2neo.capture.steps import Positions, Steps
from ann2neo.capture.units import UnitChoice, check_patterns, choose_units
from ann2neo.errors import ActivationError, Ann2NeoError
from ann2neo.packing import chosen, count_invalid
from ann2neo.probe.outputs import Watched


@runtime_checkable
class BatchSink(Protocol):
    """A sink that takes in batch after batch: what is done with activations. Its ``book`` keeps what the first batch shows of each layer, and what goes wrong with which."""

    book: Layers

    @property
    def layers(self) -> Mapping[str, ObservedLayer]:
        """What was seen of each layer."""
        ...

    def begin_stream(self) -> None:
        """Begin batches that do not follow those before."""
        ...

    def begin(self, n_inputs: int, positions: np.ndarray | None) -> None:
        """Begin a batch of this many inputs, of which these positions count."""
        ...

    def take(self, layer: str, watched: Watched, activation: Any) -> None:
        """Take in an activation."""
        ...

    def take_again(self, layer: str, output: Any) -> bool:
        """Take in an output that is like the last one of this layer, or return False."""
        ...

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Learn that a layer gave something that is not an activation."""
        ...

    def drop(self, layers: Collection[str]) -> None:
        """Forget layers that are not recorded."""
        ...

    def restart(self) -> None:
        """Forget all layers: the first batch is shown once more."""
        ...

    def end(self) -> dict[str, Planes | Held]:
        """End the batch and return its spikes by layer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedLayer:
    """One call of a module, as the first batch showed it.

    Parameters
    ----------
    name, kind
        Name of the layer and of the module's class.
    shape
        Shape of the activation without the axes of inputs and steps.
    dtype
        Floating-point type of the activation.
    units
        Places in the flattened activation of the units that are recorded, shape (unit,).
    index
        The same places as a tensor where the activation is; None if these are all units in their order.
    threshold
        Threshold in the type and place of the activation: one for all units or one each, shape () or (unit,); NaN while it is not known.
    autocast
        Type to which torch cast by itself where it was called; None if that was off.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    units: Int[np.ndarray, " unit"]
    index: torch.Tensor | None
    threshold: torch.Tensor
    autocast: str | None = None

    @property
    def thresholds(self) -> Float[np.ndarray, " unit"]:
        """Threshold of each unit, as rounded to the activation's type, shape (unit,)."""
        return np.broadcast_to(self.threshold.detach().cpu().double().numpy(), self.units.shape).copy()


class Layers:
    """What the first batch shows of each layer, for all sinks: layers in the order of their calls, and what went wrong with which.

    An error of a layer is kept until `settle`: the layer may be one that is not recorded after all.
    """

    def __init__(self, *, units: UnitChoice, steps: Steps | None) -> None:
        self.seen: dict[str, ObservedLayer] = {}
        self.troubles: dict[str, Ann2NeoError] = {}
        self.misfits: dict[str, str] = {}
        self.without_units: list[str] = []
        self.positions: Counter[str] = Counter()
        self.settled = False
        self.units, self.steps = units, steps

    def _note(self, layer: str, activation: torch.Tensor) -> None:
        """Note how many positions a layer has, where each input is a sequence."""
        if self.steps is None or self.settled:
            return
        axis = self.steps.axis
        if axis == "calls":
            self.positions[layer] += 1
        elif layer not in self.positions and axis < activation.ndim:
            self.positions[layer] = activation.shape[axis]

    def odd(self, n_steps: int | None = None) -> dict[str, str]:
        """Layers that have no axis of steps, or another number of steps than they should have, or than most if that is not known, each with the reason."""
        with_units = [layer for layer in self.positions if layer not in self.without_units]
        alone = self.without_units if with_units and self.steps is not None and self.steps.axis != "calls" else []
        found = dict.fromkeys(alone, "its only axis after the inputs is that of its units, not of steps")
        return found | unusual_positions(
            {layer: n for layer, n in self.positions.items() if layer not in found}, n_steps
        )

    def meet(self, layer: str, watched: Watched, activation: torch.Tensor) -> ObservedLayer:
        """Take in a layer that is seen for the first time.

        Raises
        ------
        ActivationError
            If it was not called by the first batch.
        """
        if self.settled:
            _refuse_late(layer)
        if activation.ndim == 2:
            self.without_units.append(layer)
        return first_sight(layer, watched.module, activation, units=self.units, steps=self.steps)

    def keep(self, layer: ObservedLayer) -> ObservedLayer:
        """Keep what was seen of a layer, and return it."""
        self.seen[layer.name] = layer
        return layer

    def look(
        self,
        layer: str,
        activation: torch.Tensor,
        take: Callable[[], None],
        *,
        heeds: Callable[[str], bool] = lambda _layer: True,
    ) -> None:
        """Take an activation in, and keep what goes wrong, if that is heeded of the layer, until it is known whether it is recorded; raise it where that is known."""
        self._note(layer, activation)
        try:
            take()
        except Ann2NeoError as error:
            if heeds(layer):
                self._trouble(layer, error)

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Keep what is wrong with a layer that misfits, because its output has no axis of inputs or steps: it is left out unless it was asked for."""
        self._trouble(layer, error)
        self.misfits.setdefault(layer, str(error).splitlines()[0])

    def _trouble(self, layer: str, error: Ann2NeoError) -> None:
        if self.settled:
            raise error
        self.troubles.setdefault(layer, error)

    def drop(self, layers: Iterable[str]) -> None:
        """Forget layers that are not recorded."""
        for layer in layers:
            self.seen.pop(layer, None)
            self.troubles.pop(layer, None)
            self.positions.pop(layer, None)
            self.misfits.pop(layer, None)
        self.without_units = [layer for layer in self.without_units if layer not in set(layers)]

    def raise_troubles(self) -> None:
        """Raise what went wrong, as long as it is not settled which layers are recorded; of what comes later nothing is kept."""
        for error in [] if self.settled else self.troubles.values():
            raise error
        self.troubles = {}

    def settle(self, *, rules: Mapping[str, Any]) -> None:
        """After the first batch, raise what went wrong with the layers that are left, and check the patterns of options.

        Parameters
        ----------
        rules
            Options that are given by patterns of layers, by what they are called in messages.
        """
        if self.settled:
            return
        for error in self.troubles.values():
            raise error
        for what, rule in rules.items():
            check_patterns(what, rule, list(self.seen))
        check_unit_axes(self.without_units, self.steps)
        self.settled = True


def first_sight(
    name: str, module: nn.Module, output: torch.Tensor, *, units: UnitChoice, steps: Steps | None
) -> ObservedLayer:
    """Learn from its first activation what a layer is and which of its units are recorded; its threshold is not known yet."""
    shape = _unit_shape(output, steps)
    places = choose_units(name, math.prod(shape), units, shape)
    every = np.array_equal(places, np.arange(math.prod(shape)))
    return ObservedLayer(
        name=name,
        kind=type(module).__name__,
        shape=shape,
        dtype=str(output.dtype).removeprefix("torch."),
        units=places,
        index=None if every else torch.as_tensor(places, device=output.device),
        threshold=torch.tensor(torch.nan, dtype=output.dtype, device=output.device),
        autocast=_autocast_at(output.device.type),
    )


def _autocast_at(device: str) -> str | None:
    return str(torch.get_autocast_dtype(device)).removeprefix("torch.") if torch.is_autocast_enabled(device) else None


def recorded_values(
    layer: ObservedLayer,
    output: torch.Tensor,
    steps: Steps | None,
    n_inputs: int,
    positions: Positions,
) -> torch.Tensor:
    """Return the activations of the recorded units, shape (bin, unit).

    Raises
    ------
    ActivationError
        If one of these activations is not finite, or the layer has another shape than before.
    """
    values = chosen(by_bin_of(layer, output, steps, n_inputs, positions), layer.index)
    n_invalid = count_invalid(values)
    if n_invalid:
        refuse_infinite(layer, n_invalid, positions)
    return values


def bins_of_calls(
    layer: ObservedLayer, calls: Sequence[torch.Tensor], n_inputs: int, positions: Positions
) -> torch.Tensor:
    """Put what each call of a layer gave one after another for each input, shape (bin, unit).

    Raises
    ------
    ActivationError
        If a call was not for all inputs of the batch.
    """
    bins = calls_as_bins(layer.name, calls, positions)
    if len(calls[0]) != n_inputs:
        _refuse_inputs(layer, calls[0], n_inputs)
    return bins


def by_bin_of(
    layer: ObservedLayer,
    output: torch.Tensor,
    steps: Steps | None,
    n_inputs: int,
    positions: Positions,
) -> torch.Tensor:
    """Return the activations of all units, shape (bin, ...)."""
    if steps is not None and steps.axis != "calls":
        if output.shape[0] != n_inputs:
            _refuse_inputs(layer, output, n_inputs)
        output = positions_as_bins(layer.name, output, steps.axis, positions)
    if (output.shape[1:] or (1,)) != layer.shape:
        _refuse_shape(layer, output)
    return output


def _refuse_late(name: str) -> NoReturn:
    raise ActivationError(
        f"layer {name!r} was called by a later batch, but not by the first.",
        "It has no spikes for the inputs before, which is not the same as being silent.",
        "Record layers that every input passes (layers=...).",
    )


def _unit_shape(output: torch.Tensor, steps: Steps | None) -> tuple[int, ...]:
    """Leave out the axes of inputs and steps."""
    left_out = {0} if steps is None or steps.axis == "calls" else {0, steps.axis}
    return tuple(size for axis, size in enumerate(output.shape) if axis not in left_out) or (1,)


def _refuse_inputs(layer: ObservedLayer, output: torch.Tensor, n_inputs: int) -> NoReturn:
    raise ActivationError(
        f"layer {layer.name!r} has shape {tuple(output.shape)} for a batch of {n_inputs} inputs.",
        "Its first axis is not that of the inputs, so that it is unclear which step of which input each entry is.",
        "Give inputs along the first axis; let the model keep them there (batch_first=True, no flattening of steps); or leave the layer out (layers=...).",
    )


def _refuse_shape(layer: ObservedLayer, output: torch.Tensor) -> NoReturn:
    raise ActivationError(
        f"layer {layer.name!r} had shape {layer.shape} in the first batch and now has {tuple(output.shape[1:])}.",
        "Its units are not the same from input to input, or from call to call.",
        "Give inputs of one shape. A model that is called with several steps first and then with one, as where it generates, is recorded with Steps(1): generate first, and give it what came out.",
    )


def refuse_infinite(layer: ObservedLayer, n_invalid: int, positions: Positions) -> NoReturn:
    """Refuse activations that are not finite.

    Raises
    ------
    ActivationError
        Always.
    """
    padded = positions is None and layer.kind in ("RNN", "LSTM", "GRU")
    hint = "If its sequences are packed, this is the padding after the shorter ones: say Steps(1, lengths=...). If not, check"
    raise ActivationError(
        f"layer {layer.name!r} has {n_invalid} activations in a batch that are NaN or infinite.",
        "They are neither above nor below a threshold.",
        f"{hint if padded else 'Check'} the inputs and the weights; the layers before it show where it begins."
        + (
            ""
            if padded or positions is not None
            else " In nested tensors it is the padding after the shorter inputs: give Steps(1, lengths=...)."
        ),
    )
