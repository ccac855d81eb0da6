"""The kernel, under Triton's interpreter, and its twin in torch's operators give the bits of NumPy's definition."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packing_sources import activations, corners, oracle

from ann2neo.device.memory import Target
from ann2neo.device.packer import pack_into
from ann2neo.packing.layouts import layout_of, places_of

# With a card, tests/device runs the kernel itself.
KERNEL = not torch.cuda.is_available()
if KERNEL:
    pytest.importorskip("triton")
    from ann2neo.device.kernel import launch
ROUTES = [pack_into, launch] if KERNEL else [pack_into]


def in_column_order(values, units):
    """Order of the column, as logical places of its units, and where they lie in memory, None where they follow one another."""
    layout, n_units = layout_of(values), int(np.prod(values.shape[1:]))
    if units is not None:
        return units.numpy(), torch.from_numpy(np.ascontiguousarray(places_of(values, units.numpy()), np.int64))
    if layout is None or not n_units:
        return np.arange(n_units), torch.from_numpy(
            np.ascontiguousarray(places_of(values, np.arange(n_units)), np.int64)
        )
    return layout.to_memory(np.arange(n_units)), None


@pytest.mark.parametrize("route", ROUTES)
@given(activations(), st.integers(0, 40), st.integers(0, 2), st.booleans(), st.integers(0, 99))
@settings(max_examples=120, deadline=None)
def test_bits_are_those_of_the_slow_loop_wherever_a_batch_begins(route, batch, first_bin, slot, everywhere, seed):
    """Any type, layout, number of bins, thresholds and units, at any bin of a column: bits before it stay, those after it in its last byte are zero,
    other planes and layers are left alone, and what is not finite is counted."""
    values, thresholds, units = batch
    spikes, n_invalid = oracle(values, thresholds, units)
    order, places = in_column_order(values, units)
    if everywhere and places is None and values.shape[1:]:
        places = torch.from_numpy(np.ascontiguousarray(places_of(values, order), np.int64))
    n_bins, n_units = spikes.shape
    n_planes = (first_bin + n_bins + 7) // 8 + 1
    rng = np.random.default_rng(seed)
    whole = rng.integers(0, 256, (n_planes, n_units + 3), np.uint8)
    bits = torch.from_numpy(whole.copy())
    in_order = np.argsort(order) if units is None else np.arange(n_units)
    limits = (
        thresholds
        if thresholds.ndim == 0
        else thresholds[torch.from_numpy(order if units is None else np.arange(n_units))]
    )
    target = Target(bits=bits[:, 1 : 1 + n_units], invalid=torch.tensor([5, 6, 7]), slot=slot)
    route(values, target, limits.contiguous(), places=places, first_bin=first_bin)
    found = np.unpackbits(bits.numpy()[:, 1 : 1 + n_units], axis=0)
    before = np.unpackbits(whole[:, 1 : 1 + n_units], axis=0)
    stop = first_bin + n_bins
    assert (found[first_bin:stop][:, in_order] == spikes).all()
    assert (found[:first_bin] == before[:first_bin]).all()
    end = -(-stop // 8) * 8 if n_bins else stop
    assert not found[stop:end].any()
    assert (found[end:] == before[end:]).all()
    assert (bits.numpy()[:, 0] == whole[:, 0]).all()
    assert (bits.numpy()[:, 1 + n_units :] == whole[:, 1 + n_units :]).all()
    expected = [5, 6, 7]
    expected[slot] += n_invalid
    assert target.invalid.tolist() == expected


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_layers_wider_than_a_block_are_packed(route, dtype):
    """Several blocks of units, the last of them not full, with a threshold for each unit, all of them at or beside a value."""
    pool = corners(dtype)
    rng = torch.Generator().manual_seed(0)
    values = pool[torch.randint(len(pool), (19, 2 * 1024 + 5), generator=rng)]
    thresholds = pool[torch.randint(len(pool), (2 * 1024 + 5,), generator=rng)]
    values[3, 2048], values[18, 7] = torch.nan, torch.inf
    target = Target(
        bits=torch.zeros((4, 2 * 1024 + 5), dtype=torch.uint8), invalid=torch.zeros(1, dtype=torch.int64), slot=0
    )
    route(values, target, thresholds, places=None, first_bin=5)
    spikes, n_invalid = oracle(values, thresholds, None)
    assert (np.unpackbits(target.bits.numpy(), axis=0)[5:24] == spikes).all()
    assert target.invalid.tolist() == [n_invalid] == [2]


# Compiled in a process of its own: here Triton interprets.
COMPILED = """
import re, sys, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from ann2neo.device.kernel import pack

def compiled(element, strides, fixed):
    kinds = {"values": f"*{element}", "places": "*i64", "thresholds": f"*{element}", "bits": "*u8", "invalid": "*i64"}
    kinds |= {name: "i32" for name in ("slot", "n_bins", "first_plane", "n_before", "n_units")} | {"bin_stride": strides, "plane_stride": strides}
    kinds |= {name: "constexpr" for name in fixed}
    names = pack.arg_names
    assert set(kinds) == set(names), (kinds, names)
    sixteen = [name for name in ("values", "thresholds", "bits", "n_units", "bin_stride", "plane_stride") if name not in fixed]
    source = ASTSource(
        fn=pack,
        signature={name: kinds[name] for name in names},
        constexprs={(names.index(name),): value for name, value in fixed.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in sixteen},
    )
    return triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]

for case in eval(sys.argv[1]):
    ptx = compiled(*case)
    print(len(re.findall(r"\\.ftz", ptx)), len(re.findall(r"ld\\.global\\.(?:\\w+\\.)*v[24]\\.", ptx)), len(re.findall(r"\\b(?:atom|red)\\.", ptx)))
"""
# A layer of one unit, whose strides are 1, is compiled for itself; so is each type, and each kind of threshold and places.
ALONE = {"BLOCK": 16, "n_units": 1, "bin_stride": 1, "plane_stride": 1}
CASES_OF_KERNEL = [
    (element, strides, {"HAS_PLACES": has_places, "PER_UNIT": per_unit, **rest})
    for element in ("fp16", "bf16", "fp32", "fp64")
    for has_places in (False, True)
    for per_unit in (False, True)
    for strides, rest in (("i64" if per_unit else "i32", {"BLOCK": 1024}), ("i32", ALONE))
]


@pytest.mark.skipif(not KERNEL, reason="tests/device runs the kernel itself")
def test_the_kernel_compiles_without_a_card():
    """For an H100: wide loads where units follow one another, one atomic add, and no comparison that takes subnormal numbers for zero."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", COMPILED, repr(CASES_OF_KERNEL)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    for (_, _, fixed), line in zip(CASES_OF_KERNEL, done.stdout.splitlines(), strict=True):
        n_flushing, n_wide, n_atomic = map(int, line.split())
        assert (n_flushing, n_atomic) == (0, 1)
        assert (n_wide > 8) == (fixed["BLOCK"] == 1024 and not fixed["HAS_PLACES"]), fixed
