"""Rules and thresholds by hand: what is a threshold, what is none, and what every activation exceeds."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from threshold_sources import DTYPES, ON, X, perceptron, record
from torch import nn

import ann2neo
from ann2neo.capture.spikes.threshold import always_exceeded, module_floor
from ann2neo.errors import Ann2NeoWarning, LayerNotFound, ThresholdError


@pytest.fixture
def mlp():
    return perceptron()


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
    "truth": (True, "must be a finite number"),
    "infinite": (float("inf"), "must be a finite number|not finite"),
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
    assert [line.split(" ")[0] for line in done.stdout.splitlines()] == ["the", "`per`", "the"]


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


@pytest.mark.parametrize(
    "given",
    [
        torch.tensor(0.5),
        np.array(0.5),
        np.float16(0.5),
        torch.tensor(0.5, dtype=torch.bfloat16),
        nn.Parameter(torch.tensor(0.5)),
    ],
)
def test_numbers_without_axes_are_numbers(given):
    """A tensor or array of no axes is the number that it holds, also in the provenance."""
    recording, expected = (ann2neo.record(nn.ReLU(), X, threshold=rule, progress=False) for rule in (given, 0.5))
    assert recording.layers[0].identical(expected.layers[0])
    assert recording.provenance["threshold_rule"] == expected.provenance["threshold_rule"] == "0.5"


def test_thresholds_of_units_may_need_gradients():
    """A tensor that is trained gives its numbers."""
    n = X[0].numel()
    given = nn.Parameter(torch.linspace(0.1, 0.9, n, dtype=torch.bfloat16))
    recording = ann2neo.record(nn.ReLU(), X, threshold=given, progress=False)
    assert (recording.layers[0].thresholds == given.detach().double().numpy().astype(np.float32)).all()
