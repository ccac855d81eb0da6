"""The probe: what of a model is watched, made once; hooks on its modules, and a view of the functions that they call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from ann2neo.device.failures import check_not_captured
from ann2neo.errors import Ann2NeoError
from ann2neo.probe.activations import COMPETING, RECURRENT, equivalent_module, is_elementwise, is_of_table
from ann2neo.probe.functions import WITHOUT_ACTIVATIONS, Frame, Frames, FunctionCalls, is_plain
from ann2neo.probe.layers import INPUT, not_found, select
from ann2neo.probe.modules import (
    activation_names,
    ancestors,
    beside_names,
    composed_names,
    named_modules,
    step_first_names,
)
from ann2neo.probe.outputs import Arrangement, activation_of, inputs_first, parts_of
from ann2neo.probe.state import as_written, random_states_kept
from ann2neo.probe.unseen import PARAMETRIZATIONS, beside_inputs, warn_of_scripted_functions, warn_of_several
from ann2neo.recording import matches

Output = TypeVar("Output")
# Batches, counted from 1, in which functions are watched though the first one called none.
LOOKS = frozenset(4**power for power in range(20))


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


class Probe:
    """Shows every call of a layer to a sink.

    A module goes by its name, a function by the innermost module that calls it, ``block.relu`` (``block.F.relu`` where a module has that name). The second call in a
    batch is ``name:1`` (``name::1`` where a module has that name), and so on, unless calls are not to be counted. For a function the module that does the same is shown.

    Functions are watched only where a layer that was asked for may be one. It costs some per cent; so where the first batch called none, only batches 4, 16, 64
    and so on are looked at for one that is called later.

    Parameters
    ----------
    model
        The module that is run.
    layers
        Names or patterns, or None for all activation functions; see `ann2neo.probe.layers.select`.
    count_calls
        Whether each call is a layer of its own.
    """

    def __init__(
        self, model: nn.Module, layers: str | Sequence[str] | None = None, *, count_calls: bool = True
    ) -> None:
        self.model, self.layers, self._count_calls = model, layers, count_calls
        self.modules = named_modules(model)
        self.root = next(iter(self.modules))
        self._step_first = step_first_names(self.modules)
        self._handles: dict[str, list[RemovableHandle]] = {}
        self._stack_handles: list[RemovableHandle] = []
        self._functions = self._functions_seen = self._busy = False
        self._sink: Sink | None = None
        self._n_batches = self._n_inputs = 0
        self._arrange = True
        self.reset()

    def reset(self) -> None:
        """Forget what was found out by running the model."""
        # As far as their classes say; `settle` finds out of the others.
        self.active = frozenset(activation_names(self.modules))
        custom = composed_names(self.modules) | {n for n in self.active if not is_of_table(self.modules[n])}
        self._custom = frozenset(name for name in custom if PARAMETRIZATIONS not in name.split("."))
        self.selection = select(self.model, self.modules, self.active, self._custom, self.layers)
        self.arranged: Mapping[str, Arrangement] = {}
        self.left_out: dict[str, str] = {}
        self.beside = beside_names(self.modules)
        self.settled = False
        self._dropped: set[str] = set()
        self._watched: dict[str, Watched] = {}
        self._wanted: dict[str, bool] = {}
        self._calls: dict[str, int] = {}
        self._stack: list[str] = []
        self._frames = Frames()

    @property
    def called(self) -> list[str]:
        """Layers, and modules that may be layers, that the last batch called."""
        return list(self._calls)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Watch for as long as the context lasts; hooks are removed in any case."""
        try:
            self._functions = self.selection.functions
            self._hook_layers()
            if self._functions:
                warn_of_scripted_functions(self.modules)
                self._hook_stack()
            with as_written():
                yield
        finally:
            self._functions = False
            for handle in [*(one for some in self._handles.values() for one in some), *self._stack_handles]:
                handle.remove()
            self._handles, self._stack_handles = {}, []

    def show_to(self, sink: Sink, n_inputs: int, *, arrange: bool = True) -> None:
        """Show the batches that follow to a sink.

        Parameters
        ----------
        sink
            Is shown the activations.
        n_inputs
            Number of inputs in a batch.
        arrange
            Whether layers in which inputs do not lie along the first axis are shown as if they did, where that was verified.
        """
        self._sink, self._n_inputs, self._arrange = sink, n_inputs, arrange

    def run(self, call: Callable[[], Output]) -> Output:
        """Run one batch."""
        self._calls.clear()
        self._stack.clear()
        self._frames.clear()
        self._n_batches += self._arrange or not self.settled
        if not self._functions:
            is_rerun = self.settled and not self._arrange  # they call what the batch called
            if is_rerun or not self.selection.functions or self._n_batches not in LOOKS:
                return call()
            self._functions = True
            self._hook_stack()
        with FunctionCalls(self._after_function, beside=None if self.settled else self._note_beside):
            output = call()
        if self.settled and not self._functions_seen:
            self._leave_functions()
        return output

    def settle(self, *, probing: bool) -> tuple[list[str], bool]:
        """After the first batch, decide which of the modules that may be activation functions are, and what patterns stand for.

        Parameters
        ----------
        probing
            Whether modules may be called on a part of what they were called on; without, their names decide.

        Returns
        -------
        Layers that were shown and are not layers after all, and whether there are others that were not shown.
        """
        dropped: dict[str, None] = {}
        missing = False
        for name, frame in self._frames.closed.items():
            if any(outer in self.active and outer not in dropped for outer in ancestors(name, self.root)):
                continue
            named = name in self.active
            found = self._is_activation(frame) if probing else named
            if found and not named and not frame.within:
                self.beside[name] = RECURRENT
            elif found:
                dropped |= {layer: None for layer in frame.within if not self.selection.is_named(layer)}
                missing = missing or not named
                self.active |= {name}
            elif named:
                dropped |= {layer: None for layer in self._watched if layer == name or layer.startswith(f"{name}:")}
                self.active -= {name}
        dropped |= self._superseded(dropped)
        self._dropped |= set(dropped)
        self._finish_settling()
        return list(dropped), missing

    def _superseded(self, dropped: Iterable[str]) -> dict[str, None]:
        """Modules that a pattern fits are not layers if it fits activation functions too."""
        found: dict[str, None] = {}
        for pattern, names in self.selection.undecided.items():
            fitting = [layer for layer in self._watched if layer not in dropped and matches(layer, pattern)]
            if any(self._watched[layer].is_activation for layer in fitting):
                found |= {layer: None for layer in fitting if not self._watched[layer].is_activation}
            elif any(name in self.active for name in names):
                found |= dict.fromkeys(fitting)
        return found

    def leave_out(self, layers: Mapping[str, str]) -> None:
        """Show these layers no longer; each with the reason."""
        self.left_out |= dict(layers)

    def _finish_settling(self) -> None:
        self.settled = True
        if not self._functions_seen:
            self._leave_functions()
        self._frames = Frames()
        if self._handles:
            for handle in (one for some in self._handles.values() for one in some):
                handle.remove()
            self._handles = {}
            self._hook_layers()

    def _is_activation(self, frame: Frame) -> bool:
        if frame.sample is None or (frame.passes_on and frame.name not in self.active):
            return False
        module = self.modules[frame.name]
        if frame.name not in self.active and not frame.within and not is_plain(module):
            return False
        self._busy = True
        try:
            with random_states_kept():
                return is_elementwise(module, frame.sample)
        finally:
            self._busy = False

    def _shown_modules(self) -> set[str]:
        """Modules whose outputs are shown: before `settle` all that may be layers, but for those whose names do not say so."""
        names = set(self.selection.modules)
        undecided = {name for names in self.selection.undecided.values() for name in names}
        hidden = {n for n in self._custom if n not in self.active and not self.selection.is_named(n)}
        if self.settled:
            hidden |= {n for n in names if n not in self.active and n in self._custom and not self._is_asked(n)}
            return {n for n in names | undecided if n not in hidden and not self._is_within_active(n)}
        return (names | undecided) - hidden

    def _is_asked(self, name: str) -> bool:
        return self.selection.is_named(name) or any(name in names for names in self.selection.undecided.values())

    def _is_within_active(self, name: str) -> bool:
        return not self._is_asked(name) and any(outer in self.active for outer in ancestors(name, self.root))

    def _hook_layers(self) -> None:
        shown = self._shown_modules()
        for name, module in self.modules.items():
            handles: list[RemovableHandle] = []
            if name in self.selection.inputs:
                handles.append(module.register_forward_pre_hook(self._before_call(name), with_kwargs=True))
            if not self.settled and name in self._custom and name in self.selection.modules:
                handles.append(module.register_forward_pre_hook(self._before_custom(name)))
            if name in shown:
                handles.append(module.register_forward_hook(self._after_call(name)))
            if name in self.selection.parts:
                handles.append(module.register_forward_hook(self._after_parts(name, self.selection.parts[name])))
            if not self.settled and name in self._custom and name in self.selection.modules:
                handles.append(module.register_forward_hook(self._after_custom, always_call=True))
            if handles:
                self._handles[name] = handles

    def _before_custom(self, name: str) -> Callable[[nn.Module, Any], None]:
        return lambda _module, args: None if self._busy else self._frames.enter(name, args)

    def _after_custom(self, _module: nn.Module, _args: Any, output: Any) -> None:
        if not self._busy:
            self._frames.leave(output)

    def _after_call(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        turned = name in self._step_first
        is_activation = name in self.active or is_of_table(self.modules[name])
        is_default = is_activation and not self.selection.is_named(name)
        in_parametrization = PARAMETRIZATIONS in name.split(".")

        def show(module: nn.Module, args: Any, output: Any) -> None:
            if not turned and self._shown_again(name, output):
                return
            if is_default and (reason := beside_inputs(name, args, {}, in_parametrization)):
                self._pass_over(*reason)
                return
            layer = self._next_call(name)
            if layer is not None:
                self._show(layer, turned, module, is_activation, output)

        return show

    def _before_call(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        turned = name in self._step_first

        def show(module: nn.Module, args: Any, kwargs: Any) -> None:
            entering = [*args, *kwargs.values()]
            if entering and not (not turned and self._shown_again(f"{name}{INPUT}", entering[0])):
                layer = self._next_call(f"{name}{INPUT}")
                if layer is not None:
                    self._show(layer, turned, module, False, entering[0])

        return show

    def _shown_again(self, name: str, output: Any) -> bool:
        """Show an output the short way, in as few steps as can be: this is done within each forward pass."""
        call = self._calls.get(name, 0)
        layer = self._layer_name(name, call) if call else name
        if self._sink is None or not self._sink.take_again(layer, output):
            return False
        self._calls[name] = call + 1
        return True

    def _after_parts(self, name: str, parts: tuple[str, ...]) -> Callable[[nn.Module, Any, Any], None]:
        turned = name in self._step_first

        def show(module: nn.Module, _args: Any, output: Any) -> None:
            entries = output if isinstance(output, (list, tuple)) else ()
            known = {str(number): entry for number, entry in enumerate(entries)} | (parts_of(output) or {})
            for part in parts:
                full_name = part if name == self.root and not part.isdigit() else f"{name}.{part}"
                if part not in known:
                    raise not_found(full_name, self.model, self.modules, [*sorted(self.active), *known])
                layer = self._next_call(full_name)
                if layer is not None:
                    self._show(layer, turned, module, False, known[part])

        return show

    def _hook_stack(self) -> None:
        """Know at any time which module is being called."""

        def enter(name: str) -> Callable[[nn.Module, Any], None]:
            return lambda _module, _args: self._stack.append(name)

        def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
            if self._stack:
                self._stack.pop()

        for name, module in self.modules.items():
            # A script takes no hooks, and of what calls no activation function it need not be known that it is called.
            if not isinstance(module, torch.jit.ScriptModule) and type(module) not in WITHOUT_ACTIVATIONS:
                self._stack_handles.append(module.register_forward_pre_hook(enter(name)))
                self._stack_handles.append(module.register_forward_hook(leave, always_call=True))

    def _leave_functions(self) -> None:
        self._functions = False
        for handle in self._stack_handles:
            handle.remove()
        self._stack_handles = []

    def _after_function(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], output: torch.Tensor) -> None:
        if self._busy:
            return
        # An activation module is a layer itself; the function that it calls is not a second one.
        if any(caller in self.active and (self.settled or caller not in self._custom) for caller in self._stack):
            return
        caller = self._stack[-1] if self._stack else self.root
        full_name = self._function_name(caller, name)
        if reason := beside_inputs(full_name, args, kwargs, PARAMETRIZATIONS in caller.split(".")):
            self._pass_over(*reason)
            return
        turned = caller in self._step_first
        if not turned and self._shown_again(full_name, output):
            return
        layer = self._next_call(full_name)
        if layer is not None:
            self._functions_seen = True
            known = self._watched.get(layer)
            module = equivalent_module(name, args, kwargs) if known is None else known.module
            self._show(layer, turned, module, True, output)

    def _note_beside(self, name: str) -> None:
        """Note a function whose values compete, unless a module that is noted itself calls it."""
        caller = self._stack[-1] if self._stack else self.root
        if not self._busy and caller not in self.beside:
            self.beside[self._function_name(caller, name)] = COMPETING

    def _function_name(self, caller: str, name: str) -> str:
        prefix = "" if caller == self.root else f"{caller}."
        return f"{prefix}F.{name}" if f"{prefix}{name}" in self.modules else f"{prefix}{name}"

    def _pass_over(self, layer: str, why: str) -> None:
        """Note a call that has no row per input; it takes no number among the calls that have."""
        if not self._busy and self.selection.patterns is None:
            self.left_out.setdefault(layer, why)

    def _layer_name(self, name: str, call: int) -> str:
        if not call or not self._count_calls:
            return name
        return f"{name}::{call}" if f"{name}:{call}" in self.modules else f"{name}:{call}"

    def _next_call(self, name: str) -> str | None:
        """Count a call, and return the name of its layer; None if it is not to be shown."""
        if self._busy:
            return None
        call = self._calls.get(name, 0)
        self._calls[name] = call + 1
        layer = self._layer_name(name, call)
        return layer if self._is_wanted(layer) else None

    def _show(self, layer: str, turned: bool, module: nn.Module, is_activation: bool, output: Any) -> None:
        if self._sink is None:
            return
        check_not_captured(output)
        try:
            activation = activation_of(layer, output, step_first=turned)
        except Ann2NeoError as error:
            self._sink.refuse(layer, error)
            return
        activation = inputs_first(activation) if turned else activation
        if self._arrange and layer in self.arranged:
            activation = self.arranged[layer].inputs_first(activation, self._n_inputs)
        if layer not in self._watched:
            self._watched[layer] = Watched(module, is_activation)
            warn_of_several(layer, module, output)
        self._frames.see(layer, activation)
        self._busy = True
        try:
            # What a sink computes belongs to no layer, and asking modes about it takes long; but subclasses may mean something else by their calls.
            with torch._C.DisableTorchFunction() if type(activation) is torch.Tensor else nullcontext():
                self._sink.take(layer, self._watched[layer], activation)
        finally:
            self._busy = False

    def _is_wanted(self, layer: str) -> bool:
        """Compare a layer with the patterns once, not in every batch."""
        if layer in self.left_out or layer in self._dropped:
            return False
        if layer not in self._wanted:
            self._wanted[layer] = self.selection.is_wanted(layer)
        return self._wanted[layer]
