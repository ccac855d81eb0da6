"""One fused kernel in Triton: threshold, pack, count what is not finite, and write at a bin's place in a column.

Only loaded where there is a card that runs it, or under Triton's interpreter.
"""

from __future__ import annotations

import inspect

import torch
import triton
import triton.language as tl

from ann2neo.device.memory import Target

LARGEST_BLOCK = 1024


def _as_wide(value):
    """Write a number of 16 bits as the same number of 32 bits; other types stay."""
    # One return: the compiler compares the types of several, also of those that this type never reaches.
    if value.dtype == tl.bfloat16:
        # By its bits: Triton's interpreter loses subnormal numbers where it converts them.
        wide = (value.to(tl.uint16, bitcast=True).to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    elif value.dtype == tl.float16:
        wide = value.to(tl.float32)
    else:
        wide = value
    return wide


# Run-time type checks wrap functions in tests; Triton needs the functions themselves.
_widened = triton.jit(inspect.unwrap(_as_wide))


def _pack(
    values,
    places,
    thresholds,
    bits,
    invalid,
    slot,
    n_bins,
    first_plane,
    n_before,
    n_units,
    bin_stride,
    plane_stride,
    HAS_PLACES: tl.constexpr,
    PER_UNIT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write one byte for each unit of a block: eight bins, of which the first ones may lie before the batch and the last ones after it."""
    n_blocks = tl.cdiv(n_units, BLOCK)
    program = tl.program_id(0)
    plane = program // n_blocks
    # In 64 bits: a layer may hold more values than 32 bits can count.
    units = (program % n_blocks).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = units < n_units
    if HAS_PLACES:
        within_bin = tl.load(places + units, mask=inside, other=0)
    else:
        within_bin = units
    if PER_UNIT:
        limits = tl.load(thresholds + units, mask=inside, other=0.0)
    else:
        limits = tl.load(thresholds)
    limits = _widened(limits)
    byte = tl.zeros((BLOCK,), dtype=tl.int32)
    n_invalid = tl.zeros((BLOCK,), dtype=tl.int32)
    for place in tl.static_range(8):
        bin_ = plane * 8 + place - n_before
        there = inside & (bin_ >= 0) & (bin_ < n_bins)
        value = tl.load(values + bin_.to(tl.int64) * bin_stride + within_bin, mask=there, other=0.0)
        value = _widened(value)
        # NaN is above nothing, and not below infinity.
        byte |= ((value > limits) & there).to(tl.int32) << (7 - place)
        n_invalid += ((tl.abs(value) < float("inf")) == 0).to(tl.int32)
    target = bits + (first_plane + plane).to(tl.int64) * plane_stride + units
    # Bits of the bins before are kept; anything after them was of a batch that does not count.
    kept = inside & (plane == 0) & (n_before > 0)
    before = tl.load(target, mask=kept, other=0).to(tl.int32)
    byte |= before & ((0xFF00 >> n_before) & 0xFF)
    tl.store(target, byte.to(tl.uint8), mask=inside)
    n_wrong = tl.sum(n_invalid, axis=0)
    if n_wrong > 0:
        tl.atomic_add(invalid + slot, n_wrong.to(tl.int64), sem="relaxed")


# Integers that change from batch to batch or layer to layer would compile it again where they are 1 or divisible by 16.
pack = triton.jit(do_not_specialize=["slot", "n_bins", "first_plane", "n_before"])(inspect.unwrap(_pack))


def launch(
    values: torch.Tensor,
    target: Target,
    thresholds: torch.Tensor,
    *,
    places: torch.Tensor | None,
    first_bin: int,
) -> None:
    """Pack the values of a batch into a column; see `ann2neo.device.packer.pack_into`, which does the same.

    The current device must be that of the values.
    """
    n_bins, n_units, n_before = values.shape[0], target.bits.shape[1], first_bin % 8
    block = min(LARGEST_BLOCK, triton.next_power_of_2(max(n_units, 16)))
    n_programs = triton.cdiv(n_before + n_bins, 8) * triton.cdiv(n_units, block)
    if not n_bins or not n_units:
        return
    pack[(n_programs,)](
        values,
        target.bits if places is None else places,
        thresholds,
        target.bits,
        target.invalid,
        target.slot,
        n_bins,
        first_bin // 8,
        n_before,
        n_units,
        values.stride(0),
        target.bits.stride(0),
        HAS_PLACES=places is not None,
        PER_UNIT=thresholds.ndim > 0,
        BLOCK=block,
    )
