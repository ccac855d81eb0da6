"""Thresholds follow from their rules exactly, whatever the memory; units are drawn once and for all."""

import copy
import subprocess
import sys

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ann2neo
from ann2neo.capture import calibration
from ann2neo.capture.calibration import Gatherer, calibrate
from ann2neo.capture.inputs import as_inputs
from ann2neo.capture.populations import choose_units
from ann2neo.capture.running import Job
from ann2neo.capture.thresholding import always_exceeded, module_floor
from ann2neo.errors import ActivationError, Ann2NeoWarning, InputsError, LayerNotFound, ThresholdError
from ann2neo.recording import order_sha256
from ann2neo.thresholds import Moments, Selection
from ann2neo.thresholds.selection import ordered_keys, place_of, values_of

X = torch.randn(37, 6, generator=torch.Generator().manual_seed(0))
ON = torch.randn(101, 6, generator=torch.Generator().manual_seed(1))
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def record(model, inputs=X, **options):
    return ann2neo.record(model, inputs, progress=False, **options)


@pytest.fixture
def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 5), nn.Sigmoid(), nn.Linear(5, 3))


def activations(model, upto, inputs=ON):
    """Activations of all inputs, by running the model up to a layer, (input, unit) in double precision."""
    with torch.no_grad():
        return copy.deepcopy(model).eval()[: upto + 1](inputs).reshape(len(inputs), -1).double().numpy()


def calibrated(model, rule, *, max_bytes=calibration.MAX_BYTES, units=None, inputs=X, steps=None):
    job = Job(module=model, inputs=as_inputs(inputs), observer=Gatherer(units=None), layers=None, steps=steps)
    return calibrate(job, rule, units=units, max_bytes=max_bytes, progress=False)


# Statistics


floats = st.sampled_from([np.float16, np.float32, np.float64]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=np.dtype(dtype).itemsize * 8),
    )
)


def read(selection, blocks):
    for block in blocks:
        selection.add(block)
    return selection.end_reading()


@settings(max_examples=150, deadline=None)
@given(values=floats, q=st.floats(0, 1), bits=st.integers(1, 16), n_kept=st.integers(0, 3), n_blocks=st.integers(1, 4))
def test_a_quantile_is_numpys_whether_values_are_kept_or_counted(values, q, bits, n_kept, n_blocks):
    """Counting patterns of bits in several readings finds NumPy's inverted_cdf, as sorting does; at most a share 1 - q lies above."""
    blocks = [block for block in np.array_split(values, n_blocks) if len(block)]
    expected = np.quantile(values.astype(np.float64), q, axis=0, method="inverted_cdf")
    kept, counted = Selection(q), Selection(q)
    assert read(kept, blocks)
    for block in blocks[: n_kept + 1]:
        counted.add(block)
    counted.count(bits=bits)
    finished = read(counted, blocks[n_kept + 1 :])
    n_readings = 1
    while not finished:
        finished, n_readings = read(counted, blocks), n_readings + 1
    assert n_readings == -(-8 * values.dtype.itemsize // bits)
    assert kept.values.dtype == counted.values.dtype == values.dtype
    assert kept.values.tobytes() == counted.values.tobytes()
    assert (kept.values == expected).all()
    assert ((values > kept.values).sum(axis=0) <= len(values) - len(values) * q + 1e-9).all()


@given(values=floats)
def test_keys_have_the_order_of_the_values(values):
    """Numbers and their keys are ordered alike, and keys are turned back into their numbers."""
    flat = values.reshape(-1)
    keys = ordered_keys(flat)
    assert ((flat[:, None] < flat) == (keys[:, None] < keys)).all()
    assert (values_of(keys) == flat).all()


@pytest.mark.parametrize("n", [1, 2, 3, 10, 37, 1000])
def test_places_are_numpys(n):
    """The place is the one at which NumPy takes its value."""
    for q in [*np.linspace(0, 1, 101), 0.07, 0.7, 1 / 3]:
        assert place_of(q, n) == np.quantile(np.arange(n, dtype=float), q, method="inverted_cdf")


def test_inputs_that_change_between_readings_are_noticed():
    """Random augmentation would make a quantile of nothing."""
    selection = Selection(0.5)
    selection.add(np.ones((9, 2), np.float32))
    selection.count(bits=8)
    assert not selection.end_reading()
    selection.add(np.full((9, 2), -1, np.float32))
    with pytest.raises(InputsError, match=r"again \(2 columns"):
        selection.end_reading()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("n_blocks", [1, 2, 7, 400])
def test_moments_are_those_of_two_passes(scale, n_blocks):
    """Merged batches agree with NumPy over all values to 1e-12, also where the mean is large beside the standard deviation."""
    values = np.random.default_rng(0).normal(scale, [1.0, 1e-2, 10.0], (400, 3))
    values[:, 2] = np.abs(values[:, 2]) ** 3
    moments = Moments()
    for block in np.array_split(values, n_blocks):
        moments.add(block)
    assert moments.n_values == 400
    np.testing.assert_allclose(moments.mean, values.mean(axis=0), rtol=1e-12)
    # Deviations from the mean cannot be known better than the values: one part in 2^53 of the mean.
    exact = np.array(
        [np.sqrt(np.mean((column - column[0]) ** 2) - np.mean(column - column[0]) ** 2) for column in values.T]
    )
    np.testing.assert_allclose(moments.sd, values.std(axis=0), rtol=1e-12, atol=4e-16 * scale)
    np.testing.assert_allclose(moments.sd, exact, rtol=1e-9)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e300, -7.7])
def test_a_constant_has_no_deviation(value):
    """Not even by rounding, or a unit that never changes would spike always or never by chance."""
    moments = Moments()
    for size in (3, 7, 11):
        moments.add(np.full((size, 2), value))
    assert (moments.mean == value).all()
    assert (moments.sd == 0).all()


# Calibration


@pytest.mark.parametrize("max_bytes", [calibration.MAX_BYTES, 2000])
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


@pytest.mark.parametrize("max_bytes", [calibration.MAX_BYTES, 3000])
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
    little = calibrated(mlp, rule, max_bytes=4000)
    assert len(n_readings) > 3
    assert all((little.thresholds[name] == whole.thresholds[name]).all() for name in ("1", "3"))
    assert little.provenance == whole.provenance


def test_a_generator_is_enough_for_one_reading(mlp):
    """If it has to be read again, the message says what to give instead."""
    whole = calibrated(mlp, ann2neo.MeanPlusSd(1, on=list(ON.split(10)))).thresholds
    once = calibrated(mlp, ann2neo.MeanPlusSd(1, on=iter(ON.split(10))), max_bytes=10).thresholds
    assert (whole["1"] == once["1"]).all()
    with pytest.raises(InputsError, match="fresh generator"):
        calibrated(mlp, ann2neo.Quantile(0.5, on=iter(ON.split(10))), max_bytes=4000)
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
            mlp, X, tmp_path / f"rec{suffix}", threshold=rule, units=ann2neo.Sample(n=4), progress=False
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


# Thresholds by hand


def test_thresholds_of_each_unit_follow_the_units_wherever_they_are_recorded():
    """An array of the layer's shape is looked up by place, one per recorded unit is taken as it is."""
    model = nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.ReLU())
    thresholds = np.linspace(0.1, 0.6, 6).reshape(1, 2, 3)
    for values in (thresholds, thresholds.reshape(-1), thresholds.reshape(-1).tolist(), torch.tensor(thresholds)):
        recording = record(model, units=[4, 0], threshold={"1": values})
        assert recording.layer("1").thresholds.tolist() == [float(np.float32(0.5)), float(np.float32(0.1))]
        assert (recording.raster("1") == (X[:, [4, 0]] > torch.tensor([0.5, 0.1])).numpy().T).all()
    recording = record(model, units=[4, 0], threshold=np.array([0.25, 0.75]))
    assert (recording.raster("1") == (X[:, [4, 0]] > torch.tensor([0.25, 0.75])).numpy().T).all()
    assert recording.provenance["threshold_rule"].startswith("2 thresholds, sha256 ")


@pytest.mark.parametrize("units", [[5, 4, 3, 2, 1, 0], slice(None, None, -1)])
def test_all_units_in_another_order_are_recorded_in_that_order(units):
    """Bits belong to the units beside them, also where all units are chosen."""
    recording = record(nn.ReLU(), units=units)
    assert (recording.raster("ReLU") == (X > 0).numpy().T[::-1]).all()
    assert recording.layers[0].units.tolist() == [5, 4, 3, 2, 1, 0]


BAD = {
    "truth": (True, "no threshold"),
    "infinite": (float("inf"), "no threshold|not finite"),
    "one of them NaN": (np.array([0.1, np.nan, 0.3, 0.4, 0.5, 0.6]), "1 of 6"),
    "wrong number": (np.ones(5), r"\(5,\).*\(6,\)"),
    "too large for the type": (1e39, "too large"),
    "negative on ReLU": (-0.1, "at least 0.*Every unit"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_thresholds_that_are_none_are_refused(case):
    """Fact, consequence and cure."""
    import inspect

    rule, match = BAD[case]
    with pytest.raises(ThresholdError, match="(?s)" + match) as caught:
        inspect.unwrap(ann2neo.record)(nn.ReLU(), X, threshold=rule, progress=False)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: ann2neo.Quantile(1.1, on=X),
        lambda: ann2neo.Quantile(float("nan"), on=X),
        lambda: ann2neo.MeanPlusSd(float("inf"), on=X),
    ],
)
def test_rules_that_are_none_are_refused(make):
    """At once, not after the model ran."""
    with pytest.raises(ThresholdError):
        make()


def test_words_are_no_thresholds():
    """Checked by the package itself, not only by its annotations, which nobody checks outside of the tests."""
    code = "from ann2neo.thresholds import MeanPlusSd, rule_for\nfrom ann2neo.errors import ThresholdError\n"
    code += "for call in (lambda: rule_for('a', 'high'), lambda: MeanPlusSd(1, on=[], per='network'), lambda: rule_for('a', [[1], [2, 3]])):\n"
    code += "    try:\n        call()\n    except ThresholdError as error:\n        print(str(error).splitlines()[0])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert [line.split(" ")[0] for line in done.stdout.splitlines()] == ["a", "'network'", "a"]


def test_patterns_that_fit_no_layer_are_refused(mlp):
    """A misspelt pattern would silently leave its layer with the default."""
    with pytest.raises(LayerNotFound, match="thresholds were given"):
        record(mlp, threshold={"l": 0.5})
    with pytest.raises(LayerNotFound, match="units were given"):
        record(mlp, units={"2": [0]})
    with pytest.raises(LayerNotFound, match="units were given"):
        ann2neo.plan(mlp, X, units={"2": [0]})


def test_a_layer_that_the_calibrating_inputs_do_not_reach_has_no_threshold():
    """It is named, with the rule."""

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.ReLU(), nn.Tanh()

        def forward(self, x):
            return self.a(x) if len(x) > 50 else self.b(self.a(x))

    with pytest.raises(ThresholdError, match="'b' was not called"):
        record(Gated(), X, threshold=ann2neo.Quantile(0.5, on=ann2neo.Inputs(ON, batch_size=101)))


# Always above


FLOORED = [
    nn.CELU(), nn.CELU(0.5), nn.ELU(), nn.ELU(2.0), nn.ELU(-1.0), nn.GELU(), nn.GELU("tanh"), nn.Hardsigmoid(), nn.Hardswish(), nn.Hardtanh(),
    nn.Hardtanh(-3, 2), nn.LeakyReLU(0.0), nn.LeakyReLU(-0.5), nn.Mish(), nn.PReLU(init=-1.0), nn.ReLU(), nn.ReLU6(), nn.SELU(), nn.SiLU(), nn.Sigmoid(),
    nn.Softplus(), nn.Softplus(beta=0.3), nn.Softsign(), nn.Tanh(), nn.Threshold(0.1, 20.0), nn.Threshold(0.5, -2.0),
]  # fmt: skip
UNBOUNDED = [
    nn.Hardshrink(), nn.LeakyReLU(), nn.LogSigmoid(), nn.PReLU(), nn.PReLU(3), nn.RReLU(), nn.Softshrink(), nn.Tanhshrink(), nn.Linear(6, 6), nn.Identity(),
]  # fmt: skip
GRID = torch.cat(
    [torch.linspace(-40, 40, 800_001, dtype=torch.float64), torch.logspace(1.7, 6, 500, dtype=torch.float64) * -1]
)


@pytest.mark.parametrize("activation", FLOORED, ids=repr)
def test_the_lowest_value_is_where_the_grid_says(activation):
    """The minimum over a fine and wide grid is the table's value: reached if the function attains it, approached if not."""
    floor = module_floor(activation)
    with torch.no_grad():
        values = activation.double()(GRID)
    lowest = float(values.min())
    assert lowest == pytest.approx(floor.value, abs=2e-4 if not floor.attained else 1e-9)
    assert lowest >= floor.value - 1e-12
    if floor.attained:
        assert float(values.min()) <= floor.value + 1e-9
    else:
        # Where rounding does not hide it, the function stays above.
        assert (values[GRID.abs() < 15] > floor.value).all()


@pytest.mark.parametrize("activation", UNBOUNDED, ids=repr)
def test_functions_without_a_lowest_value_take_any_threshold(activation):
    """None is claimed where there is none, or where it is not known."""
    assert not always_exceeded(activation, torch.tensor(-1e6)).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [m for m in FLOORED if not isinstance(m, nn.PReLU)], ids=repr)
def test_a_refused_threshold_is_exceeded_by_every_value_and_an_accepted_one_is_not(activation, dtype):
    """Below the lowest value every activation is a spike; at an attained one there is a bin without."""
    values = copy.deepcopy(activation).to(dtype)(GRID[::40].to(dtype))
    values = values[torch.isfinite(values)]
    floor = module_floor(activation)
    below = torch.tensor(floor.value - 0.05 * (1 + abs(floor.value)), dtype=dtype)
    assert always_exceeded(activation, below).all()
    assert (values > below).all()
    at = torch.tensor(floor.value, dtype=torch.float64).to(dtype)
    assert bool(always_exceeded(activation, at).all()) != floor.attained
    if floor.attained:
        above = at + (at.abs() + 1) * max(4 * torch.finfo(dtype).eps, 1e-5)
        assert not always_exceeded(activation, above).any()
        assert not (values > above).all()


def test_zero_on_a_sigmoid_is_refused_with_the_cure():
    """Every unit would spike in every bin; the message names the value at pre-activation 0."""
    with pytest.raises(ThresholdError, match=r"(?s)above 0.*Every unit would spike.*\(0\.5\)"):
        record(nn.Sigmoid(), threshold=0)
    with pytest.raises(ThresholdError, match="Every unit"):
        record(nn.Sigmoid(), threshold=1e-60)
    assert record(nn.Sigmoid(), threshold=1e-6).raster("Sigmoid").all()


def test_some_units_that_always_spike_are_worth_a_warning():
    """The recording goes on, and says how many."""
    with pytest.warns(Ann2NeoWarning, match="2 of 6 units of layer 'ReLU'"):
        recording = record(nn.ReLU(), threshold=np.array([-1.0, 0, 0, 0, 0, -2]))
    assert recording.raster("ReLU")[[0, 5]].all()


# Populations


def test_a_sample_depends_on_seed_and_layer_only():
    """Other layers and how much is drawn change nothing; a larger sample contains the smaller one."""
    small, large = (choose_units("conv", 5000, ann2neo.Sample(n=n)) for n in (20, 400))
    assert small.size == 20
    assert set(small) < set(large)
    assert (np.diff(small) > 0).all()
    assert small.tolist() != choose_units("fc", 5000, ann2neo.Sample(n=20)).tolist()
    assert small.tolist() != choose_units("conv", 5000, ann2neo.Sample(n=20, seed=1)).tolist()
    assert small.tolist() == choose_units("conv", 5000, {"c*": ann2neo.Sample(fraction=0.004)}).tolist()
    # Written down: the same on every machine and in every version.
    assert choose_units("features.0", 1000, ann2neo.Sample(n=4)).tolist() == [58, 137, 216, 563]


def test_a_sample_is_uniform():
    """Over seeds, every unit is drawn equally often."""
    drawn = np.bincount(
        np.concatenate([choose_units("a", 20, ann2neo.Sample(fraction=0.25, seed=seed)) for seed in range(2000)]),
        minlength=20,
    )
    assert drawn.sum() == 10_000
    assert ((drawn - 500) ** 2 / 500).sum() < 45  # chi2 with 19 degrees of freedom: p < 0.001


@given(n_units=st.integers(1, 300), fraction=st.floats(1e-3, 1), seed=st.integers(0, 2**40))
def test_a_share_has_its_size(n_units, fraction, seed):
    """Rounded, at least one, different places that exist."""
    units = choose_units("a", n_units, ann2neo.Sample(fraction=fraction, seed=seed))
    assert units.size == max(1, round(n_units * fraction)) == np.unique(units).size
    assert 0 <= units.min() <= units.max() < n_units
    assert choose_units("a", n_units, ann2neo.Sample(n=500)).tolist() == list(range(n_units))


def test_samples_are_recorded_planned_and_written_down(mlp):
    """Bits of drawn units are those of the full recording, and the plan counts them."""
    units = {"1": ann2neo.Sample(fraction=0.5, seed=3), "3": slice(0, None, 2)}
    recording, whole = record(mlp, units=units), record(mlp)
    for layer in recording.layers:
        assert (recording.raster(layer.name) == whole.raster(layer.name)[layer.units]).all()
    assert (
        ann2neo.plan(mlp, X, units=units)["units"].tolist() == [layer.n_units for layer in recording.layers] == [4, 3]
    )
    assert recording.provenance["units_rule"] == "{'1': Sample(fraction=0.5, n=None, seed=3), '3': slice(0, None, 2)}"
    assert "units_rule" not in whole.provenance


def test_units_may_be_truth_values_or_an_array():
    """One truth value for each unit, or places in any integer type."""
    mask = np.array([True, False, False, True, False, True])
    assert choose_units("a", 6, mask).tolist() == [0, 3, 5]
    assert choose_units("a", 6, np.array([5, 2], np.uint8)).tolist() == [5, 2]


@pytest.mark.parametrize(
    "units", [[], [0, 0], [6], [-1], np.array([0.5]), np.array([True, False]), slice(9, None)], ids=repr
)
def test_choices_that_are_none_are_refused(units):
    """Nothing is cut off, rounded or recorded twice."""
    with pytest.raises(ActivationError, match="layer 'a' has 6 units"):
        choose_units("a", 6, units)


@pytest.mark.parametrize(
    "options", [{}, {"n": 3, "fraction": 0.5}, {"n": 0}, {"fraction": 1.5}, {"fraction": 0.0}, {"n": 3, "seed": -1}]
)
def test_samples_that_are_none_are_refused(options):
    """Exactly one of share and number, in range."""
    with pytest.raises(ActivationError, match="draws no sample"):
        ann2neo.Sample(**options)
