"""Custom activation functions: modules of others, made of functions or of other modules, which are recognized by what they do when they are called."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ann2neo.probe.layers import Selection
from ann2neo.probe.modules import ancestors
from ann2neo.probe.state import random_states_kept

PROBED_ROWS = 2


@dataclass(slots=True)
class Frame:
    """A call of a module that may be an activation function: the layers seen within, some of what it was called on, and whether it just passes on what the last of them gave."""

    name: str
    sample: torch.Tensor | None
    within: dict[str, None] = field(default_factory=dict)
    last: torch.Tensor | None = None
    passes_on: bool = False


class Frames:
    """The calls that are under way, and the first call of each module."""

    def __init__(self) -> None:
        self.closed: dict[str, Frame] = {}
        self._open: list[Frame] = []

    def clear(self) -> None:
        """Forget calls of an earlier batch that did not come to their end."""
        self._open.clear()

    def enter(self, name: str, args: Any) -> None:
        """Begin a call, and keep some of what the module is called on."""
        x = args[0] if len(args) == 1 else None
        sample = None
        if isinstance(x, torch.Tensor) and x.is_floating_point() and x.ndim and x.numel() and name not in self.closed:
            sample = x[:PROBED_ROWS].detach().clone()
        self._open.append(Frame(name, sample))

    def leave(self, output: Any) -> None:
        """End the innermost call."""
        if self._open:
            frame = self._open.pop()
            frame.passes_on = frame.last is not None and _is_same(frame.last, output)
            frame.last = None
            # What runs within differs from call to call, by number if by nothing else.
            self.closed.setdefault(frame.name, frame).within |= frame.within

    def see(self, layer: str, activation: torch.Tensor) -> None:
        """Note a layer that was called within the calls that are under way."""
        for frame in self._open:
            if frame.name != layer and not layer.startswith(f"{frame.name}:"):
                frame.within[layer] = None
                frame.last = activation


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Which modules that may be activation functions are.

    Parameters
    ----------
    active
        Names of all modules that are activation functions.
    dropped
        Layers that were shown and are not layers after all.
    beside
        Modules that do what an activation function does, by themselves; they are layers only where they are named.
    missing
        Whether there are layers that were not shown.
    """

    active: frozenset[str]
    dropped: dict[str, None]
    beside: list[str]
    missing: bool


def judge(
    frames: Mapping[str, Frame],
    *,
    active: frozenset[str],
    root: str,
    layers: Collection[str],
    is_named: Callable[[str], bool],
    acts: Callable[[Frame, bool], bool],
) -> Judged:
    """Decide, by the first call of each, which of the modules that may be activation functions are.

    Parameters
    ----------
    frames
        First call of each such module, by its name.
    active
        Names of those whose classes say so.
    root
        Name of the model.
    layers
        Layers that were shown.
    is_named
        Tells whether a layer was asked for by its very name.
    acts
        Tells whether a module acts as one, given its call and whether its class says so.
    """
    dropped: dict[str, None] = {}
    beside, missing = [], False
    for name, frame in frames.items():
        if any(outer in active and outer not in dropped for outer in ancestors(name, root)):
            continue
        named = name in active
        found = acts(frame, named)
        if found and not named and not frame.within:
            beside.append(name)
        elif found:
            dropped |= {layer: None for layer in frame.within if not is_named(layer)}
            missing = missing or not named
            active |= {name}
        elif named:
            dropped |= {layer: None for layer in layers if layer == name or layer.startswith(f"{name}:")}
            active -= {name}
    return Judged(active=active, dropped=dropped, beside=beside, missing=missing)


def shown_modules(
    selection: Selection, active: frozenset[str], custom: frozenset[str], *, settled: bool, root: str
) -> set[str]:
    """Names of the modules whose outputs are shown: before it is settled which are activation functions all that may be layers, but for custom ones whose names do not say so.

    Parameters
    ----------
    selection
        What was asked for.
    active, custom
        Names of the modules that are activation functions, and of the custom ones that may be.
    settled
        Whether `judge` has decided.
    root
        Name of the model.
    """
    names = set(selection.modules)
    undecided = {name for names in selection.undecided.values() for name in names}
    hidden = {n for n in custom if n not in active and not selection.is_named(n)}
    if not settled:
        return (names | undecided) - hidden
    hidden |= {n for n in names if n not in active and n in custom and not selection.is_asked(n)}
    within = {n for n in names | undecided if any(outer in active for outer in ancestors(n, root))}
    return {n for n in names | undecided if n not in hidden and (n not in within or selection.is_asked(n))}


def acts_as_one(frame: Frame, module: nn.Module, *, named: bool) -> bool:
    """Whether a custom module is an activation function, as the call that was seen of it and some calls more show; random states are restored.

    Parameters
    ----------
    frame, module
        The call, and the module.
    named
        Whether its name says that it is one.
    """
    if frame.sample is None or (frame.passes_on and not named):
        return False
    if not named and not frame.within and not is_plain(module):
        return False
    with random_states_kept():
        return is_elementwise(module, frame.sample)


def is_elementwise(module: nn.Module, x: torch.Tensor) -> bool:
    """Whether a module treats each number by itself, and not just by a line: changed numbers change their own places only.

    The module is called three times on numbers like those that it was called on; what it keeps as attributes is put back.

    Parameters
    ----------
    module
        Any module.
    x
        Some of what it was called on, of any shape.

    Examples
    --------
    >>> x = torch.linspace(-3, 3, 12).reshape(3, 4)
    >>> [is_elementwise(module, x) for module in (nn.SiLU(), nn.Softmax(-1), nn.Identity(), nn.LayerNorm(4))]
    [True, False, False, False]
    """
    generator = torch.Generator().manual_seed(0)
    changed = (torch.rand(x.shape, generator=generator) < 0.5).to(x.device)
    size = x.abs().max().clamp(min=1.0)
    other = torch.where(changed, -1.7 * x - 0.37 * size, x)
    kept = dict(vars(module))
    try:
        with torch.no_grad():
            outputs = [module.forward(part.clone()) for part in (x, other, (x + other) / 2)]
    except Exception:
        # If a foreign module raises here, it is not a function of one tensor.
        return False
    finally:
        vars(module).update(kept)
    if not all(isinstance(y, torch.Tensor) and y.shape == x.shape and y.dtype == x.dtype for y in outputs):
        return False
    y, y_other, y_between = outputs
    tolerance = 64 * torch.finfo(x.dtype).eps * torch.maximum(size, torch.maximum(y.abs().max(), y_other.abs().max()))
    stays = (y - y_other).abs().masked_fill(changed, 0.0).max() <= tolerance
    bends = ((y + y_other) / 2 - y_between).abs().max() > tolerance
    return bool(stays) and bool(bends)


def _is_same(a: torch.Tensor, b: Any) -> bool:
    return a is b or (isinstance(b, torch.Tensor) and a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b))


def is_plain(module: nn.Module) -> bool:
    """Whether a module keeps no tensors between calls, which a call more would change."""
    own = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    return not any(isinstance(value, (torch.Tensor, list, dict, set)) for value in own.values()) and not any(
        True for _ in module.buffers(recurse=False)
    )
