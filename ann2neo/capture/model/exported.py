"""Modules of torch.export and torch.fx: graphs whose mode was fixed when they were made."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from ann2neo.errors import ModelError

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
