"""The readable account: what was decided before, what is finished, and what the tables in `results/` say. Nothing here trains or measures."""

from __future__ import annotations

import importlib
from pathlib import Path

import pandas as pd

from analyses.answers import answers, summary
from analyses.plan import Cell, cells

HERE = Path(__file__).parent
SCRIPTS = tuple(sorted(path.stem for path in HERE.glob("[0-9][0-9]_*.py")))


def account(out: Path, smoke: bool = False) -> str:
    """Put design, state of the run and the paragraphs of all scripts into one page.

    Parameters
    ----------
    out
        Folder of tables, paragraphs and figures; what is not there is left out.
    smoke
        Whether the tiny plan is meant.
    """
    parts = [
        "# Memorization against generalization: the second edition\n",
        "This page is written by `python -m analyses` from the tables in `results/`; every number outside what was decided is computed there. It supersedes "
        "the first edition (493 networks), whose code and account the history of the repository keeps (last in commit c10ebc0, `analyses/first/`).\n",
        *summary(out),
        *_state(cells(smoke), out),
        *answers(out),
        (HERE / "design.md").read_text(encoding="utf-8"),
        *(part for name in SCRIPTS for part in _section(name, out)),
    ]
    return "\n".join(parts)


def title(script: str) -> str:
    """Name a script for people.

    Examples
    --------
    >>> title("02_control_groups")
    '2. Control groups'
    """
    number, _, words = script.partition("_")
    return f"{int(number)}. {words.replace('_', ' ').capitalize()}"


def _state(planned: list[Cell], out: Path) -> list[str]:
    """Say which cells are finished, what they took, and how to go on."""
    done = [cell for cell in planned if (out / cell.table).exists()]
    minutes = sum(pd.read_csv(out / cell.table).drop_duplicates("seed")["cpu_seconds"].sum() for cell in done) / 60
    left = [cell.name for cell in planned if cell not in done]
    lines = [
        f"## State of the run\n\nFinished: {len(done)} of {len(planned)} cells: {', '.join(cell.name for cell in done) or 'none'}. Measuring them, and training where networks were not there before, took {minutes:.0f} minutes of one core.\n"
    ]
    if left:
        lines.append(
            f"Not finished: {', '.join(left)}. `python -m analyses --minutes 20` goes on for 20 minutes, `--only CELL` runs some of them, `--cost` tells what is left; commit `analyses/results` and this page afterwards.\n"
        )
    return lines


def _section(script: str, out: Path) -> list[str]:
    if not (out / f"{script}.md").exists():
        return []
    question = (importlib.import_module(f"analyses.{script}").__doc__ or "").strip()
    figures = sorted(path.name for path in out.glob(f"{script}*.png"))
    return [
        f"## {title(script)}\n",
        question + "\n",
        (out / f"{script}.md").read_text(encoding="utf-8"),
        *(f"![{title(script)}](results/{name})\n" for name in figures),
    ]
