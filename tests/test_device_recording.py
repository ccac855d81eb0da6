"""A recording whose bits stay on the device for a while is the one that is packed into the host's memory: the device's route on the CPU's tensors."""

import gc
import threading
import weakref

import numpy as np
import pytest
import torch
from capture_sources import record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packing_sources import activations
from torch import nn

import ann2neo
from ann2neo import Inputs, Passes, Steps
from ann2neo.bits import PlaneBuffer, Planes, fetched, pack
from ann2neo.capture.spikes import bits
from ann2neo.device import memory
from ann2neo.device.column import DeviceColumn
from ann2neo.device.packer import DevicePacker
from ann2neo.device.rows import RowBuffer
from ann2neo.errors import ActivationError, RecordingError
from ann2neo.packing.routes import pack_with_numpy

CPU = torch.device("cpu")


@pytest.fixture
def on_device(monkeypatch):
    """Let bits of the CPU's tensors stay where they are, in columns of a few planes, so that they are full again and again."""
    monkeypatch.setattr(memory, "LEAST_PLANES", 3)
    monkeypatch.setattr(memory, "BATCHES", 1)

    def route(interpreted=False):
        monkeypatch.setattr(bits, "HOSTS", frozenset())
        monkeypatch.setenv("TRITON_INTERPRET", str(int(interpreted)))

    return route


def never(name, n_invalid):
    raise AssertionError(name, n_invalid)


def convolutions(dtype=torch.float32, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3), nn.GELU(), nn.Flatten()),
        *(nn.Linear(80, 9), nn.Sigmoid(), nn.Dropout(0.3), nn.Linear(9, 3)),
    ).to(dtype)


CASES = {
    "every unit": {},
    "a threshold for each unit": {"threshold": {"1": np.linspace(0, 0.4, 144), "*": 0.1}},
    "chosen units": {
        "units": {"1": ann2neo.Sample(fraction=0.2), "3": [5, 2, 70], "*": slice(1, None, 2)},
        "threshold": 0.2,
    },
    "calibrated": {"threshold": ann2neo.Quantile(0.7, on=torch.randn(20, 3, 8, 8))},
    "passes": {"passes": Passes(2, active=["7"], seed=3)},
}


@pytest.mark.parametrize("interpreted", [False, True], ids=["operators", "kernel"])
@pytest.mark.parametrize("case", CASES)
def test_memory_and_store_hold_the_recording_of_the_host(case, interpreted, on_device, tmp_path):
    """All bits, labels, thresholds; odd batches, of which the last is smaller, in contiguous and channels-last memory, of 32 and of 16 bits."""
    generator = torch.Generator().manual_seed(1)
    # Triton's interpreter takes some milliseconds for each block of a layer.
    n = 40 if interpreted else 71
    x, y = torch.randn(n, 3, 8, 8, generator=generator), torch.arange(n) % 3
    for dtype, layout in ((torch.float32, torch.channels_last), (torch.bfloat16, torch.contiguous_format)):
        model = convolutions(dtype).to(memory_format=layout)
        inputs = Inputs(x.to(dtype).to(memory_format=layout), labels=y, batch_size=13)
        if case == "calibrated" and dtype is torch.bfloat16:
            continue
        expected = record(model, inputs, **CASES[case])
        on_device(interpreted)
        stores = [None, tmp_path / f"{dtype}.zarr"]
        if interpreted and case != "calibrated":
            stores = stores[:1] if dtype is torch.float32 else stores[1:]
        for found in [record(model, inputs, store=store, **CASES[case]) for store in stores]:
            assert [layer.name for layer in found.layers] == [layer.name for layer in expected.layers]
            assert all(a.identical(b) for a, b in zip(expected.layers, found.layers))
            assert found.trials.equals(expected.trials)


def test_steps_of_sequences_are_bins(on_device):
    """All positions, some of them by length or mask, and calls of a cell."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.Tanh())
    x = torch.randn(20, 7, 4)
    lengths = np.random.default_rng(0).integers(1, 8, 20)
    for steps in (Steps(1), Steps(1, lengths=lengths)):
        expected = record(model, Inputs(x, batch_size=6), steps=steps)
        on_device()
        found = record(model, Inputs(x, batch_size=6), steps=steps)
        assert all(a.identical(b) for a, b in zip(expected.layers, found.layers))


@st.composite
def streams(draw):
    """Batches of any sizes in the layouts of one layer, and what is done with each: kept, kept in part, or dropped after a look."""
    values, thresholds, units = draw(activations(invalid=False))
    batches = []
    for _ in range(draw(st.integers(1, 6))):
        n_bins = draw(st.integers(0, 30))
        seed = draw(st.integers(0, 99))
        rows = torch.randint(max(len(values), 1), (n_bins,), generator=torch.Generator().manual_seed(seed))
        batch = values[rows] if len(values) else values[:0]
        if draw(st.booleans()) and batch.ndim == 4:
            batch = batch.to(memory_format=torch.channels_last)
        batches.append((batch, draw(st.sampled_from(["keep", "keep", "look", "drop", "cut"]))))
    taken = draw(st.lists(st.integers(0, 6).map(lambda planes: 8 * planes), max_size=3))
    before = draw(st.integers(0, 20))
    return thresholds, units, batches, taken, before, draw(st.none() | st.integers(1, 40))


def test_a_batch_of_nothing_says_nothing_of_the_layouts_to_come(on_device):
    """Torch calls an empty tensor contiguous, whatever its strides; a batch that follows with these strides is read by them."""
    on_device()
    values = torch.randn(5, 3, 4, 6)[..., ::2]
    for units in (None, np.array([7, 1, 20])):
        column = DeviceColumn(CPU, never)
        packer = DevicePacker(column, "layer", torch.zeros(()), units)
        for batch in (values[:0], values):
            column.begin()
            part = packer(batch)
            column.end(wait=False)
        chosen = None if units is None else torch.from_numpy(units)
        assert (fetched(part).bits == pack_with_numpy(values, torch.zeros(()), chosen).bits).all()


@given(streams())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_column_is_a_buffer_of_planes(on_device, stream):
    """Whatever is kept, cut, looked at and dropped, taken out in between, or comes from the host before: the rows are those of planes that are joined there."""
    on_device()
    thresholds, units, batches, taken, n_before, width = stream
    column = DeviceColumn(CPU, never)
    packer = DevicePacker(column, "layer", thresholds, None if units is None else units.numpy())
    n_units = int(np.prod(batches[0][0].shape[1:])) if units is None else len(units)
    before = pack(np.random.default_rng(n_before).random((n_before, n_units)) < 0.5)
    expected, buffer, rows, sought = PlaneBuffer(n_units), None, [], []
    expected.add(before)
    for batch, fate in batches:
        packer.forget()
        column.begin()
        part = packer.take() if packer.again(batch) else packer(batch)
        assert part is not None
        column.end(wait=False)
        planes = pack_with_numpy(batch, thresholds, units)
        if fate == "look":
            assert (fetched(part).bits == planes.bits).all()
        elif fate != "drop":
            cut = min(3, part.n_bins) if fate == "cut" else 0
            part, planes = part.without_first(cut), planes.without_first(cut)
            if buffer is None:
                buffer = part.buffer(width)
                buffer.add(before)
            buffer.add(part)
            expected.add(planes)
            assert buffer.n_bins == expected.n_bins
            assert (buffer.rows() == expected.rows()).all()
            with pytest.raises(RecordingError, match="were added to a buffer"):
                fetched(part)
        if taken and buffer is not None and expected.n_bins >= taken[0]:
            n_bins = taken.pop(0)
            rows.append(buffer.take(n_bins))
            sought.append(expected.pop(n_bins))
    if buffer is not None:
        rows.append(buffer.take())
        sought.append(expected.pop())
        for given_rows, other in zip(rows, sought):
            assert (given_rows() == other).all()


def test_streams_end_where_they_end_and_begin_at_a_byte(on_device):
    """A second buffer of the same layer gets nothing of the first, which still gets its last bins; one that nobody holds any more gets none."""
    on_device()
    column = DeviceColumn(CPU, never)
    packer = DevicePacker(column, "layer", torch.tensor(0.0), None)
    ones = torch.ones(5, 3)
    first = packer(ones).buffer(None)
    first.add(packer(ones))
    column.begin_stream()
    column.begin()
    part = packer(ones[:2])
    second = part.buffer(None)
    second.add(part)
    assert (first.n_bins, second.n_bins) == (5, 2)
    assert first.pop().tolist() == [[0b11111000]] * 3
    assert second.pop().tolist() == [[0b11000000]] * 3
    part = packer(ones)
    dropped = part.buffer(None)
    dropped.add(part)
    del dropped
    gc.collect()
    column.begin_stream()
    assert column.layers["layer"].n_bins == 0


def test_what_was_held_of_a_batch_is_not_that_of_the_next(on_device):
    """Who looks at a batch again after another one was packed sees its own bits."""
    on_device()
    column = DeviceColumn(CPU, never)
    packer = DevicePacker(column, "layer", torch.tensor(0.0), None)
    part = packer(torch.ones(5, 3))
    column.begin()
    other = packer(-torch.ones(5, 3))
    assert fetched(part).bits.tolist() == [[0b11111000] * 3]
    assert fetched(other).bits.tolist() == [[0, 0, 0]]
    # It is added all the same, as what comes from the host.
    buffer = part.buffer(None)
    buffer.add(part)
    assert buffer.pop().tolist() == [[0b11111000]] * 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("batch", [0, 2, 5])
def test_what_is_not_finite_ends_the_recording(bad, batch, on_device, tmp_path):
    """In the first batch, in between and in the last; into memory and into a store, of which no column holds its bits."""
    on_device()
    model = nn.ReLU()
    x = torch.randn(6 * 512, 1100)
    x[512 * batch + 3, 7] = bad
    with pytest.raises(ActivationError, match="layer 'ReLU' has 1 activations in a batch that are NaN or infinite"):
        record(model, Inputs(x, batch_size=512))
    store = tmp_path / "a.zarr"
    with pytest.raises(ActivationError, match="NaN or infinite"):
        record(model, Inputs(x, batch_size=512), store=store)
    x[512 * batch + 3, 7] = 0.5
    whole = record(model, Inputs(x, batch_size=512))
    if batch:
        assert len(list(store.glob("log/0.*.json"))) <= batch // 2
    found = record(model, Inputs(x, batch_size=512), store=store, verify=True) if not batch else None
    if found is not None:
        assert found.layers[0].identical(whole.layers[0])


def test_memory_on_the_device_is_bounded(on_device, monkeypatch):
    """Planes and the rows made of them take what they may, or one batch: not more with more inputs."""
    on_device()
    monkeypatch.setattr(memory, "MOST_BYTES", 2 * 1000 * 40)
    column = DeviceColumn(CPU, never)
    packer = DevicePacker(column, "layer", torch.tensor(0.0), None)
    buffer, seen = None, set()
    for _ in range(40):
        column.begin()
        part = packer(torch.ones(77, 1000))
        buffer = part.buffer(None) if buffer is None else buffer
        buffer.add(part)
        column.end(wait=False)
        seen.add((len(column.layers["layer"].target.bits), len(column.transfer._staging) // 1000))
    assert max(planes for planes, _ in seen) <= 40
    assert max(rows for _, rows in seen) <= 40
    assert buffer is not None
    assert (np.unpackbits(buffer.pop(), axis=1)[:, : 40 * 77] == 1).all()


def test_many_layers_have_a_count_each(on_device):
    """More layers than counts at first."""
    on_device()
    told = []

    def refuse(name, n_invalid):
        told.append((name, n_invalid))
        raise ActivationError("", "", "")

    column = DeviceColumn(CPU, refuse)
    packers = [DevicePacker(column, f"{number}", torch.tensor(0.0), None) for number in range(600)]
    parts = [packer(torch.ones(2, 1)) for packer in packers]
    column.end(wait=True)
    column.begin()
    assert all(packer.again(torch.full((2, 1), torch.nan if n == 577 else 1.0)) for n, packer in enumerate(packers))
    with pytest.raises(ActivationError):
        column.end(wait=True)
    assert told == [("577", 2)]
    assert len(parts) == 600


def test_threads_that_put_rows_down_end():
    """Nothing of them is left once a recording has ended."""
    column = DeviceColumn(CPU, never)
    packer = DevicePacker(column, "layer", torch.tensor(0.0), None)
    part = packer(torch.ones(8, 3))
    buffer = part.buffer(None)
    buffer.add(part)
    buffer.pop()
    assert any("ann2neo-landing" in thread.name for thread in threading.enumerate())
    del column, packer, part, buffer
    gc.collect()
    for thread in threading.enumerate():
        if "ann2neo-landing" in thread.name:
            thread.join(5)
    assert not any("ann2neo-landing" in thread.name for thread in threading.enumerate())


def test_planes_of_the_host_come_before_those_of_the_device():
    """As many as a column of a store that goes on, also more than the device is to hold."""
    column = DeviceColumn(CPU, never)
    packer = DevicePacker(column, "layer", torch.tensor(0.0), None)
    spikes = np.random.default_rng(0).random((1003, 3)) < 0.5
    part = packer(torch.ones(9, 3))
    buffer = RowBuffer(column.layers["layer"], 2048)
    buffer.add(pack(spikes))
    assert len(column.layers["layer"].target.bits) < 4
    buffer.add(part)
    buffer.add(Planes(bits=np.zeros((1, 3), np.uint8), n_bins=2))
    whole = np.concatenate([spikes, np.ones((9, 3), bool), np.zeros((2, 3), bool)])
    assert (buffer.pop() == np.packbits(whole.T, axis=1)).all()


def test_memory_of_the_device_is_given_back_at_once(on_device, monkeypatch):
    """Not when the garbage is collected, which may be after the next thing that needs it."""
    on_device()
    made = []
    monkeypatch.setattr(
        bits, "DeviceColumn", lambda *given: made.append(weakref.ref(column := DeviceColumn(*given))) or column
    )
    gc.collect()
    gc.disable()
    try:
        record(convolutions(), Inputs(torch.randn(40, 3, 8, 8), batch_size=7))
        assert [one() for one in made] == [None] * len(made) != []
    finally:
        gc.enable()


def test_sixteen_bits_of_other_kinds_and_wrapped_memory_take_the_operators():
    """What the kernel cannot read is not given to it."""
    column = DeviceColumn(CPU, never)
    packer = DevicePacker(column, "layer", torch.tensor(0.5), None)

    class Named(torch.Tensor):
        pass

    values = torch.rand(11, 5, generator=torch.Generator().manual_seed(0))
    part = packer(values.as_subclass(Named))
    assert (fetched(part).bits == pack((values > 0.5).numpy()).bits).all()
    assert not packer.again(values.as_subclass(Named))
    negative = torch._neg_view(-values)
    assert not packer.again(negative)
    assert (fetched(packer(negative)).bits == pack((values > 0.5).numpy()).bits).all()
