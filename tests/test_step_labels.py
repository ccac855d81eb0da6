"""Labels of steps: recorded as a table of bins, kept by every file, counted in windows, and what chance predicts for them, against slow loops."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from capture_sources import record
from torch import nn

import ann2neo
from ann2neo import chance
from ann2neo.errors import Ann2NeoWarning, InputsError, RecordingError, WindowError
from ann2neo.recording import make_trials

N, T = 11, 6
torch.manual_seed(3)
X = torch.randn(N, T, 4)
Y = torch.randint(2, 7, (N, T))
LENGTHS = np.array([6, 1, 3, 6, 2, 5, 5, 4, 3, 6, 1])
MASK = np.arange(T) >= T - LENGTHS[:, None]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU())


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.layer, self.act = nn.Linear(4, 5), nn.ReLU()

    def forward(self, x, attention_mask):
        return self.act(self.layer(x))


def batches(*parts, size=4):
    return [tuple(part[i : i + size] for part in parts) for i in range(0, N, size)]


def expected(lengths=None, mask=None):
    """Labels of the bins, one after another, by a slow loop."""
    found = []
    for i in range(N):
        for t in range(T):
            if (lengths is None or t < lengths[i]) and (mask is None or mask[i, t]):
                found.append(int(Y[i, t]))
    return found


@pytest.mark.parametrize("stored", [False, True], ids=["memory", "store"])
@pytest.mark.parametrize("kind", ["in batches", "for all", "lengths", "function", "mask", "passes"])
def test_labels_of_steps_lie_at_their_bins(net, kind, stored, tmp_path):
    """However they are given, and whatever decides which steps are bins."""
    options = {"store": tmp_path / "rec.zarr"} if stored else {}
    steps, lengths, mask, model, data = ann2neo.Steps(1), None, None, net, ann2neo.Inputs(X, batch_size=4, labels=Y)
    if kind == "in batches":
        data = batches(X, Y)
    elif kind in ("lengths", "function"):
        lengths = LENGTHS
        given = LENGTHS if kind == "lengths" else lambda batch: np.full(len(batch), 3)
        lengths = LENGTHS if kind == "lengths" else np.full(N, 3)
        steps = ann2neo.Steps(1, lengths=given)
    elif kind == "mask":
        mask, model, steps = MASK, Masked(), ann2neo.Steps(1, lengths="attention_mask")
        data = [{"x": x, "attention_mask": m, "labels": y} for x, m, y in batches(X, torch.as_tensor(MASK).long(), Y)]
    elif kind == "passes":
        model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.ReLU())
        options["passes"] = ann2neo.Passes(3)
    recording = record(model, data, steps=steps, **options)
    assert recording.bins is not None
    assert recording.bins["label"].tolist() == expected(lengths, mask)
    assert "label" not in recording.trials
    assert len(recording.bins) == recording.n_bins // recording.n_passes
    if stored:
        assert ann2neo.load(tmp_path / "rec.zarr").identical(recording)
        assert record(model, data, steps=steps, **options).identical(recording)


def test_labels_of_inputs_and_of_steps_stand_beside_each_other(net):
    """A column belongs to inputs or to steps by its shape."""
    classes = np.arange(N) % 3
    labels = {"label": classes, "token": Y, "place": np.tile(np.arange(T), (N, 1))}
    recording = record(net, ann2neo.Inputs(X, labels=labels), steps=ann2neo.Steps(1, lengths=LENGTHS))
    assert recording.trials["label"].tolist() == classes.tolist()
    assert recording.bins["token"].tolist() == expected(LENGTHS)
    assert recording.bins["place"].tolist() == [t for n in LENGTHS for t in range(n)]


def test_a_store_that_was_interrupted_keeps_labels_of_its_steps(net, tmp_path):
    """What is there is shown, and the rest is recorded with the same labels."""
    path, seen = tmp_path / "rec.zarr", []
    torch.manual_seed(0)
    x, y = torch.randn(1400, 5, 4), torch.randint(2, 9, (1400, 5))

    def forward(model, batch):
        seen.append(1)
        if len(seen) == 24:
            raise KeyboardInterrupt
        return model(batch)

    # Only where the number of bins is known beforehand columns are short.
    steps = ann2neo.Steps(1, lengths=np.full(1400, 5))
    data = ann2neo.Inputs(x, labels=y, batch_size=50, forward=forward)
    with pytest.raises(KeyboardInterrupt):
        record(net, data, steps=steps, store=path)
    with pytest.warns(Ann2NeoWarning, match="interrupted"):
        part = ann2neo.load(path)
    assert 0 < len(part.bins) < 7000
    assert part.bins["label"].tolist() == y.flatten()[: len(part.bins)].tolist()
    whole = record(net, data, steps=steps, store=path)
    assert whole.bins["label"].tolist() == y.flatten().tolist()


def test_other_labels_of_steps_are_another_recording(net, tmp_path):
    """One label of one step of a middle batch is enough."""
    path, other = tmp_path / "rec.zarr", Y.clone()
    record(net, batches(X, Y), steps=ann2neo.Steps(1), store=path)
    other[5, 3] += 1
    with pytest.raises(ann2neo.errors.StoreError, match="batch 1 is not the one"):
        record(net, batches(X, other), steps=ann2neo.Steps(1), store=path)
    # Where inputs are no sequences, integers of this shape are no labels, and may change.
    flat = nn.Sequential(nn.Flatten(), nn.Linear(24, 5), nn.ReLU())
    with pytest.warns(Ann2NeoWarning, match="6 integers per input"):
        one = record(flat, batches(X, Y), store=tmp_path / "b.zarr")
    assert record(flat, batches(X, other), store=tmp_path / "b.zarr").identical(one)


@pytest.mark.parametrize(
    ("labels", "steps", "words"),
    [
        (Y, None, "Record in steps"),
        (Y[:, :4], ann2neo.Steps(1), "activations have 6 steps"),
        (Y[:-1], ann2neo.Steps(1), "11 inputs were presented"),
        (Y[:, :4], ann2neo.Steps(1, lengths=np.full(N, 4)), "activations have 6 steps"),
    ],
    ids=["no steps", "fewer steps", "fewer inputs", "as many as count"],
)
def test_labels_that_are_no_labels_of_the_steps_are_refused(net, labels, steps, words):
    """A label that fits only by counting from the beginning could belong to another step."""
    with pytest.raises(InputsError, match=words):
        record(net, ann2neo.Inputs(X, labels=labels), steps=steps)


def test_what_may_be_something_else_is_told_and_not_taken(net):
    """Zeros and ones in batches may be vectors of as many classes as there are steps; other integers may belong to other steps."""
    for target, words in ((Y % 2, "zeros and ones"), (Y[:, :5], "not as many as the steps")):
        with pytest.warns(Ann2NeoWarning, match=words):
            assert record(net, batches(X, target), steps=ann2neo.Steps(1)).bins is None
    given = record(net, ann2neo.Inputs(X, labels=Y % 2), steps=ann2neo.Steps(1))
    assert given.bins["label"].tolist() == (Y % 2).flatten().tolist()


@pytest.mark.parametrize("form", [tuple, lambda parts: dict(zip(("x", "labels"), parts))], ids=["pair", "mapping"])
@pytest.mark.parametrize("array", [torch.as_tensor, np.asarray])
def test_labels_with_steps_first_lie_at_their_bins(form, array):
    """As the inputs beside them, where their number is said."""

    x, y = torch.randn(4, 7, 3), torch.randint(2, 9, (4, 7))

    class Net(nn.Sequential):
        def forward(self, x):
            return super().forward(x)

    net = Net(nn.Linear(3, 5), nn.ReLU())
    inputs = ann2neo.Inputs([form((x, array(y)))], n_inputs=lambda batch: x.shape[1])
    recording = record(net, inputs, steps=ann2neo.Steps(1))
    assert recording.bins["label"].tolist() == [int(y[t, k]) for k in range(7) for t in range(4)]
    expected = torch.stack([net(x)[t, k] > 0 for k in range(7) for t in range(4)])
    assert (recording.raster("1") == expected.T.numpy()).all()


def test_labels_of_as_many_steps_as_inputs_are_asked_for(net):
    """It is said why they are not taken, and the cure is."""
    x, y = torch.randn(6, 6, 4), torch.arange(36).reshape(6, 6)
    counted = {"n_inputs": lambda batch: (batch[0] if isinstance(batch, tuple) else batch).shape[1]}
    with pytest.warns(Ann2NeoWarning, match="for as many steps as inputs, and nothing says which") as said:
        assert record(net, ann2neo.Inputs([(x, y)], **counted), steps=ann2neo.Steps(1)).bins is None
    assert "not as many as" not in str(said[0].message)
    given = record(net, ann2neo.Inputs([x], labels=y.T, **counted), steps=ann2neo.Steps(1))
    assert given.bins["label"].tolist() == y.T.flatten().tolist()


def made(labels, n_units=5, seed=0, n_passes=1, lengths=None, p=0.4):
    """A recording of random spikes with labels of steps; inputs of ``lengths`` bins."""
    rng = np.random.default_rng(seed)
    lengths = np.full(len(labels), len(labels[0])) if lengths is None else lengths
    n = int(np.sum(lengths))
    dense = rng.random((n_passes, n_units, n)) < p
    one = ann2neo.from_array(dense[0].T)
    layer = one.layers[0]
    packed = np.packbits(dense, axis=2)
    trials = make_trials(
        len(labels), n_passes=n_passes, lengths=np.asarray(lengths), stimulus_id=np.arange(len(labels))
    )
    from dataclasses import replace

    raster = replace(layer.raster, packed=packed, n_bins=n)
    flat = np.concatenate([np.asarray(row)[:k] for row, k in zip(labels, lengths)])
    return replace(
        one, layers=(replace(layer, raster=raster),), trials=trials, bins=pd.DataFrame({"label": flat})
    ), dense


def by_hand(dense, label):
    """Label share over bins and Fano factor over label windows of each pass, in a loop over labels."""
    names = sorted(set(label[label >= 0]))
    known = label >= 0
    share, fano = [], []
    for unit in range(dense.shape[1]):
        spikes, w = dense[:, unit], [int((label == one).sum()) * len(dense) for one in names]
        r = spikes[:, known].sum() / sum(w)
        counts = [spikes[:, label == one].sum() for one in names]
        share.append(sum(k * (c / k - r) ** 2 for c, k in zip(counts, w)) / (sum(w) * r * (1 - r)))
        per_pass = [[one_pass[label == one].sum() for one in names] for one_pass in spikes]
        fano.append(np.mean([np.var(c) / np.mean(c) for c in per_pass]))
    return np.array(share), np.array(fano)


def every_exchange(label, lengths):
    """All ways to exchange whole label sequences among inputs of equal length whose labels are known at the same positions."""
    starts = np.cumsum(lengths) - lengths
    rows = [label[s : s + k] for s, k in zip(starts, lengths)]
    kinds: dict = {}
    for i, row in enumerate(rows):
        kinds.setdefault((len(row), tuple(np.flatnonzero(row >= 0))), []).append(i)
    for orders in itertools.product(*(itertools.permutations(members) for members in kinds.values())):
        dealt = list(rows)
        for members, order in zip(kinds.values(), orders):
            for to, source in zip(members, order):
                dealt[to] = rows[source]
        yield np.concatenate(dealt)


LABELS = {
    "square": (np.array([[3, 5, 5], [5, 3, 8], [8, 8, 3], [3, 3, 5]]), None),
    "unknown": (np.array([[3, -1, 5], [5, -1, 8], [8, 8, 3], [3, 3, 5], [5, 5, 8]]), None),
    "ragged": (np.array([[3, 5, 0], [5, 3, 0], [8, 8, 3], [3, 3, 5], [5, 9, 9]]), np.array([2, 2, 3, 3, 1])),
}


@pytest.mark.parametrize("n_passes", [1, 3])
@pytest.mark.parametrize("kind", LABELS)
def test_expectations_are_means_over_all_exchanges(kind, n_passes):
    """Exact: label share, Fano factor, and mean and standard deviation of the rate of each label, over every exchange there is."""
    labels, lengths = LABELS[kind]
    recording, dense = made(labels, n_passes=n_passes, lengths=lengths, seed=5)
    table = ann2neo.analyze(recording, progress=False)
    label = recording.bins["label"].to_numpy()
    sizes = np.full(len(labels), labels.shape[1]) if lengths is None else lengths
    share, fano = by_hand(dense, label)
    np.testing.assert_allclose(table["label_share"], share, rtol=1e-9)
    np.testing.assert_allclose(table["fano"], fano, rtol=1e-9)
    exchanged = list(every_exchange(label, sizes))
    null = [by_hand(dense, one) for one in exchanged]
    np.testing.assert_allclose(table["label_share_expected"], np.mean([one[0] for one in null], axis=0), rtol=1e-9)
    np.testing.assert_allclose(table["fano_expected"], np.mean([one[1] for one in null], axis=0), rtol=1e-9)
    assert table["label_share_trials"].isna().all()
    tuned = ann2neo.population.tuning(recording)
    for row in tuned.itertuples():
        sums = [dense[:, row.unit, one == row.label].sum() for one in exchanged]
        n_bins = int((label == row.label).sum()) * n_passes
        assert row.n_trials == n_bins
        assert row.n_spikes == dense[:, row.unit, label == row.label].sum()
        assert row.rate_hz == pytest.approx(row.n_spikes / n_bins * 1000)
        assert row.expected == pytest.approx(np.mean(sums) / n_bins * 1000, rel=1e-9)
        assert row.chance_sd == pytest.approx(np.std(sums) / n_bins * 1000, rel=1e-9, abs=1e-9)


def test_the_tests_are_those_of_exchanged_sequences():
    """p values against a sample of exchanges drawn here, with the statistic in a slow loop."""
    labels = np.random.default_rng(1).integers(0, 3, (8, 4))
    recording, dense = made(labels, seed=2, n_passes=2)
    found = ann2neo.analyze(recording, tests=True, progress=False)
    label, rng = labels.ravel(), np.random.default_rng(7)
    dealt = [labels[rng.permutation(8)].ravel() for _ in range(4000)]
    for unit in range(3):

        def counts(one, unit=unit):
            return np.array([dense[:, unit, one == name].sum() for name in range(3)])

        null = np.array([counts(one) for one in dealt])
        weights = 1 / np.bincount(label)
        value = ((counts(label) - null.mean(axis=0)) ** 2 * weights).sum()
        law = ((null - null.mean(axis=0)) ** 2 * weights).sum(axis=1)
        assert found["overdispersion_p"][unit] == pytest.approx((law > value).mean(), abs=0.05)


def test_what_depends_on_position_alone_is_no_tuning():
    """A unit that fires at the first position, where one label stands, is expected to be tuned; dealing bins would call it so."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.full((60, 1), 9), rng.integers(0, 3, (60, 4))], axis=1)
    p = np.array([0.9, 0.1, 0.1, 0.1, 0.1])
    spikes = rng.random((60, 5, 40)) < p[:, None]
    table = ann2neo.analyze(ann2neo.from_array(spikes, trial_axis=0, labels=labels), tests=True, progress=False)
    assert (table["label_share"] > 0.3).all()
    assert table["label_share_adjusted"].abs().mean() < 0.05
    assert (table["overdispersion_p"] < 0.05).mean() < 0.15
    # The same, with a unit that follows the label wherever it stands.
    follows = rng.random((60, 5, 10)) < np.where(labels == 1, 0.8, 0.1)[:, :, None]
    tuned = ann2neo.analyze(ann2neo.from_array(follows, trial_axis=0, labels=labels), tests=True, progress=False)
    assert (tuned["overdispersion_p"] < 1e-3).all()


def test_dependent_steps_keep_the_level():
    """Spikes that last, and labels that last, are not independent bins: of untuned units 5 % are called tuned, dealing bins calls far more."""
    rng, found, naive = np.random.default_rng(4), [], []
    for _ in range(6):
        spikes = np.repeat(rng.random((40, 3, 50)) < 0.4, 5, axis=1)
        labels = np.repeat(rng.integers(0, 4, (40, 3)), 5, axis=1)
        recording = ann2neo.from_array(spikes, trial_axis=0, labels=labels)
        found.append(ann2neo.analyze(recording, tests=True, progress=False)["overdispersion_p"])
        counts = np.stack([spikes[labels == one].sum(axis=0) for one in range(4)], axis=1)
        naive.append(chance.overdispersion_test(counts, np.bincount(labels.ravel())))
    assert 0.02 < (np.concatenate(found) < 0.05).mean() < 0.09
    assert (np.concatenate(naive) < 0.05).mean() > 0.3


def test_where_nothing_can_be_exchanged_chance_is_undefined():
    """No two inputs of one length, or all with the same labels."""
    for labels, lengths in ((np.array([[1, 2, 3]] * 4), None), (np.ones((3, 3), int) + np.arange(3), [1, 2, 3])):
        recording, _ = made(labels, lengths=lengths)
        table = ann2neo.analyze(recording, tests=True, progress=False)
        assert table["label_share"].notna().any()
        for name in ("label_share_expected", "fano_expected", "dispersion_p", "overdispersion_p"):
            assert table[name].isna().all()
        assert ann2neo.population.tuning(recording)[["expected", "chance_sd"]].isna().all(axis=None)


@pytest.mark.parametrize("suffix", [".zarr", ".nwb", ".nix", ".mat"])
@pytest.mark.parametrize("n_passes", [1, 2])
def test_every_file_keeps_labels_of_steps(suffix, n_passes, tmp_path):
    """The same recording and the same table; a changed label is noticed."""
    recording, _ = made(*LABELS["ragged"][:1], n_passes=n_passes, lengths=LABELS["ragged"][1])
    path = tmp_path / f"rec{suffix}"
    ann2neo.save(recording, path)
    found = ann2neo.load(path)
    assert found.identical(recording)
    assert found.bins["label"].tolist() == [3, 5, 5, 3, 8, 8, 3, 3, 3, 5, 5]
    pd.testing.assert_frame_equal(ann2neo.analyze(found, progress=False), ann2neo.analyze(recording, progress=False))
    ann2neo.check(path)


def test_others_read_labels_of_steps(tmp_path):
    """pynwb and neo show each bin with its label."""
    import neo
    import pynwb

    recording, _ = made(*LABELS["square"][:1], n_passes=2)
    ann2neo.save(recording, tmp_path / "rec.nwb")
    with pynwb.NWBHDF5IO(str(tmp_path / "rec.nwb"), "r") as io:
        table = io.read().intervals["bins"].to_dataframe()
    assert table["label"].tolist() == 2 * recording.bins["label"].tolist()
    np.testing.assert_allclose(table["start_time"], np.arange(24) / 1000)
    block = ann2neo.to_block(recording, segment_by="trial")
    second = next(epoch for epoch in block.segments[1].epochs if epoch.name == "bins")
    assert isinstance(second, neo.Epoch)
    assert second.array_annotations["label"].tolist() == [5, 3, 8]


def test_a_damaged_label_of_a_step_is_noticed(tmp_path):
    """In a store each chunk has a check sum, in other files each column."""
    recording, _ = made(*LABELS["square"][:1])
    path = tmp_path / "rec.zarr"
    ann2neo.save(recording, path)
    file = path / "bins/0/0"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(ann2neo.errors.FormatError):
        ann2neo.load(path)


def test_views_move_labels_with_their_bins():
    """An arrangement puts whole inputs elsewhere, a selection none."""
    recording, dense = made(*LABELS["ragged"][:1], lengths=LABELS["ragged"][1])
    shuffled = recording.arrange("shuffled", seed=3)
    for name in (3, 5, 8, 9):
        there = dense[0][:, (recording.bins["label"] == name).to_numpy()].sum(axis=1)
        here = shuffled.raster("array")[:, (shuffled.bins["label"] == name).to_numpy()].sum(axis=1)
        assert (here == there).all()
    assert not shuffled.identical(recording)
    back = shuffled.arrange("presented")
    assert back.identical(recording.arrange("presented"))
    pd.testing.assert_frame_equal(back.bins, recording.bins)
    np.testing.assert_allclose(
        ann2neo.analyze(shuffled.arrange("presented"), progress=False)["fano"], ann2neo.analyze(recording, progress=False)["fano"]
    )  # fmt: skip
    assert recording.select(units=[1]).bins is recording.bins


def test_arrays_take_labels_of_steps():
    """Shape (trial, step), whichever axis the trials lie along; anything else is refused."""
    labels = Y.numpy()
    for axis, spikes in ((0, np.ones((N, T, 3))), (1, np.ones((T, N, 3)))):
        assert ann2neo.from_array(spikes, trial_axis=axis, labels=Y).bins["label"].tolist() == labels.ravel().tolist()
    for wrong in (labels[:, :-1], labels[:, :, None], labels.T):
        with pytest.raises(InputsError, match="labels"):
            ann2neo.from_array(np.ones((N, T, 3)), trial_axis=0, labels=wrong)
    with pytest.raises(InputsError, match="one bin each"):
        ann2neo.from_array(np.ones((N, 3)), labels=labels)


def test_tables_that_do_not_fit_are_refused():
    """Another number of rows, a name that trials have too, unknown labels alone, and measures of trials."""
    from dataclasses import replace

    recording, _ = made(*LABELS["square"][:1])
    for bins in (recording.bins.iloc[1:], recording.bins.rename(columns={"label": "trial"}), recording.bins[[]]):
        with pytest.raises(RecordingError, match="table of bins"):
            replace(recording, bins=bins)
    unknown = replace(recording, bins=-recording.bins)
    assert ann2neo.analyze(unknown, windows=3, progress=False)["label_share"].isna().all()
    with pytest.raises(WindowError, match="unknown label"):
        ann2neo.analyze(unknown, windows="label", progress=False)
    with pytest.raises(WindowError, match="belongs to the steps"):
        ann2neo.population.psth(recording)


def test_leaving_out_inputs_leaves_out_their_labels():
    """The jackknife over inputs runs on windows of step labels, and its values are those of the table."""
    rng = np.random.default_rng(0)
    recording = ann2neo.from_array(rng.random((40, 4, 12)) < 0.4, trial_axis=0, labels=rng.integers(0, 3, (40, 4)))
    found = ann2neo.surrogates.jackknife(recording, indicators=["fano_mean", "label_share_adjusted_mean"], n_groups=10, progress=False)  # fmt: skip
    table = ann2neo.analyze(recording, progress=False)
    network = found[(found["layer"] == "network") & (found["population"] == "all")].set_index("indicator")
    assert network.loc["fano_mean", "value"] == pytest.approx(table["fano"].mean())
    assert network.loc["label_share_adjusted_mean", "value"] == pytest.approx(table["label_share_adjusted"].mean())
    assert (network["standard_error"] > 0).all()


def test_readme_and_definitions_say_what_chance_exchanges():
    """The definition of chance for labels of steps is where the columns are defined."""
    for name in ("label_share_trials", "dispersion_p", "label_share"):
        assert "steps" in ann2neo.analysis.define(name).definition
    assert (
        "Labels per step are not read"
        not in Path(__file__).parent.parent.joinpath("tutorials", "guide", "explanation", "spikes.md").read_text()
    )
