"""Run the study: `python -m analyses [--only CELL ...] [--minutes 20] [--smoke]`. It prints its cost first; what is finished is not run again, and a run that was killed goes on.

A cell is a study in a setting (`states/digits-mlp-adam`; a name or its beginning chooses). Networks are kept in `networks/`, a table for each finished cell in `results/cells/`. Then the numbered scripts make the
tables, figures and paragraphs of each question from the finished cells, and the account is written.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analyses.account import HERE, SCRIPTS, account
from analyses.plan import FASHION, Cell, cells, cost

MODULES = {
    "states": "measures",
    "within": "within",
    "continuum": "continuum",
    "use": "pruned",
    "models": "processes",
    "larger": "photographs",
    "deep": "measures",
    "windows": "windows",
    "units": "units",
}


def main(given: Sequence[str] | None = None) -> None:
    """Print the cost, run the cells, run the scripts, and write the account."""
    options = argparse.ArgumentParser(prog="python -m analyses", description=__doc__)
    options.add_argument(
        "--only", nargs="+", default=(), metavar="CELL", help="cells to run, by the beginning of their names"
    )
    options.add_argument("--minutes", type=float, help="start nothing new after this time; what was begun is finished")
    options.add_argument("--networks", type=Path, help="folder of networks; else networks/")
    options.add_argument("--out", type=Path, help="folder of tables and figures; else analyses/results/")
    options.add_argument("--smoke", action="store_true", help="tiny settings, the same code")
    options.add_argument("--cost", action="store_true", help="print the cost and stop")
    options.add_argument("--scripts", action="store_true", help="run no cell, only the scripts")
    chosen = options.parse_args(given)
    networks = chosen.networks or Path("networks-smoke" if chosen.smoke else "networks")
    out = chosen.out or (networks / "results" if chosen.smoke else HERE / "results")
    every = cells(chosen.smoke)
    wanted = [cell for cell in every if not chosen.only or any(map(cell.name.startswith, chosen.only))]
    if not wanted:
        options.error(f"no cell begins with {', '.join(chosen.only)} ({', '.join(cell.name for cell in every)})")
    print(cost(wanted, networks, out, chosen.smoke))
    if chosen.cost:
        return
    if not chosen.scripts:
        until = float("inf") if chosen.minutes is None else time.monotonic() + 60 * chosen.minutes
        run_cells(wanted, networks, out, chosen.smoke, until)
    run_scripts(out, chosen.smoke)


def run_cells(wanted: Sequence[Cell], networks: Path, out: Path, smoke: bool, until: float = float("inf")) -> None:
    """Run what is missing of some cells, seed by seed, until a moment of `time.monotonic`; gather what is finished.

    Parameters
    ----------
    wanted
        The cells.
    networks, out
        Folders of networks and of results.
    smoke
        Whether tiny settings are enough.
    until
        Nothing is started after this moment.
    """
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    # Squares of vanishing gradients become subnormal numbers, on which processors are many times slower.
    torch.set_flush_denormal(True)
    for cell in wanted:
        missing = cell.missing(networks, out)
        if missing and cell.data == "fashion" and not FASHION.exists():
            print(f"{cell.name}: {FASHION} is not there (Debian's package dataset-fashion-mnist); not run")
            continue
        if missing and time.monotonic() < until:
            study = importlib.import_module(f"analyses.networks.{MODULES[cell.study]}")
            started = time.process_time()
            for seed, table in study.run(cell, networks, missing, smoke):
                used, started = time.process_time() - started, time.process_time()
                _write(table.assign(cpu_seconds=round(used, 2)), networks / cell.file(seed))
                print(f"{cell.name} seed {seed}: {used:.0f} s", flush=True)
                if time.monotonic() >= until:
                    break
        if not cell.missing(networks, out) and not (out / cell.table).exists():
            gather(cell, networks, out)


def gather(cell: Cell, networks: Path, out: Path) -> None:
    """Put the tables of all seeds of a finished cell into one among the results."""
    tables = [pd.read_csv(networks / cell.file(seed)) for seed in cell.seeds]
    _write(pd.concat(tables, ignore_index=True), out / cell.table)


def run_scripts(out: Path, smoke: bool) -> None:
    """Run the numbered scripts on the finished cells and write the account beside the results."""
    out.mkdir(parents=True, exist_ok=True)
    for name in SCRIPTS:
        importlib.import_module(f"analyses.{name}").main(out, smoke)
    (out.parent / "README.md").write_text(account(out, smoke), encoding="utf-8")


def _write(table: pd.DataFrame, path: Path) -> None:
    """Write beside the place and move there, so that half a table never counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    table.to_csv(partial, index=False, float_format="%.6g")
    partial.replace(path)


if __name__ == "__main__":
    main()
