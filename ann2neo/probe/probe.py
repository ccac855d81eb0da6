"""The probe: what of a model is watched, made once; hooks on its modules, and a view of the functions that they call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from ann2neo.device.failures import check_not_captured
from ann2neo.errors import Ann2NeoError
from ann2neo.probe.activations import COMPETING, RECURRENT, equivalent_module, is_of_table
from ann2neo.probe.custom import Frame, Frames, acts_as_one, judge, shown_modules
from ann2neo.probe.entries import INPUT, entry_names, found_at
from ann2neo.probe.functions import (
    PARAMETRIZATIONS,
    Callers,
    FunctionCalls,
    beside_inputs,
    parameters_of,
    remove_all,
    warn_of_scripted_functions,
    warn_of_several,
)
from ann2neo.probe.layers import not_found, select
from ann2neo.probe.modules import (
    activation_names,
    beside_names,
    composed_names,
    function_name,
    named_modules,
    step_first_names,
)
from ann2neo.probe.outputs import Arrangement, Sink, Watched, activation_of, inputs_first, without_modes
from ann2neo.probe.state import as_written

Output = TypeVar("Output")
ENTRIES = "entries of outputs, and activation functions"
# Batches, counted from 1, in which functions are watched though the first one called none.
LOOKS = frozenset(4**power for power in range(20))


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
        self._handles: list[RemovableHandle] = []
        self._callers = Callers(self.modules)
        self._functions = self._functions_seen = self._busy = False
        self._sink: Sink | None = None
        self._n_batches, self._n_inputs, self._arrange = 0, 0, True
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
        self._callers.stack.clear()
        self._frames = Frames()

    @property
    def called(self) -> list[str]:
        """Layers, and modules that may be layers, that the last batch called, each call by its name."""
        return list({self._layer_name(name, call): None for name, n in self._calls.items() for call in range(n)})

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Watch for as long as the context lasts; hooks are removed in any case."""
        try:
            self._functions = self.selection.functions
            self._hook_layers()
            if self._functions:
                warn_of_scripted_functions(self.modules)
                self._callers.attach()
            with as_written():
                yield
        finally:
            self._leave_functions()
            remove_all(self._handles)

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
        self._callers.stack.clear()
        self._frames.clear()
        self._n_batches += self._arrange or not self.settled
        if not self._functions:
            is_rerun = self.settled and not self._arrange  # they call what the batch called
            if is_rerun or not self.selection.functions or self._n_batches not in LOOKS:
                return call()
            self._functions = True
            self._callers.attach()
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
        found = judge(
            self._frames.closed,
            active=self.active,
            root=self.root,
            layers=self._watched,
            is_named=self.selection.is_named,
            acts=self._acts if probing else lambda _frame, named: named,
        )
        self.active, dropped = found.active, found.dropped
        self.beside |= dict.fromkeys(found.beside, RECURRENT)
        layers = {layer: known.is_activation for layer, known in self._watched.items() if layer not in dropped}
        dropped |= dict.fromkeys(self.selection.superseded(layers, self.active))
        self._dropped |= set(dropped)
        self.settled, self._frames = True, Frames()
        if not self._functions_seen:
            self._leave_functions()
        if self._handles:
            remove_all(self._handles)
            self._hook_layers()
        return list(dropped), found.missing

    def leave_out(self, layers: Mapping[str, str]) -> None:
        """Show these layers no longer; each with the reason."""
        self.left_out |= dict(layers)

    def _acts(self, frame: Frame, named: bool) -> bool:
        self._busy = True
        try:
            return acts_as_one(frame, self.modules[frame.name], named=named)
        finally:
            self._busy = False

    def _hook_layers(self) -> None:
        shown = shown_modules(self.selection, self.active, self._custom, settled=self.settled, root=self.root)
        handles = self._handles
        for name, module in self.modules.items():
            is_open = not self.settled and name in self._custom and name in self.selection.modules
            if name in self.selection.inputs:
                handles.append(module.register_forward_pre_hook(self._before_call(name), with_kwargs=True))
            if is_open:
                handles.append(module.register_forward_pre_hook(self._before_custom(name)))
            if name in shown:
                handles.append(module.register_forward_hook(self._after_call(name)))
            if name in self.selection.parts:
                handles.append(module.register_forward_hook(self._after_parts(name, self.selection.parts[name])))
            if is_open:
                handles.append(module.register_forward_hook(self._after_custom, always_call=True))

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
        turned, order = name in self._step_first, parameters_of(self.modules[name].forward)

        def show(module: nn.Module, args: Any, kwargs: Any) -> None:
            entering = [*args, *(kwargs[key] for key in [*order, *kwargs] if key in kwargs)]
            if not entering or (not turned and self._shown_again(f"{name}{INPUT}", entering[0])):
                return
            if (layer := self._next_call(f"{name}{INPUT}")) is not None:
                self._show(layer, turned, module, False, entering[0])

        return show

    def _shown_again(self, name: str, output: Any) -> bool:
        """Show an output the short way, in as few steps as can be: this is done within each forward pass. One that is arranged has none: its shape may be the same."""
        call = self._calls.get(name, 0)
        layer = self._layer_name(name, call) if call else name
        if self._sink is None or layer in self.arranged or not self._sink.take_again(layer, output):
            return False
        self._calls[name] = call + 1
        return True

    def _after_parts(self, name: str, parts: Mapping[str, str]) -> Callable[[nn.Module, Any, Any], None]:
        turned = name in self._step_first

        def show(module: nn.Module, _args: Any, output: Any) -> None:
            for full_name, path in parts.items():
                if not (found := list(found_at(output, path))):
                    known = [*entry_names(name, output, self.modules), *sorted(self.active)]
                    raise not_found(full_name, self.model, self.modules, known, kinds=ENTRIES)
                if (layer := self._next_call(full_name)) is not None:
                    self._show(layer, turned, module, False, found[0])

        return show

    def _leave_functions(self) -> None:
        self._functions = False
        self._callers.detach()

    def _after_function(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], output: torch.Tensor) -> None:
        if self._busy:
            return
        # An activation module is a layer itself; the function that it calls is not a second one.
        if any(
            caller in self.active and (self.settled or caller not in self._custom) for caller in self._callers.stack
        ):
            return
        caller = self._callers.innermost or self.root
        full_name = function_name(self.modules, caller, name)
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
        caller = self._callers.innermost or self.root
        if not self._busy and caller not in self.beside:
            self.beside[function_name(self.modules, caller, name)] = COMPETING

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
        with without_modes(output):
            check_not_captured(output)
            try:
                activation = activation_of(layer, output, step_first=turned, modules=self.modules)
            except Ann2NeoError as error:
                self._sink.refuse(layer, error)
                return
            activation = inputs_first(activation) if turned else activation
            if self._arrange and layer in self.arranged:
                activation = self.arranged[layer].inputs_first(activation, self._n_inputs)
            if layer not in self._watched:
                self._watched[layer] = Watched(module, is_activation)
                warn_of_several(layer, module, output, self.modules)
            self._frames.see(layer, activation)
            self._busy = True
            try:
                with without_modes(activation):
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
