"""Wrapped, compiled, scripted and failing models, and inputs without length."""

import pytest
import torch
import torch.nn.functional as F
from capture_sources import X, bits, in_batches, make, names, record
from torch import nn
from torch.overrides import TorchFunctionMode

import ann2neo
from ann2neo.errors import LayerNotFound, ModelError, ThresholdError
from ann2neo.probe.modules import inner_module, named_modules
from ann2neo.probe.probe import Probe


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)


@pytest.fixture
def inner():
    return make(lambda self, x: F.relu(self.act(self.fc(x)) - 0.3), fc=nn.Linear(6, 8), act=nn.Sigmoid())


def test_wrappers_leave_no_trace_in_names(inner, tmp_path):
    """Compiled, data-parallel and averaged models, whole or in part, are recorded under the names of the model that was written."""
    plain = record(nn.Sequential(inner, nn.Tanh()))
    assert names(plain) == ["0.act", "0.relu", "1"]
    wrapped = {
        "data-parallel part": nn.Sequential(nn.DataParallel(inner), nn.Tanh()),
        "data-parallel": nn.DataParallel(nn.Sequential(inner, nn.Tanh())),
        "compiled part": nn.Sequential(torch.compile(inner, backend="eager"), nn.Tanh()),
        "both": nn.DataParallel(torch.compile(nn.Sequential(torch.compile(inner, backend="eager"), nn.Tanh()))),
        "averaged": torch.optim.swa_utils.AveragedModel(nn.Sequential(inner, nn.Tanh())),
    }
    for model in wrapped.values():
        with torch.no_grad():
            if model is wrapped["compiled part"]:
                model(X)  # compiled code that knows of no hooks
        found = record(model)
        assert names(found) == names(plain)
        assert all(found.layer(name).identical(plain.layer(name)) for name in names(plain))
    in_place = nn.Sequential(inner, nn.Tanh())
    in_place[0].compile(backend="eager")
    assert names(record(in_place)) == names(plain)


def test_distributed_data_parallel(inner, tmp_path):
    """The wrapper for several processes is unwrapped as well."""
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        found = record(nn.parallel.DistributedDataParallel(inner))
    finally:
        dist.destroy_process_group()
    assert all(a.identical(b) for a, b in zip(found.layers, record(inner).layers, strict=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_parts_are_refused_unless_other_layers_are_named():
    """Nothing within a scripted part can be seen: that must not go unnoticed."""
    model = nn.Sequential(torch.jit.script(nn.Sequential(nn.Linear(6, 5), nn.ReLU())), nn.Tanh())
    for layers in (None, "0", "0.1", "*"):
        with pytest.raises(ModelError, match=r"'0' .*scripted"):
            record(model, layers=layers)
    assert (record(model, layers="1").raster("1") == bits(in_batches(model, X))).all()


def test_shared_modules_go_by_their_first_name():
    """Asking for another name says so."""
    act = nn.ReLU()
    model = make(lambda self, x: self.b(self.a(x) - 0.2), a=nn.Sequential(act), b=nn.Sequential(act))
    assert names(record(model)) == ["a.0", "a.0:1"]
    with pytest.raises(LayerNotFound, match=r"same module as 'a.0'"):
        record(model, layers="b.0")
    assert list(named_modules(model)) == ["Model", "a", "a.0", "b"]


def test_wrong_names_are_refused_with_a_suggestion():
    """A function that is not called, a part that is not there, a name that means nothing."""
    model = make(lambda self, x: F.relu(self.fc1(x)), fc1=nn.Linear(6, 6))
    with pytest.raises(LayerNotFound, match=r"'fc1.relu'.*called: 'relu'.*Did you mean 'relu'"):
        record(model, layers="fc1.relu")
    with pytest.raises(LayerNotFound, match=r"fc1\.relux"):
        record(model, layers="fc1.relux")
    with pytest.raises(LayerNotFound, match=r"block\.\*"):
        record(model, layers="block.*")
    with pytest.raises(ThresholdError, match="Linear"):
        record(model, layers="fc1")


def test_errors_in_the_model_leave_nothing_behind(inner):
    """An exception that the model itself catches does not confuse the names; one that it does not catch leaves no hook or mode."""

    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("inside")

    def forward(self, x):
        try:
            self.fails(x)
        except ValueError:
            return F.relu(x)

    assert names(record(make(forward, fails=Fails()))) == ["relu"]
    model = nn.Sequential(inner, Fails())
    with pytest.raises(ValueError, match="inside"):
        record(model)
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._forward_hooks_always_called for m in model.modules())
    assert torch._C._len_torch_function_stack() == 0
    assert torch.backends.mha.get_fastpath_enabled()


def test_modes_of_the_caller_stay():
    """A function mode that the user has set goes on working, and sees what it saw."""
    seen = []

    class Mine(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    with Mine():
        assert names(record(make(lambda self, x: F.relu(x)))) == ["relu"]
    assert F.relu in seen


def test_plan_lists_functions_too(inner):
    """Layers, kinds, shapes and units of modules and functions alike."""
    table = ann2neo.plan(inner, X)
    assert table[["layer", "kind", "units"]].values.tolist() == [["act", "Sigmoid", 8], ["relu", "ReLU", 8]]


def test_iterables_without_length(inner):
    """An iterable dataset through workers, and a generator, have no length; the last batch is smaller."""
    from torch.utils.data import DataLoader, IterableDataset

    class Stream(IterableDataset):
        def __iter__(self):
            info = torch.utils.data.get_worker_info()
            return iter(X if info is None else X[info.id :: info.num_workers])

    expected = record(inner)
    for inputs in (
        DataLoader(Stream(), batch_size=5),
        DataLoader(Stream(), batch_size=5, num_workers=1),
        (x for x in X.split(5)),
    ):
        found = ann2neo.record(inner, inputs, progress=False)
        assert all(a.identical(b) for a, b in zip(found.layers, expected.layers, strict=True))


class Shown:
    """A sink that keeps what it is shown."""

    def __init__(self):
        self.all = []

    def take(self, layer, watched, activation):
        self.all.append((layer, type(watched.module), activation.clone()))

    def take_again(self, layer, output):
        return False

    def refuse(self, layer, error):
        raise error


def test_the_probe_alone_shows_activations(inner):
    """Without a recording: name, module and activation at the moment when it exists."""
    probe, shown = Probe(inner), Shown()
    with torch.no_grad(), probe.attached():
        probe.show_to(shown, len(X))
        probe.run(lambda: inner(X))
    assert [(name, kind) for name, kind, _ in shown.all] == [("act", nn.Sigmoid), ("relu", nn.ReLU)]
    assert torch.equal(shown.all[1][2], inner(X))
    assert probe.called == ["act", "relu"]


class Forwarding(nn.Module):
    """Gives the attributes of a module within as its own."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def forward(self, x):
        return torch.relu(self.inner(x))


def test_a_module_that_gives_attributes_of_another_is_no_wrapper():
    """It is called itself; before, what a compiled module within wraps was recorded in its place."""
    inner = nn.Sequential(nn.Linear(3, 4))
    inner.add_module("_orig_mod", nn.Identity())
    assert inner_module(inner) is inner.get_submodule("_orig_mod")
    assert inner_module(Forwarding(inner)) is None
