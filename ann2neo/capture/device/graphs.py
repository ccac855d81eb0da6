"""Models that replay CUDA graphs, in which nothing that Python could see is called."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping

import torch
from torch import nn

from ann2neo.errors import Ann2NeoWarning, ModelError

# The function that replaces ``forward``; it calls the one that was written where a module is in another mode than it was captured in.
REPLACED, MODE = "make_graphed_callables.", "graph_training_state"


def check_graphs(modules: Mapping[str, nn.Module]) -> None:
    """Refuse modules that replay a graph in eval mode, and warn of those that hold one.

    Raises
    ------
    ModelError
        If there are modules within one that replays: they are not called.
    """
    replaying = [name for name, module in modules.items() if _replays(module)]
    if replaying:
        raise ModelError(
            f"these modules replay CUDA graphs (torch.cuda.make_graphed_callables): {', '.join(map(repr, replaying[:10]))}.",
            "The modules within are not called, so that their activations cannot be seen.",
            "Record the model before graphs are made of it, or a copy with the same weights (load_state_dict).",
        )
    holding = [
        name
        for name, module in modules.items()
        if any(isinstance(one, torch.cuda.CUDAGraph) for one in vars(module).values())
    ]
    if holding:
        text = (
            f"these modules hold CUDA graphs: {', '.join(map(repr, holding[:10]))}.\n"
            "What runs when a graph is replayed calls no module: its activations are not seen.\n"
            "Record the model before it captures graphs, if layers are missing."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)


def check_not_captured(value: object) -> None:
    """Refuse an activation that comes into being while a graph is captured.

    Raises
    ------
    ModelError
        If it does.
    """
    if isinstance(value, torch.Tensor) and value.is_cuda and torch.cuda.is_current_stream_capturing():
        raise ModelError(
            "the model captures a CUDA graph in its forward pass.",
            "Recording would become part of the graph, and write the spikes of later batches over those of the first.",
            "Record the model before it captures graphs, or switch that off while it is recorded.",
        )


def _replays(module: nn.Module) -> bool:
    forward = vars(module).get("forward")
    if not inspect.isfunction(forward) or not forward.__qualname__.startswith(REPLACED):
        return False
    return not inspect.getclosurevars(forward).nonlocals.get(MODE, False)
