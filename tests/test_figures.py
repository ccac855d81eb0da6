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
from ann2neo.figures.intervals import expected_intervals, interval_counts
from ann2neo.figures.rasters import block_means, rates_by_label
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
@given(
    data=st.data(),
    n_units=st.integers(1, 30),
    n_bins=st.integers(1, 40),
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
)
def test_block_means_are_a_slow_loop(data, n_units, n_bins, rows, columns):
    """Every pixel is the mean of its block of the bool raster, blocks as numpy.linspace cuts them; the image keeps the mean of the whole."""
    dense = np.array(data.draw(st.lists(st.booleans(), min_size=n_units * n_bins, max_size=n_units * n_bins))).reshape(
        n_units, n_bins
    )
    r = np.linspace(0, n_units, min(rows, n_units) + 1).astype(int)
    c = np.linspace(0, n_bins, min(columns, n_bins) + 1).astype(int)
    expected = [[dense[a:b, x:y].mean() for x, y in pairwise(c)] for a, b in pairwise(r)]
    assert np.allclose(block_means(Raster.from_dense(dense), rows, columns), expected)


def test_block_means_do_not_depend_on_chunks(monkeypatch):
    """Reading a few units at a time gives the same image as reading all."""
    dense = np.random.default_rng(0).random((50, 64)) < 0.3
    whole = block_means(Raster.from_dense(dense), 7, 9)
    monkeypatch.setattr(
        Raster, "chunks", lambda self, n_bytes=0: iter([slice(i, min(i + 3, 50)) for i in range(0, 50, 3)])
    )
    assert np.array_equal(block_means(Raster.from_dense(dense), 7, 9), whole)


def test_raster_shows_the_bits_and_the_borders_of_labels(recording):
    """With few units and bins a pixel is a bit; sorted by label each border but the first is marked and each label named; the axis says what a bin is."""
    sorted_by_label = recording.arrange("label")
    ax = figures.raster(sorted_by_label, layer="a")
    image = ax.images[0]
    assert np.array_equal(image.get_array(), sorted_by_label.raster("a"))
    assert image.get_extent() == [0, 200, 30, 0]
    borders = np.flatnonzero(np.diff(sorted_by_label.trials["label"])) + 1
    assert [line.get_xdata()[0] for line in ax.lines] == borders.tolist()
    assert [text.get_text() for text in ax.texts] == ["0", "1", "2", "3", "4", "label"]
    assert ax.get_xlabel() == "pseudo-time: 1 bin = 1 input (bin, label order)"
    assert ax.get_ylabel() == "unit of a"
    assert not figures.raster(recording, layer="a").lines


def test_raster_stacks_layers_and_marks_passes():
    """All layers have the same height and colour scale; passes are marked; sequence trials are called steps."""
    rng = np.random.default_rng(0)
    spikes = recording_of(
        {"a": rng.random((4, 24)) < 0.5, "b": rng.random((2, 24)) < 0.1}, np.array([0, 1, 0, 1]), 2, np.full(4, 3)
    )
    ax = figures.raster(spikes)
    assert [image.get_extent()[2:] for image in ax.images] == [[1, 0], [2, 1]]
    assert len({image.get_clim() for image in ax.images}) == 1
    assert [line.get_xdata()[0] for line in ax.lines if line.get_xdata()[0] == line.get_xdata()[1]] == [12]
    assert "1 bin = 1 step" in ax.get_xlabel()
    with pytest.raises(LayerNotFound, match="Did you mean"):
        figures.raster(spikes, layer="aa")


def test_label_rates_are_means_over_the_labels_bins(recording):
    """The map holds every unit's mean per label, sorted by preferred label; untuned units come last; labels are needed."""
    dense, labels = recording.raster("a"), recording.trials["label"].to_numpy()
    expected = np.array([dense[:, labels == label].mean(axis=1) for label in range(5)])
    assert np.allclose(rates_by_label(recording.layer("a").raster, labels, 5), expected)
    image = np.asarray(figures.label_rates(recording, "a").images[0].get_array())
    tuned = image[:, image.max(axis=0) > image.min(axis=0)]
    assert (np.diff(tuned.argmax(axis=0)) >= 0).all()
    assert sorted(map(tuple, image.T.round(5))) == sorted(map(tuple, expected.T.round(5)))
    with pytest.raises(WindowError, match="no column 'label'"):
        figures.label_rates(ann2neo.from_array(dense.T.copy()), "array")


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
    ax = figures.isi_law(recording, "a", unit=3)
    counts, _ = interval_counts(recording, "a", 3)
    observed = ax.lines[0].get_ydata()
    assert observed[0] == pytest.approx(counts[1] / counts.sum())
    assert [t.get_text().split(" (")[0].split(",")[0] for t in ax.get_legend().get_texts()] == [
        "observed",
        "geometric",
        "exponential",
    ]
    assert "1 bin = 1 input" in ax.get_xlabel()


def test_distributions_mark_means_and_chance(table):
    """Diamonds are the means over all units that have a value, bars the mean expectation; the right axis reads spikes per bin."""
    ax = figures.firing_rate(table)
    means = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "D"]
    assert np.allclose(means, table.groupby("layer")["firing_rate"].mean())
    assert ax.child_axes[0].get_ylabel() == "spikes per bin"
    ax.figure.draw_without_rendering()
    assert np.allclose(np.array(ax.get_ylim()) / 1000, ax.child_axes[0].get_ylim())
    ax = figures.fano(table)
    means = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "D"]
    assert np.allclose(means, table.groupby("layer")["fano"].mean())
    chance = np.array(ax.collections[-1].get_segments())[:, 0, 1]
    assert np.allclose(chance, table.groupby("layer")["fano_expected"].mean())
    assert ax.get_ylabel() == "Fano factor\n(windows: label, 50 bins each)"


def test_fano_against_rate_has_the_line_and_counts_every_unit(table):
    """The line is 1 - p, and the cells together hold each unit with a Fano factor above 0 once."""
    ax = figures.fano_against_rate(table)
    x, y = ax.lines[0].get_data()
    assert np.allclose(y, 1 - x)
    assert ax.collections[0].get_array().sum() == (table["fano"] > 0).sum()
    assert ax.get_xlim() == (0, 1)


def test_cv_counts_good_units_on_equal_axes(table):
    """Each good unit is in one cell, and both axes have the same limits."""
    ax = figures.cv_against_expected(table)
    good = table[(table["quality"] == "good") & table["cv"].notna()]
    assert ax.collections[0].get_array().sum() == len(good)
    assert ax.get_xlim() == ax.get_ylim()


def test_p_values_are_sorted_against_uniform_places(table):
    """The i-th smallest of n p values lies at i / (n + 1)."""
    ax = figures.p_values(table)
    p = np.sort(table["runs_p"].dropna())
    x, y = ax.lines[-1].get_data()
    assert np.allclose(y, p)
    assert np.allclose(x, np.arange(1, p.size + 1) / (p.size + 1))


def test_indicators_hold_every_network_and_chance():
    """Marks are the networks' values; chance bars are where a chance value exists; each state says its n."""
    tables = {"young": [ann2neo.summarize(network(s)) for s in range(3)], "old": ann2neo.summarize(network(9))}
    axes = figures.indicators(tables)
    rows = [t[t["population"] == "all"]["fano_mean"].to_numpy() for t in tables["young"]]
    marks = [line.get_ydata() for line in axes[2].lines if line.get_marker() == "o"]
    assert np.allclose(marks, rows)
    assert [ax.get_title() for ax in axes] == [
        "mean firing rate (Hz)",
        "variance of firing rates (Hz²)",
        "mean Fano factor",
        "variance of Fano factors",
    ]
    legend = axes[0].get_figure(root=True).legends[0]
    assert [t.get_text() for t in legend.get_texts()] == ["young (n = 3)", "old (n = 1)", "expected by chance"]
    assert all(ax.get_ylim()[0] == 0 for ax in axes)
    own = Figure().subplots(1, 4)
    assert figures.indicators(tables, list(own))[3] is own[3]
    with pytest.raises(AnalysisError, match="4 indicators were to be drawn on 1 axes"):
        figures.indicators(tables, [own[0]])


def test_learning_draws_means_over_seeds():
    """One line per layer and state, at the mean over rows of an epoch; a missing column is named."""
    rows = [
        ann2neo.summarize(network(10 * e + s)).assign(epoch=e, state="true labels") for e in range(3) for s in range(2)
    ]
    history = pd.concat([r[r["population"] == "all"] for r in rows], ignore_index=True)
    axes = figures.learning(history, shown=["fano_mean"])
    assert len(axes[0].lines) == 4
    mean = history[history["layer"] == "fc1"].groupby("epoch")["fano_mean"].mean()
    assert np.allclose(axes[0].lines[0].get_ydata(), mean)
    with pytest.raises(AnalysisError, match="lacks 'epoch'"):
        figures.learning(history.drop(columns="epoch"))


def test_layer_table_writes_every_number_and_colours_layers_only(table):
    """Each cell's text is its value; each column's colours run from 0 to 1 over layers, none for the network row and the number of units."""
    summary = ann2neo.summarize(table)
    ax = figures.layer_table(summary, shown=["n_units", "fano_mean", "fano_var"])
    rows = summary[summary["population"] == "all"]
    assert [t.get_text() for t in ax.texts[:2]] == ["40", f"{rows['fano_mean'].iloc[0]:.3g}"]
    colours = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert np.isnan(colours[-1]).all()
    assert np.isnan(colours[:, 0]).all()
    assert colours[:-1, 1:].min(axis=0).tolist() == [0, 0]
    assert colours[:-1, 1:].max(axis=0).tolist() == [1, 1]


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
    figures.png(figures.indicators({"x": summary}, shown=["fano_mean"])[0], dpi=20)


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
        assert all(image.get_array().size <= 400_000 for image in ax.images)
    assert time.perf_counter() - begin < 30


def test_axes_given_are_used_and_pyplot_is_never_loaded(table):
    """A function draws on the axes it gets and returns them; without pyplot nothing can be left open."""
    for draw in OF_TABLE:
        mine = Figure().subplots()
        assert draw(table, mine) is mine
        assert isinstance(draw(table), Axes)
    check = "import sys, ann2neo.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def test_tables_differ_by_windows_in_their_labels():
    """The window is part of a Fano factor, so that the axis says it."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [30, 50])
    other = unit_table({"a": rng.random((20, 80)) < 0.4}, labels)
    assert "label, 30-50 bins each" in figures.fano(other).get_ylabel()
    other.attrs["windows"] = "100 bins"
    other.attrs["window_min_bins"] = other.attrs["window_max_bins"] = 100
    assert figures.fano(other).get_ylabel() == "Fano factor\n(windows: 100 bins)"


def test_sources_stand_beside_their_own_reference():
    """Each unit of each source is drawn, many as a box, and the bar is the mean expectation of the source's own units."""
    rng = np.random.default_rng(0)
    few = ann2neo.analyze(ann2neo.from_array(rng.random((300, 5)) < 0.3), windows=30, progress=False)
    many = ann2neo.analyze(ann2neo.from_array(rng.random((300, 200)) < 0.6), windows=30, progress=False)
    panels = figures.beside_chance({"few": few, "many": many})
    assert [ax.get_title() for ax in panels] == ["CV of ISIs", "CV2", "Lv", "Fano factor"]
    for ax, name in zip(panels, ("cv", "cv2", "lv", "fano")):
        assert sorted(ax.lines[0].get_ydata()) == sorted(few[name])
        lines = [c for c in ax.collections if isinstance(c, LineCollection) and c.get_linewidth()[0] == 2.5]
        bars = [line.get_segments()[0][0, 1] for line in lines]
        assert bars == pytest.approx([few[f"{name}_expected"].mean(), many[f"{name}_expected"].mean()])
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["few", "many"]
