"""Every route from activations to bits gives the bits of the slow one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packing_sources import DTYPES, activations, oracle
from torch import nn

import ann2neo
from ann2neo.bits.transposition import transpose
from ann2neo.errors import ActivationError
from ann2neo.packing import (
    Packer,
    PlaneBuffer,
    count_invalid,
    fetch,
    pack,
    pack_above,
    pack_on_device,
    pack_truth,
)
from ann2neo.packing.layouts import layout_of
from ann2neo.packing.routes import LARGE, pack_with_numba, pack_with_numpy, pack_with_torch


@given(activations())
@settings(max_examples=150, deadline=None)
def test_all_routes_give_the_bits_of_the_slow_loop(given_activations):
    """Any type, layout, number of bins and units, threshold and choice; NaN and infinities are counted, in chosen units only."""
    values, thresholds, units = given_activations
    spikes, n_invalid = oracle(values, thresholds, units)
    routes = [pack_with_numpy, pack_above, lambda *given: fetch(pack_with_torch(*given))]
    if values.numel() and values.dtype in (torch.float32, torch.float64):
        routes.append(pack_with_numba)
    for route in routes:
        planes = route(values, thresholds, units)
        assert planes.bits.dtype == np.uint8
        assert planes.bits.flags.c_contiguous
        assert planes.bits.shape == (-(-len(values) // 8), spikes.shape[1])
        assert planes.n_bins == len(values)
        assert (np.unpackbits(planes.bits, axis=0)[: len(spikes)] == spikes).all()
        assert not np.unpackbits(planes.bits, axis=0)[len(spikes) :].any()
        assert planes.n_invalid == n_invalid


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("n_bins", [1, 17, 64])
def test_large_activations_are_packed_by_several_threads(memory, n_bins, three_threads):
    """Threads share the planes and give the bits of one; a value that is not finite is found in the part of each."""
    rng = torch.Generator().manual_seed(n_bins)
    values = torch.randn(n_bins, 8, 64, 2048 // min(n_bins, 16), generator=rng).to(memory_format=memory)
    assert values.numel() >= LARGE
    thresholds = torch.randn(values[0].numel(), generator=rng)
    for limits in (torch.tensor(0.3), thresholds):
        found, expected = pack_above(values, limits), pack_with_numpy(values, limits)
        assert np.array_equal(found.bits, expected.bits)
        assert found.n_invalid == 0
    for place in (0, n_bins // 2, n_bins - 1):
        spoiled = values.clone(memory_format=torch.preserve_format)
        spoiled[place, 3, 5, 7] = torch.inf
        assert pack_above(spoiled, thresholds).n_invalid == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_bins", [1, 7, 8, 9, 16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_invalid_value_is_found_wherever_it_is(dtype, n_bins, bad):
    """In every bin of full and unfinished planes, among values of the other sign."""
    for place in range(n_bins):
        values = torch.full((n_bins, 3), -1.0, dtype=dtype)
        values[place, 1] = bad
        for units in (None, torch.tensor([2, 1])):
            assert pack_above(values, torch.tensor(0.0, dtype=dtype), units).n_invalid == 1
        assert pack_above(values, torch.tensor(0.0, dtype=dtype), torch.tensor([0, 2])).n_invalid == 0
    assert count_invalid(values) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_values_whose_sum_is_infinite_are_valid(dtype):
    """The check sums values; that a sum overflows says nothing."""
    values = torch.full((16, 3), torch.finfo(dtype).max, dtype=dtype)
    assert pack_above(values, torch.tensor(0.0, dtype=dtype)).n_invalid == 0
    assert pack_above(values[:3], torch.tensor(0.0, dtype=dtype)).n_invalid == 0


def test_channels_last_memory_is_read_as_it_lies():
    """Units keep their logical order, and nothing but bits is rearranged."""
    values = torch.randn(9, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
    layout = layout_of(values)
    assert layout is not None
    assert layout.order == (1, 2, 0)
    assert layout_of(values[:, :, ::2]) is None
    thresholds = torch.linspace(-1, 1, 60)
    expected = pack_above(values.contiguous(), thresholds)
    assert (pack_above(values, thresholds).bits == expected.bits).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_may_be_overwritten_once_they_are_packed(dtype):
    """An in-place activation function may follow."""
    values = torch.ones(9, 5, dtype=dtype)
    planes = pack_on_device(values, torch.tensor(0.0, dtype=dtype))
    values.fill_(float("nan"))
    assert fetch(planes).bits[0].tolist() == [255] * 5
    assert fetch(planes).n_invalid == 0


def test_only_what_is_recorded_must_be_finite():
    """A unit that is not recorded may be infinite; a recorded one ends the recording."""
    x = torch.tensor([[1.0, torch.inf], [0.0, 1.0]])
    assert ann2neo.record(nn.ReLU(), x, units=[0], progress=False).raster("ReLU").tolist() == [[True, False]]
    with pytest.raises(ActivationError, match="'ReLU' has 1 activations"):
        ann2neo.record(nn.ReLU(), x, units=[1], progress=False)


def test_a_model_in_channels_last_memory_gives_the_same_recording():
    """With integer weights, whose sums are exact, the order in memory changes nothing."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.randint(-2, 3, (4, 3, 3, 3), generator=torch.Generator().manual_seed(1)))
        model[0].bias.zero_()
    x = torch.randint(-2, 3, (11, 3, 6, 7), generator=torch.Generator().manual_seed(2)).float()
    layer = ann2neo.record(model, x, progress=False).layers[0]
    lasting = model.to(memory_format=torch.channels_last)
    assert layout_of(lasting(x.to(memory_format=torch.channels_last))).order == (1, 2, 0)
    for units in (None, slice(1, None, 3)):
        expected = layer.raster.packed[:, layer.units if units is None else layer.units[units]]
        again = ann2neo.record(lasting, x.to(memory_format=torch.channels_last), units=units, progress=False).layers[0]
        assert (again.raster.packed == expected).all()


def test_values_with_gradients_are_packed():
    """Whether or not gradients are followed."""
    values = torch.ones(9, 5, requires_grad=True)
    for given_values in (values, values * 2):
        assert pack_above(given_values, torch.zeros(5, requires_grad=True)).bits[0].tolist() == [255] * 5


@given(st.integers(0, 40), st.integers(1, 70), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_truth_values_are_packed_alike(n_bins, n_units, seed):
    """By NumPy and on a device."""
    spikes = np.random.default_rng(seed).random((n_bins, n_units)) < 0.5
    planes = fetch(pack_truth(torch.from_numpy(spikes)))
    assert (planes.bits == pack(spikes).bits).all()
    assert (planes.n_bins, planes.n_invalid) == (n_bins, 0)


@given(
    st.lists(st.integers(0, 40), max_size=12),
    st.integers(1, 150),
    st.lists(st.integers(0, 64).map(lambda planes: 8 * planes), max_size=5),
    st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_planes_that_are_joined_and_taken_out_are_one_raster(sizes, n_units, taken, seed):
    """Any number of bins at a time, units fewer and more than a tile."""
    spikes = np.random.default_rng(seed).random((sum(sizes), n_units)) < 0.5
    buffer, first = PlaneBuffer(n_units), 0
    for size in sizes:
        buffer.add(pack(spikes[first : first + size]))
        first += size
    assert buffer.n_bins == len(spikes)
    rows = [buffer.pop(n_bins) for n_bins in taken if n_bins <= buffer.n_bins]
    rows.append(buffer.pop())
    assert buffer.n_bins == 0
    assert (np.concatenate(rows, axis=1) == np.packbits(spikes.T, axis=1)).all()


@given(
    st.integers(1, 150), st.integers(1, 150), st.integers(0, 9), st.integers(0, 9), st.booleans(), st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_planes_are_transposed_into_their_place(n_planes, n_units, before, behind, joined, seed):
    """Whatever does not fill words of eight bytes, and wherever in a row they begin; the bytes around are left alone."""
    planes = np.random.default_rng(seed).integers(0, 256, (n_planes, n_units + 3), np.uint8)[:, :n_units]
    planes = np.ascontiguousarray(planes) if joined else planes
    rows = np.full((n_units, before + n_planes + behind), 7, np.uint8)
    transpose(planes, before, rows)
    assert (rows[:, before : before + n_planes] == planes.T).all()
    assert (rows[:, :before] == 7).all()
    assert (rows[:, before + n_planes :] == 7).all()


def test_many_planes_are_transposed():
    """More planes than are taken at a time, after which the buffer goes on."""
    spikes = np.random.default_rng(0).random((8 * 1100 + 3, 3)) < 0.5
    buffer = PlaneBuffer(3)
    buffer.add(pack(spikes[:5]))
    buffer.add(pack(spikes[5:]))
    assert (buffer.pop(8 * 1050) == np.packbits(spikes[: 8 * 1050].T, axis=1)).all()
    buffer.add(pack(spikes[:7]))
    assert (buffer.pop() == np.packbits(np.concatenate([spikes[8 * 1050 :], spikes[:7]]).T, axis=1)).all()


@given(st.lists(activations(dtypes=[torch.float32], invalid=False), min_size=1, max_size=4), st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_packer_keeps_nothing_of_a_batch(batches, chosen):
    """Prepared once, it packs batches of any layout, type and length as each would be packed alone."""
    thresholds, units = torch.tensor(0.7), torch.tensor([0]) if chosen else None
    pack_layer = Packer(thresholds, units)
    for values, _, _ in batches:
        for given_values in (values, values.double()):
            alone = pack_above(given_values, thresholds.to(given_values.dtype), units)
            packed = fetch(pack_layer(given_values))
            assert packed.n_bins == alone.n_bins
            if given_values.dtype is thresholds.dtype:
                assert (packed.bits == alone.bits).all()


@given(st.lists(activations(), min_size=2, max_size=4))
@settings(max_examples=60, deadline=None)
def test_packing_again_gives_the_same_bits_or_none(batches):
    """Whatever came before, and whatever comes: other lengths, layouts, types, invalid values."""
    _, thresholds, units = batches[0]
    layer = Packer(thresholds, units)
    for values, _, _ in batches:
        if values.dtype is thresholds.dtype and values.shape[1:] == batches[0][0].shape[1:]:
            alone = pack_with_numpy(values, thresholds, units)
            for other in (values, values.flip(0), values[:-1], values.double()):
                packed, planes = layer.again(other), layer.take()
                assert packed == (planes is not None)
                if planes is not None:
                    expected = pack_with_numpy(other, thresholds, units)
                    assert other.dtype is thresholds.dtype
                    assert planes.n_bins == len(other)
                    assert (planes.bits == expected.bits).all()
                    assert expected.n_invalid == 0
            assert (fetch(layer(values)).bits == alone.bits).all()


def test_an_unfinished_batch_is_forgotten():
    """What was packed again before a batch broke off is not taken for the next one."""
    layer, values = Packer(torch.tensor(0.0)), torch.ones(9, 3)
    layer(values)
    assert layer.again(values)
    layer.forget()
    assert layer.take() is None
    assert layer.again(-values)
    assert not layer.take().bits.any()
    assert layer.take() is None


@pytest.mark.parametrize("per_unit", [False, True])
def test_wide_layers_are_packed_tile_by_tile(per_unit):
    """Units of every tile have their own thresholds and sums, also in bins that fill no byte."""
    values = torch.randn(21, 9001, generator=torch.Generator().manual_seed(0))
    thresholds = torch.linspace(-1, 1, 9001) if per_unit else torch.tensor(0.3)
    layer = Packer(thresholds)
    expected = np.packbits((values > thresholds).numpy(), axis=0)
    assert (fetch(layer(values)).bits == expected).all()
    assert layer.again(values)
    assert (layer.take().bits == expected).all()
    for unit in (0, 4095, 4096, 9000):
        for bin_ in (3, 20):
            bad = values.clone()
            bad[bin_, unit] = torch.inf
            assert not layer.again(bad)
            assert layer.take() is None
            assert fetch(layer(bad)).n_invalid == 1
            assert layer(values).n_invalid == 0
