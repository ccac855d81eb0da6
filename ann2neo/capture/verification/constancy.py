"""Constancy: layers that are the same for all inputs because they do not depend on them, told from those that are silent or saturated for all inputs of a batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from ann2neo.capture.model.arrangement import Arrangement
from ann2neo.capture.nested import leaves, with_parts
from ann2neo.capture.spikes.comparison import Call, Comparison
from ann2neo.capture.verification.places import are_alike, axis_of_inputs, is_sparse, preferred_axis
from ann2neo.capture.verification.reruns import Reruns
from ann2neo.errors import Ann2NeoWarning


def independent(
    reruns: Reruns,
    following: Mapping[Call, list[Arrangement]],
    contents_kept: Callable[[], AbstractContextManager[None]],
) -> list[str]:
    """Find the layers that are the same for all inputs because they do not depend on them; what is silent or saturated for all of them does.

    Told apart by inputs far off, and by such as are not numbers, where the batch holds floating-point numbers only; what is 0 throughout is silent, whatever it is.
    """
    kept = reruns.reference.kept
    alike = {call: kept[call][found[0]] for call, found in following.items() if found}
    alike = {call: one for call, one in alike.items() if bool((one.columns == one.columns[:1]).all())}
    alike = {call: one for call, one in alike.items() if bool((one.rows == one.rows[:1]).all() and one.rows.any())}
    if not alike or are_alike(reruns.x, reruns.n):
        return []
    other = disturbed(reruns.x, reruns.n)
    again = Comparison(reruns.reference, range(reruns.n))
    try:
        if other is not None:
            with contents_kept():
                reruns.run_once(other, again, reruns.n)
    # Whatever a model raises where it is given what it was not made for.
    except Exception:
        again.outcomes = {}
    unknown = [call[0] for call in alike if call not in again.outcomes]
    if unknown:
        listed = ", ".join(map(repr, unknown[:5]))
        text = f"These layers are the same for all inputs of the first batch; whether they depend on them could not be found out: {listed}."
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
        reruns.unverified.append(
            f"whether these layers, the same for all inputs of the first batch, depend on them: {listed}"
        )
    same = {call for call in alike if call not in _seen_to_change(reruns, again, following)}
    return [call[0] for call in alike if call in again.outcomes and call in same]


def _seen_to_change(reruns: Reruns, again: Comparison, following: Mapping[Call, list[Arrangement]]) -> set[Call]:
    outcomes = {
        call: again.outcomes[call].get(found[0])
        for call, found in following.items()
        if found and call in again.outcomes
    }
    return {call for call, one in outcomes.items() if not reruns.is_close(one, call)}


def disturbed(x: Any, n_inputs: int) -> Any:
    """Replace all floating-point numbers of a batch by others far off, of every second input by NaN, which goes through what is saturated; None if the batch holds anything else.

    Examples
    --------
    >>> disturbed(torch.zeros(2, 1), 2).isnan().tolist(), disturbed({"ids": torch.arange(3)}, 3)
    ([[True], [False]], None)
    """
    generator = torch.Generator().manual_seed(3)
    every = [torch.as_tensor(leaf) for _, leaf in leaves(x) if isinstance(leaf, (torch.Tensor, np.ndarray))]
    if not every or any(not leaf.is_floating_point() or is_sparse(leaf) for leaf in every):
        return None
    preferred = preferred_axis(x, n_inputs)

    def change(part: Any) -> Any:
        if not isinstance(part, (torch.Tensor, np.ndarray)):
            return with_parts(part, change)
        given = torch.as_tensor(part)
        size = 1e3 * (1 + float(given.abs().nan_to_num().max())) if given.numel() else 1.0
        other = (torch.randn(given.shape, generator=generator) * size).to(given)
        axis = axis_of_inputs(part, n_inputs, preferred)
        if axis is not None:
            other.movedim(axis, 0)[::2] = float("nan")
        return other if isinstance(part, torch.Tensor) else other.numpy()

    return change(x)
