"""Thresholding and packing each activation at the moment it exists."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from ann2neo.capture.packing import DevicePlanes, Packer, Planes, count_invalid, fetch, pack_truth
from ann2neo.capture.populations import UnitChoice, check_patterns, choose_units
from ann2neo.capture.steps import Steps, calls_as_bins, check_positions, check_unit_axes, positions_as_bins
from ann2neo.capture.thresholding import threshold_of
from ann2neo.errors import ActivationError
from ann2neo.thresholds import Rule


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


@runtime_checkable
class Observing(Protocol):
    """What is shown every activation of a batch, layer by layer; what is like the last one of its layer may be shown to ``again`` of that layer."""

    layers: dict[str, ObservedLayer]
    again: dict[str, Callable[[Any], bool]]

    def begin(self, n_inputs: int, lengths: Int[np.ndarray, " input"] | None) -> None:
        """Begin a batch of so many inputs, which have these numbers of positions."""
        ...

    def __call__(self, name: str, module: nn.Module, output: torch.Tensor) -> None:
        """Take in the activation of a layer."""
        ...

    def end(self) -> dict[str, Planes]:
        """Give the spikes of the batch by layer."""
        ...


class Observer:
    """Thresholds and packs every activation that it is shown, batch by batch.

    Parameters
    ----------
    threshold, units, steps
        As for `ann2neo.record`.
    calibrated
        Thresholds of the recorded units by layer, where the rule was calibrated, each of shape (unit,).
    """

    def __init__(
        self,
        *,
        threshold: Rule,
        units: UnitChoice,
        steps: Steps | None = None,
        calibrated: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.layers: dict[str, ObservedLayer] = {}
        self.again: dict[str, Callable[[Any], bool]] = {}
        self._packers: dict[str, Packer] = {}
        self._threshold, self._units, self._steps, self._calibrated = threshold, units, steps, calibrated or {}
        self._checked = False
        self._n_inputs = 0
        self._lengths: Int[np.ndarray, " input"] | None = None
        self._planes: dict[str, Planes | DevicePlanes] = {}
        self._calls: dict[str, list[torch.Tensor]] = {}
        self._positions: dict[str, int] = {}
        self._without_units: list[str] = []

    def begin(self, n_inputs: int, lengths: Int[np.ndarray, " input"] | None) -> None:
        """Forget whatever was seen of an unfinished batch; the next one has so many inputs, which have these numbers of positions."""
        self._n_inputs = n_inputs
        self._lengths, self._planes, self._calls, self._positions = lengths, {}, {}, {}
        for pack in self._packers.values():
            pack.forget()

    def __call__(self, name: str, module: nn.Module, output: torch.Tensor) -> None:
        """Threshold an activation before a later in-place module can change it."""
        layer = self.layers.get(name)
        if layer is None:
            if self._checked:
                _refuse_late(name)
            layer = self.layers[name] = self._first_sight(name, module, output)
        if self._steps is not None and self._steps.axis == "calls":
            values = recorded_values(layer, output, self._steps, self._n_inputs, self._lengths)
            self._calls.setdefault(name, []).append(values > layer.threshold)
        elif name in self._planes:
            raise ActivationError(
                f"layer {name!r} was called twice under one name.", "Its spikes would be mixed up.", "Report this."
            )
        else:
            by_bin = _by_bin(layer, output, self._steps, self._n_inputs, self._lengths)
            self._planes[name] = self._packers[name](by_bin)
            if self._steps is None:
                self.again[name] = self._packers[name].again
            else:
                # Here the axis is a number; the case of "calls" came before.
                self._positions[name] = output.shape[int(self._steps.axis)]

    def end(self) -> dict[str, Planes]:
        """Give the spikes of the batch by layer."""
        if self._steps is not None:
            check_positions(self._positions or {name: len(calls) for name, calls in self._calls.items()})
        if not self._checked:
            check_patterns("thresholds", self._threshold, list(self.layers))
            check_patterns("units", self._units, list(self.layers))
            check_unit_axes(self._without_units, self._steps)
            self._checked = True
        for name, calls in self._calls.items():
            self._planes[name] = pack_truth(bins_of_calls(self.layers[name], calls, self._n_inputs, self._lengths))
        # Only here: within the forward pass, each question to a device would make the model wait for it.
        planes = {}
        for name, there in self._planes.items():
            planes[name] = fetched = fetch(there)
            if fetched.n_invalid:
                _refuse_infinite(self.layers[name], fetched.n_invalid, self._lengths)
        for name, pack in self._packers.items():
            again = pack.take()
            if again is not None:
                planes[name] = again
        return planes

    def _first_sight(self, name: str, module: nn.Module, output: torch.Tensor) -> ObservedLayer:
        layer = first_sight(name, module, output, units=self._units, steps=self._steps)
        if output.ndim == 2:
            self._without_units.append(name)
        threshold = threshold_of(
            name,
            module,
            output,
            shape=layer.shape,
            units=layer.units,
            rule=self._threshold,
            calibrated=self._calibrated,
        )
        self._packers[name] = Packer(threshold, layer.index)
        return replace(layer, threshold=threshold)


def first_sight(
    name: str, module: nn.Module, output: torch.Tensor, *, units: UnitChoice, steps: Steps | None
) -> ObservedLayer:
    """Learn from its first activation what a layer is and which of its units are recorded; its threshold is not known yet."""
    shape = _unit_shape(output, steps)
    chosen = choose_units(name, math.prod(shape), units)
    every = np.array_equal(chosen, np.arange(math.prod(shape)))
    return ObservedLayer(
        name=name,
        kind=type(module).__name__,
        shape=shape,
        dtype=str(output.dtype).removeprefix("torch."),
        units=chosen,
        index=None if every else torch.as_tensor(chosen, device=output.device),
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
    lengths: Int[np.ndarray, " input"] | None,
) -> torch.Tensor:
    """Give the activations of the recorded units, shape (bin, unit).

    Raises
    ------
    ActivationError
        If one of these activations is not finite, or the layer has another shape than before.
    """
    by_bin = _by_bin(layer, output, steps, n_inputs, lengths)
    values = by_bin.reshape(by_bin.shape[0], -1)
    values = values if layer.index is None else values[:, layer.index]
    n_invalid = count_invalid(values)
    if n_invalid:
        _refuse_infinite(layer, n_invalid, lengths)
    return values


def bins_of_calls(
    layer: ObservedLayer, calls: Sequence[torch.Tensor], n_inputs: int, lengths: Int[np.ndarray, " input"] | None
) -> torch.Tensor:
    """Put what each call of a layer gave one after another for each input, shape (bin, unit).

    Raises
    ------
    ActivationError
        If a call was not for all inputs of the batch.
    """
    bins = calls_as_bins(layer.name, calls, lengths)
    if len(calls[0]) != n_inputs:
        _refuse_inputs(layer, calls[0], n_inputs)
    return bins


def _by_bin(
    layer: ObservedLayer,
    output: torch.Tensor,
    steps: Steps | None,
    n_inputs: int,
    lengths: Int[np.ndarray, " input"] | None,
) -> torch.Tensor:
    """Give the activations of all units, shape (bin, ...)."""
    if steps is not None and steps.axis != "calls":
        if output.shape[0] != n_inputs:
            _refuse_inputs(layer, output, n_inputs)
        output = positions_as_bins(layer.name, output, steps.axis, lengths)
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
        "Its units are not the same from input to input.",
        "Give inputs of one shape.",
    )


def _refuse_infinite(layer: ObservedLayer, n_invalid: int, lengths: Int[np.ndarray, " input"] | None) -> NoReturn:
    padded = lengths is None and layer.kind in ("RNN", "LSTM", "GRU")
    hint = "If its sequences are packed, this is the padding behind the shorter ones: say Steps(1, lengths=...). If not, check"
    raise ActivationError(
        f"layer {layer.name!r} has {n_invalid} activations in a batch that are NaN or infinite.",
        "They are neither above nor below a threshold.",
        f"{hint if padded else 'Check'} the inputs and the weights; the layers before it show where it begins.",
    )
