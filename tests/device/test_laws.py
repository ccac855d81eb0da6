"""Recordings on a card are those of the host, bit for bit, wherever the bits go: run with ``python -m pytest tests/device`` where there is one.

What is verified where: the kernel's bits, in all types, layouts, offsets, thresholds and choices of units, under Triton's interpreter (tests/test_device_packing.py), which knows no
streams, no caches, no launch in parallel and no flushing of subnormal numbers; columns, rows and their order on the CPU's tensors (tests/test_device_recording.py), where every copy is
there at once. Only here do streams, events, pinned memory, the allocator's reuse, atomics, captured graphs, out-of-memory cards and several cards run for real.

Activations on a card differ from the CPU's in their last bits, so most laws compare with bits that are packed by hand from the same activations on the card.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import ann2neo
from ann2neo import Inputs, Passes, Sample, Steps
from ann2neo.device.kernel import launch
from ann2neo.device.memory import Target
from ann2neo.device.packer import pack_into, route_for
from ann2neo.errors import ActivationError, Ann2NeoWarning, DeviceError, ModelError

CARD = torch.device("cuda", 0)
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def record(model, inputs, **options):
    return ann2neo.record(model, inputs, progress=False, **options)


def by_hand(activations, thresholds=0.0):
    """(input, ...) on a card -> packed (unit, byte)."""
    spikes = (activations.detach() > thresholds).reshape(len(activations), -1).cpu().numpy()
    return np.packbits(spikes.T, axis=1)


def activations(model, x, layers, batch_size):
    """Activations of some modules, run in the batches of the recording."""
    kept = {name: [] for name in layers}
    hooks = [
        model.get_submodule(n).register_forward_hook(lambda _m, _a, o, n=n: kept[n].append(o.clone())) for n in layers
    ]
    with torch.no_grad():
        for part in x.split(batch_size):
            model(part)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts) for name, parts in kept.items()}


def network(dtype=torch.float32, memory=torch.contiguous_format):
    torch.manual_seed(0)
    model = nn.Sequential(
        *(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 24, 3, stride=2),
            nn.GELU(),
            nn.Flatten(),
        ),
        *(nn.Linear(24 * 7 * 7, 100), nn.Tanh(), nn.Dropout(0.2), nn.Linear(100, 10)),
    )
    return model.to(CARD, dtype, memory_format=memory).eval()


LAYERS = ["1", "3", "6"]


@pytest.fixture
def images():
    return torch.randn(1000, 3, 16, 16, generator=torch.Generator().manual_seed(0)).to(CARD)


def test_the_kernel_is_used():
    """And not its twin, on a card for which Triton was built."""
    assert route_for(CARD) is not pack_into


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("per_unit", [False, True])
@pytest.mark.parametrize("first_bin", [0, 1, 7, 8, 13])
@pytest.mark.parametrize("n_units", [1, 5, 16, 1000, 1024, 5000])
def test_the_kernel_gives_the_bits_of_its_twin(dtype, per_unit, first_bin, n_units):
    """Subnormal numbers, signed zeros, the threshold's neighbours, NaN and infinities included; strided, gathered, at every offset."""
    info, integer = torch.finfo(dtype), {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    ulps = (torch.tensor(0.7, dtype=dtype).view(integer) + torch.tensor([-1, 0, 1], dtype=integer)).view(dtype)
    tiny = torch.tensor([1, 2, 3], dtype=integer).view(dtype)
    rest = torch.tensor([0.0, -0.0, info.tiny, -info.tiny, 1.0, info.max, info.min], dtype=dtype)
    finite = torch.cat([ulps, -ulps, tiny, -tiny, rest])
    pool = torch.cat([finite, torch.tensor([float("nan"), float("inf"), -float("inf")], dtype=dtype)])
    rng = torch.Generator().manual_seed(n_units)
    whole = pool[torch.randint(len(pool), (37, 2 * n_units), generator=rng)].to(CARD)
    limits = finite[torch.randint(len(finite), (n_units,) if per_unit else (), generator=rng)].to(CARD)
    places = torch.randperm(2 * n_units, generator=rng)[:n_units].to(CARD)
    for values, where in ((whole[:, :n_units], None), (whole[:, :n_units].contiguous(), None), (whole, places)):
        found = []
        for pack in (launch, pack_into):
            target = Target(
                bits=torch.full((8, n_units), 0b10101010, dtype=torch.uint8, device=CARD),
                invalid=torch.zeros(3, dtype=torch.int64, device=CARD),
                slot=2,
            )
            pack(values, target, limits, places=where, first_bin=first_bin)
            found.append((target.bits.cpu(), target.invalid.cpu()))
        assert torch.equal(found[0][0], found[1][0])
        assert torch.equal(found[0][1], found[1][1])


def test_layers_of_more_values_than_32_bits_count():
    """Places beyond 2^31 are reached."""
    if torch.cuda.mem_get_info(0)[0] < 12 << 30:
        pytest.skip("needs 12 GB")
    values = torch.zeros((17, 1 << 27), dtype=torch.float16, device=CARD)
    values[16, -1] = 1
    target = Target(
        bits=torch.zeros((3, 1 << 27), dtype=torch.uint8, device=CARD),
        invalid=torch.zeros(1, dtype=torch.int64, device=CARD),
        slot=0,
    )
    launch(values, target, torch.tensor(0.5, dtype=torch.float16, device=CARD), places=None, first_bin=0)
    assert target.bits[2, -1].item() == 128
    assert int(target.bits.count_nonzero()) == 1


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch_size", [64, 37])
def test_memory_and_store_hold_the_bits_of_the_activations(dtype, memory, batch_size, images, tmp_path):
    """Whatever type, memory format and size of batch."""
    model, x = network(dtype, memory), images.to(dtype).to(memory_format=memory)
    expected = activations(model, x, LAYERS, batch_size)
    inputs = Inputs(x, labels=torch.arange(1000) % 10, batch_size=batch_size)
    in_memory = record(model, inputs, threshold=0.1)
    stored = record(model, inputs, threshold=0.1, store=tmp_path / "a.zarr")
    for recording in (in_memory, stored):
        for layer in recording.layers:
            threshold = torch.tensor(0.1, dtype=torch.float64).to(dtype).to(CARD)
            assert np.array_equal(layer.raster.packed[0], by_hand(expected[layer.name], threshold)), layer.name
    with torch.no_grad():
        predicted = torch.cat([model(part).argmax(1) for part in x.split(batch_size)]).tolist()
    assert in_memory.trials["predicted_label"].tolist() == stored.trials["predicted_label"].tolist() == predicted
    assert (
        in_memory.provenance["weights_sha256"] == record(network(dtype).cpu(), x[:2].cpu()).provenance["weights_sha256"]
    )


@pytest.mark.parametrize(
    "options",
    [
        {"units": {"1": Sample(fraction=0.1), "*": slice(0, None, 3)}},
        {"threshold": ann2neo.Quantile(0.8, on=torch.randn(64, 3, 16, 16))},
        {"threshold": ann2neo.MeanPlusSd(1, on=torch.randn(64, 3, 16, 16))},
        {"passes": Passes(3, active=["7"], seed=1)},
    ],
    ids=["units", "quantile", "sd", "passes"],
)
def test_options_give_the_same_into_memory_and_into_a_store(options, images, tmp_path):
    """And the same twice."""
    model, inputs = network(), Inputs(images, batch_size=100)
    once, stored = record(model, inputs, **options), record(model, inputs, store=tmp_path / "a.zarr", **options)
    assert all(a.identical(b) for a, b in zip(once.layers, stored.layers))
    for layer in once.layers:
        if "units" in options:
            whole = activations(model, images, [layer.name], 100)[layer.name]
            assert np.array_equal(layer.raster.packed[0], by_hand(whole)[layer.units])


def test_steps_and_autocast(tmp_path):
    """Positions are bins, in the type of autocast."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 32), nn.ReLU()).to(CARD)
    x, lengths = torch.randn(60, 9, 16, device=CARD), np.arange(60) % 9 + 1
    with torch.autocast("cuda", torch.bfloat16):
        expected = activations(model, x, ["1", "3"], 16)
        for steps in (Steps(1), Steps(1, lengths=lengths)):
            recording = record(model, Inputs(x, batch_size=16), steps=steps, threshold={"1": 0.0, "3": 0.0})
            inside = np.arange(9) < (np.full(60, 9) if steps.lengths is None else lengths)[:, None]
            for layer in recording.layers:
                rows = expected[layer.name][torch.from_numpy(inside).to(CARD)]
                assert layer.dtype == "bfloat16"
                assert np.array_equal(layer.raster.packed[0], by_hand(rows))


def test_many_columns_leave_while_the_model_goes_on(monkeypatch, tmp_path):
    """With columns of a few planes, so that every other batch a copy is under way, for long enough that memory is used again and again."""
    from ann2neo.device import memory

    monkeypatch.setattr(memory, "LEAST_PLANES", 9)
    monkeypatch.setattr(memory, "BATCHES", 1)
    torch.manual_seed(0)
    model = nn.Sequential(*(one for _ in range(6) for one in (nn.Linear(700, 700), nn.ReLU(inplace=True)))).to(CARD)
    x = torch.randn(40_000, 700, device=CARD)
    expected = activations(model, x, ["1", "11"], 61)
    for options in ({}, {"store": tmp_path / "a.zarr"}):
        recording = record(model, Inputs(x, batch_size=61), **options)
        for layer in recording.layers:
            if layer.name in expected:
                assert np.array_equal(layer.raster.packed[0], by_hand(expected[layer.name]))


class OnStreams(nn.Module):
    """Two branches, one of them on a stream of its own."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.one, self.other = nn.Linear(64, 512), nn.Linear(64, 512), nn.ReLU(), nn.ReLU()
        self.stream = torch.cuda.Stream()

    def forward(self, x):
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            right = self.other(self.b(x))
        left = self.one(self.a(x))
        torch.cuda.current_stream().wait_stream(self.stream)
        right.record_stream(torch.cuda.current_stream())
        return left + right


def test_layers_on_other_streams_are_recorded():
    """Columns wait for the streams that write into them; also where the caller has a stream of its own."""
    torch.manual_seed(0)
    model, x = OnStreams().to(CARD), torch.randn(20_000, 64, device=CARD)
    expected = activations(model, x, ["one", "other"], 128)
    for stream in (torch.cuda.current_stream(), torch.cuda.Stream()):
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            recording = record(model, Inputs(x, batch_size=128))
        for layer in recording.layers:
            assert np.array_equal(layer.raster.packed[0], by_hand(expected[layer.name]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", [3, 700, 999])
def test_what_is_not_finite_is_refused(bad, place, images, tmp_path):
    """In the first, a later and the last batch; what is in the store is kept, and the same call goes on once it is mended."""
    x = images.flatten(1).repeat(4, 1).contiguous()
    x[4 * place, 5] = bad
    with pytest.raises(ActivationError, match="layer 'ReLU' has 1 activations in a batch that are NaN or infinite"):
        record(nn.ReLU(), Inputs(x, batch_size=64))
    with pytest.raises(ActivationError, match="NaN or infinite"):
        record(nn.ReLU(), Inputs(x, batch_size=64), store=tmp_path / "a.zarr")


def test_a_card_without_memory_keeps_what_was_recorded(images, tmp_path):
    """A real shortage, in the seventh batch."""

    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.calls, self.greedy = nn.ReLU(), 0, True

        def forward(self, x):
            if self.greedy and bool((x[:, 0] == 7).any()):
                torch.empty(1 << 42, dtype=torch.uint8, device=x.device)
            return self.act(x)

    model, x = Greedy(), images.flatten(1).repeat(4, 1).contiguous()
    x[3000, 0] = 7
    with pytest.raises(DeviceError, match="the device ran out of memory") as raised:
        record(model, Inputs(x, batch_size=128), store=tmp_path / "a.zarr")
    assert any("columns that were recorded" in note for note in raised.value.__notes__)
    model.greedy = False
    found = record(model, Inputs(x, batch_size=128), store=tmp_path / "a.zarr")
    assert np.array_equal(found.layers[0].raster.packed[0], by_hand(x))


LOST = """
import sys, torch
from torch import nn
import ann2neo

class Losing(nn.Module):
    def __init__(self):
        super().__init__()
        self.act, self.calls = nn.ReLU(), 0

    def forward(self, x):
        self.calls += 1
        if bool((x[:, 0] == 7).any()) and sys.argv[2] == "lose":
            torch.zeros(3, device=x.device)[torch.full((1,), 99, device=x.device)].sum()
        return self.act(x)

x = torch.randn(4096, 50, generator=torch.Generator().manual_seed(0)).cuda()
x[3000, 0] = 7
try:
    ann2neo.record(Losing(), ann2neo.Inputs(x, batch_size=128), store=sys.argv[1], progress=False)
    print("recorded")
except ann2neo.errors.DeviceError as error:
    print("told", str(error).splitlines()[0])
"""


def test_a_lost_card_is_told_and_a_new_process_goes_on(tmp_path):
    """An assertion on the device ends its context for the process."""
    command = [sys.executable, "-c", LOST, str(tmp_path / "a.zarr")]
    lost = subprocess.run([*command, "lose"], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": "."})
    assert "told a device failed" in lost.stdout, lost.stdout + lost.stderr
    again = subprocess.run([*command, "keep"], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": "."})
    assert "recorded" in again.stdout, again.stderr
    x = torch.randn(4096, 50, generator=torch.Generator().manual_seed(0))
    x[3000, 0] = 7
    assert np.array_equal(ann2neo.load(tmp_path / "a.zarr").layers[0].raster.packed[0], by_hand(x))


def test_graphs_are_refused():
    """One that is replayed, and one that is captured in the forward pass."""
    torch.manual_seed(0)
    block = nn.Sequential(nn.Linear(16, 16), nn.ReLU()).to(CARD).eval()
    x = torch.randn(8, 16, device=CARD)
    with torch.no_grad():
        model = nn.Sequential(torch.cuda.make_graphed_callables(block, (x,)), nn.Linear(16, 4), nn.Tanh()).to(CARD)
    with pytest.raises(ModelError, match="replay CUDA graphs"):
        record(model, Inputs(x.repeat(4, 1), batch_size=8))


class Capturing(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(16, 16), nn.ReLU()

    def forward(self, x):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = self.act(self.fc(x))
        graph.replay()
        return output


def test_a_graph_that_is_captured_is_refused():
    """Its kernel launches would be replayed."""
    model = Capturing().to(CARD)
    with pytest.raises(ModelError, match="captures a CUDA graph"):
        record(model, Inputs(torch.randn(16, 16, device=CARD), batch_size=8), layers=["act"], threshold=0.0)


def test_compiled_models_are_recorded_as_they_were_written(images):
    """Compiled or not, the same bits."""
    model, inputs = network(), Inputs(images[:200], batch_size=50)
    expected = record(model, inputs)
    found = record(torch.compile(model), inputs)
    assert all(a.identical(b) for a, b in zip(expected.layers, found.layers))


def test_loaders_with_workers_and_pinned_memory(images):
    """Batches come from the host."""
    x = images[:300].cpu()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, torch.arange(300) % 10), 50, num_workers=2, pin_memory=True
    )
    expected = record(network(), Inputs(x.to(CARD), batch_size=50))
    found = record(network(), loader)
    assert all(a.identical(b) for a, b in zip(expected.layers, found.layers))


class Split(nn.Module):
    """One layer on each device."""

    def __init__(self, devices):
        super().__init__()
        self.devices = devices
        self.parts = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), nn.ReLU()).to(device) for device in devices)

    def forward(self, x):
        for device, part in zip(self.devices, self.parts):
            x = part(x.to(device))
        return x


def test_models_that_are_split_over_devices_are_recorded(n_devices, tmp_path):
    """A card and the host, and all cards."""
    for devices in ([CARD, torch.device("cpu"), CARD], [torch.device("cuda", n % n_devices) for n in range(4)]):
        torch.manual_seed(0)
        model, x = Split(devices), torch.randn(900, 32, device=CARD)
        expected = activations(model, x, [f"parts.{n}.1" for n in range(len(devices))], 77)
        for name, options in (("memory", {}), ("store", {"store": tmp_path / f"{len(devices)}.zarr"})):
            recording = record(model, Inputs(x, batch_size=77), **options)
            assert len(recording.layers) == len(devices), name
            for layer in recording.layers:
                assert np.array_equal(layer.raster.packed[0], by_hand(expected[layer.name]))


def test_functions_are_layers_and_in_place_ones_are_seen_before_they_are_overwritten(images):
    """As on the host."""

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(768, 50)

        def forward(self, x):
            hidden = functional.relu(self.fc(x.flatten(1)))
            kept = hidden.clone()
            functional.relu_(hidden.sub_(1.0))
            return kept

    model = Functional().to(CARD)
    recording = record(model, Inputs(images, batch_size=100))
    with torch.no_grad():
        expected = torch.cat([model(part) for part in images.split(100)])
    assert np.array_equal(recording.layers[0].raster.packed[0], by_hand(expected))


def test_memory_of_the_card_is_given_back(images):
    """After a recording there is no more than before."""
    model, inputs = network(), Inputs(images, batch_size=100)
    record(model, inputs)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        record(model, inputs)
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() <= before


@pytest.mark.filterwarnings("ignore::ann2neo.errors.Ann2NeoWarning")
def test_without_triton_the_twin_records_the_same(images, monkeypatch):
    """Torch's operators on the card."""
    from ann2neo.device import packer

    model, inputs = network(), Inputs(images, batch_size=37)
    expected = record(model, inputs)
    monkeypatch.setattr(packer, "route_for", lambda _device: pack_into)
    found = record(model, inputs)
    assert all(a.identical(b) for a, b in zip(expected.layers, found.layers))
    assert issubclass(Ann2NeoWarning, UserWarning)
