"""Figures in detail: few units, short axes, legends, colour bars, and what is said where there is nothing to see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import ann2neo
from ann2neo import figures
from ann2neo.figures.canvas import plain_log
from ann2neo.population import correlations

FEW = ann2neo.from_array(np.random.default_rng(1).random((300, 3)) < 0.3, labels=np.arange(300) % 3)


def few_units() -> pd.DataFrame:
    return ann2neo.analyze(FEW, windows=30, progress=False)


def test_few_units_are_dots():
    """Up to 20 units every one is a dot at its own values, and there is no colour bar of counts."""
    table = few_units()
    for draw, x, y in (
        (figures.fano_against_rate, "p_spike", "fano"),
        (figures.cv_against_expected, "cv_expected", "cv"),
    ):
        ax = draw(table)
        dots = [line for line in ax.lines if line.get_marker() == "o"]
        assert sorted(dots[0].get_xdata()) == sorted(table[x])
        assert sorted(dots[0].get_ydata()) == sorted(table[y])
        assert len(ax.figure.axes) == 1
    for draw, y in ((figures.firing_rate, "firing_rate"), (figures.fano, "fano")):
        ax = draw(table)
        assert next(line for line in ax.lines if line.get_marker() == "o").get_ydata().tolist() == sorted(table[y])


@pytest.mark.parametrize("span", [(0.9, 1.1), (0.55, 5), (2.1, 2.9), (0.01, 20), (30, 41)])
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


def test_legends_do_not_lie_on_data():
    """In figures that make room by themselves, also with several panels, the legend is outside of every panel's frame; elsewhere it is inside."""
    panels = Figure(figsize=(9, 7), layout="constrained").subplots(2, 2).ravel()
    figures.fano_against_rate(few_units(), panels[0])
    figures.isi_law(FEW, "array", panels[1])
    figures.p_values(few_units().assign(runs_p=[0.9, 0.1, 0.5], isi_law_p=[0.3, 0.6, 0.2]), panels[2])
    figures.cv_against_expected(few_units(), panels[3])
    figure = panels[0].get_figure(root=True)
    figure.draw_without_rendering()
    for ax in panels:
        box = ax.get_legend().get_window_extent()
        assert not any(box.overlaps(other.get_window_extent()) for other in panels)
        assert figure.bbox.contains(box.x0, box.y0)
        assert figure.bbox.contains(box.x1, box.y1)
    loose = figures.isi_law(FEW, "array", Figure().subplots())
    loose.figure.draw_without_rendering()
    assert loose.get_window_extent().overlaps(loose.get_legend().get_window_extent())


def test_a_raster_of_single_bits_has_two_colours():
    """Where a block is one unit in one bin, the colours are named; where it is larger, there is a scale, and it says how large."""
    ax = figures.raster(FEW)
    bar = ax.figure.axes[1]
    assert [t.get_text() for t in bar.get_yticklabels()] == ["no spike", "spike"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "1", "2"]
    assert ax.get_yticks().tolist() == [0.5, 1.5, 2.5]
    wide = figures.raster(ann2neo.from_array(np.zeros((1497, 2), bool)))
    assert wide.figure.axes[1].get_ylabel() == "spikes per bin\n(mean over about 1 unit × 1.5 bins)"


def test_a_loaders_order_is_on_the_axis():
    """An order that a loader drew is not called presented."""
    drawn = replace(FEW, trials=FEW.trials.assign(stimulus_id=np.arange(300)[::-1]))
    assert figures.raster(drawn).get_xlabel().endswith("(bin, loader's shuffled order)")


def test_p_values_say_how_to_get_them():
    """Without tests the figure says what to ask for; with tests but without good units, that there are none."""
    assert "tests=True" in figures.p_values(few_units()).texts[0].get_text()
    assert figures.p_values(few_units().assign(runs_p=np.nan)).texts[0].get_text() == "no unit has a p value"


def test_grey_cells_are_explained():
    """A silent unit has no correlations: the axis says how many cells are grey, and why."""
    dense = np.random.default_rng(0).random((60, 4)) < 0.4
    dense[:, 3] = False
    recording = ann2neo.from_array(dense, labels=np.arange(60) % 4)
    ax = figures.correlation_matrix(correlations(recording, n_permutations=5))
    assert "grey: undefined (6 of 12: a unit that never changes)" in ax.get_xlabel()
    ax = figures.correlation_matrix(correlations(recording.select(units=[0, 1]), n_permutations=5))
    assert "grey: a unit with itself" in ax.get_xlabel()


def test_a_source_without_values_is_named():
    """A silent source has a place of its own, where it says that there is no value; long names are slanted."""
    silent = ann2neo.analyze(ann2neo.from_array(np.zeros((300, 2), bool)), windows=30, progress=False)
    panels = figures.beside_chance({"a network of ours": few_units(), "silent": silent})
    assert [[text.get_text() for text in ax.texts] for ax in panels] == [["no value"]] * 4
    assert {label.get_rotation() for label in panels[0].get_xticklabels()} == {25}
    assert all(ax.get_ylim()[1] > max(few_units()[name]) for ax, name in zip(panels, ("cv", "cv2", "lv", "fano")))


def test_what_several_panels_give_is_rendered():
    """The list that `indicators` gives is a figure like any other."""
    panels = figures.indicators({"mine": ann2neo.summarize(few_units())})
    assert figures.png(panels, dpi=20).startswith(b"\x89PNG")
