"""What a notebook shows: run in a kernel of its own, as a user would."""

from __future__ import annotations

import base64

import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from nbclient import NotebookClient

import ann2neo
from ann2neo import figures

SETUP = """
import numpy as np
import ann2neo
from ann2neo import figures, population
from ann2neo.surrogates import null_bands
rng = np.random.default_rng(0)
recording = ann2neo.from_array(rng.random((60, 30)) < 0.3, labels=np.arange(60) % 3)
table = ann2neo.analyze(recording, progress=False)
summary = ann2neo.summarize(table)
history = summary[summary.population == 'all'].assign(epoch=0)
path = __import__('pandas').DataFrame({"trial": 0, "label": "a", "start_ms": [0.0, 1.0], "dim_1": [0.0, 1.0], "dim_2": [0.0, 2.0]})
"""
DRAWN = (
    "figures.raster(recording)",
    "figures.label_rates(recording, 'array')",
    "figures.isi_law(recording, 'array')",
    "figures.firing_rate(table)",
    "figures.fano(table)",
    "figures.fano_against_rate(table)",
    "figures.cv_against_expected(table)",
    "figures.p_values(table)",
    "figures.indicators({'mine': summary})",
    "figures.learning(history)",
    "figures.layer_table(summary)",
    "figures.beside_chance({'mine': table})",
    "figures.null_band(null_bands(recording, n_permutations=39, progress=False))",
    "figures.correlation_matrix(population.correlations(recording, n_permutations=5))",
    "figures.trajectories(path)",
)


def run(cells: list[str]) -> list[list[nbformat.NotebookNode]]:
    """Run cells in a fresh kernel and return what each put out."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    return [cell.outputs for cell in notebook.cells]


@pytest.fixture(scope="module")
def shown() -> dict[str, list[nbformat.NotebookNode]]:
    """What is shown for each expression, in one kernel in which pyplot was never imported."""
    cells = [SETUP, *DRAWN]
    return dict(zip(cells, run(cells)))


def test_every_figure_function_is_tried():
    """A new figure cannot be forgotten here."""
    known = {name for name in figures.__all__ if name not in ("STYLE", "Drawing", "png")}
    assert {each.removeprefix("figures.").split("(")[0] for each in DRAWN} == known


@pytest.mark.parametrize("expression", DRAWN)
def test_a_figure_shows_itself(shown, expression):
    """The last expression of a cell is an image of twice the pixels it is shown at, in a fresh kernel."""
    (output,) = shown[expression]
    image = base64.b64decode(output.data["image/png"])
    assert image.startswith(b"\x89PNG")
    assert figures.drawing.size_of(image)[0] // 2 == output.metadata["image/png"]["width"]
    assert "image/svg+xml" not in output.data


def test_a_notebook_that_asks_for_svg_gets_svg_and_pyplot_shows_its_own():
    """`InlineBackend.figure_formats` counts; a figure of pyplot, drawn on with `ax=`, is shown once, by pyplot."""
    ask = "%matplotlib inline\n%config InlineBackend.figure_formats = ['svg']"
    own = "import matplotlib.pyplot as plt\nfigure, ax = plt.subplots()\nfigures.raster(recording, ax)"
    outputs = run([SETUP, ask, "figures.raster(recording)", own])
    (svg,) = outputs[2]
    assert "<svg" in svg.data["image/svg+xml"]
    assert "<text" in svg.data["image/svg+xml"]
    assert "image/png" not in svg.data
    assert sum("image/svg+xml" in each.get("data", {}) for each in outputs[3]) == 1


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_a_drawing_is_written_with_text_that_stays_text(tmp_path, suffix):
    """PDF embeds TrueType fonts, SVG has characters, and the user's own settings are untouched."""
    import matplotlib

    before = dict(matplotlib.rcParams)
    drawn = figures.raster(ann2neo.from_array(np.eye(9, dtype=bool)))
    drawn.savefig(tmp_path / f"a.{suffix}")
    written = (tmp_path / f"a.{suffix}").read_bytes()
    assert dict(matplotlib.rcParams) == before
    if suffix == "png":
        assert written.startswith(b"\x89PNG")
    elif suffix == "svg":
        assert b"pseudo-time: 1 bin = 1 input" in written
    else:
        assert b"/FontFile2" in written
        assert b"/Type3" not in written


def test_a_drawing_knows_its_axes_and_draws_on_those_given():
    """`ax=` draws into a figure of the user's, which the drawing then belongs to."""
    mine = Figure().subplots()
    drawn = figures.raster(ann2neo.from_array(np.eye(9, dtype=bool)), mine)
    assert drawn.ax is mine
    assert drawn.axes == (mine,)
    assert drawn.figure is mine.figure
    assert repr(drawn) == "Drawing(1 panel, 6.4 x 4.8 inches)"
