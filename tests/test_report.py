"""The report: one page, complete, self-contained, escaped."""

from __future__ import annotations

import base64
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from unit_tables import network

import ann2neo
from ann2neo import figures
from ann2neo.errors import FormatError, InputsError, OutputExists
from ann2neo.report import MAX_ROWS, Fact, Picture, Section, Table, write_report
from ann2neo.results import Result, drawings, zoom, zoomable
from ann2neo.results.pages import population_of

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; a tag that is closed out of turn is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data.strip())

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def picture() -> bytes:
    return figures.png(figures.firing_rate(network(0)), dpi=100)


@pytest.fixture
def page(tmp_path, picture) -> Page:
    sections = [
        Section(
            heading="Rates",
            paragraphs=["Where they lie."],
            figures=[Picture(png=picture, caption="Rates <by> layer", alt='Three "violins" & means')],
        ),
        Section(
            heading="Summary",
            tables=[
                Table(
                    frame=ann2neo.summarize(network(0)), caption="Indicators", definitions={"cv_mean": "Mean of 'CV'."}
                )
            ],
        ),
        Section(heading="<script>alert(1)</script>", paragraphs=["a < b & c"]),
    ]
    path = write_report(
        tmp_path / "r.html",
        title="Fire & rate",
        sections=sections,
        lead=["In short: `a < b`."],
        facts=[Fact(value="120", name="units")],
        limits=["Much."],
        files={"a b.csv": "A table."},
        provenance={"weights_sha256": "ab" * 32, "layers": ["fc1", "fc2"]},
    )
    return Page(path.read_text(encoding="utf-8"))


def test_nothing_comes_from_elsewhere(page):
    """No script from elsewhere, no link but to files beside the page, no image but inside it: the page works from a disconnected disk."""
    assert page.all("script") == [{}]
    assert not page.all("link")
    assert [a["href"] for a in page.all("a")] == ["a%20b.csv"]
    assert all(i["src"].startswith("data:image/png;base64,") for i in page.all("img"))
    assert "http" not in str([attrs for _, attrs in page.tags])


def test_figures_are_inside_bit_by_bit_with_their_words(page, picture):
    """The image decodes to the PNG that was given; it has its alternative text and half its width."""
    (image,) = page.all("img")
    assert base64.b64decode(image["src"].split(",")[1]) == picture
    assert image["alt"] == 'Three "violins" & means'
    assert int(image["width"]) == pytest.approx(figures.firing_rate(network(0)).figure.get_figwidth() * 50, abs=1)
    assert "Rates <by> layer" in page.words


def test_text_is_escaped_and_never_run(page):
    """Markup in a heading or paragraph is text."""
    assert "<script>alert(1)</script>" in page.words
    assert "a < b & c" in page.words
    assert page.words.count("Fire & rate") == 1


def test_tables_scroll_and_have_heads_with_units(page):
    """Each table lies in a region that scrolls; heads carry units of measure, also of means and variances; there is one cell per value."""
    assert any(div.get("class") == "wide" and div.get("aria-label") == "Table 1" for div in page.all("div"))
    summary = ann2neo.summarize(network(0))
    assert len(page.all("td")) == summary.size
    assert {"firing rate mean (Hz)", "firing rate var (Hz²)", "fano mean"} <= set(page.words)
    assert "Indicators" in page.words
    assert {f"{value:.3f}" for value in summary["cv_mean"]} <= set(page.words)
    assert {td["data-n"] for td in page.all("td") if "data-n" in td} >= {repr(float(v)) for v in summary["fano_mean"]}
    assert [span["title"] for span in page.all("span") if "title" in span] == ["Mean of 'CV'."]
    assert "Mean of 'CV'." in page.words


def test_provenance_is_in_the_footer(page):
    """What was given, the versions and the time."""
    assert {"weights sha256", "ab" * 32, "fc1, fc2", "report made by", "report made at"} <= set(page.words)


def test_undefined_numbers_and_long_tables(tmp_path):
    """NaN and None are dashes, whole numbers have no decimals, and rows beyond the limit are counted, not shown."""
    frame = pd.DataFrame({"n": [1, 1234], "x": [np.nan, 1e-7], "ok": [True, False], "s": [None, "a<b"]})
    long = pd.DataFrame({"i": range(MAX_ROWS + 1500)})
    path = write_report(
        tmp_path / "r.html",
        title="t",
        sections=[Section(heading="h", tables=[Table(frame=frame, caption="c"), Table(frame=long, caption="long")])],
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert {"–", "1,234", "1.00e-07", "yes", "no", "a<b", "1,500 more rows are not shown."} <= set(page.words)
    assert len(page.all("td")) == 8 + MAX_ROWS
    assert "nan" not in page.words


def test_percentages_are_numbers_to_the_eye_and_to_sorting(tmp_path):
    """They are aligned at the right and sort by their value; a text that only ends in % does not."""
    frame = pd.DataFrame({"right": ["9.5%", "100%"], "words": ["9.5%", "all %"]})
    path = write_report(
        tmp_path / "r.html", title="t", sections=[Section(heading="h", tables=[Table(frame=frame, caption="c")])]
    )
    cells = Page(path.read_text(encoding="utf-8")).all("td")
    assert [cell.get("data-n") for cell in cells] == ["9.5", None, "100.0", None]


def test_an_existing_page_is_kept(tmp_path):
    """Nothing is overwritten unless allowed, and no partial file is left."""
    path = tmp_path / "r.html"
    path.write_text("mine")
    with pytest.raises(OutputExists):
        write_report(path, title="t", sections=[])
    assert path.read_text() == "mine"
    write_report(path, title="t", sections=[], overwrite=True)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
    with pytest.raises(FormatError, match="no folder"):
        write_report(tmp_path / "none" / "r.html", title="t", sections=[])


def test_a_picture_needs_an_image_and_words():
    """No alternative text, or no PNG: refused when the picture is made."""
    with pytest.raises(InputsError, match="not a PNG"):
        Picture(png=b"GIF89a", caption="c", alt="a")
    with pytest.raises(InputsError, match="no alternative text"):
        Picture(png=b"\x89PNG....", caption="c", alt=" ")


def test_the_page_opens_with_what_was_found(page):
    """One main landmark; a sentence, numbers and what they do not show come before the first section; backticks are code."""
    assert len(page.all("main")) == 1
    words = [word for word in page.words if word]
    first = words.index("Rates")
    assert {"In short:", "a < b", "units", "120", "What this does not show", "Much."} <= set(words[:first])
    assert "A table." in words[first:]
    assert page.all("code") == [{}]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_click_sorts_and_nothing_is_wider_than_a_phone(tmp_path, picture):
    """In a browser: heads become buttons that sort by value, undefined last; at 390 pixels nothing overflows, and a long name leaves room for numbers."""
    frame = pd.DataFrame(
        {"name": ["a", "b", "c"], "x": [10.0, np.nan, 9.5]} | {f"column_{i}": [1.5, 2.5, 3.5] for i in range(12)}
    )
    frame["name"] = [letter * 90 for letter in frame["name"]]
    probe = (
        "document.querySelectorAll('thead button')[1].click();"
        "document.title = [...document.querySelectorAll('tbody tr')].map(r => r.cells[0].textContent[0]).join('')"
        " + (document.querySelector('td').getBoundingClientRect().width < innerWidth / 2 ? ' narrow' : ' broad')"
        " + (document.documentElement.scrollWidth > document.documentElement.clientWidth ? ' wide' : ' fits');"
    )
    sections = [
        Section(
            heading="h",
            figures=[Picture(png=picture, caption="c", alt="a")],
            tables=[Table(frame=frame, caption="c " * 90)],
        )
    ]
    path = write_report(tmp_path / "r.html", title="t", sections=sections)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("</body>", f"<script>{probe}</script></body>"), encoding="utf-8")
    chromium = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    options = [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=390,800", "--dump-dom", path.as_uri()]
    done = subprocess.run([*chromium, *options], capture_output=True, text=True, timeout=120)
    assert "<title>cab narrow fits</title>" in done.stdout


@pytest.mark.parametrize(
    ("windows", "shown"), [(60, ["rates", "p-spike", "cv"]), (6, ["rates", "p-spike", "fano", "fano-rate", "cv"])]
)
def test_figures_of_measures_that_no_unit_has_are_left_out(windows, shown):
    """Counts in one window have no Fano factor, and its two figures would be empty."""
    spikes = ann2neo.from_array(np.random.default_rng(0).random((60, 5)) < 0.3)
    table = ann2neo.analyze(spikes, windows=windows, progress=False)
    assert [name for name, *_ in drawings(Result(name="a", table=table))] == shown


def test_a_raster_adds_at_most_four_mebibytes_to_a_page(monkeypatch):
    """What does not fit is sampled evenly, layer by layer, and said; too many trials, or layers too small to sample, are sent to `browse`."""
    rng = np.random.default_rng(0)
    spikes = ann2neo.from_array(rng.random((500, 300)) < 0.5)
    whole = zoomable(spikes, "a")
    assert "Every unit" in whole.words
    monkeypatch.setattr(zoom, "MOST_BITS", 300 * 63 // 3)
    part = zoomable(spikes, "a")
    assert part.words.startswith("One unit in 3 of each layer and every input")
    assert '"n":100,' in part.fragment
    assert '"units":[0,3,6,9,' in part.fragment
    for name in ("MOST_TRIALS", "MOST_CHARACTERS"):
        with monkeypatch.context() as patch:
            patch.setattr(zoom, name, 400)
            none = zoomable(spikes, "a")
            assert (none.fragment, "`ann2neo browse FILE` shows them" in none.words) == (None, True)


def test_the_largest_raster_of_a_page_keeps_to_its_bound():
    """Bits that cannot be compressed, of as many units as fit, with the facts of 2,000 inputs."""
    bits = np.frombuffer(np.random.default_rng(0).bytes(2 << 20), np.uint8).reshape(-1, 256)
    recording = ann2neo.from_array(np.unpackbits(bits, axis=1).astype(bool))
    found = zoomable(recording, "a")
    assert found.words.startswith("Every unit")
    assert 2 << 20 < len(found.fragment) < zoom.MOST_CHARACTERS


def test_intervals_of_few_spikes_are_drawn_where_no_unit_is_good():
    """The page's first sentence gives a mean CV: its figure is not empty, and says which units it shows."""
    table = ann2neo.analyze(
        ann2neo.from_array(np.random.default_rng(0).random((16, 6)) < 0.5), windows=4, progress=False
    )
    assert (table["quality"] == "too_few").all()
    ((drawn, words),) = [
        (drawn, words) for name, drawn, words, _ in drawings(Result(name="a", table=table)) if name == "cv"
    ]
    assert drawn.ax.get_title() == "all units"
    assert "No unit of good quality has it" in words
    assert not [text for text in drawn.ax.texts if "none of" in text.get_text()]
    assert ann2neo.figures.cv_against_expected(table).ax.get_title() == "units of good quality"


def test_fits_of_few_spikes_are_drawn_where_no_unit_is_good(tmp_path):
    """Both figures show all units, and by themselves say that none is good and not that there are none."""
    spikes = ann2neo.from_array(np.random.default_rng(0).random((12, 6)) < 0.5, labels=np.arange(12) % 3)
    fitted = ann2neo.models.fit(spikes, progress=False)
    assert (fitted["quality"] == "too_few").all()
    for draw in (figures.best_models, figures.bits_per_spike):
        assert [text.get_text() for text in draw(fitted).ax.texts] == [
            "no unit is of good quality: all are of too few spikes"
        ]
        assert not draw(fitted, population="all").ax.texts
    assert population_of(fitted, "best_bic")[0] == "all"
    assert population_of(fitted.assign(quality="good"), "best_bic") == ("good", "")
