"""Run all analyses: `python -m analyses [--out DIR] [--smoke]`. What is there already is not trained again."""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = ("01_states", "02_order_and_windows")
TITLES = {"01_states": "1. States", "02_order_and_windows": "2. Order and windows"}


def main() -> None:
    """Print the plan, train and export what is missing, run every script, and write the account."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--networks", type=Path, default=Path("networks"), help="where the networks' NWB files are or will be"
    )
    options.add_argument("--out", type=Path, default=HERE / "results", help="where tables and figures are written")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--smoke", action="store_true", help="two seeds of one small data set, in a minute")
    chosen = options.parse_args()
    run(chosen.networks, chosen.out, chosen.seed, chosen.smoke)


def run(networks: Path, out: Path, seed: int, smoke: bool) -> None:
    """Do it all; see `main`."""
    started = time.perf_counter()
    trainer = importlib.import_module("analyses.networks")
    cells = trainer.cells(smoke)
    missing = sum(not (networks / f"{cell.name}.csv").exists() for cell in cells)
    print(
        f"{len(cells)} networks, {missing} of them to be trained (about {missing * (2 if smoke else 20)} s on one core), then {len(SCRIPTS)} scripts"
    )
    known = trainer.main(networks, seed, smoke)
    out.mkdir(parents=True, exist_ok=True)
    known.to_csv(out / "networks.csv", index=False)
    for name in SCRIPTS:
        importlib.import_module(f"analyses.{name}").main(out, networks, seed, smoke)
    from ann2neo.versions import software

    facts = {
        "command": "python -m analyses" + (" --smoke" if smoke else ""),
        "seed": seed,
        "software": software("torch", "elephant", "neo", "numpy", "scipy"),
        "minutes": round((time.perf_counter() - started) / 60, 1),
        "training_minutes": round(known["seconds"].sum() / 60, 1),
    }
    (out / "run.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (out.parent / "README.md").write_text(account(out), encoding="utf-8")


def account(results: Path) -> str:
    """Put the paragraphs of all scripts, which their numbers made, into one readable account."""
    facts = json.loads((results / "run.json").read_text(encoding="utf-8"))
    parts = [
        "# Memorization against generalization\n",
        "This page is written by `python -m analyses` from the tables in `results/`; every number in it is computed there.\n",
        f"Made by `{facts['command']}`, seed {facts['seed']}, with {facts['software']}; {facts['training_minutes']} minutes of training on one core.\n",
    ]
    for name in SCRIPTS:
        question = importlib.import_module(f"analyses.{name}").__doc__
        parts += [f"## {TITLES[name]}\n", question.strip() + "\n", (results / f"{name}.md").read_text(encoding="utf-8")]
        parts.append(f"![{TITLES[name]}](results/{name}.png)\n")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
