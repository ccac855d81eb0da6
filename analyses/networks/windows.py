"""How many training images each label has: the sizes of the windows by label, which are not equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analyses.networks import states
from analyses.plan import Cell


def run(cell: Cell, folder: Path, seeds: Sequence[int], smoke: bool) -> Iterator[tuple[int, pd.DataFrame]]:
    """Count the training images of each label; permuted labels have the same numbers."""
    counts = np.bincount(states.data_of(cell, smoke).labels)
    for seed in seeds:
        table = pd.DataFrame({"label": np.arange(len(counts)), "n_images": counts})
        yield seed, table.assign(seed=seed, **cell.facts)
