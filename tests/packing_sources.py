"""Activations in every type and layout, and the slow loop that says what their bits are."""

import numpy as np
import torch
from hypothesis import strategies as st

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def corners(dtype):
    """Values at which a comparison may go wrong: signed zeros, the smallest numbers, the threshold and its neighbours."""
    info = torch.finfo(dtype)
    threshold = torch.tensor(0.7, dtype=dtype)
    step = torch.tensor([-1, 0, 1], dtype=INTEGERS[info.bits // 8])
    near = (threshold.view(step.dtype) + step).view(dtype)
    tiny = (torch.tensor([1], dtype=step.dtype)).view(dtype)
    rest = torch.tensor([-0.0, 0.0, info.tiny, -info.tiny, 1.0, -1.0, info.max, info.min], dtype=dtype)
    return torch.cat([near, -near, tiny, -tiny, rest])


@st.composite
def activations(draw, dtypes=DTYPES, invalid=True):
    """Values, thresholds for all or for each unit, and units, in one of the layouts that torch's modules give."""
    dtype = draw(st.sampled_from(dtypes))
    n_bins, shape = (
        draw(st.integers(0, 27)),
        draw(st.sampled_from([(), (1,), (9,), (70,), (3, 4, 5), (1, 4, 2), (2, 1, 3)])),
    )
    rng = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    pool = corners(dtype)
    if invalid and draw(st.booleans()):
        pool = torch.cat([pool, torch.tensor([float("nan"), float("inf"), -float("inf")], dtype=dtype)])
    values = pool[torch.randint(len(pool), (n_bins, *shape), generator=rng)]
    values = draw(
        st.sampled_from([as_it_is, channels_last, every_second_bin, every_second_unit, bins_last, one_bin_again])
    )(values)
    n_units = int(np.prod(shape))
    units = draw(
        st.none()
        | st.permutations(range(n_units)).flatmap(lambda p: st.integers(1, n_units).map(lambda n: torch.tensor(p[:n])))
    )
    finite = corners(dtype)
    size = () if draw(st.booleans()) else (n_units if units is None else len(units),)
    return values, finite[torch.randint(len(finite), size, generator=rng)], units


def as_it_is(values):
    return values


def channels_last(values):
    return values.to(memory_format=torch.channels_last) if values.ndim == 4 else values


def every_second_bin(values):
    return values.repeat_interleave(2, dim=0)[::2]


def every_second_unit(values):
    return values.repeat_interleave(2, dim=-1)[..., ::2] if values.ndim > 1 else values


def bins_last(values):
    return values.movedim(0, -1).contiguous().movedim(-1, 0)


def one_bin_again(values):
    """All bins share one place in memory."""
    return values[:1].expand(values.shape)


def oracle(values, thresholds, units):
    """Bit by bit in Python's own arithmetic."""
    flat = values.reshape(len(values), int(np.prod(values.shape[1:]))).double().numpy()
    flat = flat if units is None else flat[:, units.numpy()]
    limits = np.broadcast_to(thresholds.double().numpy(), flat.shape[1:])
    spikes = np.array([[bool(v > t) for v, t in zip(row, limits, strict=True)] for row in flat], bool).reshape(
        flat.shape
    )
    return spikes, int((~np.isfinite(flat)).sum())
