"""Pages and printed tables of extreme networks: very many layers, silent units, one input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import ann2neo
from ann2neo.figures import png
from ann2neo.figures.rasters import raster
from ann2neo.report import Picture, Section, write_report
from ann2neo.report.numbers import format_column, format_number
from ann2neo.results.lines import table_lines
from ann2neo.results.opening import facts, found, recorded
from ann2neo.results.pages import Result, describe, drawings, printed

SPIKES = np.random.default_rng(0).random((40, 3)) < 0.4


def analyzed(spikes: np.ndarray) -> tuple[ann2neo.Recording, pd.DataFrame]:
    recording = ann2neo.from_array(spikes, labels=np.arange(len(spikes)) % 2)
    return recording, ann2neo.analyze(recording, progress=False)


@pytest.mark.parametrize(("height", "framed"), [(4.0, False), (30.0, True)])
def test_a_high_figure_is_scrolled_in_a_frame(tmp_path, height, framed):
    """A figure of very many layers does not push the rest of the page away; keyboards reach its frame."""
    picture = Picture(png=png(Figure(figsize=(3, height)), dpi=160), caption="A figure.", alt="A figure.")
    page = write_report(tmp_path / "a.html", title="A", sections=[Section(heading="B", figures=[picture])])
    text = page.read_text(encoding="utf-8")
    assert ('<div class="tall" role="region" tabindex="0"' in text) == framed


def test_very_many_layers_are_not_printed_one_by_one():
    """A terminal shows the network as a whole, and where its layers are; few layers are printed as they were."""
    recording, _ = analyzed(SPIKES)
    for n in (30, 31):
        layers = tuple(replace(recording.layers[0], name=f"layer{i}") for i in range(n))
        summary = ann2neo.summarize(ann2neo.analyze(replace(recording, layers=layers), progress=False))
        text = printed(summary, ("layer", "population", "n_units"))
        assert ("31 layers are not printed one by one" in text) == (n == 31)
        assert ("layer7" in text) == (n == 30)


def test_a_page_says_why_nothing_was_measured():
    """The sentence names what no unit has and why, and one of a kind is singular."""
    _, table = analyzed(np.zeros((20, 4), bool))
    assert found(table) == "100% of the units are silent; no unit has a CV of ISIs or a Fano factor: all are silent."
    one, table = analyzed(np.array([[1]], bool))
    assert recorded("x", table, one) == "x: 1 unit in 1 layer over 1 input, in presented order."
    assert describe(table).startswith("1 unit; order: presented; 1 window by label (1 bin);")


def test_a_large_rate_is_written_as_in_the_table():
    """Key numbers have no powers of ten where tables have none."""
    recording, table = analyzed(np.ones((20, 4), bool))
    values = {fact.name: fact.value for fact in facts([Result(name="x", table=table, recording=recording)])}
    assert values["mean firing rate (Hz)"] == "1,000"


def test_few_silent_units_are_not_none():
    """A share that rounds to nothing, or to all, is not written as 0 or 100 per cent."""
    spikes = np.ones((20, 400), bool)
    spikes[:, 0] = False
    assert found(analyzed(spikes)[1]).startswith("<1% of")
    assert found(analyzed(~spikes)[1]).startswith(">99% of")


def test_what_rounding_left_is_not_a_number():
    """Numbers below 1e-15 do not decide how a column is written, on a page and in a terminal."""
    assert format_number(-1e-30) == ">−1e-15"
    assert format_column(pd.Series([0.5, 0.25, 1e-80])) == ["0.500", "0.250", "<1e-15"]
    assert table_lines(pd.DataFrame({"x": [1e-80, 0.5]}), width=80).split() == ["x", "<1e-15", "0.5"]


def test_a_caption_names_what_is_drawn():
    """Rows and columns of a raster that are samples, means or steps are not called units and inputs."""
    wide = ann2neo.from_array(np.random.default_rng(0).random((60, 900)) < 0.4)
    steps = ann2neo.from_array(np.ones((5, 4, 3)), trial_axis=0)
    for recording, words in (
        (wide, f"a row for each of {len(raster(wide).ax.images[0].get_array()):,} units"),
        (steps, "step of an input"),
    ):
        table = ann2neo.analyze(recording, windows=2, progress=False)
        caption = drawings(Result(name="x", table=table, recording=recording))[0][2]
        assert words in caption
