"""Figures: what is drawn equals what was computed, nothing is left open, and every odd table can be drawn."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy import stats
from unit_tables import bernoulli, network, unit_table

import ann2neo
from ann2neo import figures
from ann2neo.errors import AnalysisError, LayerNotFound, WindowError
from ann2neo.figures.halves import by_tuning, sample, sorting_half
from ann2neo.figures.intervals import expected_intervals, interval_counts
from ann2neo.figures.rasters import column_means
from ann2neo.figures.tuning import rates_by_label
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording, make_trials

OF_TABLE = (figures.firing_rate, figures.fano, figures.fano_against_rate, figures.cv_against_expected, figures.p_values)


def recording_of(
    rasters: dict[str, np.ndarray], labels: np.ndarray, n_passes: int = 1, lengths: np.ndarray | None = None
) -> Recording:
    n_trials = labels.size
    layers = tuple(
        Layer(name=name, shape=(len(bits),), dtype="float32", units=np.arange(len(bits)), thresholds=np.zeros(len(bits)), raster=Raster.from_dense(bits, n_passes=n_passes))
        for name, bits in rasters.items()
    )  # fmt: skip
    trials = make_trials(n_trials, n_passes=n_passes, lengths=lengths, stimulus_id=np.arange(n_trials), label=labels)
    return Recording(layers=layers, trials=trials, bin_size_ms=1.0, provenance={"input_order": "presented"})


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return network(0)


@pytest.fixture(scope="module")
def recording() -> Recording:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    return recording_of(
        {"a": bernoulli(rng, rng.random(30) * 0.5, labels, 0.5), "b": rng.random((7, 200)) < 0.2}, labels
    )


@settings(max_examples=40, deadline=None)
@given(data=st.data(), n_units=st.integers(1, 12), n_bins=st.integers(1, 40), columns=st.integers(1, 12))
def test_column_means_are_a_slow_loop(data, n_units, n_bins, columns):
    """Every pixel is the mean of one unit over its block of bins, blocks as numpy.linspace cuts them, over all bins or those that are chosen."""
    bits = data.draw(st.lists(st.booleans(), min_size=n_units * n_bins, max_size=n_units * n_bins))
    dense = np.array(bits).reshape(n_units, n_bins)
    for bins in (None, np.array(data.draw(st.lists(st.integers(0, n_bins - 1), min_size=1, max_size=30)))):
        shown = dense if bins is None else dense[:, bins]
        c = np.linspace(0, shown.shape[1], min(columns, shown.shape[1]) + 1).astype(int)
        expected = [[row[x:y].mean() for x, y in pairwise(c)] for row in shown]
        assert np.allclose(column_means(Raster.from_dense(dense), bins, columns), expected)


def test_column_means_do_not_depend_on_chunks(monkeypatch):
    """Reading a few units at a time gives the same image as reading all."""
    dense = np.random.default_rng(0).random((50, 64)) < 0.3
    whole = column_means(Raster.from_dense(dense), None, 9)
    monkeypatch.setattr(
        Raster, "chunks", lambda self, n_bytes=0: iter([slice(i, min(i + 3, 50)) for i in range(0, 50, 3)])
    )
    assert np.array_equal(column_means(Raster.from_dense(dense), None, 9), whole)


def test_raster_shows_the_bits_and_the_borders_of_labels(recording):
    """With few units and bins a pixel is a bit; sorted by label each border but the first is marked and each label named; the axis says what a bin is."""
    sorted_by_label = recording.arrange("label")
    ax = figures.raster(sorted_by_label, layer="a").ax
    image = ax.images[0]
    assert np.array_equal(image.get_array(), sorted_by_label.raster("a"))
    assert image.get_extent() == [0, 200, 30, 0]
    borders = np.flatnonzero(np.diff(sorted_by_label.trials["label"])) + 1
    assert [line.get_xdata()[0] for line in ax.lines] == borders.tolist()
    assert [text.get_text() for text in ax.texts] == ["0", "1", "2", "3", "4", "label"]
    assert ax.get_xlabel() == "pseudo-time: 1 bin = 1 input (bin, label order)"
    assert ax.get_ylabel() == "unit of a"
    assert not figures.raster(recording, layer="a").ax.lines


def test_raster_stacks_layers_and_marks_passes():
    """All layers have the same height and colour scale; passes are marked; sequence trials are called steps."""
    rng = np.random.default_rng(0)
    spikes = recording_of(
        {"a": rng.random((4, 24)) < 0.5, "b": rng.random((2, 24)) < 0.1}, np.array([0, 1, 0, 1]), 2, np.full(4, 3)
    )
    ax = figures.raster(spikes).ax
    assert [image.get_extent()[2:] for image in ax.images] == [[0.5, -0.5], [1.5, 0.5]]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a (4)", "b (2)"]
    assert len({image.get_clim() for image in ax.images}) == 1
    assert [line.get_xdata()[0] for line in ax.lines if line.get_xdata()[0] == line.get_xdata()[1]] == [12]
    assert "1 bin = 1 step" in ax.get_xlabel()
    with pytest.raises(LayerNotFound, match="Did you mean"):
        figures.raster(spikes, layer="aa")


def slow_halves(trials: pd.DataFrame) -> np.ndarray:
    """Every other input of a label, the second one first, sorts."""
    seen: dict[int, int] = {}
    half = {}
    for row in trials.drop_duplicates("trial").sort_values("trial").itertuples():
        seen[row.label] = seen.get(row.label, 0) + 1
        half[row.trial] = seen[row.label] % 2 == 0
    return np.array([half[trial] for trial in trials["trial"]])


def test_label_rates_sort_by_one_half_and_draw_the_other(recording):
    """The map holds every unit's mean per label over the half that did not sort; the order is that of the other half; labels are needed."""
    dense, labels = recording.raster("a"), recording.trials["label"].to_numpy()
    sorts = slow_halves(recording.trials)
    assert 0.45 < sorts.mean() <= 0.5
    by = [np.array([dense[:, (labels == k) & half].mean(axis=1) for k in range(5)]) for half in (sorts, ~sorts)]
    order = sorted(range(30), key=lambda u: (np.ptp(by[0][:, u]) == 0, by[0][:, u].argmax(), -by[0][:, u].max(), u))
    for arranged in (recording, recording.arrange("label"), recording.arrange("shuffled", seed=3)):
        image = np.asarray(figures.label_rates(arranged, "a").ax.images[0].get_array())
        assert np.allclose(image, by[1][:, order])
    differs = np.asarray(figures.label_rates(recording, "a", minus_mean=True).ax.images[0].get_array())
    assert np.allclose(differs, (by[1] - by[1].mean(axis=0))[:, order])
    assert np.allclose(
        rates_by_label(recording.layer("a").raster, labels, 5), [dense[:, labels == k].mean(axis=1) for k in range(5)]
    )
    with pytest.raises(WindowError, match="no column 'label'"):
        figures.label_rates(ann2neo.from_array(dense.T.copy()), "array")


def test_noise_shows_no_staircase():
    """Of units without tuning, the label that is preferred in one half is not in the other: neither in the map nor in the sorted raster."""
    rng = np.random.default_rng(1)
    noise = ann2neo.from_array(rng.random((300, 2000)) < 0.3, labels=rng.integers(0, 10, 300))
    image = np.asarray(figures.label_rates(noise, "array").ax.images[0].get_array())
    sorts = sorting_half(noise.trials)
    labels, dense = noise.trials["label"].to_numpy(), noise.raster("array")
    rates = np.array([dense[:, sorts & (labels == k)].mean(axis=1) for k in range(10)])
    preferred = np.sort(rates.argmax(axis=0))
    blocks = np.linspace(0, 2000, 1001).astype(int)[:-1]
    on = image[preferred[blocks], np.arange(1000)].mean()
    assert on == pytest.approx(0.3, abs=0.02)
    assert rates.max(axis=0).mean() > 0.42
    drawn = figures.raster(noise.arrange("label"), sort="tuning").ax
    picture = np.asarray(drawn.images[0].get_array())
    assert picture.shape[1] == (~sorts).sum()
    diagonal = [
        picture[int(400 * k / 10) : int(400 * (k + 1) / 10), int(0.1 * k * picture.shape[1]) :][
            :, : picture.shape[1] // 10
        ]
        for k in range(10)
    ]
    assert np.mean([block.mean() for block in diagonal]) == pytest.approx(0.3, abs=0.02)


def test_tuned_units_are_a_staircase():
    """Units that do prefer a label are sorted by it, from the half that is not drawn."""
    labels = np.repeat(np.arange(4), 20)
    spikes = np.stack([labels == k for k in (3, 1, 0, 2, 1)])
    ax = figures.label_rates(recording_of({"a": spikes}, labels), "a").ax
    assert [int(tick.get_text()) for tick in ax.get_xticklabels()] == [2, 1, 4, 3, 0]
    assert np.asarray(ax.images[0].get_array()).argmax(axis=0).tolist() == [0, 1, 1, 2, 3]
    alone = figures.label_rates(recording_of({"a": spikes[:, ::20]}, labels[::20]), "a").ax
    assert "not sorted" in alone.get_xlabel()
    assert by_tuning(np.eye(3), np.array([True, False, False])).tolist() == [0, 1, 2]


def test_halves_are_of_inputs_and_the_same_in_every_pass():
    """An input sorts in all its passes or in none; labels with one input are drawn; without labels every other input sorts."""
    spikes = recording_of({"a": np.zeros((1, 24), bool)}, np.array([5, 5, 7, 5, 5, 9]), n_passes=4)
    half = sorting_half(spikes.trials)
    assert np.array_equal(half, slow_halves(spikes.trials))
    assert half.reshape(4, 6).tolist() == [[False, True, False, False, True, False]] * 4
    assert sorting_half(spikes.trials.drop(columns="label")).reshape(4, 6)[0].tolist() == [False, True] * 3


def test_a_raster_draws_a_sample_of_units_and_inputs():
    """Rows are units of the recording and columns bins of its inputs, neither averaged; the axes say of how many."""
    rng = np.random.default_rng(0)
    labels = np.arange(500) % 5
    spikes = recording_of({"a": rng.random((3000, 1500)) < 0.3}, labels, n_passes=1, lengths=np.full(500, 3))
    ax = figures.raster(spikes, units=50, inputs=20).ax
    image = np.asarray(ax.images[0].get_array())
    rows, inputs = sample(3000, 50), sample(500, 20)
    bins = (inputs[:, None] * 3 + np.arange(3)).ravel()
    assert np.array_equal(image, spikes.raster("a")[rows][:, bins])
    assert ax.get_ylabel() == "50 of 3,000 units of a"
    assert ax.get_xlabel().endswith("presented order; 20 of 500 inputs)")
    assert np.diff(rows).min() > 0
    assert all(lo <= row < hi for row, lo, hi in zip(rows, range(0, 3000, 60), range(60, 3060, 60)))


def test_rows_are_sorted_as_it_is_said():
    """By rate the most active unit is on top; by similarity units that fire together are neighbours; no units and no inputs are refused."""
    rng = np.random.default_rng(0)
    three = rng.random((3, 400)) < 0.4
    which = rng.permutation(np.repeat(np.arange(3), 15))
    spikes = recording_of({"a": three[which] ^ (rng.random((45, 400)) < 0.1)}, rng.integers(0, 4, 400))
    by_rate = np.asarray(figures.raster(spikes, sort="rate").ax.images[0].get_array())
    assert (np.diff(by_rate.sum(axis=1)) <= 0).all()
    ax = figures.raster(spikes, sort="similarity").ax
    dense = spikes.raster("a")[:, ~slow_halves(spikes.trials)]
    found = [which[np.flatnonzero((dense == row).all(axis=1))[0]] for row in np.asarray(ax.images[0].get_array())]
    assert (np.diff(found) != 0).sum() == 2
    assert "sorted by similarity" in ax.get_ylabel()
    for wrong in ({"units": 0}, {"inputs": -1}):
        with pytest.raises(AnalysisError, match="positive integer"):
            figures.raster(spikes, **wrong)


def test_intervals_are_a_slow_loop_and_cross_no_border():
    """ISIs are counted unit by unit and stretch by stretch, silent units included."""
    rng = np.random.default_rng(2)
    dense = rng.random((6, 60)) < np.array([0, 0.1, 0.5, 1, 0, 0.3])[:, None]
    spikes = recording_of({"a": dense}, np.zeros(20, int), 3)
    counts, n = interval_counts(spikes, "a")
    slow = np.concatenate([np.diff(np.flatnonzero(row[p : p + 20])) for row in dense for p in (0, 20, 40)])
    assert np.array_equal(counts, np.bincount(slow, minlength=21))
    assert np.array_equal(n, dense.reshape(6, 3, 20).sum(axis=2))
    one, _ = interval_counts(spikes, "a", 5)
    assert one.sum() == sum(np.diff(np.flatnonzero(dense[5, p : p + 20])).size for p in (0, 20, 40))


def test_expected_intervals_are_an_enumeration_and_become_geometric():
    """Given the count, the law is the mean over all arrangements; for many bins it is p (1 - p)^(s - 1)."""
    places = list(combinations(range(7), 3))
    counts = np.bincount(np.concatenate([np.diff(c) for c in places]), minlength=8)[1:] / len(places)
    assert np.allclose(expected_intervals(np.array([[3]]), np.array([7]), 7), counts)
    many = expected_intervals(np.array([[30_000]]), np.array([100_000]), 10) / 29_999
    assert np.allclose(many, stats.geom.pmf(np.arange(1, 11), 0.3), rtol=1e-3)


def test_isi_law_draws_observation_reference_and_exponential(recording):
    """The points are shares of intervals, and the three curves are named."""
    drawn = figures.isi_law(recording, "a", unit=3)
    ax = drawn.ax
    counts, _ = interval_counts(recording, "a", 3)
    observed = ax.lines[0].get_ydata()
    assert observed[0] == pytest.approx(counts[1] / counts.sum())
    assert [t.get_text().split(" (")[0].split(",")[0] for t in drawn.figure.legends[0].get_texts()] == [
        "observed",
        "geometric",
        "exponential",
    ]
    assert "1 bin = 1 input" in ax.get_xlabel()


def test_distributions_mark_means_and_chance(table):
    """Diamonds are the means over all units that have a value, bars the mean expectation; a row is a layer, and the upper axis reads spikes per bin."""
    ax = figures.firing_rate(table).ax
    means = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"]
    assert np.allclose(means, table.groupby("layer")["firing_rate"].mean())
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["fc1", "fc2", "fc3"]
    beside, above = ax.child_axes
    assert above.get_xlabel() == "spikes per bin"
    assert [tick.get_text() for tick in beside.get_yticklabels()] == ["40 units, 10% silent"] * 3
    ax.figure.draw_without_rendering()
    assert np.allclose(np.array(ax.get_xlim()) / 1000, above.get_xlim())
    ax = figures.fano(table).ax
    means = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"]
    assert np.allclose(means, table.groupby("layer")["fano"].mean())
    chance = np.array(ax.collections[-1].get_segments())[:, 0, 0]
    assert np.allclose(chance, table.groupby("layer")["fano_expected"].mean())
    assert ax.get_xlabel() == "Fano factor\n(windows: label, 50 bins each)"


def test_fano_against_rate_has_the_line_and_counts_every_unit(table):
    """The line is 1 - p; up to 500 units are dots, and of more the cells together hold each unit with a Fano factor above 0 once."""
    ax = figures.fano_against_rate(table).ax
    dots = next(line for line in ax.lines if line.get_marker() == "o")
    assert sorted(dots.get_ydata()) == sorted(table["fano"][table["fano"] > 0])
    many = pd.concat([table] * 6, ignore_index=True)
    many.attrs = dict(table.attrs)
    ax = figures.fano_against_rate(many).ax
    x, y = ax.lines[0].get_data()
    assert np.allclose(y, 1 - x)
    assert ax.collections[0].get_array().sum() == (many["fano"] > 0).sum()
    left, right = ax.get_xlim()
    assert left == 0
    assert 1 < right < 1.05, "the mark of a saturated unit is whole"


def test_cv_counts_good_units_beside_equality(table):
    """Each good unit is in one cell, all lie on the axes, and the line is that of equality."""
    many = pd.concat([table] * 6, ignore_index=True)
    ax = figures.cv_against_expected(many).ax
    good = many[(many["quality"] == "good") & many["cv"].notna()]
    assert ax.collections[0].get_array().sum() == len(good)
    line = next(line for line in ax.lines if "as expected" in line.get_label())
    assert line.get_slope() == 1
    assert line.get_xy1() == (1, 1)
    assert ax.get_xlim()[0] < good["cv_expected"].min() < good["cv_expected"].max() < ax.get_xlim()[1]


@pytest.mark.parametrize(("windows", "tuning"), [("label", True), ("half", True), (5, False)])
def test_every_test_is_drawn_and_the_one_of_tuning_is_marked(windows, tuning):
    """Each column of p values has a curve; over windows that are classes the excess, and nothing else, tests tuning."""
    spikes = np.random.default_rng(0).random((80, 12)) < 0.4
    recording = ann2neo.from_array(spikes, labels=np.arange(80) % 4)
    recording = replace(recording, trials=recording.trials.assign(half=np.arange(80) // 40))
    table = ann2neo.analyze(recording, windows=windows, tests=True, progress=False)
    texts = [str(line.get_label()) for line in figures.p_values(table).ax.lines]
    measured = [name for name in table if name.endswith("_p") and table[name].notna().any()]
    assert sum("12 units" in text for text in texts) == len(measured) == 5
    assert [text.split(" (")[0] for text in texts if "tuning" in text] == (["excess over windows"] if tuning else [])


def test_p_values_are_sorted_against_uniform_places_as_logarithms(table):
    """The i-th smallest of n p values lies at i / (n + 1), both as -log10, down to 1e-16."""
    drawn = figures.p_values(table.assign(runs_p=table["runs_p"].where(table.index != 7, 1e-40)))
    line = next(line for line in drawn.ax.lines if line.get_label().startswith("runs"))
    p = np.sort(table["runs_p"].where(table.index != 7, 1e-40).dropna())
    x, y = line.get_data()
    assert np.allclose(y[1:], -np.log10(p[1:]))
    assert y[0] == 16
    assert np.allclose(10 ** -np.asarray(x), np.arange(1, p.size + 1) / (p.size + 1))
    diagonal = next(line for line in drawn.ax.lines if "as expected" in line.get_label())
    assert np.array_equal(*diagonal.get_data())


def test_indicators_hold_every_network_and_chance():
    """Marks are the networks' values; chance bars are where a chance value exists; each state says its n."""
    tables = {"young": [ann2neo.summarize(network(s)) for s in range(3)], "old": ann2neo.summarize(network(9))}
    axes = figures.indicators(tables).axes
    rows = [t[t["population"] == "all"]["fano_mean"].to_numpy() for t in tables["young"]]
    marks = [line.get_xdata() for line in axes[2].lines if line.get_marker() == "o"]
    assert np.allclose(marks, rows)
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == ["fc1", "fc2", "fc3", "network"]
    assert [ax.get_xlabel() for ax in axes] == [
        "mean firing rate\n(Hz)",
        "variance of firing rates\n(Hz²)",
        "mean Fano factor",
        "variance of Fano factors",
    ]
    legend = axes[0].get_figure(root=True).legends[0]
    assert [t.get_text() for t in legend.get_texts()] == ["young (n = 3)", "old (n = 1)", "expected by chance"]
    assert all(ax.get_xlim()[0] == 0 for ax in axes)
    own = Figure().subplots(1, 4)
    assert figures.indicators(tables, list(own)).axes[3] is own[3]
    with pytest.raises(AnalysisError, match="4 indicators were to be drawn on 1 axes"):
        figures.indicators(tables, [own[0]])


def test_learning_draws_means_over_seeds():
    """One line per layer and state, at the mean over rows of an epoch; a missing column is named."""
    rows = [
        ann2neo.summarize(network(10 * e + s)).assign(epoch=e, state="true labels") for e in range(3) for s in range(2)
    ]
    history = pd.concat([r[r["population"] == "all"] for r in rows], ignore_index=True)
    missing = figures.learning(history.assign(cv_mean=np.nan), shown=["fano_mean", "cv_mean"]).axes[1]
    assert [text.get_text() for text in missing.texts] == ["no layer has this indicator"]
    assert not len(missing.get_xticks())
    axes = figures.learning(history, shown=["fano_mean"]).axes
    assert len(axes[0].lines) == 4
    mean = history[history["layer"] == "fc1"].groupby("epoch")["fano_mean"].mean()
    assert np.allclose(axes[0].lines[0].get_ydata(), mean)
    with pytest.raises(AnalysisError, match="lacks 'epoch'"):
        figures.learning(history.drop(columns="epoch"))


def test_layer_table_writes_every_number_and_colours_layers_only(table):
    """Each cell's text is its value; each column's colours run from 0 to its largest layer, none for the network row and the number of units."""
    summary = ann2neo.summarize(table)
    ax = figures.layer_table(summary, shown=["n_units", "fano_mean", "fano_var"]).ax
    rows = summary[summary["population"] == "all"]
    assert [t.get_text() for t in ax.texts[:2]] == ["40", f"{rows['fano_mean'].iloc[0]:#.3g}"]
    colours = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert np.isnan(colours[-1]).all()
    assert np.isnan(colours[:, 0]).all()
    layers = rows[rows["layer"] != "network"][["fano_mean", "fano_var"]]
    assert np.allclose(colours[:-1, 1:], layers / layers.max())


def odd_tables(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    silent = table[table["quality"] == "silent"]
    numbers = table.select_dtypes("float").columns
    cases = {
        "silent": silent,
        "undefined": table.assign(**dict.fromkeys(numbers, np.nan)),
        "one unit": table[table["quality"] == "good"].iloc[:1],
        "no bins": table.assign(p_spike=np.nan),
        "no tests": table.drop(columns=["runs_p", "dispersion_p"]),
        "no unit": table.iloc[:0],
        "saturated": table[table["quality"] == "saturated"],
    }
    for case in cases.values():
        case.attrs = dict(table.attrs)
    return cases


@pytest.mark.parametrize("case", ["silent", "undefined", "one unit", "no bins", "no tests", "no unit", "saturated"])
def test_odd_tables_can_be_drawn(table, case):
    """Nothing good, nothing defined, one unit, no lattice, no tests, no unit at all: a figure, not an error."""
    odd = odd_tables(table)[case]
    for draw in OF_TABLE:
        assert figures.png(draw(odd), dpi=20).startswith(b"\x89PNG")
    summary = ann2neo.summarize(odd)
    figures.png(figures.layer_table(summary, population="good"), dpi=20)
    figures.png(figures.indicators({"x": summary}, shown=["fano_mean"]), dpi=20)


def test_odd_recordings_can_be_drawn():
    """One bin, one silent unit, one saturated unit, more labels than can be named."""
    for spikes in (np.zeros((1, 1), bool), np.ones((1, 1), bool), np.ones((70, 2), bool)):
        odd = ann2neo.from_array(spikes, labels=np.arange(len(spikes)))
        for ax in (
            figures.raster(odd.arrange("label")),
            figures.isi_law(odd, "array"),
            figures.label_rates(odd, "array"),
        ):
            assert figures.png(ax, dpi=20).startswith(b"\x89PNG")


def test_a_hundred_thousand_units_are_drawn_in_seconds(table):
    """Marks do not grow with units: the images stay small and the time is seconds."""
    many = pd.concat([table] * 850, ignore_index=True)
    many.attrs = dict(table.attrs)
    begin = time.perf_counter()
    for draw in OF_TABLE:
        assert len(figures.png(draw(many), dpi=50)) < 200_000
    bits = Raster(packed=np.random.default_rng(0).integers(0, 256, (1, 100_000, 25), np.uint8), n_bins=200)
    n = 100_000
    layer = Layer(name="a", shape=(n,), dtype="bool", units=np.arange(n), thresholds=np.zeros(n), raster=bits)
    big = replace(recording_of({"a": np.zeros((1, 200), bool)}, np.arange(200) % 5), layers=(layer,))
    for ax in (figures.raster(big.arrange("label")), figures.label_rates(big, "a"), figures.isi_law(big, "a")):
        assert all(image.get_array().size <= 400_000 for image in ax.ax.images)
    assert time.perf_counter() - begin < 30


def test_axes_given_are_used_and_pyplot_is_never_loaded(table):
    """A function draws on the axes it gets and returns them; without pyplot nothing can be left open."""
    for draw in OF_TABLE:
        mine = Figure().subplots()
        assert draw(table, mine).ax is mine
        assert isinstance(draw(table).ax, Axes)
    check = "import sys, ann2neo.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def test_tables_differ_by_windows_in_their_labels():
    """The window is part of a Fano factor, so that the axis says it."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [30, 50])
    other = unit_table({"a": rng.random((20, 80)) < 0.4}, labels)
    assert "label, 30-50 bins each" in figures.fano(other).ax.get_xlabel()
    other.attrs["windows"] = "100 bins"
    other.attrs["window_min_bins"] = other.attrs["window_max_bins"] = 100
    assert figures.fano(other).ax.get_xlabel() == "Fano factor\n(windows: 100 bins)"


def test_sources_stand_beside_their_own_reference():
    """Each unit of each source is drawn, many as a box, and the bar is the mean expectation of the source's own units."""
    rng = np.random.default_rng(0)
    few = ann2neo.analyze(ann2neo.from_array(rng.random((300, 5)) < 0.3), windows=30, progress=False)
    many = ann2neo.analyze(ann2neo.from_array(rng.random((300, 200)) < 0.6), windows=30, progress=False)
    panels = figures.beside_chance({"few": few, "many": many}).axes
    assert [ax.get_xlabel() for ax in panels] == ["CV of ISIs", "CV2", "Lv", "Fano factor"]
    for ax, name in zip(panels, ("cv", "cv2", "lv", "fano")):
        assert sorted(ax.lines[0].get_xdata()) == sorted(few[name])
        lines = [c for c in ax.collections if isinstance(c, LineCollection) and c.get_linewidth()[0] == 2.5]
        bars = [line.get_segments()[0][0, 0] for line in lines]
        assert bars == pytest.approx([few[f"{name}_expected"].mean(), many[f"{name}_expected"].mean()])
        assert [tick.get_text() for tick in panels[0].get_yticklabels()] == ["few", "many"]
