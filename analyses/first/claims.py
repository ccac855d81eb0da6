"""Whether an indicator differs consistently: one rule for all tables.

Of all cells (layers of all settings) of a convention and indicator, each with Hedges g and a corrected p:

- holds: g has the same sign and corrected p <= 0.05 in every cell;
- holds with conditions: g has the same sign in at least 80 % of the cells, with corrected p <= 0.05 in at least half of them, and in no cell the other sign with
  corrected p <= 0.05; the exceptions are named;
- does not hold: everything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

ALPHA = 0.05
SHARE_OF_SIGN, SHARE_DECIDED = 0.8, 0.5
HOLDS, WITH_CONDITIONS, DOES_NOT_HOLD = "holds", "holds with conditions", "does not hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What some cells say together.

    Parameters
    ----------
    word
        `HOLDS`, `WITH_CONDITIONS` or `DOES_NOT_HOLD`.
    direction
        "lower" or "higher" in memorizing networks, in most cells.
    n_lower, n_higher
        Cells in which memorizing networks have lower and higher values with corrected p <= 0.05.
    n_cells
        All cells.
    exceptions
        Cells that have the other sign, or are undecided.
    """

    word: str
    direction: str
    n_lower: int
    n_higher: int
    n_cells: int
    exceptions: tuple[str, ...]

    @property
    def counts(self) -> str:
        """How many cells there are of each kind."""
        return f"{self.n_lower} lower, {self.n_higher} higher, {self.n_cells - self.n_lower - self.n_higher} undecided"

    def __str__(self) -> str:
        """Say it in a cell of a table."""
        return f"{self.word} ({self.counts})"


def judge(cells: pd.DataFrame) -> Verdict:
    """Apply the rule to some cells.

    Parameters
    ----------
    cells
        One row per cell, with ``hedges_g``, ``p_corrected`` and, to name it, ``data``, ``architecture``, ``optimizer`` and ``layer``.

    Examples
    --------
    >>> named = {"data": "digits", "architecture": "mlp", "optimizer": "adam", "layer": ["relu1", "relu2"]}
    >>> str(judge(pd.DataFrame(named | {"hedges_g": [-3.0, -2.0], "p_corrected": [0.01, 0.02]})))
    'holds (2 lower, 0 higher, 0 undecided)'
    >>> judge(pd.DataFrame(named | {"hedges_g": [-3.0, -0.1], "p_corrected": [0.01, 0.9]})).exceptions
    ('digits mlp relu2',)
    >>> judge(pd.DataFrame(named | {"hedges_g": [-3.0, 2.0], "p_corrected": [0.01, 0.02]})).word
    'does not hold'
    """
    g = cells["hedges_g"].to_numpy(np.float64)
    sure = cells["p_corrected"].to_numpy(np.float64) <= ALPHA
    sign = -1 if (g < 0).sum() >= (g > 0).sum() else 1
    same, against = sign * g > 0, sure & (sign * g < 0)
    if (same & sure).all():
        word = HOLDS
    elif same.mean() >= SHARE_OF_SIGN and (same & sure).mean() >= SHARE_DECIDED and not against.any():
        word = WITH_CONDITIONS
    else:
        word = DOES_NOT_HOLD
    return Verdict(
        word=word,
        direction="lower" if sign < 0 else "higher",
        n_lower=int((sure & (g < 0)).sum()),
        n_higher=int((sure & (g > 0)).sum()),
        n_cells=len(cells),
        exceptions=tuple(cell_name(cell) for cell in cells[~(same & sure)].itertuples()),
    )


def cell_name(cell: Any) -> str:
    """Name a cell, with its optimizer where that is not Adam."""
    optimizer = "" if cell.optimizer == "adam" else f" {cell.optimizer.upper()}"
    return f"{cell.data} {cell.architecture}{optimizer} {cell.layer}"
