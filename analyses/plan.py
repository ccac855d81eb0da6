"""What is run: cells fixed beforehand (`design.md`), in the order in which they are run, with their cost. Nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

SEEDS = tuple(range(10))
DATA, ARCHITECTURES, OPTIMIZERS = ("digits", "mnist"), ("mlp", "cnn"), ("adam", "sgd")
PRIMARY = tuple(product(DATA, ARCHITECTURES, OPTIMIZERS))
SECONDARY = tuple((data, architecture, "adam") for architecture in ("resnet", "vit") for data in DATA)
ADAM = tuple(setting for setting in PRIMARY if setting[2] == "adam")
CONTINUUM = (("digits", "mlp", "adam"), ("mnist", "mlp", "adam"), ("mnist", "cnn", "adam"))
SIZES, NOISES, CONTINUUM_SEEDS = (50, 100, 200, 500, 1000, 2000), (0, 20, 40, 60, 80, 100), tuple(range(5))
MODEL_SEEDS, UNIT_SEEDS = tuple(range(3)), tuple(range(5))
SMOKE = (("digits", "mlp", "adam"), ("digits", "cnn", "sgd"))
STUDIES = ("states", "within", "continuum", "use", "models", "larger", "deep", "windows", "units")
# Processor seconds of one seed of a cell (training and measuring), measured on one core.
SECONDS: dict[str, dict[str, float]] = {
    "states": {"mlp": 15, "cnn": 23, "resnet": 60, "vit": 60},
    "within": {"mlp": 6, "cnn": 12},
    "continuum": {"mlp": 60, "cnn": 120},
    "use": {"mlp": 2, "cnn": 6},
    "models": {"mlp": 8, "cnn": 8},
    "larger": {"efficientnet": 120},
    "deep": {"resnet18": 1500},
    "windows": {"any": 1},
    "units": {"mlp": 2, "cnn": 3},
}
SMOKE_SHARE = 0.1
# Where Debian's package dataset-fashion-mnist puts its files.
FASHION = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A study in a setting: the seeds whose networks are compared with one another.

    Parameters
    ----------
    study
        One of `STUDIES`: module of `analyses.networks` that runs it.
    data, architecture, optimizer
        The setting.
    seeds
        Seeds, each of which is finished when its file is there.

    Examples
    --------
    >>> cell = Cell(study="states", data="digits", architecture="mlp", optimizer="adam", seeds=(0, 1))
    >>> cell.name, cell.file(1), cell.primary
    ('states/digits-mlp-adam', 'states/digits-mlp-adam/1.csv', True)
    """

    study: str
    data: str
    architecture: str
    optimizer: str
    seeds: tuple[int, ...]

    @property
    def setting(self) -> tuple[str, str, str]:
        """Data, architecture, optimizer."""
        return (self.data, self.architecture, self.optimizer)

    @property
    def primary(self) -> bool:
        """Whether the setting is one of the primary ones."""
        return self.setting in PRIMARY

    @property
    def name(self) -> str:
        """Name by which it is asked for."""
        return f"{self.study}/{'-'.join(self.setting)}"

    def file(self, seed: int) -> str:
        """Path of the table of a seed, in the folder of networks."""
        return f"{self.name}/{seed}.csv"

    @property
    def table(self) -> str:
        """Path of its table among the results, which is there when all seeds are finished."""
        return f"cells/{self.name.replace('/', '-')}.csv"

    def missing(self, folder: Path, out: Path) -> tuple[int, ...]:
        """Seeds that are neither finished in the folder of networks nor part of a finished table."""
        if (out / self.table).exists():
            return ()
        return tuple(seed for seed in self.seeds if not (folder / self.file(seed)).exists())

    @property
    def seconds(self) -> float:
        """Estimated processor time of a seed."""
        return SECONDS[self.study][self.architecture]

    @property
    def facts(self) -> dict[str, str]:
        """What its rows begin with."""
        return {"data": self.data, "architecture": self.architecture, "optimizer": self.optimizer}


def cells(smoke: bool = False) -> list[Cell]:
    """List all cells, the primary ones of each study first, and studies in an order in which each finds what it reads.

    Examples
    --------
    >>> [cell.name for cell in cells()][:3], len(cells())
    (['states/digits-mlp-adam', 'states/digits-cnn-adam', 'states/mnist-mlp-adam'], 39)
    """
    if smoke:
        wanted = [("states", setting, (0, 1)) for setting in SMOKE]
        wanted += [(study, SMOKE[0], (0, 1)) for study in ("within", "continuum", "use")] + [("models", SMOKE[0], (0,))]
    else:
        first = sorted(PRIMARY, key=lambda setting: setting[2] != "adam")
        wanted = [("states", setting, SEEDS) for setting in first]
        wanted += [(study, setting, SEEDS) for study in ("within", "use") for setting in ADAM]
        wanted += [("continuum", setting, CONTINUUM_SEEDS) for setting in CONTINUUM]
        wanted += [("models", setting, MODEL_SEEDS) for setting in ADAM]
        wanted += [("states", setting, SEEDS) for setting in SECONDARY]
        wanted += [("larger", ("photographs", "efficientnet", "none"), (0,))]
        wanted += [("deep", ("fashion", "resnet18", "adam"), (0,))]
        wanted += [("units", setting, UNIT_SEEDS) for setting in first]
        wanted += [("windows", (data, "any", "none"), (0,)) for data in DATA]
    return [
        Cell(study=study, data=data, architecture=architecture, optimizer=optimizer, seeds=seeds)
        for study, (data, architecture, optimizer), seeds in wanted
    ]


def cost(wanted: list[Cell], folder: Path, out: Path, smoke: bool = False) -> str:
    """Say, cell by cell, what is still to be run and about how long it takes on one core."""
    lines, total = [], 0.0
    for cell in wanted:
        missing = cell.missing(folder, out)
        minutes = len(missing) * cell.seconds * (SMOKE_SHARE if smoke else 1) / 60
        total += minutes
        lines.append(f"{cell.name}: {len(missing)} of {len(cell.seeds)} seeds to run, about {minutes:.1f} min")
    return "\n".join([*lines, f"about {total:.0f} min of one core in all"])
