"""Sequences have a pseudo-time axis of their own; stochastic networks are run several times."""

import numpy as np
import pytest
import torch
from torch import nn

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning, InputsError, LayerNotFound, ModelError
from ann2neo.packing import PlaneBuffer, pack

X = torch.randn(7, 5, 4, generator=torch.Generator().manual_seed(0))


def record(model, inputs=X, **options):
    return ann2neo.record(model, inputs, progress=False, **options)


@pytest.fixture
def tokens():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3), nn.Tanh())


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_positions_are_bins_of_their_input(tokens, batch_size):
    """Bin k of trial t is position k of input t, in every layer."""
    recording = record(tokens, ann2neo.Inputs(X, batch_size=batch_size), steps=ann2neo.Steps(1))
    expected = (tokens[:2](X) > 0).reshape(35, 6).numpy().T
    assert (recording.raster("1") == expected).all()
    assert recording.layer("1").shape == (6,)
    assert recording.trials["start_bin"].tolist() == list(range(0, 35, 5))
    assert recording.stretches.tolist() == list(range(0, 40, 5))
    assert recording.provenance["steps_axis"] == 1


def test_an_inner_axis_can_be_the_steps():
    """Of (batch, channel, time) the last axis may be time."""
    recording = record(nn.Sequential(nn.ReLU()), X, steps=ann2neo.Steps(2))
    assert (recording.raster("0") == (X > 0).permute(0, 2, 1).reshape(28, 5).numpy().T).all()


@pytest.mark.parametrize("form", ["array", "function"])
def test_lengths_leave_padding_out(tokens, form):
    """Positions beyond an input's length are no bins, whether lengths are given at once or read from the batch."""
    lengths = np.array([5, 1, 3, 2, 5, 4, 1])
    mask = torch.arange(5)[None] < torch.tensor(lengths)[:, None]
    if form == "array":
        recording = record(tokens, ann2neo.Inputs(X, batch_size=3), steps=ann2neo.Steps(1, lengths=lengths))
    else:
        batches = [{"x": x, "mask": m} for x, m in zip(X.split(3), mask.split(3))]
        inputs = ann2neo.Inputs(batches, forward=lambda model, batch: model(batch["x"]))
        recording = record(tokens, inputs, steps=ann2neo.Steps(1, lengths=lambda batch: batch["mask"].sum(1)))
    assert (recording.raster("3") == (tokens(X)[mask] > 0).numpy().T).all()
    assert (recording.trials["stop_bin"] - recording.trials["start_bin"]).tolist() == lengths.tolist()


def test_calls_are_steps_of_unrolled_cells():
    """A module that is called once per position gives one bin per call, input by input."""

    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.act = nn.Linear(8, 4), nn.Tanh()

        def forward(self, x):
            state, states = torch.zeros(len(x), 4), []
            for t in range(x.shape[1]):
                state = self.act(self.mix(torch.cat([x[:, t], state], dim=1)))
                states.append(state)
            return torch.stack(states, dim=1)

    torch.manual_seed(1)
    cell = Cell()
    recording = record(cell, ann2neo.Inputs(X, batch_size=3), steps=ann2neo.Steps("calls"))
    assert [layer.name for layer in recording.layers] == ["act"]
    assert (recording.raster("act") == (cell(X) > 0).reshape(35, 4).detach().numpy().T).all()


def test_layers_with_other_steps_are_left_out_or_refused_with_the_list():
    """Striding changes the number of steps: there is no common axis."""
    model = nn.Sequential(nn.Conv1d(5, 3, 1), nn.ReLU(), nn.AvgPool1d(2), nn.Tanh())
    with pytest.warns(Ann2NeoWarning, match="3: it has 2 entries along the axis of steps, most layers have 4"):
        assert [layer.name for layer in record(model, steps=ann2neo.Steps(2)).layers] == ["1"]
    with pytest.raises(ActivationError, match=r"1 of 2 layers have 4 positions, but not these: '3' \(2\)"):
        record(model, layers="*", steps=ann2neo.Steps(2))


@pytest.mark.parametrize(
    ("steps", "error", "match"),
    [
        (ann2neo.Steps(3), ActivationError, "axis 3"),
        (ann2neo.Steps(1, lengths=[6] * 7), ActivationError, "5 positions"),
        (ann2neo.Steps(1, lengths=[0] * 7), InputsError, "positive"),
        (ann2neo.Steps(1, lengths=[5.0] * 7), InputsError, "float64"),
        (ann2neo.Steps(1, lengths=[5] * 6), InputsError, "7 inputs"),
    ],
)
def test_impossible_steps_are_refused(tokens, steps, error, match):
    """A missing axis, impossible lengths."""
    with pytest.raises(error, match=match):
        record(tokens, steps=steps)


def test_statistics_do_not_cross_trials(tokens):
    """Each input is a stretch of its own: no interval joins two sequences."""
    spikes = torch.zeros(3, 4, 1)
    spikes[:, 0], spikes[:, 3] = 1, 1
    table = ann2neo.analyze(record(nn.ReLU(), spikes, steps=ann2neo.Steps(1)), windows="trial", progress=False)
    assert table["isi_mean"][0] == 3.0


@pytest.fixture
def noisy():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 30), nn.Dropout(0.5), nn.ReLU(), nn.Linear(30, 3))


FLAT = X.reshape(35, 4)


def test_passes_keep_dropout_stochastic_and_repeat_with_their_seed(noisy):
    """Passes differ from one another, and are the same when they are recorded again, whatever ran before."""
    passes = ann2neo.Passes(3, seed=5)
    first = record(noisy, ann2neo.Inputs(FLAT, batch_size=10, labels=np.arange(35) % 3), passes=passes)
    torch.manual_seed(99)
    second = record(noisy, ann2neo.Inputs(FLAT, batch_size=10, labels=np.arange(35) % 3), passes=passes)
    assert first.n_passes == 3
    assert all(a.identical(b) for a, b in zip(first.layers, second.layers))
    a, b, c = np.split(first.raster("2"), 3, axis=1)
    assert (a != b).any()
    assert (b != c).any()
    assert first.trials["pass"].tolist() == [0] * 35 + [1] * 35 + [2] * 35
    assert first.trials["label"].tolist() == (np.arange(35) % 3).tolist() * 3
    assert len(set(np.split(first.trials["predicted_label"].to_numpy(), 3)[0].tolist())) > 1
    other = record(noisy, ann2neo.Inputs(FLAT, batch_size=10), passes=ann2neo.Passes(3, seed=6))
    assert not other.layers[0].identical(first.layers[0])
    assert all(module.training for module in noisy.modules())


def test_only_active_modules_are_stochastic(noisy):
    """Batch normalization stays in eval mode, and modules can be named."""
    model = nn.Sequential(noisy, nn.BatchNorm1d(3), nn.Dropout(0.5), nn.ReLU())
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recording = record(model, FLAT, passes=ann2neo.Passes(2, active="2"))
    a, b = np.split(recording.raster("0.2"), 2, axis=1)
    assert (a == b).all()
    a, b = np.split(recording.raster("3"), 2, axis=1)
    assert (a != b).any()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())


def test_fano_factor_over_passes(noisy):
    """Over passes, the Fano factor is Elephant's over the counts of each window."""
    recording = record(noisy, ann2neo.Inputs(FLAT, labels=np.arange(35) % 5), passes=ann2neo.Passes(20))
    table = ann2neo.analyze(recording, windows="label", over="passes", progress=False)
    dense = recording.raster("2").reshape(30, 20, 35)
    counts = np.stack([dense[:, :, np.arange(35) % 5 == c].sum(axis=2) for c in range(5)])
    with np.errstate(invalid="ignore"):
        expected = np.nanmean(counts.var(axis=2) / counts.mean(axis=2), axis=0)
    assert np.allclose(table["fano"], expected, equal_nan=True)


def test_impossible_passes_are_refused(noisy):
    """No dropout, no such module, no pass, and inputs that can be read only once."""
    with pytest.raises(ModelError, match="no dropout"):
        record(nn.ReLU(), X, passes=ann2neo.Passes(2))
    with pytest.raises(LayerNotFound, match="'drop'"):
        record(noisy, FLAT, passes=ann2neo.Passes(2, active="drop"))
    with pytest.raises(ModelError, match="0 passes"):
        ann2neo.Passes(0)
    with pytest.raises(InputsError, match="generator"):
        record(noisy, (x for x in FLAT.split(5)), passes=ann2neo.Passes(2))


def test_files_keep_steps_and_passes(noisy, tmp_path):
    """Sequences and passes go through every format."""
    recording = record(noisy, X, steps=ann2neo.Steps(1, lengths=[5, 1, 2, 3, 4, 5, 1]), passes=ann2neo.Passes(2))
    for suffix in (".zarr", ".nwb", ".nix"):
        ann2neo.save(recording, tmp_path / f"rec{suffix}")
        assert ann2neo.load(tmp_path / f"rec{suffix}").identical(recording)


@pytest.mark.parametrize("seed", range(5))
def test_planes_join_whatever_their_sizes(seed):
    """Planes of any number of bins, taken out at any time, are the bits of one long raster."""
    rng = np.random.default_rng(seed)
    spikes = rng.random((rng.integers(1, 200), 3)) < 0.4
    buffer, taken, first = PlaneBuffer(3), [], 0
    while first < len(spikes):
        last = min(len(spikes), first + rng.integers(1, 30))
        buffer.add(pack(spikes[first:last]))
        first = last
        if rng.random() < 0.3 and buffer.n_bins >= 8:
            taken.append(buffer.pop(buffer.n_bins // 8 * 8))
    taken.append(buffer.pop())
    assert buffer.n_bins == 0
    bits = np.unpackbits(np.concatenate(taken, axis=1), axis=1)
    assert (bits[:, : len(spikes)] == spikes.T).all()
    assert not bits[:, len(spikes) :].any()


class Flattening(nn.Module):
    """Steps flattened with inputs before the activation function, as some transformers do."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(x.reshape(-1, x.shape[-1])[..., None]).reshape(x.shape)


class Transposing(nn.Module):
    """Steps first inside, inputs first outside."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(x.transpose(0, 1)).transpose(0, 1)


class Flat(Flattening):
    """The same, with units after the flattened steps."""

    def forward(self, x):
        return self.act(x.reshape(-1, x.shape[-1])).reshape(x.shape)


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("lengths", [None, [5, 3, 7, 1, 2, 4]])
@pytest.mark.parametrize("model", [Flattening, Transposing, Flat])
def test_layers_whose_inputs_lie_elsewhere_are_given_back_their_axes(model, lengths, calibrated):
    """Where running the inputs in another order shows where they lie, each bin is its input's step; without verification they are refused."""
    x = torch.randn(6, 9, 4, generator=torch.Generator().manual_seed(0))
    rule = ann2neo.Quantile(0.5, on=x) if calibrated else 0.0
    recording = ann2neo.record(model(), x, steps=ann2neo.Steps(1, lengths), threshold=rule, progress=False)
    steps = torch.cat([one[:n] for one, n in zip(x.relu(), lengths or [9] * 6)])
    thresholds = torch.as_tensor(recording.layers[0].thresholds, dtype=torch.float32)
    assert (recording.raster("act") == (steps > thresholds).numpy().T).all()
    with pytest.raises(ActivationError, match=r"has shape \(.*\) for a batch of 6 inputs"):
        ann2neo.record(model(), x, steps=ann2neo.Steps(1, lengths), threshold=rule, verify=False, progress=False)


def test_recurrence_along_the_batch_is_not_taken_for_steps():
    """An LSTM that was given inputs where it expects steps mixes them; it is told along which axis it has them."""
    model, x = nn.Sequential(nn.LSTM(4, 5)), torch.randn(6, 7, 4)
    told = pytest.warns(Ann2NeoWarning, match="follow the 7 entries of the second axis")
    with told, pytest.raises(ActivationError, match="for a batch of 6 inputs"):
        ann2neo.record(model, x, layers="0", steps=ann2neo.Steps(1), progress=False)


@pytest.mark.parametrize("calibrated", [False, True])
def test_calls_for_more_than_the_inputs_are_refused(calibrated):
    """A cell that is called with inputs and steps flattened gives units of many inputs, not steps of each."""
    x = torch.randn(6, 9, 4)
    rule = ann2neo.Quantile(0.5, on=x) if calibrated else None
    with pytest.raises(ActivationError, match="row k is not input k"):
        ann2neo.record(Flat(), x, steps=ann2neo.Steps("calls"), threshold=rule, progress=False)
