"""Run all analyses: `python -m analyses.first [--out DIR] [--smoke] [--workers 2] [--only 03 05]`. What is there already is not trained again."""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from analyses.first.account import HERE, SCRIPTS, account
from analyses.first.scripts import run_scripts

# What a script reads; the others read the networks of the study of states.
STUDY_OF = {
    "03_poisson": ("poisson",),
    "04_learning": ("learning",),
    "05_dose": ("dose",),
    "06_use": ("pruning", "transfer"),
}


def main() -> None:
    """Print the plan, train and export what is missing, run the scripts, and write the account."""
    options = argparse.ArgumentParser(prog="python -m analyses.first", description=__doc__)
    options.add_argument("--networks", type=Path, help="where the networks' NWB files are or will be; else networks/")
    options.add_argument("--out", type=Path, help="where tables and figures are written; else analyses/first/results/")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--smoke", action="store_true", help="tiny settings, the same code")
    options.add_argument("--workers", type=int, default=1, help="number of processes, one thread each")
    options.add_argument("--only", nargs="+", default=(), metavar="NUMBER", help="some scripts, such as 03 05")
    options.add_argument(
        "--idx",
        nargs="+",
        default=(),
        metavar="NAME=IMAGES,LABELS",
        help="further data as IDX files, explored by question 1",
    )
    chosen = options.parse_args()
    scripts = [name for name in SCRIPTS if not chosen.only or name[:2] in chosen.only]
    if not scripts:
        options.error(f"no script has one of the numbers {', '.join(chosen.only)} ({', '.join(SCRIPTS)})")
    idx = dict(map(_idx, chosen.idx))
    # Tiny networks have the names of the real ones, and their tables must not replace the real ones.
    networks = chosen.networks or Path("networks-smoke" if chosen.smoke else "networks")
    out = chosen.out or (networks / "results" if chosen.smoke else HERE / "results")
    run(networks, out, chosen.seed, chosen.smoke, workers=chosen.workers, scripts=scripts, idx=idx)


def run(
    networks: Path,
    out: Path,
    seed: int,
    smoke: bool,
    *,
    workers: int = 1,
    scripts: Sequence[str] = SCRIPTS,
    idx: Mapping[str, tuple[str, str]] | None = None,
) -> None:
    """Do it all; see `main`.

    Parameters
    ----------
    networks
        Folder of the networks.
    out
        Folder of tables and figures; the account is written beside it.
    seed
        Seed of everything.
    smoke
        Whether tiny settings are enough.
    workers
        Number of processes.
    scripts
        Names of the scripts to run.
    idx
        Files of images and labels of further data sets, by their name.
    """
    trainer, data = (
        importlib.import_module("analyses.first.networks"),
        importlib.import_module("analyses.networks.data"),
    )
    studies = tuple(dict.fromkeys(study for name in scripts for study in STUDY_OF.get(name, ("states",))))
    print(plan(networks, smoke, studies, len(scripts), workers, idx))
    known = trainer.main(networks, seed, smoke, workers, studies=studies, idx=idx)
    out.mkdir(parents=True, exist_ok=True)
    _keep(known, out / "networks.csv", studies)
    started = time.perf_counter()
    run_scripts(scripts, out, networks, seed, smoke, workers)
    facts = _facts(seed, smoke, workers, idx, round((time.perf_counter() - started) / 60, 1))
    facts["without_data"] = [name for name in ("fashion",) if not smoke and not data.available(name)]
    (out / "run.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (out.parent / "README.md").write_text(account(out), encoding="utf-8")


def plan(
    networks: Path,
    smoke: bool,
    studies: Sequence[str],
    n_scripts: int,
    workers: int,
    idx: Mapping[str, tuple[str, str]] | None,
) -> str:
    """Say what is to be trained and about how long it takes, study by study."""
    planner = importlib.import_module("analyses.first.networks.plan")
    lines, total = [], 0.0
    for study in studies:
        cells = planner.cells(smoke, (study,), idx)
        missing = planner.missing(cells, networks)
        minutes = sum(map(planner.seconds, missing)) * (planner.SMOKE_SHARE if smoke else 1) / 60
        total += minutes
        lines.append(
            f"{study}: {len(cells)} networks, {len(missing)} of them to be trained, about {minutes:.1f} min of one core"
        )
    lines.append(
        f"then {n_scripts} scripts; about {total / workers:.1f} min of training by {workers} process{'es' * (workers > 1)}"
    )
    return "\n".join(lines)


def _keep(known: pd.DataFrame, path: Path, studies: Sequence[str]) -> None:
    """Write the networks of the studies that ran and keep the rows of those that did not."""
    if path.exists():
        before = pd.read_csv(path)
        known = pd.concat([before[~before["study"].isin(studies)], known], ignore_index=True)
    known.to_csv(path, index=False, float_format="%.6g")


def _facts(
    seed: int, smoke: bool, workers: int, idx: Mapping[str, tuple[str, str]] | None, minutes: float
) -> dict[str, object]:
    from ann2neo.versions import software

    given = " --idx " + " ".join(f"{name}=IMAGES,LABELS" for name in idx) if idx else ""
    return {
        "command": "python -m analyses.first" + " --smoke" * smoke + f" --workers {workers}" * (workers > 1) + given,
        "seed": seed,
        "software": software("torch", "elephant", "neo", "numpy", "scipy"),
        "script_minutes": minutes,
    }


def _idx(text: str) -> tuple[str, tuple[str, str]]:
    """Read NAME=IMAGES,LABELS."""
    name, _, files = text.partition("=")
    images, comma, labels = files.partition(",")
    if not comma or not name.isidentifier():
        raise SystemExit(
            f"{text!r} is no NAME=IMAGES,LABELS.\nNothing was run.\nGive for instance --idx letters=images.gz,labels.gz"
        )
    return name, (images, labels)


if __name__ == "__main__":
    main()
