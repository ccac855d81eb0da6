"""Functions that a model calls: activation functions such as `torch.relu` are seen, with the modules that call them; scripted ones are never seen, and what has no row per input is left out."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from ann2neo.errors import Ann2NeoWarning, kind_of
from ann2neo.probe.activations import (
    FED_BY_PARAMETER,
    competing_functions,
    is_activation_call,
    known_functions,
    of_no_input,
    operator_names,
)
from ann2neo.probe.entries import entry_names
from ann2neo.probe.modules import is_of_torch

# Modules of torch's own that call no activation function: of these exact classes it need not be known when they are called.
WITHOUT_ACTIVATIONS = frozenset({
    nn.Identity, nn.Linear, nn.Bilinear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d, nn.Embedding, nn.Dropout, nn.Dropout1d,
    nn.Dropout2d, nn.Flatten, nn.Unflatten, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d, nn.ZeroPad2d, nn.Upsample,
})  # fmt: skip
PARAMETRIZATIONS = "parametrizations"
OPERATOR = re.compile(r"aten::(\w+)")


class Callers:
    """Knows at any time which modules are being called, from the outermost to the innermost, while it is attached.

    Parameters
    ----------
    modules
        All modules, by name.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._modules = modules
        self._handles: list[RemovableHandle] = []
        self.stack: list[str] = []

    @property
    def innermost(self) -> str | None:
        """Name of the innermost module that is being called; None outside of any."""
        return self.stack[-1] if self.stack else None

    def attach(self) -> None:
        """Put hooks on all modules that may call an activation function."""

        def enter(name: str) -> Callable[[nn.Module, Any], None]:
            return lambda _module, _args: self.stack.append(name)

        def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
            if self.stack:
                self.stack.pop()

        for name, module in self._modules.items():
            # A script takes no hooks, and of what calls no activation function it need not be known that it is called.
            if not isinstance(module, torch.jit.ScriptModule) and type(module) not in WITHOUT_ACTIVATIONS:
                self._handles.append(module.register_forward_pre_hook(enter(name)))
                self._handles.append(module.register_forward_hook(leave, always_call=True))

    def detach(self) -> None:
        """Remove the hooks."""
        remove_all(self._handles)


def remove_all(hooks: list[RemovableHandle]) -> None:
    """Remove hooks, and forget them."""
    for hook in hooks:
        hook.remove()
    hooks.clear()


Seen = Callable[[str, Sequence[Any], Mapping[str, Any], torch.Tensor], None]


class FunctionCalls(TorchFunctionMode):
    """Show every call of an activation function on a tensor, for as long as the context lasts.

    A function that calls another one is shown once: torch switches the mode off within it. Code that torch has scripted is not seen. The names of functions whose
    values compete, such as softmax, go to ``beside`` where it is given.

    Examples
    --------
    >>> with FunctionCalls(lambda name, args, kwargs, output: print(name, output)):
    ...     _ = torch.nn.functional.relu(torch.tensor([-1.0, 2.0]))
    relu tensor([0., 2.])
    """

    def __init__(self, seen: Seen, *, beside: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self._seen, self._known, self._beside = seen, known_functions(), beside

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, and show its output if it is an activation function."""
        kwargs = kwargs or {}
        name = self._known.get(func)
        if name is None and self._beside is not None and func in competing_functions():
            self._beside(competing_functions()[func])
        # Asked before the call: in place, the pre-activation would be gone afterwards.
        if name is None or not is_activation_call(name, args, kwargs):
            return func(*args, **kwargs)
        output = func(*args, **kwargs)
        self._seen(name, args, kwargs, output)
        return output


def forward_of(module: nn.Module) -> FunctionType | None:
    """Find the function that a module's forward is written as, beneath what decorates it; None if that is not written in Python."""
    method = getattr(module, "forward", None)
    function = inspect.unwrap(getattr(method, "__func__", method)) if callable(method) else None
    return function if isinstance(function, FunctionType) else None


def names_in(function: FunctionType) -> set[str]:
    """Names that a function reads, of variables, attributes and keywords, also in the functions within it.

    Examples
    --------
    >>> sorted(names_in(lambda x: x.relu(min=zero)))
    ['min', 'relu', 'zero']
    """
    return set(_names(function.__code__))


def variables_of(function: FunctionType) -> Mapping[str, Any]:
    """Variables from outside that a function may read, by name: of its module, and of the functions around it."""
    around = inspect.getclosurevars(function).nonlocals if function.__closure__ else {}
    return {**function.__globals__, **around}


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from code.co_freevars
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, tuple):
            # How the compiler keeps the names of keywords.
            yield from (name for name in constant if isinstance(name, str))


def warn_of_scripted_functions(modules: Mapping[str, nn.Module]) -> None:
    """List the scripted functions with activation functions inside that the forwards of modules name."""
    found = [
        (name, module, function, inside)
        for name, module in modules.items()
        for function in scripted_functions(module)
        if (inside := _activations_in(function))
    ]
    for name, module, function, inside in found:
        text = (
            f"{name!r} ({type(module).__name__}) calls the scripted function {function.name!r}, within which activation functions are not seen: "
            f"{', '.join(inside)}. They are not recorded. Leave @torch.jit.script away, or set PYTORCH_JIT=0 before torch is imported; "
            "or name the layers to record (layers=...)."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)


def scripted_functions(module: nn.Module) -> list[torch.jit.ScriptFunction]:
    """List the scripted functions that a module's forward may call: those that its code names, and those among its attributes.

    Examples
    --------
    >>> class Doubling(nn.Module):
    ...     def __init__(self, function):
    ...         super().__init__()
    ...         self.function = function
    ...     def forward(self, x):
    ...         return self.function(x)
    >>> [function.name for function in scripted_functions(Doubling(torch.jit.trace(torch.relu, torch.zeros(1))))]
    ['relu']
    >>> scripted_functions(Doubling(torch.relu))
    []
    """
    function = None if is_of_torch(module) or isinstance(module, torch.jit.ScriptModule) else forward_of(module)
    return [] if function is None else list({id(one): one for one in _named_in(module, function)}.values())


def _named_in(module: nn.Module, function: FunctionType) -> Iterator[torch.jit.ScriptFunction]:
    names, variables = names_in(function), variables_of(function)
    spaces = [value for name, value in variables.items() if name in names and isinstance(value, (ModuleType, type))]
    for name in sorted(names):
        # Read where they are written down: what computes an attribute when it is asked for is left alone.
        places = (variables, vars(module), *map(vars, type(module).__mro__), *map(vars, spaces))
        for value in (place.get(name) for place in places):
            value = value.__func__ if isinstance(value, staticmethod) else value
            if isinstance(value, torch.jit.ScriptFunction):
                yield value


def _activations_in(function: torch.jit.ScriptFunction) -> list[str]:
    operators = dict.fromkeys(OPERATOR.findall(str(function.inlined_graph)))
    return [name for name in operators if name in operator_names()]


def parameters_of(function: Callable[..., Any]) -> list[str]:
    """Names of what a function takes, in their order: what is passed by name may be passed in any other.

    Examples
    --------
    >>> parameters_of(lambda x, mask=None: x)
    ['x', 'mask']
    """
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def beside_inputs(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], in_parametrization: bool
) -> tuple[str, str] | None:
    """Name a call that has no row per input, and say why; None if it may have one."""
    found = of_no_input(args, kwargs)
    if found is not None:
        return f"{name}({found[0]})", found[1]
    return (name, FED_BY_PARAMETER) if in_parametrization else None


def warn_of_several(layer: str, module: nn.Module, output: Any, modules: Collection[str]) -> None:
    """Warn if a module of others gives several activations, of which the first one is taken."""
    # A tuple is a result beside a state or a weight, by the custom of recurrent, attention and spiking modules.
    if not isinstance(output, list) or is_of_torch(module):
        return
    n_floating = sum(isinstance(one, torch.Tensor) and one.is_floating_point() for one in output)
    if n_floating > 1:
        text = f"layer {layer!r} gives {kind_of(output)} with {n_floating} activations, of which the first is recorded."
        names = entry_names(layer, output, modules)
        text += f"\nName the entry to record: {', '.join(map(repr, names[:5]))}." if names else ""
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
