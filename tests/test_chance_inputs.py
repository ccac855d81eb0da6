"""Inputs are dealt to labels with all their bins: passes, steps and ragged lengths against plain permutations."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch

import ann2neo
from ann2neo import Inputs, Passes, analyze, chance, record
from ann2neo.exchange import exchange_by_column
from ann2neo.recording import make_trials

SHAPES = {"passes": (1, 6), "steps": (5, 1), "both": (3, 2), "ragged": (None, 1), "ragged passes": (None, 3)}


def untuned(shape, n_trials=90, n_units=40, n_labels=3, seed=0, label=None):
    """Units whose rate differs from input to input and not from label to label; a dense raster and its recording."""
    steps, n_passes = SHAPES[shape]
    rng = np.random.default_rng((seed, n_trials))
    lengths = rng.integers(1, 9, n_trials) if steps is None else np.full(n_trials, steps)
    label = rng.permutation(np.arange(n_trials) % n_labels) if label is None else label
    p = np.repeat(rng.beta(1.0, 2.0, (n_units, n_trials)), lengths, axis=1)
    dense = rng.random((n_passes, *p.shape)) < p
    one = ann2neo.from_array(dense[0].T)
    trials = make_trials(
        n_trials, n_passes=n_passes, lengths=lengths, stimulus_id=np.arange(n_trials), label=label.astype(int)
    )
    layer = replace(one.layers[0], raster=replace(one.layers[0].raster, packed=np.packbits(dense, axis=2)))
    return replace(one, layers=(layer,), trials=trials), dense, lengths, label


def by_hand(dense, lengths, label):
    """Label share of bins, of inputs, and Fano factor over labels per pass, in plain NumPy."""
    of_bin, names = np.repeat(label, lengths), np.unique(label[label >= 0])
    spikes = np.stack([dense[:, :, of_bin == one].sum(axis=2) for one in names], axis=2)
    bins = np.array([np.sum(of_bin == one) for one in names]) * len(dense)
    total = spikes.sum(axis=0)
    rate = total.sum(axis=1) / bins.sum()
    between = (bins * (total / bins - rate[:, None]) ** 2).sum(axis=1)
    starts = np.cumsum(lengths) - lengths
    known = label >= 0
    of_input = np.add.reduceat(dense.sum(axis=0), starts, axis=1)[:, known]
    size = lengths[known] * len(dense)
    inputs = (size * (of_input / size - rate[:, None]) ** 2).sum(axis=1)
    fano = (spikes.var(axis=2) / spikes.mean(axis=2)).mean(axis=0)
    return between / (bins.sum() * rate * (1 - rate)), between / inputs, fano


@pytest.mark.parametrize("shape", SHAPES)
def test_expectations_are_the_mean_over_permuted_inputs(shape):
    """Inputs permuted with all their bins in all passes average to the expected label shares and Fano factor."""
    recording, dense, lengths, label = untuned(shape, n_trials=40, n_units=6)
    label = np.where(np.arange(40) % 11 == 3, -1, label)
    recording = replace(recording, trials=recording.trials.assign(label=np.tile(label, len(dense))))
    table = ann2neo.analyze(recording, progress=False)
    share, inputs, fano = by_hand(dense, lengths, label)
    np.testing.assert_allclose(table["label_share"], share, rtol=1e-9)
    np.testing.assert_allclose(table["label_share_trials"], inputs, rtol=1e-9)
    np.testing.assert_allclose(table["fano"], fano, rtol=1e-9)
    rng, known = np.random.default_rng(1), np.flatnonzero(label >= 0)
    drawn = []
    for _ in range(4000):
        dealt = label.copy()
        dealt[known] = rng.permutation(label[known])
        drawn.append(by_hand(dense, lengths, dealt))
    mean, error = np.mean(drawn, axis=0), np.std(drawn, axis=0) / np.sqrt(len(drawn))
    for place, name in enumerate(("label_share", "label_share_trials", "fano")):
        assert (np.abs(table[f"{name}_expected"] - mean[place]) < 4.5 * error[place]).all(), name


@pytest.mark.parametrize(
    ("size", "label"),
    [
        ((1, 2, 60), (0, 1, 1)),
        ((1, 1, 60, 2, 55, 1), (0, 1, 0, 1, 0, 1)),
        ((1, 200, 3, 1, 2, 7, 1, 90), (0, 1, 2, 2, 1, 0, 2, 2)),
        ((0.3, 12.7, 1.1, 0.05, 4.0, 2.2, 30.5), (0, 0, 0, 0, 0, 1, 1)),
        ((5, 5, 5, 5, 6), (0, 1, 2, 3, 3)),
    ],
)
def test_shares_of_very_unequal_inputs_are_the_mean_over_all_deals(size, label):
    """Inputs of 1 to 200 bins, or of any duration, in 2 to 4 labels: expected shares are the mean over every arrangement."""
    size, label = np.array(size), np.array(label)
    spikes = np.random.default_rng(len(size)).binomial(
        np.ceil(size).astype(int), [[0.2], [0.5], [0.9]] * np.ones(size.size)
    )
    on_bins = np.issubdtype(size.dtype, np.integer)
    rate = spikes.sum(axis=1, keepdims=True) / size.sum()
    e = spikes - rate * size
    between = np.mean(
        [
            sum(e[:, dealt == c].sum(axis=1) ** 2 / size[dealt == c].sum() for c in range(label.max() + 1))
            for dealt in map(np.array, set(permutations(label.tolist())))
        ],
        axis=0,
    )
    of_bins, of_inputs = chance.expected_label_shares_of_inputs(spikes, size, label)
    np.testing.assert_allclose(of_inputs, between / (e**2 / size).sum(axis=1), rtol=1e-8)
    if on_bins:
        np.testing.assert_allclose(of_bins, between / (size.sum() * rate * (1 - rate))[:, 0], rtol=1e-8)
    else:
        assert np.isnan(of_bins).all()


def test_many_sizes_are_within_a_thousandth():
    """More than 128 different durations, over four decades: against permutations with the formula of first order taken off, which is 4 % away."""
    rng = np.random.default_rng(5)
    size, label = rng.lognormal(0, 1.5, 240), np.arange(240) % 6
    spikes = rng.poisson(size * rng.gamma(1, 1, (3, 240)) * 3)
    expected = chance.expected_label_shares_of_inputs(spikes, size, label)[1]
    e = spikes - (spikes.sum(axis=1) / size.sum())[:, None] * size
    first = 5 / 239 * 240 * (e**2).sum(axis=1) / size.sum()
    drawn, linear = [], []
    for _ in range(6_000):
        dealt = rng.permutation(label)
        own = np.stack([e[:, dealt == c].sum(axis=1) for c in range(6)], axis=1)
        w = np.bincount(dealt, weights=size)
        drawn.append((own**2 / w).sum(axis=1))
        linear.append((own**2 / (size.sum() / 6)).sum(axis=1))
    drawn, linear = np.array(drawn), np.array(linear)
    # What both share, of known mean, is taken off.
    mean, error = (drawn - linear).mean(axis=0) + first, (drawn - linear).std(axis=0) / np.sqrt(len(drawn))
    whole = (e**2 / size).sum(axis=1)
    assert (np.abs(expected * whole - mean) < 4 * error + 1e-3 * mean).all()
    assert (np.abs(first - mean) > 6 * error).any()


def test_the_adjusted_share_is_0_by_chance_and_today_was_not():
    """Fifty passes of 100 inputs, labels at random: the share is 0.02 by chance, not 0.0002."""
    recording, *_ = untuned("passes", n_trials=100, n_units=300)
    table = ann2neo.analyze(recording, progress=False)
    assert abs(table["label_share_adjusted"].mean()) < 0.004
    assert table["label_share"].mean() > 0.005


def test_the_exact_permutation_variance_is_that_of_all_arrangements():
    """Every arrangement of seven inputs in three labels: the tails of both tests are near the true ones, the mean is exact."""
    spikes, label = np.array([3, 0, 1, 5, 2, 2, 7]), np.array([0, 0, 1, 1, 1, 2, 2])
    e = spikes - spikes.mean()
    values = []
    for order in permutations(range(7)):
        values.append(sum(e[list(order)][label == c].sum() ** 2 / np.sum(label == c) for c in range(3)))
    values = np.array(values)
    own = sum(e[label == c].sum() ** 2 / np.sum(label == c) for c in range(3))
    upper = np.mean(values > own + 1e-9) + np.mean(np.abs(values - own) < 1e-9) / 2
    _, more = chance.input_dispersion_tests(spikes[None], np.full(7, 8), label)
    assert more[0] == pytest.approx(upper, abs=0.02)
    from ann2neo.chance.input_dispersion import _mean_square

    second, fourth = np.array([np.sum(e**2)]), np.array([np.sum(e**4)])
    assert _mean_square(second, fourth, np.bincount(label))[0] == pytest.approx(np.mean(values**2), rel=1e-12)


@pytest.mark.parametrize("n_labels", [2, 3, 6, 10])
@pytest.mark.parametrize("shape", SHAPES)
def test_untuned_units_are_not_called_tuned(shape, n_labels, slow):
    """Rates that differ from input to input are no tuning: each test keeps its level, whatever the number of bins."""
    n_units = 20_000 if slow else 800
    recording, *_ = untuned(shape, n_trials=120, n_units=n_units, n_labels=n_labels, seed=n_labels)
    source = ann2neo.analysis.lattice.recording_source(recording, "label")
    for chunk in (read() for read in source.chunks):
        both, more = ann2neo.analysis.goodness.dispersion_p_values(
            chunk.spikes, np.zeros((chunk.spikes.n_units, n_labels), int)
        )
        for p in (both, more):
            for level in (0.05, 0.01, 1e-3, *((1e-4,) if slow else ())):
                assert np.mean(p <= level) < level + 4.5 * np.sqrt(level / n_units), (level, np.mean(p <= level))
        assert np.mean(more <= 0.05) > 0.05 - 4.5 * np.sqrt(0.05 / n_units) - 0.01


@pytest.mark.parametrize(
    ("spikes", "label"), [((9, 30, 30), (0, 1, 1)), ((0, 1, 1), (0, 1, 1)), ((0, 2, 0, 2), (0, 1, 1, 0))]
)
@pytest.mark.filterwarnings("error")
def test_three_inputs_have_the_chances_of_all_their_arrangements(spikes, label):
    """So few inputs that some moments of their counts are 0: mid-p over every arrangement, without a warning of NumPy."""
    deviation, own = np.array(spikes) - np.mean(spikes), np.array(label)

    def value(codes):
        return sum(deviation[codes == one].sum() ** 2 / (codes == one).sum() for one in (0, 1))

    values, observed = np.array([value(np.array(codes)) for codes in permutations(label)]), value(own)
    equal = np.isclose(values, observed)
    size = np.ones(len(spikes))
    more = chance.input_dispersion_tests(np.array([spikes]), size, own, lattice=False)[1]
    assert more[0] == pytest.approx(((values > observed) & ~equal).mean() + equal.mean() / 2)


def test_tuned_sequences_are_found():
    """Inputs of one label that excite a unit more in all their steps are found."""
    rng, label = np.random.default_rng(3), np.arange(120) % 4
    p = np.where(label == 2, 0.6, 0.4)[:, None] + rng.uniform(-0.1, 0.1, (120, 300))
    spikes = rng.random((120, 8, 300)) < p[:, None, :]
    recording = ann2neo.from_array(spikes, trial_axis=0, labels=label)
    table = ann2neo.analyze(recording, tests=True, progress=False)
    assert np.mean(table["overdispersion_p_corrected"] < 0.05) > 0.9


def test_one_input_per_label_has_no_chance():
    """Where no label has two inputs nothing could be dealt otherwise: no expectation, no test; the share itself stays."""
    recording, *_ = untuned("steps", n_trials=5, label=np.arange(5))
    table = ann2neo.analyze(recording, tests=True, progress=False)
    for name in ("label_share_expected", "label_share_adjusted", "fano_expected", "dispersion_p", "overdispersion_p"):
        assert table[name].isna().all(), name
    assert table["label_share"].notna().any()


def test_one_bin_inputs_keep_the_law_of_bins():
    """With one bin per input the expectation is (W - 1) / (N - 1), and labels that one label alone has are NaN."""
    spikes = np.random.default_rng(1).random((60, 20)) < 0.4
    table = ann2neo.analyze(ann2neo.from_array(spikes, labels=np.arange(60) % 3), progress=False)
    np.testing.assert_allclose(table["label_share_expected"], 2 / 59)
    np.testing.assert_array_equal(table["label_share"], table["label_share_trials"])
    table = ann2neo.analyze(ann2neo.from_array(spikes, labels=np.zeros(60, int)), progress=False)
    for name in ("label_share", "label_share_expected", "label_share_adjusted", "fano", "label_share_trials"):
        assert table[name].isna().all(), name


def test_counts_of_another_unit_have_the_same_p_values():
    """Only how inputs differ tells about labels: with a spike more in each, or three for one, no p value changes, near equal rates neither."""
    label, spikes = np.repeat([0, 1], 100), np.zeros((5, 200), np.int64)
    for excess, row in enumerate(spikes):
        row[:60], row[100:160], row[:20], row[100:120] = 1, 1, 2, 2
        row[60 : 60 + excess] = 1
    size = np.full(200, 8)
    once = chance.input_dispersion_tests(spikes, size, label)
    assert (once[0] < 1).all()
    for times, more in ((1, 1), (2, 0), (2, 3), (3, 1), (3, 2)):
        np.testing.assert_allclose(chance.input_dispersion_tests(times * spikes + more, size, label), once, rtol=1e-9)


@pytest.mark.parametrize(("n_bins", "n_passes"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)])
def test_bins_are_exchangeable_where_each_is_an_input(n_bins, n_passes):
    """Two bins of an input, in one pass or in two, belong together."""
    named = {"stimulus_id": np.arange(6), "label": np.arange(6) % 2}
    trials = make_trials(6, n_passes=n_passes, lengths=np.full(6, n_bins), **named)
    exchange = exchange_by_column(trials, "label", labels_are_windows=True)
    np.testing.assert_array_equal(exchange.size, np.full(6, n_bins * n_passes))
    assert exchange.one_bin == (n_bins * n_passes == 1)


def test_equal_passes_are_one_pass():
    """A deterministic network run several times is no more evidence: p values are those of one pass."""
    spikes = np.random.default_rng(1).random((60, 20)) < 0.4
    one = ann2neo.from_array(spikes, labels=np.arange(60) % 2)
    packed = np.tile(one.layers[0].raster.packed, (5, 1, 1))
    layer = replace(one.layers[0], raster=replace(one.layers[0].raster, packed=packed))
    trials = make_trials(60, n_passes=5, stimulus_id=np.arange(60), label=np.arange(60) % 2)
    five = replace(one, layers=(layer,), trials=trials)
    tables = [ann2neo.analyze(r, tests=True, progress=False) for r in (one, five)]
    for name in ("dispersion_p", "overdispersion_p", "label_share", "label_share_expected"):
        np.testing.assert_allclose(tables[0][name], tables[1][name], rtol=1e-9)


def test_all_labels_unknown_is_said():
    """Labels that are all unknown make no windows: a window error by name, and windows of bins where none was named."""
    recording = ann2neo.from_array(np.random.default_rng(1).random((200, 3)) < 0.3, labels=[-1] * 200)
    with pytest.raises(ann2neo.errors.WindowError, match="All 200 trials have an unknown label"):
        ann2neo.analyze(recording, windows="label", progress=False)
    assert ann2neo.analyze(recording, progress=False).attrs["windows"] == "100 bins"


def dropout_recording():
    """A network with dropout, whose predicted class of an input differs from pass to pass."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 40), torch.nn.Dropout(0.5), torch.nn.ReLU(), torch.nn.Linear(40, 3))
    inputs = Inputs(torch.randn(120, 6), labels=torch.arange(120) % 3)
    return record(model, inputs, layers=["2"], threshold=0.0, passes=Passes(4, seed=0), progress=False)


def test_classes_that_differ_between_passes_are_tested_in_the_first_pass():
    """p values are those of permuting the predictions of the first pass; what needs all passes is undefined, and that is said."""
    recording = dropout_recording()
    predicted = recording.trials["predicted_label"].to_numpy().reshape(4, 120)
    assert (predicted != predicted[0]).any()
    table = analyze(recording, windows="predicted_label", tests=True, progress=False)
    assert "first pass" in table.attrs["masked"]
    for name in ("label_share_trials_expected", "label_share_trials"):
        assert table[name].isna().all()
    spikes, rng = recording.layers[0].raster.dense()[:, :120], np.random.default_rng(0)
    own = np.eye(3)[predicted[0]]
    dealt = np.stack([own, *(rng.permutation(own) for _ in range(6_000))])
    sizes = own.sum(axis=0)
    for unit in range(10):
        counts = np.einsum("dic,i->dc", dealt, spikes[unit].astype(float))
        value = ((counts - sizes * spikes[unit].mean()) ** 2 / sizes).sum(axis=1)
        known = (value[1:] > value[0] + 1e-9).mean() + (np.abs(value[1:] - value[0]) <= 1e-9).mean() / 2
        assert table["overdispersion_p"][unit] == pytest.approx(known, abs=0.015)


@pytest.mark.parametrize(("steps", "n_passes"), [(1, 2), (1, 5), (4, 3), (None, 2)])
def test_classes_that_differ_between_passes_are_exchanged_with_their_inputs(steps, n_passes):
    """Inputs exchange the classes that they have in all passes: shares and factors against plain permutations; some classes are unknown, one is in one pass only."""
    rng = np.random.default_rng((n_passes, 3))
    lengths = np.full(24, steps) if steps else 2 + np.arange(24) % 3
    p = np.repeat(rng.beta(0.7, 1.0, (5, 24)), lengths, axis=1)
    dense = rng.random((n_passes, *p.shape)) < p
    codes = rng.integers(0, 3, (n_passes, 24))
    codes[:, 20:] = -1
    codes[0, :3] = 3
    one = ann2neo.from_array(dense[0].T)
    trials = make_trials(24, n_passes=n_passes, lengths=lengths, stimulus_id=np.arange(24)).assign(guess=codes.ravel())
    layer = replace(one.layers[0], raster=replace(one.layers[0].raster, packed=np.packbits(dense, axis=2)))
    table = analyze(replace(one, layers=(layer,), trials=trials), windows="guess", progress=False)

    def measured(dealt):
        of_bin = np.repeat(dealt, lengths, axis=1)
        counts = np.stack([(dense & (of_bin == c)[:, None]).sum(axis=2) for c in range(4)])
        bins = np.array([(of_bin == c).sum(axis=1) for c in range(4)])
        whole, w = counts.sum(axis=1), bins.sum(axis=1)
        r = (whole.sum(axis=0) / w.sum())[:, None]
        share = ((whole.T - r * w) ** 2 / w).sum(axis=1) / (w.sum() * r * (1 - r))[:, 0]
        own = [counts[bins[:, number] > 0, number] for number in range(n_passes)]
        return share, np.mean([one.var(axis=0) / one.mean(axis=0) for one in own], axis=0)

    np.testing.assert_allclose(table["label_share"], measured(codes)[0])
    drawn = []
    for _ in range(2000):
        order = np.arange(24)
        for length in np.unique(lengths):
            alike = np.flatnonzero((lengths == length) & (codes[0] >= 0))
            order[alike] = rng.permutation(alike)
        drawn.append(measured(codes[:, order]))
    mean, error = np.mean(drawn, axis=0), np.std(drawn, axis=0) / np.sqrt(len(drawn))
    assert (np.abs(table["label_share_expected"] - mean[0]) < 4.5 * error[0]).all()
    assert table["label_share_adjusted"].notna().all()
    if steps != 1:
        np.testing.assert_allclose(table["fano"], measured(codes)[1])
        assert (np.abs(table["fano_expected"] - mean[1]) < 4.5 * error[1]).all()


def test_presentations_of_a_stimulus_are_told_apart_by_their_occurrence():
    """A stimulus shown twice in a pass with two classes is two inputs, also where another pass shows them elsewhere."""
    trials = pd.DataFrame({"pass": [0, 0, 0, 1, 1, 1], "stimulus_id": [5, 5, 2, 2, 5, 5], "cue": [1, 0, 1, 1, 1, 0]})
    trials = trials.assign(start_bin=np.arange(6) * 2, stop_bin=np.arange(6) * 2 + 2)
    exchange = exchange_by_column(trials, "cue", labels_are_windows=True)
    rows = exchange.ids[::2]
    assert rows[0] == rows[4]
    assert rows[1] == rows[5]
    assert rows[2] == rows[3]
    assert len({rows[0], rows[1], rows[2]}) == 3
    assert exchange.label[rows].tolist() == trials["cue"].tolist()
    assert exchange.size.tolist() == [4, 4, 4]
    assert not exchange.first_pass_only


def test_presentations_of_a_stimulus_are_one_input_where_only_passes_differ():
    """A stimulus that is shown twice in a pass with one class counts once, though its class changes in the next pass."""
    trials = make_trials(8, n_passes=2, stimulus_id=np.array([0, 0, 1, 1, 2, 2, 3, 3]), label=np.zeros(8, int))
    trials["predicted_label"] = [0, 0, 0, 0, 1, 1, 1, 1, *[1] * 8]
    exchange = exchange_by_column(trials, "predicted_label", labels_are_windows=True)
    assert exchange.ids.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, *[-1] * 8]
    assert exchange.label.tolist() == [0, 0, 1, 1]
    assert exchange.size.tolist() == [2, 2, 2, 2]
    assert exchange.first_pass_only
