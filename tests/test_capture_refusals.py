"""What would give a wrong number, or a traceback from the depth of torch, is refused with what helps; what can be made exact works."""

import numpy as np
import pytest
import torch
from capture_sources import SEQUENCES, X, make, names, record
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import ann2neo
from ann2neo.errors import ActivationError, InputsError, LayerNotFound, ModelError, ThresholdError


@pytest.fixture
def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 5), nn.Tanh())


def test_a_plan_uses_up_no_inputs(mlp):
    """A generator is refused before it is touched; a function that gives a fresh one serves plan and recording."""
    batches = (x for x in X.split(5))
    for given in (batches, ann2neo.Inputs(batches)):
        with pytest.raises(InputsError, match=r"generator.*\n.*use up its first batch"):
            ann2neo.plan(mlp, given)
    assert record(mlp, batches).n_bins == 13
    again = ann2neo.Inputs(lambda: iter(X.split(5)))
    ann2neo.plan(mlp, again)
    assert record(mlp, again).n_bins == 13


@pytest.mark.parametrize("option", ["threshold", "units"])
def test_a_special_pattern_behind_a_general_one_is_refused(mlp, option):
    """The first pattern that fits counts; one that is never applied is told, and the other way round both are."""
    general, special = (0.3, 0.1) if option == "threshold" else ([0], [1])
    with pytest.raises(LayerNotFound, match=r"'\*' fits '3' too.*\n.*\n.*\{'3': ..., '\*': ...\}"):
        record(mlp, **{option: {"*": general, "3": special}})
    with pytest.raises(LayerNotFound, match="special before the general"):
        ann2neo.plan(mlp, X, **{option: {"*": general, "3": special}})
    recording = record(mlp, **{option: {"3": special, "*": general}})
    found = [getattr(layer, {"threshold": "thresholds"}.get(option, option))[0] for layer in recording.layers]
    assert np.allclose(found, [0.3, 0.1] if option == "threshold" else [0, 1])


def test_a_general_pattern_may_find_nothing_left(mlp):
    """A last pattern for all the rest is no mistake where there is no rest."""
    thresholds = record(mlp, layers="3", threshold={"3": 0.1, "*": 0.3}).layer("3").thresholds
    assert np.allclose(thresholds, 0.1)


class Cell(nn.Module):
    """Calls a cell step by step; with ``shrinking``, only for the inputs that are still going on."""

    def __init__(self, *, shrinking=False):
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.shrinking = nn.GRUCell(4, 5), shrinking

    def forward(self, x):
        state = torch.zeros(len(x), 5)
        for t in range(x.shape[1]):
            n = len(x) - t if self.shrinking else len(x)
            state = self.cell(x[:n, t], state[:n])
        return state


@pytest.mark.parametrize("threshold", [0.0, "calibrated"])
def test_calls_for_fewer_and_fewer_inputs_are_refused(threshold):
    """Which input an activation belongs to is unclear, in a recording and in a calibration."""
    rule = ann2neo.Quantile(0.5, on=SEQUENCES) if threshold == "calibrated" else threshold
    with pytest.raises(ActivationError, match=r"'cell' .*: 7, 6, 5, 4, 3\.\n.*\n.*lengths"):
        record(Cell(shrinking=True), SEQUENCES, 7, layers="cell", threshold=rule, steps=ann2neo.Steps("calls"))


def test_units_are_not_taken_for_steps():
    """The state of a cell, (batch, unit), has no axis of steps; a single unit per step needs an axis of its own."""
    with pytest.raises(ActivationError, match=r"'cell', 'cell:1', .*\n.*\n.*Steps\('calls'\).*unsqueeze"):
        record(Cell(), SEQUENCES, layers="cell", threshold=0.0, steps=ann2neo.Steps(1))
    with pytest.raises(ActivationError, match="unsqueeze"):
        ann2neo.plan(Cell(), SEQUENCES, layers="cell", steps=ann2neo.Steps(1))
    one = record(nn.ReLU(), SEQUENCES[:, :, :1], steps=ann2neo.Steps(1))
    assert (one.raster("ReLU") == (SEQUENCES[:, :, 0] > 0).reshape(1, -1).numpy()).all()


def packed_lstm(lengths, *, batch_first):
    torch.manual_seed(0)

    def forward(self, x):
        x = x if batch_first else x.transpose(0, 1)
        return self.lstm(pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=False))[0].data

    return make(forward, lstm=nn.LSTM(4, 3, batch_first=batch_first))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("lengths", [[5, 2, 3, 1, 5], [5, 5, 5, 5, 5]])
def test_packed_sequences_have_inputs_first(batch_first, lengths):
    """The states of a packed sequence are those of each input by itself, whatever the order of axes in the module; here inputs are as many as steps."""
    x, model = SEQUENCES[:5], packed_lstm(torch.tensor(lengths), batch_first=batch_first)
    recording = record(model, x, layers="lstm", threshold=0.0, steps=ann2neo.Steps(1, lengths=lengths), verify=False)
    with torch.no_grad():
        alone = [x[i : i + 1, :n] if batch_first else x[i : i + 1, :n].transpose(0, 1) for i, n in enumerate(lengths)]
        expected = torch.cat([model.lstm(one)[0].reshape(-1, 3) for one in alone]) > 0
    assert (recording.raster("lstm") == expected.numpy().T).all()


@pytest.mark.parametrize("steps", [None, ann2neo.Steps(1)])
def test_padding_is_not_blamed_on_the_weights(steps):
    """What is NaN because sequences are packed says that their lengths are needed; where they are given, NaN is NaN."""
    model = packed_lstm(torch.tensor([5, 2, 3, 1, 5]), batch_first=True)
    for rule in (0.0, ann2neo.Quantile(0.5, on=SEQUENCES[:5])):
        with pytest.raises(ActivationError, match=r"packed, .* padding .*Steps\(1, lengths=...\)"):
            record(model, SEQUENCES[:5], layers="lstm", threshold=rule, steps=steps, verify=False)
    given = ann2neo.Steps(1, lengths=[5, 2, 3, 1, 5])
    with pytest.raises(ActivationError, match=r"\nCheck the inputs"):
        record(model, SEQUENCES[:5] * torch.nan, layers="lstm", threshold=0.0, steps=given, verify=False)


def test_weights_that_are_not_there_are_told():
    """Lazy modules that have not run, and shapes without numbers; after one batch a lazy module is like any other."""
    lazy = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d(), nn.ReLU())
    for call in (record, ann2neo.plan):
        with pytest.raises(ModelError, match=r"lazy.*'0.weight'.*\n.*\n.*model\(batch\)"):
            call(lazy, X)
    lazy(X)
    assert names(record(lazy)) == ["2"]
    with torch.device("meta"):
        empty = nn.Sequential(nn.Linear(6, 3), nn.ReLU())
    with pytest.raises(
        ModelError, match=r"2 parameters and buffers of Sequential are on the meta device.*\n.*\n.*to_empty"
    ):
        record(empty)


def test_a_name_that_is_no_layer_names_those_that_are(mlp):
    """The name of a function that is not called lists what was called and what there is, and names what does the same."""
    model = nn.Sequential(*[nn.Linear(6, 6), nn.ReLU()], make(lambda self, x: torch.tanh(x)))
    with pytest.raises(LayerNotFound, match=r"not a module of Sequential.*functions: '1'\)\. Did you mean '1'\?"):
        record(model, layers="relu")
    with pytest.raises(LayerNotFound, match=r"Did you mean '2\.tanh'\?"):
        record(model, layers="tanh")
    with pytest.raises(LayerNotFound, match=r"Did you mean 'hidden'\?"):
        record(make(lambda self, x: torch.relu(self.hidden(x)), hidden=nn.Linear(6, 3)), layers="hiden")


def test_a_plan_knows_steps_thresholds_and_bins(mlp):
    """Units, bins and bytes are those of the recording with the same options; a threshold is a number as far as it is known."""
    rnn = make(lambda self, x: self.rnn(x)[0], rnn=nn.RNN(4, 6, batch_first=True))
    for steps in (ann2neo.Steps(1), ann2neo.Steps(1, lengths=[5, 1, 2, 3, 4, 5, 1])):
        table, recording = (call(rnn, SEQUENCES, layers="rnn", steps=steps) for call in (ann2neo.plan, record))
        assert (
            table[["units", "bins"]].iloc[0].tolist()
            == [recording.layer("rnn").n_units, recording.n_bins]
            == [6, table["bins"][0]]
        )
        assert table["bytes"][0] == 6 * -(-recording.n_bins // 8)
    assert ann2neo.plan(Cell(), SEQUENCES, layers="cell", steps=ann2neo.Steps("calls"))["bins"].tolist() == [35]
    rule = {"1": ann2neo.Quantile(0.9, on=X), "3": torch.tensor(0.5)}
    assert ann2neo.plan(mlp, X, threshold=rule)["threshold"].tolist() == ["Quantile(q=0.9, per='unit')", 0.5]
    assert ann2neo.plan(mlp, X, layers=["0", "3"])["threshold"].tolist()[1] == 0.0
    assert ann2neo.plan(mlp, X, layers="0")["threshold"].isna().all()
    with pytest.raises(LayerNotFound, match="'4'"):
        ann2neo.plan(mlp, X, threshold={"4": 0.1})
    with pytest.raises(ThresholdError, match="nan"):
        ann2neo.plan(mlp, X, threshold=float("nan"))


KINDS = {
    "quantised": (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8), "quint8.*\n.*quantised.*\n.*floating-point model"),
    "integers": (lambda x: (x > 0).long(), "int64.*\n.*Integers and truth values"),
    "truth": (lambda x: x > 0, r"bool and shape \(5, 6\).*\n.*\n.*from_array"),
    "number": (lambda x: x.sum(), "no axis along which inputs lie"),
    "complex": (lambda x: torch.complex(x, x), "Complex numbers"),
    "text": (lambda x: "x", "gives a str"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("kind", list(KINDS))
def test_what_is_no_activation_says_why(kind):
    """Types of outputs that are not supported are named as such."""
    function, match = KINDS[kind]
    inner = make(lambda self, x: function(x))
    model = make(lambda self, x: (self.inner(x), x)[1], inner=inner)
    with pytest.raises(ActivationError, match=match):
        record(model, layers="inner", threshold=0.0)


def test_a_mapping_of_tensors_is_a_batch_in_a_list(mlp):
    """What a tokenizer gives is refused with the form in which it is one batch."""
    with pytest.raises(InputsError, match=r"\[batch\]"):
        record(mlp, {"input": X})
    assert record(mlp, [{"input": X}]).n_bins == 13
