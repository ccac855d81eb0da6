"""Figures in detail: few units, short axes, legends, colour bars, and what is said where there is nothing to see."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import ann2neo
from ann2neo import figures
from ann2neo.figures.canvas import plain_log
from ann2neo.figures.rows import shortened
from ann2neo.population import correlations

FEW = ann2neo.from_array(np.random.default_rng(1).random((300, 3)) < 0.3, labels=np.arange(300) % 3)
DRAWN = pytest.mark.slow("four figures with the names of many layers are drawn")


def few_units() -> pd.DataFrame:
    return ann2neo.analyze(FEW, windows=30, progress=False)


def test_few_units_are_dots():
    """Up to 20 units every one is a dot at its own values, and there is no colour bar of counts."""
    table = few_units()
    for draw, x, y in (
        (figures.fano_against_rate, "p_spike", "fano"),
        (figures.cv_against_expected, "cv_expected", "cv"),
    ):
        ax = draw(table).ax
        dots = [line for line in ax.lines if line.get_marker() == "o"]
        assert sorted(dots[0].get_xdata()) == sorted(table[x])
        assert sorted(dots[0].get_ydata()) == sorted(table[y])
        assert len(ax.figure.axes) == 1
    for draw, y in ((figures.firing_rate, "firing_rate"), (figures.fano, "fano")):
        ax = draw(table).ax
        assert next(line for line in ax.lines if line.get_marker() == "o").get_xdata().tolist() == sorted(table[y])


@pytest.mark.parametrize(
    ("prefix", "n_layers"), [("backbone.layer1.0", 2), ("vision_tower.encoder.blocks.residual", 2), ("b.c", 3)]
)
def test_the_name_of_rows_lies_inside_the_figure(prefix, n_layers):
    """What the names of all layers begin with is neither cut off by the figure nor as tall as a paragraph."""
    layers = [replace(FEW.layers[0], name=f"{prefix}.relu:{number}") for number in range(1, n_layers + 1)]
    network = replace(FEW, layers=tuple(layers))
    table = ann2neo.analyze(network, windows=30, progress=False)
    summary = ann2neo.summarize(table)
    rasters = [figures.raster(network, sort="tuning", units=2), figures.raster(network, layer=layers[0].name, units=2)]
    for drawn in (figures.fano(table), figures.firing_rate(table), figures.indicators({"a": summary}), *rasters):
        drawn.figure.draw_without_rendering()
        box, whole = drawn.ax.yaxis.label.get_window_extent(), drawn.figure.bbox
        assert whole.y0 <= box.y0
        assert box.y1 <= whole.y1
        assert prefix[-12:] in drawn.ax.get_ylabel()


@pytest.mark.parametrize("span", [(0.9, 1.1), (0.55, 5), (2.1, 2.9), (0.01, 20), (0.003, 20), (30, 41)])
def test_logarithmic_axes_have_ticks_that_can_be_read(span):
    """However short the axis, at least two ticks lie on it, and none has more letters than a number needs."""
    ax = Figure().subplots()
    ax.set_yscale("log")
    ax.set_ylim(*span)
    plain_log(ax.yaxis)
    ax.figure.draw_without_rendering()
    shown = [t.get_text() for t in ax.get_yticklabels() if span[0] <= t.get_position()[1] <= span[1] and t.get_text()]
    assert len(shown) >= 2
    assert all(len(text) <= 5 for text in shown)
    assert len({float(text) for text in shown}) == len(shown)
    wide = Figure(figsize=(4.4, 2)).subplots()
    wide.set_xscale("log")
    wide.set_xlim(*span)
    plain_log(wide.xaxis)
    wide.figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in wide.get_xticklabels() if span[0] <= t.get_position()[0] <= span[1]]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_legends_do_not_lie_on_data():
    """In figures that make room by themselves the legend is outside of every panel's frame and inside the figure, alone or beside other panels; elsewhere it is inside the frame."""
    drawn = [
        (figures.fano_against_rate, (few_units(),)),
        (figures.isi_law, (FEW, "array")),
        (figures.p_values, (few_units().assign(runs_p=[0.9, 0.1, 0.5], isi_law_p=[0.3, 0.6, 0.2]),)),
        (figures.cv_against_expected, (few_units(),)),
        (figures.fano, (few_units(),)),
        (figures.firing_rate, (few_units(),)),
    ]
    panels = Figure(figsize=(9, 12), layout="constrained").subplots(3, 2).ravel()
    for (draw, shown), ax in zip(drawn, panels):
        draw(*shown, ax)
    alone = [draw(*shown).figure for draw, shown in drawn]
    for figure in [panels[0].get_figure(root=True), *alone]:
        figure.draw_without_rendering()
        legends = [*figure.legends, *[ax.get_legend() for ax in figure.axes if ax.get_legend()]]
        assert len(legends) == (len(panels) if figure is not alone[0] and figure not in alone else 1)
        for legend in legends:
            box = legend.get_window_extent()
            assert not any(box.overlaps(ax.get_window_extent()) for ax in figure.axes)
            assert figure.bbox.contains(box.x0 + 1, box.y0 + 1)
            assert figure.bbox.contains(box.x1 - 1, box.y1 - 1)
    loose = figures.isi_law(FEW, "array", Figure().subplots()).ax
    loose.figure.draw_without_rendering()
    assert loose.get_window_extent().overlaps(loose.get_legend().get_window_extent())


def test_a_raster_of_single_bits_has_two_colours():
    """Where a block is one unit in one bin, the colours are named; where it is larger, there is a scale, and it says how large."""
    ax = figures.raster(FEW).ax
    bar = ax.figure.axes[1]
    assert [t.get_text() for t in bar.get_yticklabels()] == ["no spike", "spike"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "1", "2"]
    assert ax.get_yticks().tolist() == [0.5, 1.5, 2.5]
    for n_bins, words in ((2500, "2.5"), (1_234_000, "1,234")):
        wide = figures.raster(ann2neo.from_array(np.zeros((n_bins, 2), bool)))
        assert wide.figure.axes[1].get_ylabel() == f"spikes per bin\n(mean over about {words} bins)"
    assert figures.raster(ann2neo.from_array(np.zeros((1497, 2), bool))).ax.images[0].get_array().shape == (2, 1497)


def test_a_loaders_order_is_on_the_axis():
    """An order that a loader drew is not called presented."""
    drawn = replace(FEW, trials=FEW.trials.assign(stimulus_id=np.arange(300)[::-1]))
    assert figures.raster(drawn).ax.get_xlabel().endswith("(bin, loader's shuffled order)")


def test_p_values_say_how_to_get_them():
    """Without tests the figure says what to ask for; with tests but without good units, that there are none."""
    assert "tests=True" in figures.p_values(few_units()).ax.texts[0].get_text()
    assert figures.p_values(few_units().assign(runs_p=np.nan)).ax.texts[0].get_text() == "no unit has a p value"


def test_grey_cells_are_explained():
    """A silent unit has no correlations: the axis says how many cells are grey, and why."""
    dense = np.random.default_rng(0).random((60, 4)) < 0.4
    dense[:, 3] = False
    recording = ann2neo.from_array(dense, labels=np.arange(60) % 4)
    ax = figures.correlation_matrix(correlations(recording, n_permutations=5)).ax
    assert "grey: undefined (6 of 12: a unit that never changes)" in ax.get_xlabel()
    ax = figures.correlation_matrix(correlations(recording.select(units=[0, 1]), n_permutations=5)).ax
    assert "grey: a unit with itself" in ax.get_xlabel()


def test_a_source_without_values_is_named():
    """A silent source has a place of its own, where it says that there is no value."""
    silent = ann2neo.analyze(ann2neo.from_array(np.zeros((300, 2), bool)), windows=30, progress=False)
    panels = figures.beside_chance({"a network of ours": few_units(), "silent": silent}).axes
    assert [[text.get_text() for text in ax.texts] for ax in panels] == [["no value"]] * 4
    assert [tick.get_text() for tick in panels[0].get_yticklabels()] == ["a network of ours", "silent"]
    assert all(ax.get_xlim()[1] > max(few_units()[name]) for ax, name in zip(panels, ("cv", "cv2", "lv", "fano")))


def test_what_several_panels_give_is_rendered():
    """What `indicators` returns, and a list of its axes, is a figure like any other."""
    panels = figures.indicators({"mine": ann2neo.summarize(few_units())})
    assert figures.png(panels, dpi=20) == figures.png(list(panels.axes), dpi=20)
    assert figures.png(panels, dpi=20).startswith(b"\x89PNG")


@pytest.mark.parametrize("n_layers", [2, 17, pytest.param(34, marks=DRAWN), pytest.param(150, marks=DRAWN)])
def test_no_two_names_of_layers_overlap(n_layers):
    """Whatever the depth, the names of rows, of what stands beside them and of ticks are apart, and everything lies inside the figure."""
    names = [f"model.encoder.layers.{i // 2}.{('mlp.act', 'attn.gate:1')[i % 2]}" for i in range(n_layers)]
    unit = few_units().iloc[:2]
    table = pd.concat([unit.assign(layer=name) for name in names], ignore_index=True)
    table.attrs = dict(few_units().attrs)
    summary = ann2neo.summarize(table)
    for drawn in (
        figures.fano(table),
        figures.firing_rate(table),
        figures.p_spike({"a": table, "b": table}),
        figures.indicators({"a": summary, "b": summary}),
    ):
        drawn.figure.draw_without_rendering()
        for ax in drawn.figure.axes + drawn.ax.child_axes:
            boxes = [t.get_window_extent() for t in ax.get_yticklabels() if t.get_text() and t.get_visible()]
            assert not any(a.overlaps(b) for a, b in pairwise(sorted(boxes, key=lambda box: box.y0)))
            ticks = [t.get_window_extent() for t in ax.get_xticklabels() if t.get_text()]
            assert all(drawn.figure.bbox.x0 <= box.x0 and box.x1 <= drawn.figure.bbox.x1 + 1 for box in boxes)
            assert not any(a.overlaps(b) for a, b in pairwise(ticks))
        assert drawn.ax.get_yticklabels()[0].get_text() == ("mlp.act" if n_layers == 2 else "0.mlp.act")
        end = "encoder.layers.0" if n_layers == 2 else "layer of model.encoder.layers"
        assert drawn.ax.get_ylabel().startswith("layer of")
        assert drawn.ax.get_ylabel().endswith(end)


LONG_NAMES = [f"encoder.layers_with_a_long_name.{i}.feed_forward_network.activation_function" for i in (0, 1, 11)]


def test_long_names_leave_room_for_the_figure_and_stay_apart():
    """Names that are alike at both ends, or one letter 120 times, are neither cut off nor the same, and the axis keeps its name above the legend."""
    names = [*LONG_NAMES, "x" * 120]
    unit = few_units().iloc[:2]
    table = pd.concat([unit.assign(layer=name) for name in names], ignore_index=True)
    table.attrs = dict(few_units().attrs)
    for drawn in (figures.fano(table), figures.firing_rate(table)):
        drawn.figure.draw_without_rendering()
        ticks = drawn.ax.get_yticklabels()
        assert len({text.get_text() for text in ticks}) == len(names)
        assert min(text.get_window_extent().x0 for text in ticks) >= 0
        legend = drawn.figure.legends[0].get_window_extent()
        assert not legend.overlaps(drawn.ax.xaxis.label.get_window_extent())
        assert drawn.ax.get_window_extent().width > drawn.figure.bbox.width / 3


@settings(max_examples=60)
@given(st.lists(st.text("ab.", max_size=60), max_size=8), st.integers(6, 30))
def test_short_names_are_as_many_as_names(names, letters):
    """Names that differ stay different, equal ones equal, short ones whole, and none becomes much longer than what is asked for."""
    short = shortened(names, letters)
    assert len(short) == len(names)
    assert len(set(zip(names, short))) == len(set(names)) == len(set(short))
    assert all(a == b for a, b in zip(names, short) if len(a) <= letters)
    assert all(len(text) <= letters + len("8: …") for text in short)


def test_names_of_labels_that_begin_alike_are_told_apart():
    """Above a raster: a hundred classes whose names differ in their middle; none lies on the word that says what they are."""
    spikes = ann2neo.from_array(np.random.default_rng(0).random((400, 3)) < 0.3, labels=np.arange(400) % 8)
    trials = spikes.trials.assign(
        label_name=[f"class number {label}, a longish name" for label in spikes.trials["label"]]
    )
    drawn = figures.raster(replace(spikes, trials=trials).arrange("label"))
    drawn.figure.draw_without_rendering()
    texts = {text.get_text(): text.get_window_extent() for text in drawn.ax.texts}
    assert len(texts) == len(drawn.ax.texts) >= 4
    assert not any(box.overlaps(texts["label"]) for name, box in texts.items() if name != "label")


@pytest.mark.parametrize("n_labels", [2, 10, 39, 100, 300])
def test_names_of_labels_do_not_overlap(n_labels):
    """Above a raster sorted by label, and beside a map of labels, names are apart, however unequal the labels."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.repeat(np.arange(n_labels), 2), rng.integers(0, n_labels, 400)])
    spikes = ann2neo.from_array(rng.random((labels.size, 5)) < 0.3, labels=labels)
    drawn = figures.raster(spikes.arrange("label"))
    drawn.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in drawn.ax.texts]
    assert not any(a.overlaps(b) for a, b in pairwise(sorted(boxes, key=lambda box: box.x0)))
    assert ("not drawn" in drawn.ax.get_xlabel()) == (n_labels > 200)
    rates = figures.label_rates(spikes, "array")
    rates.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in rates.ax.get_yticklabels()]
    assert len(boxes) >= min(n_labels, 30)
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def test_what_chance_predicts_of_each_unit_is_marks_not_a_zigzag():
    """Where units of one rate differ in their expectation a line through them would only go up and down; a smooth one stays a line."""
    rng = np.random.default_rng(0)
    table = ann2neo.analyze(ann2neo.from_array(rng.random((300, 60)) < rng.random(60)), windows=30, progress=False)
    for factor, line in ((np.ones(60), "--"), (rng.uniform(0.5, 2, 60), "None")):
        changed = table.assign(fano_expected=table["fano_expected"] * factor)
        changed.attrs = dict(table.attrs)
        chance = next(
            each for each in figures.fano_against_rate(changed).ax.lines if "given counts" in str(each.get_label())
        )
        assert chance.get_linestyle() == line


def test_signal_over_two_labels_is_blank():
    """Over two labels a signal correlation is 1 or -1 by construction: it is not drawn, and the axis says so; several layers have borders and names."""
    rng = np.random.default_rng(0)
    spikes = ann2neo.from_array(rng.random((60, 4)) < 0.4, labels=np.arange(60) % 2)
    ax = figures.correlation_matrix(correlations(spikes, n_permutations=5)).ax
    image = np.ma.getmaskarray(ax.images[0].get_array())
    assert image[np.tril_indices(4)].all()
    assert not image[np.triu_indices(4, 1)].any()
    assert "blank, ±1 by construction (2 labels)" in ax.get_xlabel()
    layers = tuple(replace(spikes.layers[0].take(np.array([i, i + 1])), name=f"fc{i}") for i in (0, 2))
    several = figures.correlation_matrix(correlations(replace(spikes, layers=layers), n_permutations=5)).ax
    assert [tick.get_text() for tick in several.get_yticklabels()] == ["fc0", "fc2"]
    assert [line.get_ydata()[0] for line in several.lines[1:] if line.get_ydata()[0] == line.get_ydata()[1]] == [2]


def test_names_of_small_layers_beside_a_matrix_do_not_overlap():
    """17 layers, some of two units among large ones: every name is written, in order, and no two boxes of names meet; a chance of zero has no minus."""
    rng = np.random.default_rng(0)
    sizes = [40, *[2] * 8, 30, 30, 2, 2, 30, 30, 30, 2]
    spikes = ann2neo.from_array(rng.random((60, sum(sizes))) < 0.4, labels=np.arange(60) % 6)
    begins = np.cumsum([0, *sizes])
    layers = tuple(
        replace(spikes.layers[0].take(np.arange(a, b)), name=f"layer{i}.0.relu")
        for i, (a, b) in enumerate(pairwise(begins))
    )
    drawn = figures.correlation_matrix(correlations(replace(spikes, layers=layers), n_permutations=5))
    drawn.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in drawn.ax.get_yticklabels()]
    assert len(boxes) == len(sizes)
    assert all(above.y0 >= below.y1 for above, below in pairwise(boxes))
    assert "-0.00" not in drawn.ax.get_xlabel()


def test_a_ridge_is_the_mean_of_the_networks_of_a_group():
    """Each network has weight 1 however many units it has: heights are square roots of mean shares, medians and rare shares means over networks."""
    small, large = few_units(), pd.concat([few_units().assign(p_spike=0.9)] * 3, ignore_index=True)
    large.attrs = dict(small.attrs)
    drawn = figures.p_spike({"a": [small, large], "b": [large]})
    ax = drawn.ax
    medians = [line for line in ax.lines if len(line.get_xdata()) == 1]
    expected = [np.mean([small["p_spike"].median(), 0.9]), 0.9]
    found = [np.sin(line.get_xdata()[0] * np.pi / 2) ** 2 for line in medians]
    np.testing.assert_allclose(found, expected)
    ridges = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) > 2]
    shares = [((0.42 - y[1:-1:2]) / 0.84) ** 2 for y in ridges]
    # Scaled to the tallest of the row, which is all of group b in one bin.
    assert shares[1].sum() == pytest.approx(1)
    assert shares[0].sum() == pytest.approx(1)
    rare = np.mean([np.mean(small["p_spike"] < 0.05), 0])
    assert [t.get_text() for t in ax.child_axes[0].get_yticklabels()] == [f"rare: {rare:.0%} / 0%"]
