"""Pages of the site that are generated from code: the reference, the tutorials, the definitions of all columns."""

import importlib
import inspect
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import ann2neo

TUTORIALS = Path(__file__).resolve().parents[1]

# Every public name is listed here: a missing or outdated name fails the build.
RECORD = ["record", "plan", "export", "Inputs", "Steps", "Passes", "Sample", "Quantile", "MeanPlusSd", "from_array"]
FILES = ["load", "save", "check", "share", "browse", "Recording", "Layer"]
NEO = ["to_block", "from_block", "read_block", "to_xarray"]
ANALYZE = ["analyze", "Around", "summarize", "compare", "compare_distributions", "collect", "read_table", "write_table"]
ERRORS = ["Ann2NeoError", "Ann2NeoWarning"]
GROUPS: Mapping[str, tuple[str, str, Sequence[str]]] = {
    "record": ("Record a network", "Convert a torch model and its inputs to spikes on pseudo-time.", RECORD),
    "files": ("Files and recordings", "Recordings, their files, and bundles to share.", FILES),
    "neo": ("neo and other libraries", "Convert recordings to objects of other libraries, and back.", NEO),
    "analyze": ("Analyze", "Compute tables of units and summaries by layer, and compare groups of networks.", ANALYZE),
    "errors": ("Errors and warnings", "All errors and warnings of ann2neo derive from these two classes.", ERRORS),
}
ROOMS = {
    "population": ("Many units at once", "Histograms, rates, tuning, correlations, trajectories."),
    "surrogates": ("Surrogates", "Permuted inputs, null bands, confidence intervals over inputs and networks."),
    "models": ("Models of arrival processes", "Fit models to every unit, compare and simulate them."),
    "figures": ("Figures", "Each function draws on the axes that you pass, or on new ones."),
    "chance": ("What chance predicts", "Expectations and tests given the number of spikes, as functions of numbers."),
}


def write(folder: Path) -> None:
    """Write all generated pages into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "reference").mkdir(parents=True)
    (folder / "tutorials").mkdir()
    _check_names()
    for name, (title, text, names) in GROUPS.items():
        page = _reference_page(title, text, [f"ann2neo.{each}" for each in names])
        (folder / "reference" / f"{name}.rst").write_text(page)
    for name, (title, text) in ROOMS.items():
        room = importlib.import_module(f"ann2neo.{name}")
        page = _reference_page(title, text, [f"ann2neo.{name}.{each}" for each in room.__all__], room=room)
        (folder / "reference" / f"{name}.rst").write_text(page)
    for script in sorted(TUTORIALS.glob("[0-9]*.py")):
        shutil.copy(script, folder / "tutorials" / script.name)
    (folder / "columns.md").write_text(_columns())


def read_script(text: str) -> Any:
    """Read a script with cells as a Python notebook."""
    import jupytext

    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.cells = [cell for script_cell in notebook.cells for cell in _prose_and_code(script_cell)]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    return notebook


def _prose_and_code(cell: Any) -> list[Any]:
    """Convert the docstring of a script, and the comment at the beginning of a cell, to prose."""
    from nbformat.v4 import new_code_cell, new_markdown_cell

    source = cell.source.strip()
    prose: list[Any] = []
    if cell.cell_type == "code" and source.startswith('"""'):
        said, _, source = source[3:].partition('"""')
        title, _, more = said.strip().partition("\n")
        title = title.partition(": ")[2].rstrip(".") or title
        prose.append(new_markdown_cell(f"# {title[0].upper()}{title[1:]}\n{more}"))
    if cell.cell_type == "code":
        lines = source.strip().splitlines()
        n_comments = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
        if n_comments:
            prose.append(new_markdown_cell("\n".join(line.lstrip("# ") for line in lines[:n_comments])))
        code = "\n".join(lines[n_comments:]).strip()
        return [*prose, *([new_code_cell(code)] if code else [])]
    return [*prose, cell]


def empty_inventory(path: Path) -> Path:
    """Write an inventory without names, which replaces that of an unavailable site."""
    head = b"# Sphinx inventory version 2\n# Project: nothing\n# Version: 0\n# The remainder of this file is compressed using zlib.\n"
    path.write_bytes(head + zlib.compress(b""))
    return path


def _check_names() -> None:
    placed = [name for _, _, names in GROUPS.values() for name in names] + list(ROOMS)
    public = [name for name in ann2neo.__all__ if not name.startswith("__")]
    if sorted(placed) != sorted(public):
        raise ValueError(
            f"The reference and ann2neo.__all__ differ in {sorted(set(placed) ^ set(public))}: correct tutorials/guide/sources.py."
        )


def _reference_page(title: str, text: str, names: Sequence[str], *, room: ModuleType | None = None) -> str:
    lines = [title, "=" * len(title), "", text, ""]
    if room is not None:
        lines += [inspect.getdoc(room) or "", ""]
    lines += [".. autosummary::", "   :toctree: names", "   :nosignatures:", "", *(f"   {name}" for name in names), ""]
    return "\n".join(lines)


def _columns() -> str:
    """Write one entry per column, from the definitions that `ann2neo info --columns` prints."""
    from ann2neo.analysis.columns import handbook

    page = ["# Columns of the table", "", *COLUMNS_SAY, ""]
    for paragraph in handbook(10**6).split("\n\n"):
        name, *lines = (line.strip() for line in paragraph.splitlines())
        names, _, unit = name.partition(" (")
        term = ", ".join(f"`{each}`" for each in names.split(", ")) + (f" ({unit}" if unit else "")
        text = " ".join(
            f"[doi:{line[4:]}](https://doi.org/{line[4:]})" if line.startswith("doi:") else line for line in lines
        )
        page += [term, f": {text.replace('<', '&lt;')}", ""]
    return "\n".join(page)


COLUMNS_SAY = (
    "{func}`ann2neo.analyze` returns one row per unit. `table.attrs` holds the engine, the order of inputs, the windows, the reference and",
    "the masked columns. `ann2neo info --columns` prints the same definitions in a terminal.",
)
