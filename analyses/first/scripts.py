"""Running the numbered scripts."""

from __future__ import annotations

import importlib
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from analyses.first.account import title


def run_scripts(scripts: Sequence[str], out: Path, networks: Path, seed: int, smoke: bool, workers: int) -> None:
    """Run scripts one after another, or some at a time in processes of their own, and say how long each took."""
    if workers == 1:
        for name in scripts:
            print(f"{title(name)}: {_run_script(name, out, networks, seed, smoke):.0f} s")
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = {pool.submit(_run_script, name, out, networks, seed, smoke): name for name in scripts}
        for done in as_completed(jobs):
            print(f"{title(jobs[done])}: {done.result():.0f} s")


def _run_script(name: str, out: Path, networks: Path, seed: int, smoke: bool) -> float:
    started = time.perf_counter()
    importlib.import_module(f"analyses.first.{name}").main(out, networks, seed, smoke)
    return time.perf_counter() - started
