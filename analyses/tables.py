"""What the scripts share: p values corrected over all cells shown, tables as written, colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that colour-blind readers tell apart (Okabe and Ito, https://jfly.uni-koeln.de/color/)."""


def corrected(p: Float[np.ndarray, " cell"]) -> Float[np.ndarray, " cell"]:
    """Correct p values over all cells shown (Benjamini and Hochberg); NaN stays NaN and is not counted.

    References
    ----------
    Benjamini and Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x.

    Examples
    --------
    >>> corrected(np.array([0.01, np.nan, 0.04]))
    array([0.02,  nan, 0.04])
    """
    from scipy.stats import false_discovery_control

    adjusted, known = np.full(p.shape, np.nan), ~np.isnan(p)
    if known.any():
        adjusted[known] = false_discovery_control(p[known])
    return adjusted


def written(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Write a table with six digits and give it as it then reads, so that what is said of it can be said again of the file."""
    table.to_csv(path, index=False, float_format="%.6g")
    return pd.read_csv(path)


def markdown(table: pd.DataFrame) -> str:
    """Write a small table as Markdown.

    Examples
    --------
    >>> print(markdown(pd.DataFrame({"a": [1], "b": ["x"]})))
    | a | b |
    |---|---|
    | 1 | x |
    """
    rows = [list(map(str, table.columns)), ["---"] * table.shape[1], *table.astype(str).to_numpy().tolist()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines[1] = lines[1].replace(" ", "")
    return "\n".join(lines)


def counted(number: int, noun: str) -> str:
    """Say how many there are.

    Examples
    --------
    >>> counted(1, "layer"), counted(2, "layer")
    ('1 layer', '2 layers')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")
