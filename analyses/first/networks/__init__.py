"""Train and export the networks that the numbered scripts read: the only package here that uses torch.

Each study is a module: ``cells(smoke)`` lists its networks, ``run(cell, out, seed, smoke)`` trains and exports one of them and gives its row of facts,
which is written last: a network whose row is there is finished. Networks that look at one another (`plan.Cell.group`) are trained by one process in the
order of the plan; groups are dealt to processes of one thread each, the longest first.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from analyses.first.networks.cell import Cell
from analyses.first.networks.plan import STUDIES, cells, missing, seconds


def main(
    out: Path,
    seed: int = 0,
    smoke: bool = False,
    workers: int = 1,
    *,
    studies: Sequence[str] = STUDIES,
    idx: Mapping[str, tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """Train and export what is not there yet, and give the table of all networks.

    Parameters
    ----------
    out
        Folder of the networks.
    seed
        Seed of the whole run.
    smoke
        Whether the tiny plan is enough.
    workers
        Number of processes.
    studies
        Names of the studies whose networks are wanted.
    idx
        Files of images and labels of further data sets, by their name.

    Returns
    -------
    pandas.DataFrame
        One row per network; what another study measured is NaN.

    Raises
    ------
    ValueError
        If the folder holds networks of another seed or size of plan, which have the same names.
    """
    out.mkdir(parents=True, exist_ok=True)
    _same_run(out / "run.json", {"seed": seed, "smoke": smoke})
    wanted = cells(smoke, studies, idx)
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in missing(wanted, out):
        groups.setdefault(cell.group, []).append(cell)
    longest_first = sorted(groups.values(), key=lambda group: -sum(map(seconds, group)))
    with tqdm(total=sum(map(len, longest_first)), desc="networks", unit="network") as bar:
        if workers == 1:
            for group in longest_first:
                bar.update(train_group(group, out, seed, smoke))
        else:
            _deal(longest_first, out, seed, smoke, workers, bar)
    return table(wanted, out)


def train_group(group: Sequence[Cell], out: Path, seed: int, smoke: bool) -> int:
    """Train and export some networks one after the other, each row of facts when its files are there; give their number."""
    import torch

    torch.set_num_threads(1)
    for cell in group:
        started = time.perf_counter()
        study = importlib.import_module(f"analyses.first.networks.{cell.study}")
        facts = study.run(cell, out, seed, smoke)
        _write_row(cell.facts | facts | {"seconds": round(time.perf_counter() - started, 1)}, out / f"{cell.name}.csv")
    return len(group)


def table(wanted: Sequence[Cell], out: Path) -> pd.DataFrame:
    """Put the rows of all networks into one table."""
    return pd.concat([pd.read_csv(out / f"{cell.name}.csv") for cell in wanted], ignore_index=True)


def _deal(groups: list[list[Cell]], out: Path, seed: int, smoke: bool, workers: int, bar: tqdm) -> None:
    # A forked process inherits the threads of torch and numba in a broken state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        jobs = [pool.submit(train_group, group, out, seed, smoke) for group in groups]
        try:
            for done in as_completed(jobs):
                bar.update(done.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _same_run(path: Path, facts: Mapping[str, object]) -> None:
    """Refuse to go on with networks of another run."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else facts
    if before != facts:
        raise ValueError(
            f"{path.parent} holds networks of {before}, not of {facts}.\nNothing was trained.\nGive another folder."
        )
    path.write_text(json.dumps(facts) + "\n", encoding="utf-8")


def _write_row(facts: Mapping[str, object], path: Path) -> None:
    """Write a row beside its place and move it there, so that half a row never counts as a finished network."""
    partial = path.with_suffix(f".partial{os.getpid()}")
    pd.DataFrame([facts]).to_csv(partial, index=False)
    partial.replace(path)


def command() -> None:
    """Train from the command line: `python -m analyses.first.networks --out DIR [--studies states ...]`."""
    options = argparse.ArgumentParser(description=command.__doc__)
    options.add_argument("--out", type=Path, default=Path("networks"), help="where the networks are or will be")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--smoke", action="store_true")
    options.add_argument("--workers", type=int, default=1, help="number of processes")
    options.add_argument("--studies", nargs="+", choices=STUDIES, default=STUDIES)
    chosen = options.parse_args()
    main(chosen.out, chosen.seed, chosen.smoke, chosen.workers, studies=chosen.studies)
