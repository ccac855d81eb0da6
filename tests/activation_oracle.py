"""An oracle for what a recording has to hold: every activation operator that torch dispatches in one plain pass, whoever calls it."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

# Operator: names of the functions that call it.
OPERATORS = {
    "relu": ("relu",), "gelu": ("gelu",), "silu": ("silu",), "sigmoid": ("sigmoid",), "tanh": ("tanh",), "hardtanh": ("hardtanh", "relu6", "clamp"),
    "clamp": ("clamp",), "clamp_min": ("clamp",), "leaky_relu": ("leaky_relu",), "elu": ("elu", "selu", "celu"), "selu": ("selu",), "celu": ("celu",),
    "softplus": ("softplus",), "mish": ("mish",), "hardswish": ("hardswish",), "hardsigmoid": ("hardsigmoid",), "_prelu_kernel": ("prelu",),
    "log_sigmoid_forward": ("logsigmoid",), "threshold": ("threshold",), "hardshrink": ("hardshrink",), "softshrink": ("softshrink",),
}  # fmt: skip


@dataclass
class Call:
    """A call of an activation operator, or of a module that is one activation function made of several operators."""

    names: tuple[str, ...]
    modules: tuple[str, ...]
    n_values: int
    n_above: int


class Operators(TorchDispatchMode):
    """Counts the values above the threshold, which is the operator's value at 0, at each call of an activation operator.

    Names are made here once more: a module of torch's goes by its own name, a function by its caller's, and what is squashed but is no activation
    (a parameter, one number) by what it is.
    """

    def __init__(self, model, is_one):
        super().__init__()
        self.calls, self._is_one = [], is_one
        self._root = type(model).__name__
        self._names = {module: name or self._root for name, module in model.named_modules()}
        self._stack, self._begun = [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::").removesuffix("_")
        if name not in OPERATORS or not args[0].is_floating_point() or not self._cuts_at_zero(name, args, kwargs):
            return func(*args, **kwargs)
        at_zero = func(torch.zeros_like(args[0]), *args[1:], **kwargs)
        kind = "(parameter)" if isinstance(args[0], nn.Parameter) else "(number)" if args[0].ndim == 0 else ""
        out = func(*args, **kwargs)
        value, threshold = (one[0] if isinstance(one, tuple) else one for one in (out, at_zero))
        self._note(OPERATORS[name], kind, value, threshold)
        return out

    @staticmethod
    def _cuts_at_zero(name, args, kwargs):
        if not name.startswith("clamp"):
            return True
        low = args[1] if len(args) > 1 else kwargs.get("min")
        return isinstance(low, (int, float)) and low == 0

    def _note(self, functions, kind, value, threshold):
        module, modules = self._stack[-1], tuple(self._names[one] for one in self._stack)
        if type(module) in OF_TORCH:
            names = (modules[-1],)
        else:
            names = tuple(one if modules[-1] == self._root else f"{modules[-1]}.{one}" for one in functions)
        names = tuple(f"{name}{kind}" for name in names)
        self.calls.append(Call(names, modules, value.numel(), int((value > threshold).sum())))

    @contextmanager
    def watching(self):
        """Know of each operator which modules are being called."""
        handles = []
        for module in self._names:
            handles.append(module.register_forward_pre_hook(lambda one, _args: self._enter(one)))
            handles.append(module.register_forward_hook(lambda _one, _args, out: self._leave(out)))
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with torch.no_grad(), self:
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
            for handle in handles:
                handle.remove()

    def _enter(self, module):
        self._stack.append(module)
        self._begun.append(len(self.calls))

    def _leave(self, out):
        begun = self._begun.pop()
        modules = tuple(self._names[one] for one in self._stack)
        module = self._stack.pop()
        if self._is_one(module):
            self.calls[begun:] = [Call(modules[-1:], modules, out.numel(), int((out > 0).sum()))]
        elif isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
            # Whatever operators it is made of, on this device.
            self.calls[begun:] = [Call(modules[-1:], modules, 0, 0)]


OF_TORCH = {
    nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.Softplus, nn.Mish, nn.Hardswish,
    nn.Hardsigmoid, nn.PReLU, nn.LogSigmoid, nn.Threshold, nn.Hardshrink, nn.Softshrink,
}  # fmt: skip


def calls_of(model, call, is_one=lambda module: False):
    """List the calls of activation operators in one pass in eval mode, in order.

    Parameters
    ----------
    model, call
        The model, and what runs it.
    is_one
        Whether a module is one activation function as a whole, with the value 0 at 0.
    """
    operators = Operators(model.eval(), is_one)
    with operators.watching():
        call(model)
    return operators.calls


def compared(calls, recorded, left_out):
    """Go through the calls in order, and say where a recording differs.

    Parameters
    ----------
    calls
        What the oracle saw.
    recorded
        Number of values and of spikes by layer, in the order of the recording.
    left_out
        Reasons by layer.

    Returns
    -------
    What differs, in words.
    """
    known, numbers, seen, wrong, reasons_used = {*recorded, *left_out}, Counter(), [], [], set()
    for one in calls:
        numbered = {name: f"{name}:{numbers[name]}" if numbers[name] else name for name in one.names}
        name, layer = next(((n, layer) for n, layer in numbered.items() if layer in known), (None, None))
        numbers[name] += not one.names[0].endswith(")")
        if layer in recorded:
            seen.append(layer)
            if recorded[layer] != (one.n_values, one.n_above):
                wrong.append(f"{layer}: {recorded[layer]} recorded, {one.n_values, one.n_above} in the plain pass")
            continue
        reason = next((place for place in (layer, *one.names, *reversed(one.modules)) if place in left_out), None)
        reasons_used.add(reason)
        if reason is None:
            wrong.append(f"{one.names}: neither recorded nor said to be left out")
    wrong += [f"{layer}: recorded, but not in the plain pass" for layer in recorded if layer not in seen]
    wrong += [
        f"{layer}: said to be left out, but not in the plain pass" for layer in left_out if layer not in reasons_used
    ]
    if seen != [layer for layer in recorded if layer in seen]:
        wrong.append(f"order {list(recorded)} is not {seen}")
    return wrong
