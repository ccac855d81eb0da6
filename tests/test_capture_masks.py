"""A mask that lies in a batch says which positions hold data."""

from collections import UserDict

import numpy as np
import pytest
import torch

from ann2neo.capture.inputs import batch_mask, mask_lengths
from ann2neo.errors import InputsError

LENGTHS = [3, 1, 5, 4]
RIGHT = np.arange(5) < np.array(LENGTHS)[:, None]


@pytest.mark.parametrize("side", [slice(None), slice(None, None, -1)], ids=["right", "left"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32, torch.bfloat16, np.uint8])
@pytest.mark.parametrize("form", [dict, UserDict, lambda x: (x, 1), lambda x: [{"inner": x}]])
def test_a_mask_is_found_and_its_positions_are_counted(side, dtype, form):
    """On either side, of any type, however deep it lies."""
    mask = RIGHT[:, side].copy()
    given = torch.as_tensor(mask).to(dtype) if isinstance(dtype, torch.dtype) else mask.astype(dtype)
    batch = form({"input_ids": torch.zeros(4, 5), "attention_mask": given})
    assert (batch_mask(batch) == mask).all()
    assert mask_lengths(batch).tolist() == LENGTHS


def test_only_the_mask_that_is_named_is_taken():
    """Another name is another mask; without one nothing is known."""
    batch = {"attention_mask": torch.ones(4, 5), "frames": torch.as_tensor(RIGHT)}
    assert mask_lengths(batch, "frames").tolist() == LENGTHS
    assert mask_lengths(batch, "nothing") is None
    assert mask_lengths(torch.ones(4, 5)) is None


@pytest.mark.parametrize(
    "mask", [torch.ones(4, 1, 1, 5), torch.zeros(4, 5) - 1e9, torch.ones(5), torch.full((4, 5), torch.nan)]
)
def test_what_is_no_mask_of_positions_is_refused(mask):
    """Additive masks and masks of attention have other meanings."""
    with pytest.raises(InputsError, match="zeros and ones"):
        batch_mask({"attention_mask": mask})
