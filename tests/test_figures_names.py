"""Figures of networks with odd names, and of units that have nothing to show."""

from __future__ import annotations

import numpy as np
import pytest

import ann2neo
from ann2neo import figures
from ann2neo.figures.rows import shortened

UNKNOWN = "\U0010fffd"  # for private use: no font has it


def recorded(spikes: np.ndarray, layer: str = "array") -> ann2neo.Recording:
    return ann2neo.from_array(spikes, labels=np.arange(len(spikes)) % 2, layer=layer)


SPIKES = np.random.default_rng(0).random((60, 4)) < 0.4


def test_names_are_no_formulas():
    """Dollar signs in the name of a layer are drawn as they are, also where they would be a broken formula."""
    network = recorded(SPIKES, "a $\\frac{x$ b")
    drawn = figures.isi_law(network, "a $\\frac{x$ b")
    drawn.figure.draw_without_rendering()
    assert not drawn.ax.title.get_parse_math()
    figures.fano(ann2neo.analyze(network, progress=False)).figure.draw_without_rendering()


def test_letters_that_no_font_has_are_told_once():
    """One warning of ours names every such letter; matplotlib's, one for each place, are not shown."""
    drawn = figures.isi_law(recorded(SPIKES, f"a{UNKNOWN}b"), f"a{UNKNOWN}b")
    with pytest.warns(ann2neo.Ann2NeoWarning, match="no font of this computer has the letter") as told:
        figures.png(drawn, dpi=20)
    assert len(told) == 1


def test_a_name_with_line_breaks_takes_one_line():
    """Line breaks are signs, and names that differ by them alone still differ."""
    assert shortened(["a\nb", "a b", "a\tb"]) == ["a↵b", "a b", "a⇥b"]


@pytest.mark.parametrize("letters", [8, 60])
def test_long_names_take_no_width_from_the_axes(letters):
    """The axes of a figure are as wide beside long names of layers as beside short ones, to a tenth."""
    widths = []
    for name in ("fc", "x" * letters):
        drawn = figures.firing_rate(ann2neo.analyze(recorded(SPIKES, name), progress=False))
        drawn.figure.draw_without_rendering()
        widths.append(drawn.ax.get_window_extent().width)
    assert widths[1] > 0.9 * widths[0]


@pytest.mark.parametrize(
    ("spikes", "of_all", "of_good"),
    [
        (np.zeros((40, 3)), "no unit has a Fano factor: all are silent", "no unit is of good quality: all are silent"),
        (np.ones((1, 3)), "no unit has a Fano factor: all are saturated", "no unit is of good quality: all are saturated"),
        (np.eye(2), "no unit has a Fano factor: there is one window", "no unit is of good quality: all are of too few spikes"),
    ],
)  # fmt: skip
def test_an_empty_figure_says_why(spikes, of_all, of_good):
    """What units are instead of measured is told, in the words of the population that was to be drawn."""
    table = ann2neo.analyze(recorded(spikes), windows=len(spikes), progress=False)
    for draw in (figures.fano, figures.fano_against_rate):
        said = [text.get_text() for text in draw(table).ax.texts]
        assert said == [of_all]
    for draw in (
        figures.fano,
        figures.fano_against_rate,
        figures.firing_rate,
        figures.p_spike,
        figures.cv_against_expected,
    ):
        drawn = draw(table, population="good")
        assert [text.get_text() for text in drawn.ax.texts] == [of_good]
        assert drawn.ax.get_xlabel()


def test_the_title_names_the_population():
    """Fano factors of good units are not said to be those of all."""
    table = ann2neo.analyze(recorded(SPIKES), progress=False)
    titles = [figures.fano_against_rate(table, population=which).ax.get_title() for which in ("all", "good")]
    assert titles == ["all units", "units of good quality"]


def test_one_input_is_drawn_in_every_order():
    """A half without inputs sorts nothing, and the raster is drawn all the same."""
    one = ann2neo.from_array(np.array([[1, 0, 1, 1]], bool), labels=[3])
    for sort in ("rate", "tuning", "similarity"):
        assert figures.raster(one, sort=sort).ax.images[0].get_array().shape == (4, 1)


def test_equal_values_have_no_variance():
    """Units that fire alike have a variance of exactly 0, also where their mean is rounded."""
    table = ann2neo.analyze(recorded(np.tile(np.arange(30) % 3 == 0, (7, 1)).T), windows=7, progress=False)
    summary = ann2neo.summarize(table)
    known = [name for name in summary if str(name).endswith("_var") and summary[name].notna().any()]
    assert "fano_var" in known
    assert (summary[known].dropna(axis=1) == 0).all(axis=None)
