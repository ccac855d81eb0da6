"""That row k of a layer is input k, depends on nothing else, and comes out the same again, is verified; what is not is left out, refused or told."""

import contextlib
import json
import warnings

import numpy as np
import pytest
import torch
from capture_sources import make, names
from torch import nn
from verified_models import (
    DEPENDENT,
    EDGES,
    FROM_RUN_TO_RUN,
    LENGTHS,
    MASK,
    NOT_ROWS,
    RIGHT,
    SEQUENCES,
    Leaky,
    Net,
    X,
    little_mean,
    over_largest,
    positions_table,
    turned,
)

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning, LayerNotFound, ModelError
from ann2neo.verification.orders import halves
from ann2neo.verification.places import relabelled, taken


def record(model, batch, **options):
    return ann2neo.record(model, [batch], progress=False, **options)


def verdict(recording):
    return json.loads(recording.provenance.get("verified_json", "{}"))


def called(model, x):
    """What the model gives for a batch."""
    with torch.no_grad():
        return model.eval()(**x) if isinstance(x, dict) else model.eval()(x)


def count_rows(model):
    """Count the forward passes of a model, and their inputs."""
    rows = []
    model.register_forward_pre_hook(
        lambda _module, args, kwargs: rows.append(len([*args, *kwargs.values()][0])), with_kwargs=True
    )
    return rows


@pytest.mark.filterwarnings("ignore::UserWarning:torch")
@pytest.mark.parametrize("case", RIGHT)
def test_rows_that_are_inputs_are_recorded_without_a_word(case):
    """No false alarm: the bits are those of the model's own output, and 1.5 forward passes more were made."""
    model, batch = RIGHT[case]()
    expected = called(model, batch)
    rows = count_rows(model)
    recording = record(model, batch)
    n = len(expected)
    assert not verdict(recording)
    if case not in ("packed, longest first", "transformer"):
        layer = recording.layers[-1]
        assert (recording.raster(layer.name) == (expected > layer.thresholds[0]).reshape(n, -1).numpy().T).all()
        # Where there are as many positions as inputs, one more run tells which of them are inputs.
        assert sum(rows) <= 2 * n + n // 2 + (2 * n if case == "as many positions as inputs" else 0)


@pytest.mark.parametrize("case", NOT_ROWS)
def test_rows_that_are_not_inputs_are_refused(case):
    """By name and by default; one input a batch is the cure, and verify=False takes them as they are."""
    model, batch = NOT_ROWS[case]()
    rows = count_rows(model)
    with pytest.raises(ActivationError, match=r"(?s)act: row k is not input k.*batch_size=1.*verify=False"):
        record(model, batch)
    assert sum(rows) <= 7 * len(batch)
    with pytest.raises(ActivationError, match="row k is not input k"):
        record(model, batch, layers="act")
    assert names(record(model, batch, verify=False)) == ["act"]
    if case != "routed":
        alone = ann2neo.record(model, ann2neo.Inputs(batch, batch_size=1), progress=False)
        with torch.no_grad():
            expected = torch.cat([model.act(model.fc(x[None])) for x in batch])
        assert (alone.raster("act") == (expected > 0).numpy().T).all()


@pytest.mark.parametrize("case", FROM_RUN_TO_RUN)
def test_what_differs_from_run_to_run_is_refused_unless_passes_seed_it(case):
    """A recording of it cannot be repeated; passes seed every batch, and say that rows could not be verified."""
    model, batch = FROM_RUN_TO_RUN[case]()
    with pytest.raises(ModelError, match=r"(?s)it differs from run to run.*Passes\(n, active=\.\.\.\)"):
        record(model, batch)
    passes = ann2neo.Passes(2, active="Net")
    a, b = (record(model, batch, passes=passes) for _ in range(2))
    assert "with the passes' noise off" in a.provenance["verified"]
    assert all(
        (one.raster.bits(slice(None)) == two.raster.bits(slice(None))).all() for one, two in zip(a.layers, b.layers)
    )


def test_a_state_that_is_kept_from_the_last_call_is_refused():
    """A spiking network that nobody resets answers the same batch differently."""
    model = nn.Sequential(nn.Linear(5, 8), Leaky())
    with pytest.raises(ModelError, match=r"(?s)1: it differs from run to run.*reset a state"):
        record(model, X, layers="1", threshold=0.5)
    resetting = make(lambda self, x: (setattr(self.lif, "potential", None), self.lif(x))[1], lif=Leaky())
    assert names(record(resetting, X, layers="lif", threshold=0.5)) == ["lif"]


def test_only_the_layers_after_the_noise_are_left_out():
    """One warning lists all of them with the reason, and the plan gives the same answer."""
    model = Net(lambda self, x: self.tanh(self.out(torch.dropout(self.act(self.fc(x)), 0.5, True))))
    with pytest.warns(
        Ann2NeoWarning, match=r"(?s)1 activation functions are not recorded, 1 are:\n  tanh: it differs"
    ) as told:
        recording = record(model, X)
    assert len(told) == 1
    assert names(recording) == ["act"]
    with pytest.warns(Ann2NeoWarning, match="tanh: it differs"):
        table = ann2neo.plan(model, [X])
    assert table[table["not_recorded"].isna()]["layer"].tolist() == ["act"]
    assert "run to run" in table.set_index("layer")["not_recorded"]["tanh"]
    assert names(record(model, X, layers="!tanh")) == ["act"]
    with pytest.raises(ActivationError, match="tanh: it differs"):
        record(model, X, layers=["act", "tanh"])


@pytest.mark.parametrize("case", DEPENDENT)
def test_what_depends_on_the_other_inputs_is_recorded_with_a_warning(case):
    """Row k is input k, but another batch gives other spikes."""
    model, batch = DEPENDENT[case]()
    with pytest.warns(Ann2NeoWarning, match="depends on the other inputs of its batch: 'act'"):
        recording = record(model, batch)
    expected = called(model, batch)
    assert (recording.raster("act") == (expected > 0).reshape(len(expected), -1).numpy().T).all()
    assert "act" in verdict(recording)["dependent"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:torch")
def test_dynamic_quantization_depends_on_the_batch():
    """Its scale is that of the whole batch."""
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU())
    quantized = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    with pytest.warns(Ann2NeoWarning, match="quantization"):
        assert names(record(quantized, X)) == ["1"]


class ByTheSize(nn.Module):
    """Adds what depends on the size of the batch and nothing else, as other kernels' rounding does."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, h):
        generator = torch.Generator().manual_seed(len(h))
        return h + self.size * torch.rand(h.shape[1:], generator=generator)


@pytest.mark.parametrize("kind", ["top", "chaotic"])
def test_rounding_that_depends_on_the_size_is_no_alarm(kind):
    """Routing by the largest of nearly equal numbers, and a chaotic network, make the last bits large: told with their share."""

    def top(self, x):
        h = self.noise(self.fc(x).mul(1e-5) + 1.0)
        return self.act(nn.functional.one_hot(h.argmax(1), 8) - 0.5)

    def chaotic(self, x):
        h = self.noise(torch.sigmoid(self.fc(x)))
        for _ in range(60):
            h = 3.99 * h * (1 - h)
        return self.act(h - 0.5)

    model = Net({"top": top, "chaotic": chaotic}[kind], noise=ByTheSize(1e-5)).double()
    for parameter in model.parameters():
        # Multiples of an eighth: no sum is rounded, so that the size alone decides.
        parameter.data = (8 * parameter.data).round() / 8
    recording = record(model, (8 * X.double()).round() / 8, layers="act")
    assert verdict(recording)["rounding"]["act"] > 0.05
    assert not verdict(recording).get("left_out")


def test_tables_and_parameters_are_not_layers():
    """As many rows as inputs do not make a table of positions, or a squashed weight, an activation of inputs."""
    for table in (torch.rand(len(X), 3), torch.full((len(X), 3), 0.3)):
        model = Net(positions_table, table=nn.Parameter(table))
        with pytest.warns(Ann2NeoWarning, match="tanh: it is the same whatever the inputs are"):
            assert names(record(model, X)) == ["act"]
    gated = Net(lambda self, x: self.act(self.fc(x) * self.tanh(self.gate).sum()), gate=nn.Parameter(torch.rand(2)))
    assert names(record(gated, X)) == names(record(gated, X[:2])) == ["act"]
    positive = nn.Sequential(nn.Linear(5, 20), nn.ReLU())
    nn.utils.parametrize.register_parametrization(positive[0], "weight", nn.Softplus())
    assert names(record(positive, X)) == ["1"]


@pytest.mark.parametrize("steps", [None, ann2neo.Steps(1)])
@pytest.mark.parametrize("n", [9, 7])
def test_inputs_along_another_axis_are_found(steps, n):
    """Also where there are as many steps as inputs, so that no size tells them apart."""
    model, x = Net(turned), SEQUENCES[:n]
    recording = ann2neo.record(model, x, steps=steps, progress=False)
    expected = (called(model, x) > 0).numpy()
    shown = expected.reshape(n, -1).T if steps is None else expected.reshape(n * 7, -1).T
    assert (recording.raster("act") == shown).all()
    assert verdict(recording)["arranged"] == {"act": ["axis", 1]}


@pytest.mark.parametrize("kind", ["blocks", "turns"])
def test_flattened_inputs_and_steps_are_given_back_their_axes(kind):
    """(input x step, unit) and (step x input, unit)."""

    def forward(self, x):
        flat = x.flatten(0, 1) if kind == "blocks" else x.transpose(0, 1).flatten(0, 1)
        return self.act(self.fc(flat))

    model = Net(forward)
    expected = (model.act(model.fc(SEQUENCES)) > 0).numpy()
    recording = record(model, SEQUENCES, steps=ann2neo.Steps(1))
    assert (recording.raster("act") == expected.reshape(63, -1).T).all()
    whole = ann2neo.record(model, SEQUENCES, progress=False)
    assert (whole.raster("act") == expected.reshape(9, -1).T).all()


def test_slots_of_experts_are_not_steps():
    """As many slots per input as steps: rows follow their inputs, but an entry is not the step of its number."""

    def forward(self, x):
        chosen = x[..., 0] > 0
        # The tokens of an expert come first, in their order; the other slots are empty.
        order = chosen.long().argsort(dim=1, descending=True, stable=True)
        slots = torch.where(chosen[..., None], x, 0.0).gather(1, order[..., None].expand_as(x))
        return self.tanh(self.out(self.act(self.fc(slots.flatten(0, 1))))).unflatten(0, x.shape[:2]), self.sig(
            self.fc(x)
        )

    model = Net(forward, sig=nn.Sigmoid())
    with pytest.warns(Ann2NeoWarning, match="the entries of an input are not its steps"):
        assert names(record(model, SEQUENCES, steps=ann2neo.Steps(1))) == ["sig"]


def test_inputs_that_are_alike_verify_nothing_until_they_differ():
    """It is said, and the first batch that differs is verified; a fault that shows there is refused."""

    def sorts(self, x):
        order = x[:, 0].argsort(stable=True)
        return self.out(self.act(self.fc(x[order])))[order.argsort()]

    alike = torch.ones(6, 5)
    recording = record(Net(sorts), alike)
    assert "is the same for all inputs of the first batch" in recording.provenance["verified"]
    with pytest.raises(
        ActivationError,
        match="a batch shows what those before, of one input, of inputs that were alike or as long as each other, or in eval mode, could not",
    ):
        ann2neo.record(Net(sorts), [alike, alike, X], progress=False)
    assert names(ann2neo.record(Net(lambda self, x: self.act(self.fc(x))), [alike, X], progress=False)) == ["act"]


@pytest.mark.parametrize("n", [0, 1])
def test_a_first_batch_of_no_or_one_input_leaves_it_to_the_next(n):
    """Layers that mix inputs are told, those whose rows are none are refused, each by the batch of several inputs that comes after; what is equal in it stays open."""
    batches = [X[:n], X[n : n + 1], X[n + 1 :]]
    with pytest.warns(Ann2NeoWarning, match="depends on the other inputs of its batch: 'act'"):
        mixing = ann2neo.record(Net(lambda self, x: self.act(self.fc(x).cumsum(0))), batches, progress=False)
    assert list(verdict(mixing)["dependent"]) == ["act"]
    with pytest.raises(ActivationError, match="of one input"):
        ann2neo.record(Net(lambda self, x: self.act(self.fc(x)).flip(0).relu()), batches, layers="relu", progress=False)
    model = Net(lambda self, x: self.act(self.fc(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = ann2neo.record(model, batches, progress=False)
    with torch.no_grad():
        assert ((model(X) > 0).numpy() == recording.raster("act").T).all()

    def sorts(self, x, lengths):
        order = lengths.argsort(descending=True, stable=True)
        return self.act(self.fc(x[order]))[order.argsort()]

    equal, other = ({"x": SEQUENCES, "lengths": n} for n in (torch.full((9,), 7), LENGTHS.flip(0)))
    one = {name: values[:1] for name, values in equal.items()}
    with pytest.raises(ActivationError, match="of one input"):
        ann2neo.record(Net(sorts), [one, equal, other], progress=False)


def test_equal_lengths_verify_nothing_until_they_differ():
    """A model that sorts by length shows it only where lengths differ."""

    def forward(self, x, lengths):
        order = lengths.argsort(descending=True, stable=True)
        return self.act(self.fc(x[order]))[order.argsort()]

    equal, other = ({"x": SEQUENCES, "lengths": n} for n in (torch.full((9,), 7), LENGTHS.flip(0)))
    with pytest.raises(ActivationError, match="inputs that were alike"):
        ann2neo.record(Net(forward), [equal, other], progress=False)


def test_what_cannot_change_places_is_recorded_and_said():
    """One input a batch; a rerun that fails."""
    model = Net(lambda self, x: self.act(self.fc(x)))
    alone = ann2neo.record(model, ann2neo.Inputs(X, batch_size=1), progress=False)
    assert "could not be verified: the first batch holds one input" in alone.provenance["verified"]
    calls = []

    def once(self, x):
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("only once")
        return self.act(self.fc(x))

    said = record(Net(once), X).provenance["verified"]
    assert "RuntimeError: only once" in said


def test_random_states_go_on_and_come_back():
    """Reruns continue the random state, so that hidden noise shows; afterwards it is that of before."""
    model = Net(lambda self, x: self.act(self.fc(x)))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    record(model, X)
    assert torch.equal(torch.rand(3), expected)


def test_nothing_is_run_again_for_later_batches():
    """Verification costs the first batch only, which is run once more after the last."""
    model = Net(lambda self, x: self.act(self.fc(x)))
    rows = count_rows(model)
    ann2neo.record(model, ann2neo.Inputs(X, batch_size=4), progress=False)
    assert rows == [4, 4, 2, 4, 4, 4, 4, 4]


def test_calibration_reaches_the_verdict_and_the_recording_keeps_it(tmp_path):
    """Layers are left out of both, once, and a store that is resumed or opened again keeps the verdict."""
    model = Net(lambda self, x: self.tanh(self.out(torch.dropout(self.act(self.fc(x)), 0.5, True))))
    rule = ann2neo.Quantile(0.8, on=X)
    with pytest.warns(Ann2NeoWarning, match="not recorded") as told:
        recording = record(model, X, threshold=rule)
    assert len(told) == 1
    assert names(recording) == ["act"]
    with pytest.warns(Ann2NeoWarning, match="not recorded"):
        stored = ann2neo.record(model, ann2neo.Inputs(X, batch_size=10), store=tmp_path / "a.zarr", progress=False)
    assert names(ann2neo.load(tmp_path / "a.zarr")) == names(stored) == ["act"]


def test_masks_leave_padding_out_on_either_side():
    """The positions that a mask names are the bins; zeros that nobody used are told."""
    model = Net(lambda self, x, attention_mask: self.act(self.fc(x)))
    expected = (model.act(model.fc(SEQUENCES)) > 0).numpy()
    for mask in (MASK, MASK.flip(1)):
        batch = {"x": SEQUENCES, "attention_mask": mask}
        recording = record(model, batch, steps=ann2neo.Steps(1, lengths="attention_mask"))
        assert (recording.raster("act") == expected[mask.bool().numpy()].T).all()
        assert (recording.trials["stop_bin"] - recording.trials["start_bin"]).tolist() == mask.sum(1).tolist()
        with pytest.warns(
            Ann2NeoWarning, match=r"'attention_mask' is 0 at 27 of 63 positions.*\n.*\n.*Steps\(1, lengths="
        ):
            assert record(model, batch, steps=ann2neo.Steps(1)).n_bins == 63


def test_what_enters_a_module_and_entries_of_a_list():
    """``name.input`` is the input of a module, ``name.1`` an entry of what it gives."""

    class Several(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.up, self.down = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(6, 5)

        def forward(self, x):
            h = torch.relu(self.gate(x)) * self.up(x)
            return [h, self.down(h)]

    model = nn.Sequential(Several())
    h = (model[0].gate(X).relu() * model[0].up(X)).detach()
    recording = record(model, X, layers=["0.down.input", "0.relu", "0.1"], threshold={"0.relu": None, "*": 0.1})
    assert names(recording) == ["0.relu", "0.down.input", "0.1"]
    assert (recording.raster("0.down.input") == (h > 0.1).numpy().T).all()
    assert (recording.raster("0.1") == (model[0].down(h) > 0.1).numpy().T).all()
    assert names(record(model, X, layers="*down.input", threshold=0.0)) == ["0.down.input"]
    with pytest.warns(
        Ann2NeoWarning, match=r"list with 2 activations, of which the first is recorded.\n.*'0.0', '0.1'"
    ):
        record(model, X, layers="0", threshold=0.0)
    with pytest.raises(LayerNotFound, match=r"0\.2"):
        record(model, X, layers="0.2", threshold=0.0)


def test_layer_names_never_collide():
    """A module that is named as another one's second call, or as its model, is a layer of its own."""
    model = make(
        lambda self, x: self._modules["act:1"](self.act(-self.act(x)) + x),
        **{"act": nn.ReLU(), "act:1": nn.Tanh()},
    )
    recording = record(model, X)
    assert names(recording) == ["act", "act::1", "act:1"]
    assert (recording.raster("act") == (X > 0).numpy().T).all()
    assert not recording.raster("act::1").any()
    same = type("act", (nn.Module,), {"forward": lambda self, x: self.act(x)})()
    same.add_module("act", nn.ReLU())
    assert names(record(same, X)) == ["act"]


def test_an_exclusion_that_fits_nothing_is_refused():
    """A misspelt name would silently leave nothing out."""
    model = Net(lambda self, x: self.act(self.fc(x)))
    with pytest.raises(LayerNotFound, match=r"'!akt'.*"):
        record(model, X, layers="!akt")
    with pytest.raises(LayerNotFound):
        record(model, X, layers="!act")


def test_a_train_that_is_overridden_is_not_called():
    """Batch normalization that unfreezes itself is in eval mode all the same, and flags are restored."""

    class Stubborn(Net):
        def train(self, mode=True):
            super().train(mode)
            self.norm.train(True)
            return self

    model = Stubborn(lambda self, x: self.act(self.norm(self.fc(x))), norm=nn.BatchNorm1d(8)).train()
    flags = [module.training for module in model.modules()]
    a, b = (ann2neo.record(model, ann2neo.Inputs(X, batch_size=n), progress=False) for n in (20, 4))
    assert a.layers[0].identical(b.layers[0])
    assert [module.training for module in model.modules()] == flags


def test_the_ways_in_which_a_batch_changes_places():
    """Halves are complementary; what has no axis of inputs stays; integers that name places follow them."""
    for n in (2, 3, 8, 33):
        first, second = halves(n)
        assert sorted(first + second) == list(range(n))
        assert len(second) - len(first) == n % 2
    batch = {"x": X, "edges": EDGES, "name": ["a"] * 20, "scale": np.ones(3)}
    moved = taken(batch, [3, 3, 5], 20)
    assert torch.equal(moved["x"], X[[3, 3, 5]])
    assert torch.equal(moved["edges"], EDGES)
    assert moved["name"] == ["a"] * 3
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0)).tolist()
    graph = relabelled(batch, order, 20)
    # An edge still joins the same two inputs.
    assert torch.equal(graph["x"][graph["edges"]], X[EDGES])


def test_what_reruns_leave_in_a_model_is_put_back():
    """Buffers and attributes that a forward pass sets are those of the batch that was recorded."""

    def forward(self, x):
        self.last, self.n = self.fc(x), self.n + 1
        self.seen = x.detach()
        return self.act(self.last)

    model = Net(forward, n=0)
    model.register_buffer("seen", torch.zeros(1))
    with pytest.warns(Ann2NeoWarning, match="changed its own parameters or buffers"):
        record(model, X)
    assert torch.equal(model.last, model.fc(X))
    assert torch.equal(model.seen, X)
    assert model.n == 1


def shifted(self, x):
    return self.act(self.fc(x).roll(1, 0))


def two_ways(self, x):
    return self.act(self.out(self.rnn(x)[0]).squeeze(1))


# Name: model and whether row k is input k, whatever else it depends on.
IN_ORDER = {
    "sums along the batch": (lambda: (Net(lambda self, x: self.act(self.fc(x).cumsum(0))), X), True),
    "sums from the end": (lambda: (Net(lambda self, x: self.act(self.fc(x).flip(0).cumsum(0).flip(0))), X), True),
    "a mean of all before": (
        lambda: (Net(lambda self, x: self.act(self.fc(x).cumsum(0) / torch.arange(1.0, len(x) + 1)[:, None])), X),
        True,
    ),
    "recurrent both ways": (
        lambda: (Net(two_ways, rnn=nn.GRU(5, 8, bidirectional=True), out=nn.Linear(16, 8)), X[:, None]),
        True,
    ),
    "neighbours of neighbours": (
        lambda: (Net(lambda self, x: self.act(self.fc(x) + 0.3 * self.fc(x).roll(1, 0))), X),
        True,
    ),
    "shifted": (lambda: (Net(shifted), X), False),
    "turned round": (lambda: (Net(lambda self, x: self.act(self.fc(x.flip(0)))), X), False),
    "unique rows": (lambda: (Net(lambda self, x: self.act(self.fc(torch.unique(x, dim=0)))), X), False),
    "differences": (lambda: (Net(lambda self, x: self.act(self.fc(x.sort(0).values))), X), False),
}


@pytest.mark.parametrize("n", [13, 12, 7])
@pytest.mark.parametrize("case", IN_ORDER)
def test_what_depends_on_the_order_of_its_batch_is_told_from_what_lies_elsewhere(case, n):
    """Inputs that change places among themselves change their own rows where row k is input k; then it is recorded with a warning."""
    make_it, own = IN_ORDER[case]
    model, batch = make_it()
    batch = torch.cat([batch, batch + 1])[:n]
    if own:
        with pytest.warns(Ann2NeoWarning, match="depends on the other inputs of its batch: 'act'"):
            recording = record(model, batch, layers="act")
        assert (recording.raster("act") == (called(model, batch) > 0).reshape(n, -1).numpy().T).all()
    else:
        with pytest.raises(ActivationError, match="row k is not input k"):
            record(model, batch, layers="act")


@pytest.mark.parametrize("n", [2, 3, 5, 6])
@pytest.mark.parametrize("model", [over_largest, little_mean])
def test_small_batches_whose_inputs_depend_on_each_other_in_any_order_are_told(model, n):
    """No order tells more, but they follow their inputs when all change places."""
    net = Net(model)
    with pytest.warns(Ann2NeoWarning, match="depends on the other inputs of its batch: 'act'"):
        recording = record(net, X[:n])
    assert (recording.raster("act") == (called(net, X[:n]) > 0).numpy().T).all()


@pytest.mark.parametrize("case", [*NOT_ROWS, *FROM_RUN_TO_RUN, *DEPENDENT])
def test_there_are_at_most_six_reruns(case):
    """Whatever is wrong, the model is called seven times at most for the first batch."""
    model, batch = {**NOT_ROWS, **FROM_RUN_TO_RUN, **DEPENDENT}[case]()
    calls = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    with contextlib.suppress(ActivationError, ModelError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        record(model, batch)
    assert 2 < len(calls) <= 7
