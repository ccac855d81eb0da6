"""A cell of the plan: one network, its name and its seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# The settings of the primary contrast, fixed beforehand: data, architecture, optimizer.
PRIMARY = (("digits", "mlp", "adam"), ("digits", "cnn", "adam"), ("mnist", "mlp", "adam"), ("mnist", "cnn", "adam"))
COLUMNS = ("study", "data", "architecture", "optimizer", "state", "seed", "noise")
STATES = ("random", "generalizing", "memorizing", "generalizing-long")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One network of the plan.

    Parameters
    ----------
    study
        Module of this package that trains and exports it.
    data, architecture, optimizer
        Data set (`data.load`), architecture (`architectures.make`) and optimizer (`training.train`).
    state
        One of `STATES`, or a word of the study's own.
    seed
        Number of the replicate.
    noise
        Percent of training labels that were permuted among themselves, where the study varies it.
    idx
        Files of images and labels, for data that are given by path.

    Examples
    --------
    >>> Cell(data="digits", architecture="mlp", state="memorizing", seed=0).name
    'digits-mlp-memorizing-0'
    >>> Cell(study="dose", data="digits", architecture="cnn", state="trained", seed=1, noise=30).name
    'dose-digits-cnn-trained-noise030-1'
    """

    study: str = "states"
    data: str
    architecture: str
    optimizer: str = "adam"
    state: str
    seed: int
    noise: int | None = None
    idx: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """Beginning of the names of its files."""
        study = () if self.study == "states" else (self.study,)
        optimizer = () if self.optimizer == "adam" else (self.optimizer,)
        noise = () if self.noise is None else (f"noise{self.noise:03d}",)
        return "-".join((*study, self.data, self.architecture, *optimizer, self.state, *noise, str(self.seed)))

    @property
    def facts(self) -> dict[str, Any]:
        """What its row begins with."""
        return {name: getattr(self, name) for name in COLUMNS} | {"name": self.name}

    @property
    def group(self) -> tuple[str, ...]:
        """Networks that one worker trains one after the other, in the order of the plan, because later ones look at earlier ones."""
        return (self.study, self.data, self.architecture, self.optimizer, str(self.seed))


def number_of(cell: Cell, seed: int) -> int:
    """Seed of the network's initial weights, batches and, one higher, label permutation: the same in all states, so that these are paired."""
    return 1000 * seed + cell.seed
