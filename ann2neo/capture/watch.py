"""Watching a model: hooks on its modules, and a view of the functions that they call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from ann2neo.capture.activations import equivalent_module
from ann2neo.capture.functions import WITHOUT_ACTIVATIONS, FunctionCalls
from ann2neo.capture.layers import (
    activation_names,
    named_modules,
    not_found,
    select,
    step_first_names,
    wanted,
    warn_of_scripted_functions,
)
from ann2neo.capture.outputs import activation_of, inputs_first, parts_of
from ann2neo.capture.quiet import as_written, random_states_kept

Observe = Callable[[str, nn.Module, torch.Tensor], None]
Output = TypeVar("Output")
# Batches, counted from 1, in which functions are watched though the first one called none.
LOOKS = frozenset(4**power for power in range(20))


class Watch:
    """Calls ``observe(name, module, activation)`` for every call of a layer.

    A module goes by its name, a function by the innermost module that calls it, ``block.relu`` (``block.F.relu`` where a module has that name). The
    second call in a batch is ``name:1``, and so on, unless calls are not to be counted. For a function the module that does the same is shown.

    Functions are watched only where a layer that was asked for may be one. It costs some per cent; so where the first batch called none, only batches 4, 16, 64
    and so on are looked at, lest one that is called later be missed.

    Parameters
    ----------
    model
        The module that is run.
    layers
        Names or patterns, or None for all activation functions; see `ann2neo.capture.layers.select`.
    observe
        Called at the moment when the activation exists.
    again
        A short way for layers that were observed before, by layer: takes in an output that is like the last one, or says that it is not.
    count_calls
        Whether each call is a layer of its own.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: str | Sequence[str] | None,
        observe: Observe,
        *,
        again: Mapping[str, Callable[[Any], bool]] = MappingProxyType({}),
        count_calls: bool = True,
    ) -> None:
        self._model, self._observe, self._again, self._count_calls = model, observe, again, count_calls
        self._selection = select(model, layers)
        self._modules = named_modules(model)
        self._root = next(iter(self._modules))
        self._active = frozenset(activation_names(self._modules))
        self._step_first = step_first_names(self._modules)
        self._calls: dict[str, int] = {}
        self._asked_for: dict[str, bool] = {}
        self._stack: list[str] = []
        self._stand_ins: dict[str, nn.Module] = {}
        self._undecided: dict[str, tuple[str, ...]] = {}
        self._functions = self._busy = False
        self._n_batches = 0
        self._scouted: set[str] | None = None
        self._layer_handles: list[RemovableHandle] = []
        self._stack_handles: list[RemovableHandle] = []

    @property
    def called(self) -> list[str]:
        """Selected modules, and functions, that the last batch called."""
        return list(self._calls)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Watch for as long as the context lasts; hooks are removed whatever happens."""
        try:
            self._undecided, self._functions = dict(self._selection.undecided), self._selection.functions
            self._hook_layers(self._selection.modules, {})
            self._hook_layers({name: self._modules[name] for name in self._selection.parts}, self._selection.parts)
            if self._functions:
                warn_of_scripted_functions(self._modules)
                self._hook_stack()
            with as_written():
                yield
        finally:
            self._functions = False
            for handle in self._layer_handles + self._stack_handles:
                handle.remove()
            self._layer_handles, self._stack_handles = [], []

    def run(self, call: Callable[[], Output]) -> Output:
        """Run one batch."""
        if self._undecided:
            self._decide(call)
        self._calls.clear()
        self._stack.clear()
        self._n_batches += 1
        if not self._functions:
            if not self._selection.functions or self._n_batches not in LOOKS:
                return call()
            self._functions = True
            self._hook_stack()
        with FunctionCalls(self._after_function):
            output = call()
        if not self._stand_ins:
            self._leave_functions()
        return output

    def _decide(self, call: Callable[[], Any]) -> None:
        """Run a batch to see which functions it calls; a pattern that fits none of them stands for modules."""
        self._scouted = set()
        self._calls.clear()
        self._stack.clear()
        try:
            with random_states_kept(), FunctionCalls(self._after_function):
                call()
            for pattern, names in self._undecided.items():
                if not any(wanted(name, pattern) for name in self._scouted):
                    self._hook_layers({name: self._modules[name] for name in self._modules if name in names}, {})
        finally:
            self._undecided, self._scouted = {}, None

    def _hook_layers(self, modules: Mapping[str, nn.Module], parts: Mapping[str, tuple[str, ...]]) -> None:
        for name, module in modules.items():
            hook = self._after_parts(name, parts[name]) if name in parts else self._after_call(name)
            self._layer_handles.append(module.register_forward_hook(hook))

    def _after_call(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        turned = name in self._step_first

        def show(module: nn.Module, _args: Any, output: Any) -> None:
            if turned or not self._shown_again(name, output):
                layer = self._next_call(name)
                if layer is not None:
                    self._show(layer, turned, module, output)

        return show

    def _shown_again(self, name: str, output: Any) -> bool:
        """Show an output the short way, in as few steps as can be: this is done amid each forward pass."""
        call = self._calls.get(name, 0)
        again = self._again.get(f"{name}:{call}" if call else name)
        if again is None or self._scouted is not None or not again(output):
            return False
        self._calls[name] = call + 1
        return True

    def _after_parts(self, name: str, parts: tuple[str, ...]) -> Callable[[nn.Module, Any, Any], None]:
        turned = name in self._step_first

        def show(module: nn.Module, _args: Any, output: Any) -> None:
            known = parts_of(output) or {}
            for part in parts:
                full_name = part if name == self._root else f"{name}.{part}"
                if part not in known:
                    raise not_found(full_name, self._model, [*sorted(self._active), *known])
                layer = self._next_call(full_name)
                if layer is not None:
                    self._show(layer, turned, module, known[part])

        return show

    def _hook_stack(self) -> None:
        """Know at any time which module is being called."""

        def enter(name: str) -> Callable[[nn.Module, Any], None]:
            return lambda _module, _args: self._stack.append(name)

        def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
            self._stack.pop()

        for name, module in self._modules.items():
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
        # An activation module is a layer itself; the function that it calls is not a second one.
        if self._busy or any(caller in self._active for caller in self._stack):
            return
        caller = self._stack[-1] if self._stack else self._root
        prefix = "" if caller == self._root else f"{caller}."
        full_name = f"{prefix}F.{name}" if f"{prefix}{name}" in self._modules else f"{prefix}{name}"
        turned = caller in self._step_first
        if not turned and self._shown_again(full_name, output):
            return
        layer = self._next_call(full_name)
        if layer is not None:
            if layer not in self._stand_ins:
                self._stand_ins[layer] = equivalent_module(name, args, kwargs)
            self._show(layer, turned, self._stand_ins[layer], output)

    def _next_call(self, name: str) -> str | None:
        """Count a call, and give the name of its layer; None if it is not to be shown."""
        if self._busy:
            return None
        call = self._calls.get(name, 0)
        self._calls[name] = call + 1
        layer = f"{name}:{call}" if call and self._count_calls else name
        if self._scouted is not None:
            self._scouted.add(layer)
            return None
        return layer if self._selection.patterns is None or self._is_wanted(layer) else None

    def _show(self, layer: str, turned: bool, module: nn.Module, output: Any) -> None:
        activation = activation_of(layer, output, step_first=turned)
        self._busy = True
        try:
            self._observe(layer, module, inputs_first(activation) if turned else activation)
        finally:
            self._busy = False

    def _is_wanted(self, layer: str) -> bool:
        """Compare a layer with the patterns once, not in every batch."""
        if layer not in self._asked_for:
            self._asked_for[layer] = wanted(layer, self._selection.patterns)
        return self._asked_for[layer]
