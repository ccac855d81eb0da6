"""A batch of inputs is known again by its check sum."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ann2neo.capture.checksums import batch_checksum, checksum


@given(st.integers(0, 2000), st.data())
@settings(max_examples=40, deadline=None)
def test_a_check_sum_notices_every_change(n_bytes, drawn):
    """One byte, the length, the order of words, and all signs; and it does not depend on where the bytes lie in memory."""
    content = np.random.default_rng(n_bytes).integers(0, 256, n_bytes).astype(np.uint8)
    whole = checksum(content)
    assert whole != checksum(np.append(content, np.uint8(0)))
    elsewhere = np.empty(n_bytes + 1, np.uint8)
    elsewhere[1:] = content
    assert checksum(elsewhere[1:]) == whole
    if n_bytes:
        other = content.copy()
        other[drawn.draw(st.integers(0, n_bytes - 1))] ^= 1 << drawn.draw(st.integers(0, 7))
        assert checksum(other) != whole


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_check_sum_tells_rows_and_signs(dtype):
    """Batches whose rows are exchanged or whose values are negated are others."""
    x = np.random.default_rng(0).standard_normal((64, 128)).astype(dtype)
    others = [x, -x, x[::-1], x.T, np.roll(x, 1, axis=0), np.abs(x), x.astype(np.float16), x.reshape(32, 256)]
    assert len({batch_checksum(other) for other in others}) == len(others)
    assert batch_checksum(torch.from_numpy(x)) == batch_checksum(torch.from_numpy(x.copy()))
