"""Pages can be read by everyone: their structure, the contrast of their colours, and in a browser the findings of axe-core."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import neo
import numpy as np
import pytest
import quantities as pq
from chromium import CHROMIUM, DRIVER, chromium
from unit_tables import network

import ann2neo
from ann2neo import figures
from ann2neo.report import Fact, Picture, write_report
from ann2neo.report.template import STYLE
from ann2neo.results import Result, compare_files, section
from ann2neo.tables import write_table
from ann2neo.viewer import Browser

# Packages that ship axe-core, the newest first; none of them is imported.
SHIPPED = ("axe_playwright_python", "axe_core_python")
LONG = "encoder.transformer_layers.with_a_very_long_name.{}.feed_forward_network.activation_function"
VIEWER = files("ann2neo.viewer").joinpath("style.css").read_text(encoding="utf-8")
# Words, and what is only seen (borders of what is chosen): contrast at least 4.5 and 3 by WCAG 2.2.
WORDS, SEEN = 4.5, 3.0
PAIRS = [
    *((STYLE, ink, paper, WORDS) for ink in ("ink", "soft", "link") for paper in ("paper", "card")),
    *((VIEWER, ink, "paper", WORDS) for ink in ("ink", "soft", "mark")),
    (VIEWER, "ink", "band", WORDS),
    (VIEWER, "focus", "paper", SEEN),
]


def axe() -> str | None:
    """Source of axe-core in the first package that ships it."""
    for name in SHIPPED:
        found = importlib.util.find_spec(name)
        if found is not None and found.submodule_search_locations:
            script = Path(found.submodule_search_locations[0], "axe.min.js")
            if script.exists():
                return script.read_text(encoding="utf-8")
    return None


AXE = axe()
needs_axe = pytest.mark.skipif(
    not (CHROMIUM and DRIVER and AXE), reason="chromium, chromedriver or axe-core is not installed"
)


def recording(seed: int = 0):
    """Layers with long names, and labels."""
    rng = np.random.default_rng(seed)
    made = ann2neo.from_array(rng.random((60, 12)) < 0.3, labels=np.arange(60) % 4)
    layers = [replace(made.layers[0], name=LONG.format(number)) for number in range(2)]
    return replace(made, layers=tuple(layers))


def report(folder: Path) -> Path:
    """A page with all parts: facts, limits, figures, a raster that can be zoomed, tables, files, provenance."""
    spikes = recording()
    table = ann2neo.analyze(spikes, progress=False)
    picture = Picture(png=figures.png(figures.fano(table), dpi=40), caption="Fano factors", alt="Median of 1.")
    sections = [section(Result(name=name, table=table, recording=spikes), [picture]) for name in ("one", "two")]
    return write_report(
        folder / "report.html",
        title="A page",
        lead=["Two results of `analyze`."],
        facts=[Fact(value="24", name="units")],
        figure=picture,
        limits=["Much."],
        sections=sections,
        files={"a.csv": "A table."},
        provenance={"seed": 0},
    )


def comparison(folder: Path) -> Path:
    """The page of a comparison."""
    groups: dict[str, list[Path]] = {"first": [], "second": []}
    for seed in range(6):
        path = folder / f"{seed}.csv"
        write_table(network(seed, n_units=12), path)
        groups["first" if seed < 3 else "second"].append(path)
    compare_files(groups, folder / "contrast", progress=False, say=lambda line: None)
    return folder / "contrast" / "report.html"


def browsed(folder: Path) -> Path:
    """The page of a raster with images."""
    images = np.zeros((60, 3, 3), np.uint8)
    return Browser(recording=recording(), images=images).save(folder / "raster.html")


def cells(folder: Path) -> Path:
    """The page of a raster over time."""
    segment = neo.Segment()
    segment.spiketrains.extend([neo.SpikeTrain([0.5, 1.5] * pq.s, t_stop=2 * pq.s, name=f"cell {k}") for k in range(3)])
    return ann2neo.browse(segment).save(folder / "raster.html")


MADE = {"report": report, "comparison": comparison, "browse": browsed, "cells": cells}


@pytest.fixture(scope="module", params=MADE)
def page(request, tmp_path_factory) -> Path:
    """One page of each kind."""
    return MADE[request.param](tmp_path_factory.mktemp("page"))


class Outline(HTMLParser):
    """Elements of a page, each with its attributes, its ancestors and its own text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[dict] = []
        self.every: list[dict] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", "above": [each["tag"] for each in self.open], **dict(attrs)}
        self.every.append(element)
        if tag not in ("meta", "img", "link", "input", "br"):
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, *tags):
        return [element for element in self.every if element["tag"] in tags]


def test_a_page_has_landmarks_headings_and_names(page):
    """One main landmark and one first heading; no level is skipped; whatever is seen, scrolls or is operated has a name; names of regions differ."""
    outline = Outline(page.read_text(encoding="utf-8"))
    assert [element["lang"] for element in outline.all("html")] == ["en"]
    assert outline.all("title")[0]["text"].strip()
    assert len(outline.all("main")) == 1
    levels = [int(element["tag"][1]) for element in outline.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert all(element["text"].strip() for element in outline.all("h1", "h2", "h3", "h4", "a", "summary", "th"))
    assert all(element["alt"].strip() for element in outline.all("img"))
    assert len(outline.all("caption")) == len(outline.all("table"))
    assert all(element["scope"] == "col" for element in outline.all("th"))
    assert all("label" in element["above"] or element.get("aria-label") for element in outline.all("select", "input"))
    assert all(element["text"].strip() or element.get("aria-label") for element in outline.all("button"))
    named = [element for element in outline.every if element.get("role") in ("region", "img", "application", "toolbar")]
    assert all(
        element.get("aria-label")
        for element in [*named, *outline.all("canvas")]
        if "scale" not in element.get("class", "")
    )
    regions = [element["aria-label"] for element in outline.every if element.get("role") == "region"]
    assert len(regions) == len(set(regions))
    ids = [element["id"] for element in outline.every if "id" in element]
    assert len(ids) == len(set(ids))
    # What scrolls can be reached by keys.
    scrolls = [
        e for e in outline.every if e.get("class") == "wide" or (e.get("class") == "foot" and page.stem == "raster")
    ]
    assert scrolls
    assert all(element["tabindex"] == "0" for element in scrolls)


def luminance(colour: str) -> float:
    """Relative luminance of a colour in sRGB, by WCAG 2.2."""
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one: str, other: str) -> float:
    """Contrast of two colours."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def schemes(style: str) -> list[dict[str, str]]:
    """Variables of a style sheet in the light scheme, the dark one, and on paper where it has its own."""
    blocks = [dict(re.findall(r"--(\w+): (#\w+);", block)) for block in re.findall(r"\{[^{}]*--ink[^{}]*\}", style)]
    assert len(blocks) >= 2
    return [blocks[0] | block for block in blocks]


@pytest.mark.parametrize(("style", "ink", "paper", "least"), PAIRS)
def test_colours_are_apart_in_both_schemes(style, ink, paper, least):
    """Every colour of words on every ground they are written on, light, dark and printed."""
    for colours in schemes(style):
        assert contrast(colours[ink], colours[paper]) >= least, (colours[ink], colours[paper])


def test_the_formula_of_contrast_is_that_of_wcag():
    """Black on white has 21; the grey that is known to be the lightest that passes on white has 4.5."""
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#fff") == pytest.approx(4.54, abs=0.01)


@pytest.fixture(scope="module")
def window():
    """One browser for all pages."""
    with chromium() as found:
        yield found


@pytest.mark.slow("axe-core looks at every element of three pages in four ways")
@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_moderate_or_serious(window, page, scheme):
    """With everything unfolded, on a desk's screen and a telephone's, in both schemes."""
    for width in (1440, 390):
        window.screen(width, 800, scheme=scheme)
        window.open(page.as_uri())
        window.run("for (const fold of document.querySelectorAll('details')) fold.open = true")
        window.run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        window.run(AXE)
        script = "return axe.run({resultTypes: ['violations']}).then(found => found.violations.map(each => [each.impact, each.id, each.nodes[0].html.slice(0, 200)]))"
        found = [each for each in window.run(script) if each[0] != "minor"]
        assert not found, (width, json.dumps(found, indent=1))


@needs_axe
def test_axe_finds_what_is_planted(window, tmp_path):
    """An image without words, grey words on white, a select without a label."""
    path = tmp_path / "bad.html"
    path.write_text(
        "<!DOCTYPE html><html lang=en><title>t</title><main><h1>t</h1><img src='data:,'><p style='color:#aaa'>pale</p><select><option>a</select></main>"
    )
    window.open(path.as_uri())
    window.run(AXE)
    found = set(window.run("return axe.run().then(found => found.violations.map(each => each.id))"))
    assert {"image-alt", "color-contrast", "select-name"} <= found
