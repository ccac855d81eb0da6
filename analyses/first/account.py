"""The readable account: what the tables in `results/` say, put on one page. Nothing here trains or measures."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
SCRIPTS = tuple(sorted(path.stem for path in HERE.glob("[0-9][0-9]_*.py")))


def account(results: Path) -> str:
    """Put the paragraphs of all scripts, which their numbers made, into one readable page.

    Parameters
    ----------
    results
        Folder of tables, paragraphs and figures, with ``run.json`` and ``networks.csv``; what is not there is left out.
    """
    facts = json.loads((results / "run.json").read_text(encoding="utf-8"))
    parts = [
        "# Memorization against generalization: the first edition\n",
        "Superseded: a review found that what is said here of windows by the true label holds at the threshold 0 only, that the control in the same windows does not show what is concluded "
        "from it, and that verdicts by layer hide what whole networks have in common. See [the second edition](../README.md).\n",
        "This page is written by `python -m analyses.first` from the tables in `results/`; every number in it is computed there.\n",
        *_made(facts, pd.read_csv(results / "networks.csv")),
    ]
    for name in SCRIPTS:
        if (results / f"{name}.md").exists():
            parts += _section(name, results)
    return "\n".join(parts)


def title(script: str) -> str:
    """Name a script for people.

    Examples
    --------
    >>> title("02_order_and_windows")
    '2. Order and windows'
    """
    number, _, words = script.partition("_")
    return f"{int(number)}. {words.replace('_', ' ').capitalize()}"


def _made(facts: dict[str, Any], networks: pd.DataFrame) -> list[str]:
    """Say what made the tables."""
    per_study = networks.groupby("study", sort=False).agg(n=("name", "size"), seconds=("seconds", "sum"))
    studies = ", ".join(f"{row.Index} {row.n} ({row.seconds / 60:.0f} min)" for row in per_study.itertuples())
    without = facts["without_data"]
    return [
        f"Made by `{facts['command']}`, seed {facts['seed']}, with {facts['software']}.\n",
        f"{len(networks)} networks, by study, with the minutes (wall clock, summed over networks) that training and exporting them took: {studies}. The scripts then took {facts['script_minutes']} minutes.\n",
        f"Data that were not on the machine, so that the studies ran without them: {', '.join(without)}.\n"
        if without
        else "No data set was missing.\n",
    ]


def _section(script: str, results: Path) -> list[str]:
    question = (importlib.import_module(f"analyses.first.{script}").__doc__ or "").strip()
    figures = sorted(path.name for path in results.glob(f"{script}*.png"))
    return [
        f"## {title(script)}\n",
        question + "\n",
        (results / f"{script}.md").read_text(encoding="utf-8"),
        *(f"![{title(script)}](results/{name})\n" for name in figures),
    ]
