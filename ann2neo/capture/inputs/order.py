"""The order of inputs: whether it is drawn at random, and what follows for what is given in the order of presentation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from ann2neo.capture.inputs.presentation import Presentation
from ann2neo.capture.state import random_states_kept
from ann2neo.errors import Ann2NeoWarning, InputsError

MOST_DRAWS = 30
FEW = 8


def draws_at_random(source: Presentation) -> bool:
    """Whether the order is another one each time that it is drawn. Random states are restored."""
    if source.draw is None:
        return False
    with random_states_kept():
        first = source.draw()
        # Few inputs often come in the same order twice.
        n_draws = MOST_DRAWS if sum(map(len, first)) <= FEW else 4
        return any(source.draw() != first for _ in range(n_draws))


def order_comes_again(source: Presentation) -> bool:
    """Whether the same call in another process presents the same order: it is fixed, or drawn by a generator that the loader or its sampler holds.

    An order that is drawn from the global random state is another one in each process, unless that is seeded.
    """
    return source.comes_again is None or source.comes_again()


def check_listed_lengths(lengths: Any, source: Presentation) -> None:
    """Refuse lengths that are listed for inputs whose order is drawn at random.

    Raises
    ------
    InputsError
        If it is unclear which length belongs to which input.
    """
    if lengths is None or callable(lengths) or isinstance(lengths, str):
        return
    listed = np.asarray(lengths.detach().cpu() if isinstance(lengths, torch.Tensor) else lengths)
    if (listed != listed.flat[0]).any() and draws_at_random(source):
        raise InputsError(
            f"lengths are listed for {listed.size} inputs, but a shuffling loader draws their order at random.",
            "They are listed in the order in which inputs are presented, and that order is not known beforehand.",
            "Give a function that finds the lengths of a batch (Steps(..., lengths=lambda x: ...)), or a loader that draws in order (shuffle=False).",
        )


def warn_of_unknown_order(source: Presentation) -> None:
    """Warn if a loader draws at random and reads in its own way, so that it is not known which input is which."""
    if source.in_order is None and draws_at_random(source):
        text = (
            "a DataLoader with an __iter__ of its own draws its inputs at random: which of the data set's inputs comes when is not known.\n"
            "stimulus_id counts the inputs as they came, and the order says 'presented'; labels that come with the batches are right.\n"
            "Do in a collate_fn what its __iter__ does, or draw in order."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
