"""The modules of a model by name, and what is known of each before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn

from ann2neo.errors import ModelError, kind_of
from ann2neo.probe.activations import BESIDE, is_named_like_one, is_of_table
from ann2neo.probe.outputs import step_comes_first

# What operators call the truth value that says whether they train, and the share of dropout without which it means nothing.
TRAINING, SHARES = ("train", "training"), ("p", "dropout", "dropout_p")


def refuse_exported_in_training(model: nn.Module) -> None:
    """Refuse graphs in which training mode is written down.

    Raises
    ------
    ModelError
        If there is one.
    """
    for name, module in model.named_modules():
        graph = module.graph if isinstance(module, fx.GraphModule) else vars(module).get("graph")
        found = _trained(graph, module) if isinstance(graph, fx.Graph) else []
        if found:
            raise ModelError(
                f"{name or type(module).__name__!r} is a graph that was made in training mode, which is written into it: {', '.join(found)}.",
                "It cannot be put in eval mode: batch statistics and dropout would be in what is recorded.",
                "Call model.eval() before torch.export.export or torch.fx.symbolic_trace, or give the Python module that it was made from.",
            )


def _trained(graph: fx.Graph, module: nn.Module) -> list[str]:
    calls = [node for node in graph.nodes if node.op == "call_function"]
    return list(
        dict.fromkeys(str(getattr(node.target, "__name__", node.target)) for node in calls if _trains(node, module))
    )


def _trains(node: fx.Node, module: nn.Module) -> bool:
    given = _arguments(node, module)
    shares = [given[name] for name in SHARES if name in given]
    if "scaled_dot_product" in str(node.target):
        # Attention is not told whether it trains, only what it drops.
        return any(share != 0 for share in shares)
    # Batch normalization without running statistics always takes those of the batch.
    means_nothing = (shares and all(share == 0 for share in shares)) or given.get("running_mean", "none") is None
    return any(given.get(name) is True for name in TRAINING) and not means_nothing


def _arguments(node: fx.Node, module: nn.Module) -> dict[str, Any]:
    """Arguments of a call by name, as far as torch.fx knows them."""
    try:
        named = node.normalized_arguments(module, normalize_to_only_use_kwargs=True)
    # So it says of a call that fits several overloads.
    except RuntimeError:
        named = None
    return dict(node.kwargs if named is None else named.kwargs)


def named_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Name all modules as in the model that was written, parents before children: compiled and data-parallel wrappers leave no trace in a name.

    The model itself, which comes first, goes by the name of its class. A module that is shared goes by its first name.

    Raises
    ------
    ModelError
        If a part of the model is spread over several devices.

    Examples
    --------
    >>> list(named_modules(nn.Sequential(nn.Linear(2, 3), nn.DataParallel(nn.Sequential(nn.ReLU())))))
    ['Sequential', '0', '1', '1.0']
    """
    found: dict[str, nn.Module] = {}
    known: set[int] = set()
    pending: list[tuple[str, nn.Module]] = [("", model)]
    while pending:
        name, module = pending.pop()
        module = _unwrapped(name, module)
        if id(module) in known:
            continue
        known.add(id(module))
        found[name or _root_name(module)] = module
        if not isinstance(module, torch.jit.ScriptModule):
            pending += reversed([(f"{name}.{key}" if name else key, child) for key, child in module.named_children()])
    return found


def _root_name(model: nn.Module) -> str:
    """Name of the class, or one that no part of the model has."""
    name = type(model).__name__
    while any(name == child for child, _ in model.named_children()):
        name += "_"
    return name


def ancestors(name: str, root: str) -> Iterator[str]:
    """Name the modules around one, from the innermost to the model itself.

    Examples
    --------
    >>> list(ancestors("a.b.c", "Model")), list(ancestors("Model", "Model"))
    (['a.b', 'a', 'Model'], [])
    """
    while name != root:
        name = name.rpartition(".")[0] or root
        yield name


def function_name(modules: Mapping[str, nn.Module], caller: str, function: str) -> str:
    """Name a function by the module that calls it, so that no module has that name.

    Examples
    --------
    >>> modules = named_modules(nn.Sequential(nn.Sequential()).append(nn.ModuleDict({"relu": nn.ReLU()})))
    >>> [function_name(modules, caller, "relu") for caller in ("Sequential", "0", "1")]
    ['relu', '0.relu', '1.F.relu']
    """
    prefix = "" if caller == next(iter(modules)) else f"{caller}."
    return f"{prefix}F.{function}" if f"{prefix}{function}" in modules else f"{prefix}{function}"


def step_first_names(modules: Mapping[str, nn.Module]) -> frozenset[str]:
    """Names of the modules in which steps come before inputs, given parents before children."""
    root = next(iter(modules))
    first: dict[str, bool] = {}
    for name, module in modules.items():
        own = step_comes_first(module)
        first[name] = first.get(next(ancestors(name, root), root), False) if own is None else own
    return frozenset(name for name, is_first in first.items() if is_first)


def activation_names(modules: Mapping[str, nn.Module]) -> list[str]:
    """Names of the modules that are activation functions, as far as their classes say; not of those that are parts of others.

    Examples
    --------
    >>> activation_names(named_modules(nn.Sequential(nn.Linear(2, 3), nn.ReLU())))
    ['1']
    """
    root = next(iter(modules))
    active: dict[str, None] = {}
    for name, module in modules.items():
        if (is_of_table(module) or is_named_like_one(module)) and not any(a in active for a in ancestors(name, root)):
            active[name] = None
    return list(active)


def composed_names(modules: Mapping[str, nn.Module]) -> frozenset[str]:
    """Names of the modules of others that may be activation functions made of others: no part of them is anything but one.

    Examples
    --------
    >>> class Swish(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.gate = nn.Sigmoid()
    >>> sorted(composed_names(named_modules(nn.Sequential(nn.Linear(2, 3), Swish()))))
    ['1']
    """
    root = next(iter(modules))
    mixed: set[str] = set()
    found: set[str] = set()
    for name in reversed(list(modules)):
        module, parent = modules[name], next(ancestors(name, root), root)
        if is_of_torch(module):
            is_part = is_of_table(module) or isinstance(module, (nn.Identity, nn.ModuleList, nn.ModuleDict))
        else:
            is_part = name not in mixed and not isinstance(module, torch.jit.ScriptModule)
            # A model as a whole is one only if its name says so.
            if is_part and (name != root or is_named_like_one(module)):
                found.add(name)
        if not is_part or name in mixed:
            mixed.add(parent)
    return frozenset(found)


def beside_names(modules: Mapping[str, nn.Module]) -> dict[str, str]:
    """Names of torch's modules that may be taken for activation functions and are not recorded unless they are named, each with the reason.

    Examples
    --------
    >>> beside_names(named_modules(nn.Sequential(nn.LSTM(2, 3), nn.ReLU())))
    {'0': 'not an activation function of torch: name it in layers='}
    """
    found = {
        name: [why for kind, why in BESIDE.items() if isinstance(module, kind)] for name, module in modules.items()
    }
    return {name: reasons[0] for name, reasons in found.items() if reasons}


def is_of_torch(module: nn.Module) -> bool:
    """Whether a module's class is one of torch's own, whose code is known."""
    return type(module).__module__.partition(".")[0] == "torch"


def original_module(model: Any) -> torch.nn.Module:
    """Find the module whose hooks fire: beneath `torch.compile` and data-parallel wrappers.

    Raises
    ------
    ModelError
        If it is a scripted model, whose hooks never fire, or some of its weights are not there yet.
    """
    while (inner := inner_module(model)) is not None:
        model = inner
    if not isinstance(model, torch.nn.Module):
        raise ModelError(
            f"the model is {kind_of(model)}, not a torch.nn.Module.",
            "It has no layers to record.",
            "Give a module; for spikes of another kind of network use ann2neo.from_array.",
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            f"{type(model).__name__} is a scripted model.",
            "Hooks on it never fire: nothing would be recorded.",
            "Give the Python module that it was made from.",
        )
    _refuse_without_weights(model)
    refuse_exported_in_training(model)
    return model


def _refuse_without_weights(model: torch.nn.Module) -> None:
    """Refuse lazy modules that have not run yet, and weights that have shapes but no numbers."""
    weights = [*model.named_parameters(), *model.named_buffers()]
    lazy = [name for name, value in weights if torch.nn.parameter.is_lazy(value)]
    if lazy:
        raise ModelError(
            f"{len(lazy)} parameters and buffers of {type(model).__name__} are lazy and have no shape yet ({_shown(lazy)}).",
            "They would be drawn at random while the model is recorded.",
            "Run one batch first, model(batch), and load the weights.",
        )
    empty = [name for name, value in weights if value.is_meta]
    if empty:
        raise ModelError(
            f"{len(empty)} parameters and buffers of {type(model).__name__} are on the meta device ({_shown(empty)}).",
            "They have shapes but no numbers: nothing can be computed.",
            "Give them numbers first, for instance by model.to_empty(device='cpu') and model.load_state_dict(weights).",
        )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")


def inner_module(model: Any) -> torch.nn.Module | None:
    """Find the module that a wrapper calls, or None if the model is not a wrapper: compiled, data-parallel, sharded or averaged.

    Examples
    --------
    >>> inner_module(torch.nn.DataParallel(torch.nn.ReLU())), inner_module(torch.nn.ReLU())
    (ReLU(), None)
    """
    parallel = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel, torch.optim.swa_utils.AveragedModel)
    wrapped = ["_orig_mod", "_fsdp_wrapped_module", *(["module"] if isinstance(model, parallel) else [])]
    # What has none of these is not asked for them: a module looks everywhere first, and words an error.
    held = vars(model) if isinstance(model, torch.nn.Module) else None
    has = [
        one
        for one in wrapped
        if held is None or one in held.get("_modules", ()) or one in held or hasattr(type(model), one)
    ]
    found = (getattr(model, name, None) for name in has)
    return next((module for module in found if isinstance(module, torch.nn.Module)), None)


def _unwrapped(name: str, module: nn.Module) -> nn.Module:
    while (inner := inner_module(module)) is not None:
        if name and len(getattr(module, "device_ids", None) or ()) > 1:
            raise ModelError(
                f"{name!r} is spread over several devices.",
                "Each device would show a part of every batch.",
                "Give the model on one device.",
            )
        module = inner
    return module
