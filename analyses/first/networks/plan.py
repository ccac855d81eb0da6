"""What is trained: one `Cell` per network, listed study by study. Nothing here needs torch until the studies are asked for their cells."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from analyses.first.networks.cell import Cell

STUDIES = ("states", "poisson", "learning", "dose", "pruning", "transfer")
# Seconds per network on one core, by study, data, architecture and optimizer, or by the first of these.
SECONDS: dict[tuple[str, ...], float] = {
    ("states", "digits", "mlp"): 6,
    ("states", "digits", "cnn"): 18,
    ("states", "mnist", "mlp"): 18,
    ("states", "mnist", "cnn"): 27,
    ("states", "digits", "mlp", "sgd"): 6,
    ("states", "digits", "cnn", "sgd"): 7,
    ("states", "mnist", "mlp", "sgd"): 8,
    ("states", "mnist", "cnn", "sgd"): 12,
    ("states", "digits", "resnet"): 9,
    ("states", "digits", "vit"): 20,
    ("states", "mnist", "resnet"): 13,
    ("states", "mnist", "vit"): 10,
    ("states", "fashion", "mlp"): 20,
    ("states", "fashion", "cnn"): 18,
    ("poisson", "digits", "mlp"): 7,
    ("poisson", "digits", "cnn"): 15,
    ("poisson", "digits", "gru"): 18,
    ("poisson", "fashion"): 20,
    ("learning", "digits", "mlp"): 13,
    ("learning", "digits", "cnn"): 45,
    ("dose", "digits", "mlp"): 8,
    ("dose", "digits", "cnn"): 14,
    ("pruning", "digits"): 8,
    ("pruning", "mnist"): 18,
    ("transfer", "digits"): 8,
    ("transfer", "mnist"): 12,
}
# How much of that a network of the tiny plan takes, on average.
SMOKE_SHARE = 0.15


def cells(
    smoke: bool, studies: Sequence[str] = STUDIES, idx: Mapping[str, tuple[str, str]] | None = None
) -> list[Cell]:
    """List the networks of some studies; a study that is not there has none. Data given by path join the study of states."""
    there = [name for name in studies if (Path(__file__).parent / f"{name}.py").exists()]
    listed = [
        cell for name in there for cell in importlib.import_module(f"analyses.first.networks.{name}").cells(smoke)
    ]
    if idx and "states" in there:
        listed += importlib.import_module("analyses.first.networks.states").given(idx, smoke)
    return listed


def missing(wanted: Sequence[Cell], out: Path) -> list[Cell]:
    """Give those networks whose row of facts is not in the folder."""
    return [cell for cell in wanted if not (out / f"{cell.name}.csv").exists()]


def seconds(cell: Cell) -> float:
    """Estimate how long a network takes on one core, from what was measured once."""
    key = (cell.study, cell.data, cell.architecture, cell.optimizer)
    known = next((SECONDS[key[:n]] for n in (4, 3, 2, 1) if key[:n] in SECONDS), 15.0)
    return known * (0.2 if cell.state == "random" else 1.0)
