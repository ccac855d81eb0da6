"""Thresholds follow from their rules and inputs exactly, whatever the memory."""

import numpy as np
import pytest
import torch
from threshold_sources import DTYPES, ON, X, activations, calibrated, perceptron, record
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ann2neo
from ann2neo.errors import ActivationError, InputsError, ThresholdError
from ann2neo.recording import order_sha256
from ann2neo.thresholds import MAX_BYTES


@pytest.fixture
def mlp():
    return perceptron()


@pytest.mark.parametrize("max_bytes", [MAX_BYTES, 2000])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("q", [0.0, 0.5, 0.9, 1.0])
def test_quantiles_of_units_are_exact_in_every_type(mlp, dtype, q, max_bytes):
    """The threshold is one of the unit's own activations, the same with little memory as with much."""
    mlp = mlp.to(dtype)
    found = calibrated(mlp, ann2neo.Quantile(q, on=ann2neo.Inputs(ON.to(dtype), batch_size=13)), max_bytes=max_bytes)
    for name, upto in {"1": 1, "3": 3}.items():
        # By hand in the same batches: a batch's size changes activations in their last bits.
        raw = np.concatenate([activations(mlp, upto, x) for x in ON.to(dtype).split(13)])
        expected = np.quantile(raw, q, axis=0, method="inverted_cdf")
        assert (found.thresholds[name] == expected).all()
        assert ((raw > found.thresholds[name]).mean(axis=0) <= 1 - q).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_and_standard_deviations_are_exact_in_every_type(mlp, dtype):
    """Thresholds agree with NumPy, and are stored as rounded to the activation's type."""
    mlp, on = mlp.to(dtype), ON.to(dtype)
    raw = np.concatenate([activations(mlp, 1, x) for x in on.split(13)])
    rule = ann2neo.MeanPlusSd(1.5, on=ann2neo.Inputs(on, batch_size=13))
    expected = raw.mean(axis=0) + 1.5 * raw.std(axis=0)
    exact = calibrated(mlp, rule).thresholds["1"]
    np.testing.assert_allclose(exact, expected, rtol=1e-12)
    stored = record(mlp, X.to(dtype), threshold=rule).layer("1").thresholds
    assert (stored == torch.tensor(exact).to(dtype).double().numpy()).all()


@pytest.mark.parametrize("max_bytes", [MAX_BYTES, 3000])
def test_one_threshold_for_a_layer_is_that_of_all_its_recorded_units(mlp, max_bytes):
    """Units are pooled, and those that are not recorded do not count."""
    on = ann2neo.Inputs(ON, batch_size=101)
    units = {"1": [7, 2, 4], "3": None}
    for rule, expected in [
        (ann2neo.Quantile(0.8, on=on, per="layer"), lambda a: np.quantile(a, 0.8, method="inverted_cdf")),
        (ann2neo.MeanPlusSd(-0.5, on=on, per="layer"), lambda a: a.mean() - 0.5 * a.std()),
    ]:
        found = calibrated(mlp, rule, units=units, max_bytes=max_bytes).thresholds
        np.testing.assert_allclose(found["1"], [expected(activations(mlp, 1)[:, [7, 2, 4]])] * 3, rtol=1e-12)
        np.testing.assert_allclose(found["3"], [expected(activations(mlp, 3))] * 5, rtol=1e-12)


def test_little_memory_means_several_readings(mlp):
    """The second reading is needed only where activations do not fit."""
    n_readings = []

    def batches():
        n_readings.append(1)
        return ON.split(10)

    rule = ann2neo.Quantile(0.5, on=batches)
    whole = calibrated(mlp, rule)
    assert len(n_readings) == 1
    calibrated(mlp, rule, max_bytes=4000)
    assert len(n_readings) == 2, "half of the activations of inputs in random order are enough"
    little = calibrated(mlp, rule, max_bytes=600)
    assert 4 <= len(n_readings) <= 8
    assert all((little.thresholds[name] == whole.thresholds[name]).all() for name in ("1", "3"))
    assert little.provenance == whole.provenance


def test_a_generator_is_enough_for_one_reading(mlp):
    """If it has to be read again, the message says what to give instead."""
    whole = calibrated(mlp, ann2neo.MeanPlusSd(1, on=list(ON.split(10)))).thresholds
    once = calibrated(mlp, ann2neo.MeanPlusSd(1, on=iter(ON.split(10))), max_bytes=10).thresholds
    assert (whole["1"] == once["1"]).all()
    with pytest.raises(InputsError, match="fresh generator"):
        calibrated(mlp, ann2neo.Quantile(0.5, on=iter(ON.split(10))), max_bytes=600)
    same = iter(X.split(10))
    with pytest.raises(InputsError, match="generator that is to be recorded"):
        record(mlp, same, threshold=ann2neo.Quantile(0.5, on=same))


def test_spikes_are_the_activations_above_their_own_thresholds(mlp):
    """Each unit is compared with its own threshold; on the calibrating inputs it spikes on at most a share 1 - q."""
    on = ann2neo.Inputs(ON, batch_size=20)
    recording = record(mlp, on, threshold=ann2neo.Quantile(0.9, on=on))
    raw = np.concatenate([activations(mlp, 3, x) for x in ON.split(20)])
    assert (recording.raster("3") == (raw > np.quantile(raw, 0.9, axis=0, method="inverted_cdf")).T).all()
    assert recording.raster("3").sum(axis=1).tolist() == [10] * 5


def test_rules_of_layers_are_calibrated_each_on_its_own_inputs(mlp):
    """One mapping may hold rules of all kinds."""
    other = ON[:40] * 2
    rule = {"1": ann2neo.Quantile(0.7, on=ON), "3": ann2neo.MeanPlusSd(1, on=other, per="layer")}
    recording = record(mlp, threshold=rule)
    raw = np.concatenate([activations(mlp, 1, x) for x in ON.split(64)])
    assert (recording.layer("1").thresholds == np.quantile(raw, 0.7, axis=0, method="inverted_cdf")).all()
    pooled = activations(mlp, 3, other)
    assert (recording.layer("3").thresholds == float(np.float32(pooled.mean() + pooled.std()))).all()
    assert recording.provenance["calibration_n_inputs"] == [101, 40]
    assert recording.provenance["threshold_rule"] == (
        "{'1': Quantile(q=0.7, per='unit') on 101 inputs, '3': MeanPlusSd(k=1, per='layer') on 40 inputs}"
    )


def test_units_that_are_recorded_twice_under_two_names_have_their_own_thresholds():
    """The second call of a module is calibrated by itself, also where one pattern fits both."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.Tanh()

        def forward(self, x):
            return self.act(3 * self.act(x))

    recording = record(Twice(), threshold=ann2neo.Quantile(0.5, on=ann2neo.Inputs(ON, batch_size=101)))
    for name, raw in {"act": ON.tanh(), "act:1": (3 * ON.tanh()).tanh()}.items():
        expected = np.quantile(raw.double().numpy(), 0.5, axis=0, method="inverted_cdf")
        assert (recording.layer(name).thresholds == expected).all()


@pytest.mark.parametrize("axis", [1, "calls"])
@pytest.mark.parametrize("per", ["unit", "layer"])
def test_positions_count_as_samples(axis, per):
    """With steps, each position inside an input's length is a value; padding is none."""

    class Unrolled(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.Tanh()

        def forward(self, x):
            return torch.stack([self.act(x[:, t]) for t in range(x.shape[1])], 1) if axis == "calls" else self.act(x)

    x = torch.randn(11, 5, 4, generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([5, 1, 3, 2, 5, 4, 1, 2, 2, 3, 5])
    inputs = ann2neo.Inputs(
        [{"x": x[i : i + 4], "n": lengths[i : i + 4]} for i in range(0, 11, 4)], forward=lambda model, b: model(b["x"])
    )
    steps = ann2neo.Steps(axis, lengths=lambda batch: batch["n"])
    rule = ann2neo.Quantile(0.6, on=inputs, per=per)
    inside = x.tanh()[torch.arange(5)[None] < lengths[:, None]].double().numpy()
    expected = np.quantile(inside, 0.6, axis=0 if per == "unit" else None, method="inverted_cdf")
    recording = record(Unrolled(), inputs, steps=steps, threshold=rule)
    assert (recording.layer("act").thresholds == expected).all()
    assert recording.provenance["calibration_n_inputs"] == 11


def test_listed_lengths_belong_to_the_recorded_inputs():
    """For other inputs they would be wrong; for the same ones they are right."""
    x = torch.randn(4, 5, 3)
    steps = ann2neo.Steps(1, lengths=[5, 2, 3, 1])
    recording = record(nn.Sequential(nn.Tanh()), x, steps=steps, threshold=ann2neo.Quantile(1, on=x))
    assert not recording.raster("0").any()
    with pytest.raises(InputsError, match="other inputs"):
        record(nn.Sequential(nn.Tanh()), x, steps=steps, threshold=ann2neo.Quantile(1, on=x * 2))


def test_functions_are_calibrated_like_modules():
    """A function that the model calls has thresholds and a lowest value as its module has."""

    class Functional(nn.Module):
        def forward(self, x):
            return torch.sigmoid(x)

    recording = record(Functional(), threshold=ann2neo.Quantile(0.8, on=ann2neo.Inputs(ON, batch_size=101)))
    expected = np.quantile(ON.sigmoid().double().numpy(), 0.8, axis=0, method="inverted_cdf")
    assert (recording.layer("sigmoid").thresholds == expected).all()
    assert recording.provenance["calibration_n_inputs"] == 101
    with pytest.raises(ThresholdError, match="Every unit"):
        record(Functional(), threshold=0.0)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_calibrating_activations_have_to_be_finite(mlp, bad):
    """Nobody could say where among the others they belong."""
    with pytest.raises(ActivationError, match="NaN or infinite"):
        record(mlp, threshold=ann2neo.MeanPlusSd(1, on=torch.full((3, 6), bad)))


@pytest.mark.parametrize("rule", [ann2neo.Quantile(0.9, on=ON[:1]), ann2neo.MeanPlusSd(3, on=ON[:1])])
def test_one_input_is_its_own_threshold(mlp, rule):
    """A single value is every quantile, and has no deviation."""
    assert (calibrated(mlp, rule).thresholds["3"] == activations(mlp, 3, ON[:1])[0]).all()
    assert not record(mlp, ON[:1], threshold=rule).raster("3").any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [-2, 0, 3])
def test_units_that_never_change_are_silent(dtype, k):
    """Their threshold is their own value, exactly, whatever the number of standard deviations."""
    x = torch.full((50, 3), 0.1, dtype=dtype)
    for rule in (ann2neo.MeanPlusSd(k, on=x), ann2neo.Quantile(0.3, on=x), ann2neo.MeanPlusSd(k, on=x, per="layer")):
        recording = record(nn.ReLU(), x, threshold=rule)
        assert (recording.layers[0].thresholds == float(x[0, 0])).all()
        assert not recording.raster("ReLU").any()


def test_calibration_leaves_model_random_state_and_recording_alone(mlp):
    """Only thresholds differ from a recording with the same numbers given by hand; modes and random states are as before."""
    model = nn.Sequential(mlp, nn.Dropout(), nn.ReLU()).train()
    loader = DataLoader(TensorDataset(ON), batch_size=7, shuffle=True)
    shuffled = DataLoader(TensorDataset(X), batch_size=5, shuffle=True)
    before = torch.get_rng_state()
    recording = record(model, shuffled, threshold=ann2neo.Quantile(0.5, on=loader))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert not model[0]._forward_hooks
    by_hand = {layer.name: layer.thresholds for layer in recording.layers}
    again = record(model, shuffled, threshold=by_hand)
    assert all(a.identical(b) for a, b in zip(recording.layers, again.layers))
    assert recording.trials.equals(again.trials)


def test_passes_are_calibrated_without_their_randomness():
    """Thresholds are those of the network in eval mode."""
    model = nn.Sequential(nn.Dropout(0.5), nn.ReLU())
    recording = record(
        model, passes=ann2neo.Passes(3), threshold=ann2neo.Quantile(0.9, on=ann2neo.Inputs(ON, batch_size=101))
    )
    expected = np.quantile(ON.relu().double().numpy(), 0.9, axis=0, method="inverted_cdf")
    assert (recording.layers[0].thresholds == expected).all()


def test_provenance_identifies_the_calibrating_inputs(mlp):
    """Number, order and content are written down; the content's hash does not depend on the batch size."""
    found = calibrated(mlp, ann2neo.Quantile(0.9, on=ann2neo.Inputs(ON, batch_size=10, dataset="noise"))).provenance
    assert found["threshold_rule"] == "Quantile(q=0.9, per='unit') on 101 inputs"
    assert found["calibration_n_inputs"] == 101
    assert found["calibration_batch_size"] == 10
    assert found["calibration_dataset"] == "noise"
    assert found["calibration_order_sha256"] == order_sha256(np.arange(101))
    other = calibrated(mlp, ann2neo.MeanPlusSd(1, on=DataLoader(TensorDataset(ON), batch_size=3))).provenance
    assert other["calibration_sha256"] == found["calibration_sha256"]
    changed = ON.clone()
    changed[50, 2] += 1e-6
    assert (
        calibrated(mlp, ann2neo.MeanPlusSd(1, on=changed)).provenance["calibration_sha256"]
        != found["calibration_sha256"]
    )


def test_a_calibrated_recording_survives_its_files(mlp, tmp_path):
    """Thresholds of each unit and the facts about the calibration come back from every format."""
    rule = {"1": ann2neo.Quantile(0.7, on=ON), "3": ann2neo.MeanPlusSd(1, on=ON * 2)}
    for suffix in (".zarr", ".nwb", ".nix"):
        recording = ann2neo.export(
            mlp, X, tmp_path / f"rec{suffix}", threshold=rule, units=ann2neo.Sample(n=2), progress=False
        )
        assert ann2neo.load(tmp_path / f"rec{suffix}").identical(recording)


def test_plain_inputs_are_read_like_the_recorded_ones(mlp):
    """The batch size and the forward call of the recorded inputs hold for calibrating data that bring none."""
    inputs = ann2neo.Inputs(
        [{"a": X}], forward=lambda model, batch: model(batch["a"]), labels=torch.zeros(37, dtype=int)
    )
    recording = record(mlp, inputs, threshold=ann2neo.Quantile(0.5, on=[{"a": ON}]))
    expected = np.quantile(activations(mlp, 3), 0.5, axis=0, method="inverted_cdf")
    assert (recording.layer("3").thresholds == expected).all()
