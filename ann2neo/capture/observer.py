"""Hooks that threshold and pack each activation at the moment it exists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from ann2neo.capture.layers import value_at_zero, wanted
from ann2neo.capture.packing import Planes, pack, pack_above
from ann2neo.capture.steps import Steps, positions_as_bins
from ann2neo.errors import ActivationError
from ann2neo.recording import matches
from ann2neo.thresholds import Rule, rule_for

UnitChoice = slice | Sequence[int] | Mapping[str, Any] | None
Observe = Callable[[str, nn.Module, torch.Tensor], None]


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
    threshold
        Threshold in the type and place of the activation: one for all units or one each, shape () or (unit,).
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    units: Int[np.ndarray, " unit"]
    threshold: torch.Tensor

    @property
    def thresholds(self) -> Float[np.ndarray, " unit"]:
        """Threshold of each unit, as rounded to the activation's type, shape (unit,)."""
        return np.broadcast_to(self.threshold.detach().cpu().double().numpy(), self.units.shape).copy()


class Observer:
    """Thresholds and packs every activation that it is shown, batch by batch."""

    def __init__(self, *, threshold: Rule, units: UnitChoice, steps: Steps | None = None) -> None:
        self.layers: dict[str, ObservedLayer] = {}
        self._threshold, self._units, self._steps = threshold, units, steps
        self._lengths: Int[np.ndarray, " input"] | None = None
        self._planes: dict[str, Planes] = {}
        self._calls: dict[str, list[torch.Tensor]] = {}

    def begin(self, lengths: Int[np.ndarray, " input"] | None) -> None:
        """Forget whatever was seen of an unfinished batch; the inputs of the next one have these numbers of positions."""
        self._lengths, self._planes, self._calls = lengths, {}, {}

    def __call__(self, name: str, module: nn.Module, output: torch.Tensor) -> None:
        """Threshold an activation before a later in-place module can change it."""
        layer = self.layers.get(name)
        if layer is None:
            layer = self.layers[name] = self._first_sight(name, module, output)
        _check_finite(layer, output)
        if self._steps is not None and self._steps.axis != "calls":
            output = positions_as_bins(name, output, self._steps.axis, self._lengths)
        _check_shape(layer, output)
        values = output.reshape(output.shape[0], -1)
        if layer.units.size < values.shape[1]:
            values = values[:, torch.as_tensor(layer.units, device=values.device)]
        if self._steps is not None and self._steps.axis == "calls":
            self._calls.setdefault(name, []).append(values > layer.threshold)
        elif name in self._planes:
            raise ActivationError(
                f"layer {name!r} was called twice under one name.", "Its spikes would be mixed up.", "Report this."
            )
        else:
            self._planes[name] = pack_above(values, layer.threshold)

    def end(self) -> dict[str, Planes]:
        """Give the spikes of the batch by layer."""
        for name, calls in self._calls.items():
            bins = positions_as_bins(name, torch.stack(calls, dim=1), 1, self._lengths)
            self._planes[name] = pack(bins.cpu().numpy())
        return self._planes

    def _first_sight(self, name: str, module: nn.Module, output: torch.Tensor) -> ObservedLayer:
        value = rule_for(name, self._threshold)
        if value is None:
            value = value_at_zero(name, module, output)
        shape = _unit_shape(output, self._steps)
        return ObservedLayer(
            name=name,
            kind=type(module).__name__,
            shape=shape,
            dtype=str(output.dtype).removeprefix("torch."),
            units=choose_units(name, int(np.prod(shape)), self._units),
            # In the activation's own type: against a float64 threshold, float32's 0.7 is less than 0.7.
            threshold=torch.tensor(value, dtype=output.dtype, device=output.device),
        )


def choose_units(layer: str, n_units: int, units: UnitChoice) -> np.ndarray:
    """Find the places, in the flattened activation, of the units to record.

    Examples
    --------
    >>> choose_units("fc", 6, slice(None, None, 2)), choose_units("fc", 6, {"conv*": [0]}), choose_units("fc", 6, [5, 1])
    (array([0, 2, 4]), array([0, 1, 2, 3, 4, 5]), array([5, 1]))
    """
    if isinstance(units, Mapping):
        units = next((choice for pattern, choice in units.items() if matches(layer, pattern)), None)
    every = np.arange(n_units)
    if units is None:
        return every
    chosen = every[units] if isinstance(units, slice) else np.asarray(units, np.int64)
    if chosen.size == 0 or chosen.min() < 0 or chosen.max() >= n_units or np.unique(chosen).size != chosen.size:
        raise ActivationError(
            f"layer {layer!r} has {n_units} units, but units {units!r} were asked for.",
            "None of them, or units that do not exist or come twice, would be recorded.",
            f"Use different places from 0 to {n_units - 1}, or a slice.",
        )
    return chosen


@contextmanager
def observing(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    layers: str | Sequence[str] | None,
    observe: Observe,
    *,
    count_calls: bool = True,
) -> Iterator[None]:
    """Call ``observe(name, module, output)`` for every call of the modules; hooks are removed whatever happens.

    The second call of a module in one forward pass is named ``name:1``, and so on, unless calls are not to be counted.
    """
    calls: Counter[str] = Counter()

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def after_call(module: nn.Module, _args: Any, output: Any) -> None:
            call = calls[name] if count_calls else 0
            calls[name] += 1
            full_name = f"{name}:{call}" if call else name
            if wanted(full_name, layers):
                observe(full_name, module, _tensor(full_name, output))

        return after_call

    def reset(_module: nn.Module, _args: Any) -> None:
        calls.clear()

    handles = [model.register_forward_pre_hook(reset)]
    try:
        handles += [
            module.register_forward_hook(hook(name or type(module).__name__)) for name, module in modules.items()
        ]
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensor(name: str, output: Any) -> torch.Tensor:
    if isinstance(output, torch.Tensor) and output.is_floating_point() and output.ndim:
        return output
    raise ActivationError(
        f"layer {name!r} gives a {type(output).__name__}"
        + (f" of {output.dtype}." if isinstance(output, torch.Tensor) else "."),
        "It is unclear what its activation is.",
        "Record an activation function inside it, or another layer.",
    )


def _unit_shape(output: torch.Tensor, steps: Steps | None) -> tuple[int, ...]:
    """Leave out the axes of inputs and steps."""
    left_out = {0} if steps is None or steps.axis == "calls" else {0, steps.axis}
    return tuple(size for axis, size in enumerate(output.shape) if axis not in left_out) or (1,)


def _check_shape(layer: ObservedLayer, output: torch.Tensor) -> None:
    if (tuple(output.shape[1:]) or (1,)) != layer.shape:
        raise ActivationError(
            f"layer {layer.name!r} had shape {layer.shape} in the first batch and now has {tuple(output.shape[1:])}.",
            "Its units are not the same from input to input.",
            "Give inputs of one shape.",
        )


def _check_finite(layer: ObservedLayer, output: torch.Tensor) -> None:
    # A sum is several times cheaper than isfinite; only a suspicious one needs the second look.
    if not torch.isfinite(output.sum(dtype=torch.float32)) and not torch.isfinite(output).all():
        bad = int((~torch.isfinite(output)).sum())
        raise ActivationError(
            f"layer {layer.name!r} has {bad} activations in a batch that are NaN or infinite.",
            "They are neither above nor below a threshold.",
            "Check the inputs and the weights; the layers before it show where it begins.",
        )
