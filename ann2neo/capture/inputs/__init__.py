"""Inputs: what the user gives, as a series of batches that knows its labels and its order."""

from ann2neo.capture.inputs.arrays import lies_in_array
from ann2neo.capture.inputs.batches import read_batches, split_batch
from ann2neo.capture.inputs.excerpts import comes_out_again, read_some, spread
from ann2neo.capture.inputs.forms import Inputs, as_inputs, check_kept, lies_in_memory
from ann2neo.capture.inputs.labels import (
    check_steps_are_recorded,
    given_steps,
    knows_classes,
    step_labels,
    trial_columns,
    warn_of_odd_labels,
    warn_of_other_steps,
    warn_of_unread_labels,
)
from ann2neo.capture.inputs.presentation import (
    Batch,
    Drawn,
    Presentation,
    Repeated,
    check_listed_lengths,
    draws_at_random,
    in_batches,
    n_draws,
    order_comes_again,
    warn_of_unknown_order,
)
from ann2neo.capture.inputs.sources import open_source

__all__ = [
    "Batch",
    "Drawn",
    "Inputs",
    "Presentation",
    "Repeated",
    "as_inputs",
    "comes_out_again",
    "lies_in_array",
    "lies_in_memory",
    "read_some",
    "spread",
    "check_kept",
    "check_listed_lengths",
    "draws_at_random",
    "in_batches",
    "knows_classes",
    "n_draws",
    "open_source",
    "order_comes_again",
    "read_batches",
    "split_batch",
    "check_steps_are_recorded",
    "given_steps",
    "step_labels",
    "trial_columns",
    "warn_of_odd_labels",
    "warn_of_other_steps",
    "warn_of_unknown_order",
    "warn_of_unread_labels",
]
