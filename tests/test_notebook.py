"""What a notebook shows: run in a kernel of its own, as a user would."""

from __future__ import annotations

import base64
import os
import pty
import subprocess
import sys
import termios

import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from nbclient import NotebookClient

import ann2neo
from ann2neo import figures
from ann2neo.progress import progress_bar

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
fitted = ann2neo.models.fit(recording, progress=False)
rescaled = ann2neo.models.rescaled(recording, fitted, model="rate", n_draws=19, progress=False)
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
    "figures.p_spike(table)",
    "figures.best_models(fitted)",
    "figures.bits_per_spike(fitted)",
    "figures.qq(rescaled)",
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


def test_objects_show_what_they_are_and_no_arrays(tmp_path):
    """A recording, its layers and rasters, inputs and correlations are a card in a notebook and one line elsewhere; names from files are escaped."""
    from html.parser import HTMLParser

    import torch

    from ann2neo.population import correlations

    labels = np.arange(60) % 3
    named = ann2neo.from_array(np.random.default_rng(0).random((60, 30)) < 0.3, labels=labels, layer="<b>x</b>")
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(20, 3)), batch_size=5)
    objects = [
        (named, ("Recording(30 units", "&lt;b&gt;x&lt;/b&gt;", "60 in presented order")),
        (named.layers[0], ("Layer('<b>x</b>', 30 of 30 units", "threshold", "bool")),
        (named.arrange("label").layers[0].raster, ("Raster(30 units, 60 bins, arranged)", "memory", "60")),
        (
            ann2neo.Inputs(torch.zeros(20, 3), labels={"label": [1] * 20}),
            (
                "Inputs(data=Tensor of shape (20, 3)",
                "label",
                "64",
            ),
        ),
        (
            ann2neo.Inputs(loader, forward=print),
            ("Inputs(data=DataLoader of 4, functions=['forward']", "forward", "64"),
        ),
        (ann2neo.Inputs(iter([torch.zeros(2, 3)])), ("Inputs(data=list_iterator", "list_iterator", "64")),
        (correlations(named, n_permutations=5), ("Correlations(30 x 30 units, 3 values of 'label')", "signal", "435")),
    ]
    for each, (line, *words) in objects:
        assert repr(each).startswith(line)
        assert "\n" not in repr(each)
        card = each._repr_html_()
        assert all(word in card for word in words), card
        assert "<b>" not in card
        assert "nan" not in card, "what is undefined is a dash"
        assert len(card) < 2500
        HTMLParser().feed(card)
    deep = ann2neo.Recording(
        layers=tuple(ann2neo.recording.Layer(name=f"l{i}", shape=(1,), dtype="bool", units=np.arange(1), thresholds=np.zeros(1), raster=named.layers[0].raster.take(np.array([i]))) for i in range(25)),
        trials=named.trials, bin_size_ms=1.0, provenance={"dataset": "digits", "notes_epoch": 3},
    )  # fmt: skip
    assert "5 more" in deep._repr_html_()
    assert "digits" in deep._repr_html_()
    assert "notes epoch" in deep._repr_html_()


def test_bars_are_silent_off_a_terminal_and_leave_nothing(capfd):
    """A log has no bars; on a terminal a full bar disappears, so that a sweep shows one at a time."""
    recording = ann2neo.from_array(np.random.default_rng(0).random((60, 30)) < 0.3)
    ann2neo.analyze(recording, windows=5, progress=True)
    assert capfd.readouterr().err == ""
    code = "import numpy as np, ann2neo; [ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5) for _ in range(2)]"
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 80))
    os.set_blocking(parent, False)
    done = subprocess.run([sys.executable, "-c", code], stderr=child, timeout=240)
    shown = os.read(parent, 100_000).decode()
    os.close(child)
    os.close(parent)
    assert done.returncode == 0
    assert "analyzing" in shown
    assert "\n" not in shown


def test_bars_are_hidden_where_tqdm_is_disabled(monkeypatch):
    """`TQDM_DISABLE`, the variable by which tqdm is told so in the environment, holds for our bars too."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for value, disabled in (("1", True), ("", False)):
        monkeypatch.setenv("TQDM_DISABLE", value)
        with progress_bar(range(2), shown=True, desc="a", unit="b") as bar:
            assert bool(bar.disable) is disabled


def test_a_notebook_without_widgets_is_silent():
    """The warning of tqdm, with a path of the machine, would stand on every page made of notebooks; tqdm itself still gives it."""
    hidden = "import sys; sys.modules['ipywidgets'] = None"
    ours = f"{hidden}\nfrom ann2neo.progress import progress_bar\nfor _ in progress_bar(range(3), shown=True, desc='a', unit='b'): pass"
    assert run([ours]) == [[]]
    ((warning,),) = run([f"{hidden}\nimport tqdm.auto"])
    assert "IProgress not found" in warning["text"]
