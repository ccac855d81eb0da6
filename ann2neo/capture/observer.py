"""Hooks that threshold and pack each activation at the moment it exists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ann2neo.capture.layers import value_at_zero, wanted
from ann2neo.capture.packing import BytePlanes
from ann2neo.errors import ActivationError
from ann2neo.recording import matches
from ann2neo.thresholds import Rule, rule_for

UnitChoice = slice | Sequence[int] | Mapping[str, Any] | None
Observe = Callable[[str, nn.Module, torch.Tensor], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedLayer:
    """One call of a module, as the first batch showed it, and what is collected of it."""

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    units: np.ndarray
    threshold: torch.Tensor
    planes: BytePlanes


class Observer:
    """Collects the spikes of every call of the selected modules."""

    def __init__(self, *, threshold: Rule, units: UnitChoice) -> None:
        self.layers: dict[str, ObservedLayer] = {}
        self._threshold, self._units = threshold, units

    def __call__(self, name: str, module: nn.Module, output: torch.Tensor) -> None:
        """Threshold and pack an activation before a later in-place module can change it."""
        layer = self.layers.get(name)
        if layer is None:
            layer = self.layers[name] = self._first_sight(name, module, output)
        _check_activation(layer, output)
        flat = output.reshape(output.shape[0], -1)
        if layer.units.size < flat.shape[1]:
            flat = flat[:, torch.as_tensor(layer.units, device=flat.device)]
        layer.planes.add((flat > layer.threshold).cpu().numpy())

    def _first_sight(self, name: str, module: nn.Module, output: torch.Tensor) -> ObservedLayer:
        value = rule_for(name, self._threshold)
        if value is None:
            value = value_at_zero(name, module, output)
        units = choose_units(name, int(np.prod(output.shape[1:])), self._units)
        return ObservedLayer(
            name=name,
            kind=type(module).__name__,
            shape=tuple(output.shape[1:]) or (1,),
            dtype=str(output.dtype).removeprefix("torch."),
            units=units,
            # In the activation's own type: against a float64 threshold, float32's 0.7 is less than 0.7.
            threshold=torch.tensor(value, dtype=output.dtype, device=output.device),
            planes=BytePlanes(units.size),
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
    model: nn.Module, modules: Mapping[str, nn.Module], layers: str | Sequence[str] | None, observe: Observe
) -> Iterator[None]:
    """Call ``observe(name, module, output)`` for every call of the modules; hooks are removed whatever happens.

    The second call of a module in one forward pass is named ``name:1``, and so on.
    """
    calls: Counter[str] = Counter()

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def after_call(module: nn.Module, _args: Any, output: Any) -> None:
            call = calls[name]
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


def _check_activation(layer: ObservedLayer, output: torch.Tensor) -> None:
    if (tuple(output.shape[1:]) or (1,)) != layer.shape:
        raise ActivationError(
            f"layer {layer.name!r} had shape {layer.shape} in the first batch and now has {tuple(output.shape[1:])}.",
            "Its units are not the same from input to input.",
            "Give inputs of one shape.",
        )
    # A sum is several times cheaper than isfinite; only a suspicious one needs the second look.
    if not torch.isfinite(output.sum(dtype=torch.float32)) and not torch.isfinite(output).all():
        bad = int((~torch.isfinite(output)).sum())
        raise ActivationError(
            f"layer {layer.name!r} has {bad} activations that are NaN or infinite (first seen at input {layer.planes.n_bins} or soon after).",
            "They are neither above nor below a threshold.",
            "Check the inputs and the weights; the layers before it show where it begins.",
        )
