"""What is recorded is what the model computes, and the model is left as it was found."""

import numpy as np
import pytest
import torch
from capture_sources import make
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ann2neo
from ann2neo.errors import (
    ActivationError,
    Ann2NeoWarning,
    InputsError,
    LayerNeverRan,
    LayerNotFound,
    ModelError,
    OutputExists,
    ThresholdError,
)

X = torch.randn(37, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(37) % 3


def record(model, inputs=X, **options):
    return ann2neo.record(model, inputs, progress=False, **options)


@pytest.fixture
def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 5), nn.Sigmoid(), nn.Linear(5, 3))


def by_hand(model, upto, threshold):
    """Activations above the threshold, by running the model up to a layer: (unit, bin)."""
    with torch.no_grad():
        return (model.eval()[: upto + 1](X) > threshold).reshape(len(X), -1).numpy().T


def test_bits_are_the_thresholded_activations(mlp):
    """Every activation module is recorded; the threshold is its value at pre-activation 0."""
    recording = record(mlp, ann2neo.Inputs(X, batch_size=10))
    assert [layer.name for layer in recording.layers] == ["1", "3"]
    assert (recording.raster("1") == by_hand(mlp, 1, 0.0)).all()
    assert (recording.raster("3") == by_hand(mlp, 3, 0.5)).all()
    assert recording.layer("3").thresholds.tolist() == [0.5] * 5


@pytest.mark.parametrize("batch_size", [1, 3, 8, 13, 37, 64])
def test_batches_of_any_size_fill_the_same_bits(batch_size):
    """With integer weights, whose sums are exact, the batch size does not change a bit."""
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.randint(-2, 3, (9, 6), generator=torch.Generator().manual_seed(1)))
        model[0].bias.zero_()
    whole = record(model, ann2neo.Inputs(X.round(), batch_size=37))
    assert record(model, ann2neo.Inputs(X.round(), batch_size=batch_size)).layers[0].identical(whole.layers[0])


def test_equal_to_the_threshold_is_no_spike():
    """A spike is strictly above the threshold."""
    recording = record(nn.ReLU(), torch.tensor([[0.0], [1.0], [1.5]]), threshold=1.0)
    assert recording.raster("ReLU").tolist() == [[False, False, True]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_thresholds_are_compared_in_the_activations_own_type(dtype):
    """0.7 in the activation's type equals the threshold 0.7, which is stored as rounded."""
    recording = record(nn.ReLU(), torch.full((4, 1), 0.7, dtype=dtype), threshold=0.7)
    assert not recording.raster("ReLU").any()
    assert recording.layers[0].thresholds[0] == float(torch.tensor(0.7, dtype=dtype))


ACTIVATION_MODULES = [
    nn.CELU(), nn.ELU(), nn.GELU(), nn.Hardshrink(), nn.Hardsigmoid(), nn.Hardswish(), nn.Hardtanh(), nn.LeakyReLU(), nn.LogSigmoid(), nn.Mish(),
    nn.PReLU(), nn.PReLU(6), nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.RReLU(), nn.SELU(), nn.SiLU(), nn.Sigmoid(), nn.Softplus(),
    nn.Softshrink(), nn.Softsign(), nn.Tanh(), nn.Tanhshrink(), nn.Threshold(0.1, 20.0),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATION_MODULES, ids=repr)
def test_every_activation_module_is_recorded(activation):
    """The default threshold is what the function gives for 0, whatever the function."""
    model = nn.Sequential(nn.Identity(), activation).eval()
    at_zero = float(activation(torch.zeros(1, 6)).detach().flatten()[0])
    expected = (activation(X.clone()) > torch.tensor(at_zero)).numpy().T
    recording = record(model, X.clone())
    assert [layer.name for layer in recording.layers] == ["1"]
    assert (recording.raster("1") == expected).all()


def test_a_following_in_place_module_changes_nothing():
    """Bits are taken before the next module overwrites the activation."""
    model = nn.Sequential(nn.Tanh(), nn.ReLU(inplace=True))
    recording = record(model, threshold={"0": -0.5, "1": 0.0})
    assert (recording.raster("0") == (torch.tanh(X) > -0.5).numpy().T).all()


def test_a_module_called_twice_is_two_layers():
    """Each call has a name and bits of its own."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            return self.act(0.5 - self.act(x))

    recording = record(Twice())
    assert [layer.name for layer in recording.layers] == ["act", "act:1"]
    assert (recording.raster("act:1") == ((0.5 - X.relu()) > 0).numpy().T).all()
    assert [layer.name for layer in record(Twice(), layers="act:1").layers] == ["act:1"]


def test_the_model_is_found_as_before(mlp):
    """Modes, hooks, weights, buffers, gradients' flags and random states are unchanged, also after an error."""
    model = nn.Sequential(mlp, nn.BatchNorm1d(3), nn.Dropout(), nn.ReLU())
    model.train()
    model[1].eval()
    own = model[3].register_forward_hook(lambda *_: None)
    state = {name: value.clone() for name, value in model.state_dict().items()}

    def look():
        modes = [module.training for module in model.modules()]
        hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
        numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002
        return modes, hooks, torch.get_rng_state().tolist(), numpy_state, torch.is_grad_enabled()

    before = look()
    record(model, DataLoader(TensorDataset(X), batch_size=5, shuffle=True))
    assert look() == before
    with pytest.raises(ActivationError):
        record(model, torch.full((4, 6), torch.nan))
    assert look() == before
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    own.remove()


def test_a_model_that_changes_itself_is_noticed():
    """Buffers that change in eval mode are worth a warning."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x):
            self.calls += 1
            return self.act(x)

    with pytest.warns(Ann2NeoWarning, match="changed its own"):
        record(Counting())


def loaders():
    data = TensorDataset(X, Y)
    return {
        "tensor": ann2neo.Inputs(X, batch_size=10, labels=Y),
        "array": ann2neo.Inputs(X.numpy().astype(np.float64), batch_size=10, labels=Y.numpy()),
        "dataset": ann2neo.Inputs(data, batch_size=10),
        "loader": DataLoader(data, batch_size=10),
        "workers": DataLoader(data, batch_size=10, num_workers=2),
        "list": [(x, y) for x, y in zip(X.split(10), Y.split(10))],
        "function": lambda: ((x, y) for x, y in zip(X.split(10), Y.split(10))),
    }


@pytest.mark.parametrize("form", list(loaders()))
def test_all_forms_of_inputs_give_the_same_recording(mlp, form):
    """Bits, labels, predictions and order do not depend on how the inputs are handed over."""
    recording = record(mlp, loaders()[form])
    reference = record(mlp, loaders()["tensor"])
    assert all(a.identical(b) for a, b in zip(recording.layers, reference.layers))
    assert recording.trials.equals(reference.trials)
    assert recording.trials["label"].tolist() == Y.tolist()
    assert recording.trials["predicted_label"].tolist() == mlp(X).argmax(1).tolist()
    assert (recording.trials["correct"] == (recording.trials["predicted_label"] == recording.trials["label"])).all()


def test_a_shuffling_loader_is_recorded_in_its_own_order(mlp):
    """The indices that the sampler drew are the stimulus ids, so that each bin can be traced to its input."""
    recording = record(
        mlp, DataLoader(TensorDataset(X, Y), batch_size=10, shuffle=True, generator=torch.Generator().manual_seed(3))
    )
    ids = recording.trials["stimulus_id"].to_numpy()
    assert sorted(ids) == list(range(37))
    assert ids.tolist() != list(range(37))
    assert recording.trials["label"].tolist() == Y.numpy()[ids].tolist()
    assert (recording.raster("1") == record(mlp, X[torch.tensor(ids)]).raster("1")).all()


def test_mappings_are_keyword_arguments(mlp):
    """A mapping goes into the model by name, without its label."""

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp

        def forward(self, features, scale):
            return self.net(features * scale)

    batches = [{"features": X, "scale": torch.tensor(2.0), "labels": Y}]
    recording = record(Named(), batches)
    assert (recording.raster("net.1") == record(mlp, 2 * X).raster("1")).all()
    assert recording.trials["label"].tolist() == Y.tolist()


def test_custom_forward_and_prediction(mlp):
    """Batches of any form go through the user's own call."""
    batches = [{"a": {"b": X[:20]}}, {"a": {"b": X[20:]}}]
    inputs = ann2neo.Inputs(
        batches, forward=lambda model, batch: model(batch["a"]["b"]), predict=lambda output: output.argmin(1)
    )
    recording = record(mlp, inputs)
    assert (recording.raster("1") == record(mlp).raster("1")).all()
    assert recording.trials["predicted_label"].tolist() == mlp(X).argmin(1).tolist()


def test_units_and_layers_can_be_chosen():
    """Only chosen units are recorded, and they keep their places in the feature map."""
    model = nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Tanh())
    recording = record(model, units={"2": slice(None, None, 5), "4": [7, 0]})
    assert recording.layer("2").units.tolist() == [0, 5, 10, 15, 20]
    assert recording.layer("2").unit_names[:2] == ["2[0,0,0]", "2[0,1,2]"]
    assert (recording.raster("4") == record(model).raster("4")[[7, 0]]).all()
    assert [layer.name for layer in record(model, layers="4").layers] == ["4"]


def test_any_module_can_be_recorded_with_a_threshold(mlp):
    """A linear layer has no natural threshold, but takes one."""
    recording = record(mlp, layers="0", threshold=0.25)
    assert (recording.raster("0") == (mlp[0](X) > 0.25).detach().numpy().T).all()
    with pytest.raises(ThresholdError, match=r"threshold=\{'0': 0.0\}"):
        record(mlp, layers="0")


def test_plan_says_what_would_be_recorded(mlp):
    """Layers, shapes, units and bytes, from one batch."""
    table = ann2neo.plan(mlp, ann2neo.Inputs(X, batch_size=4), units={"1": [0, 1]})
    assert table["layer"].tolist() == ["1", "3"]
    assert table["shape"].tolist() == [(9,), (5,)]
    assert table["bytes"].tolist() == [2 * 5, 5 * 5]


def test_provenance_says_what_was_done(mlp):
    """Weights, order, rule and versions are written down, flat; what is unknown is left out."""
    provenance = record(mlp, ann2neo.Inputs(X, dataset="noise", dataset_split="test")).provenance
    assert provenance["dataset"] == "noise"
    assert provenance["model_class"] == "torch.nn.modules.container.Sequential"
    assert provenance["threshold_rule"] == "value at pre-activation 0"
    assert "torch" in provenance["software"]
    mlp[0].weight.data[0, 0] += 1
    assert record(mlp).provenance["weights_sha256"] != provenance["weights_sha256"]
    assert "dataset" not in record(mlp).provenance


def functional():
    class Functional(nn.Module):
        def forward(self, x):
            return torch.relu(x)

    return Functional()


def with_unused():
    model = functional()
    model.unused = nn.ReLU()
    return model


BAD = {
    "no activation function": (lambda: nn.Linear(6, 6), X, {}, LayerNotFound, "no activation function"),
    "unknown function": (functional, X, {"layers": "relu8"}, LayerNotFound, "relu8"),
    "uncalled function": (functional, X, {"layers": "gelu"}, LayerNotFound, "'relu'"),
    "unknown layer": (lambda: nn.Sequential(nn.Linear(6, 6), nn.ReLU()), X, {"layers": "10"}, LayerNotFound, "'1'"),
    "never ran": (with_unused, X, {"layers": "unused"}, LayerNeverRan, "not called"),
    "empty": (lambda: nn.ReLU(), torch.zeros(0, 6), {}, InputsError, "empty"),
    "no batch": (lambda: nn.ReLU(), [], {}, InputsError, "empty"),
    "tuple": (lambda: nn.ReLU(), (X, Y), {}, InputsError, "tuple"),
    "number": (lambda: nn.ReLU(), 5, {}, InputsError, "int"),
    "three parts": (lambda: nn.ReLU(), [(5, 6, 7)], {}, InputsError, "no tensor"),
    "few labels": (lambda: nn.ReLU(), ann2neo.Inputs(X, labels=Y[:5]), {}, InputsError, "37 inputs"),
    "NaN": (
        lambda: nn.ReLU(),
        torch.full((3, 2), torch.nan),
        {},
        ActivationError,
        "6 activations in a batch that are NaN",
    ),
    "infinite": (lambda: nn.ReLU(), torch.full((3, 2), torch.inf), {}, ActivationError, "infinite"),
    "changing shape": (lambda: nn.ReLU(), [X[:4], torch.zeros(4, 7)], {}, ActivationError, r"\(6,\).*\(7,\)"),
    "not per input": (lambda: make(lambda self, x: x.sum(0).relu()), X, {}, ActivationError, "37 inputs"),
    "scripted": (lambda: torch.jit.trace(nn.ReLU(), X), X, {}, ModelError, "scripted"),
    "no model": (lambda: len, X, {}, ModelError, "not a torch.nn.Module"),
    "bad threshold": (lambda: nn.ReLU(), X, {"threshold": float("nan")}, ThresholdError, "nan"),
    "bad unit": (lambda: nn.ReLU(), X, {"units": [6]}, ActivationError, "0 to 5"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_ends_in_a_clear_error(case):
    """Fact and cure, in our own tree of errors."""
    import inspect

    model, inputs, options, error, match = BAD[case]
    with pytest.raises(error, match=match) as caught:
        inspect.unwrap(ann2neo.record)(model(), inputs, progress=False, **options)
    assert len(str(caught.value).splitlines()) >= 2


def test_large_finite_activations_are_no_overflow():
    """Activations whose sum overflows are still finite."""
    assert record(nn.ReLU(), torch.full((3, 20), 3e38)).raster("ReLU").all()


def test_a_compiled_model_is_recorded_through_its_original(mlp):
    """Hooks on a compiled model never fire, those on the module beneath do."""
    assert record(torch.compile(mlp)).layers[0].identical(record(mlp).layers[0])


def test_export_checks_its_output_first(mlp, tmp_path):
    """A file that is there is refused before the model runs, and is left alone."""
    path = tmp_path / "rec.nwb"
    path.write_text("mine")
    ran = []
    mlp.register_forward_pre_hook(lambda *_: ran.append(1))
    with pytest.raises(OutputExists):
        ann2neo.export(mlp, X, path, progress=False)
    assert path.read_text() == "mine"
    assert not ran


@pytest.mark.parametrize("suffix", [".nwb", ".nix", ".zarr"])
def test_export_writes_what_record_gives(mlp, tmp_path, suffix):
    """One call records and saves."""
    recording = ann2neo.export(mlp, X, tmp_path / f"rec{suffix}", progress=False)
    assert ann2neo.load(tmp_path / f"rec{suffix}").identical(recording)


def test_labels_that_contradict_the_batches_are_refused(mlp):
    """Labels in the order of the data set do not fit a shuffling loader; those of the batches do."""
    loader = DataLoader(TensorDataset(X, Y), batch_size=10, shuffle=True, generator=torch.Generator().manual_seed(3))
    with pytest.raises(InputsError, match="shuffling loader"):
        record(mlp, ann2neo.Inputs(loader, labels=Y))
    plain = DataLoader(TensorDataset(X, Y), batch_size=10)
    assert record(mlp, ann2neo.Inputs(plain, labels=Y)).trials["label"].tolist() == Y.tolist()


def test_keys_that_the_model_does_not_take_are_named(mlp):
    """A mapping of a data set's own making needs a forward of its own."""
    with pytest.raises(InputsError, match=r"\['image', 'target'\].*\['input'\]"):
        record(mlp, [{"image": X, "target": X}])
