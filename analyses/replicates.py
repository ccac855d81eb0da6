"""What the scripts share: rows of networks, files measured with the bulk engine and checked with Elephant, p values corrected over all cells, tables as written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

import ann2neo

CHECKED_UNITS = 50
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that colour-blind readers tell apart (Okabe and Ito, https://jfly.uni-koeln.de/color/)."""


def networks_of(folder: Path, study: str) -> pd.DataFrame:
    """Read the rows of facts of a study's networks, in the order of their names.

    Parameters
    ----------
    folder
        Where the networks were written; other tables that lie there are passed over.
    study
        Name of the study.

    Raises
    ------
    FileNotFoundError
        If the study has no networks there.
    """
    rows = {path.stem: pd.read_csv(path) for path in sorted(folder.glob("*.csv")) if _may_be_row(path)}
    of_study = [
        row for name, row in rows.items() if row["study"].tolist() == [study] and row["name"].tolist() == [name]
    ]
    if not of_study:
        raise FileNotFoundError(
            f"{folder} holds no networks of the study {study!r}.\nNothing was analysed.\nRun `python -m analyses.first`."
        )
    return pd.concat(of_study, ignore_index=True)


def measure(recording: ann2neo.Recording, windows: int | str, seed: int, *, check: bool = True) -> pd.DataFrame:
    """Measure all units of a recording with the bulk engine, and check 50 of them, drawn by the seed, with Elephant: every number must be the same.

    Parameters
    ----------
    recording
        What a file holds.
    windows
        As for `ann2neo.analyze`.
    seed
        Seed of the choice of units.
    check
        Whether to check; once per file is enough.

    Raises
    ------
    AssertionError
        If the two engines differ in any bit.
    """
    table = ann2neo.analyze(recording, windows=windows, progress=False)
    if not check:
        return table
    rng = np.random.default_rng(seed)
    n_units = min(layer.n_units for layer in recording.layers)
    some = np.sort(rng.permutation(n_units)[: max(1, CHECKED_UNITS // len(recording.layers))])
    checked = ann2neo.analyze(recording.select(units=some), windows=windows, engine="elephant", progress=False)
    same = pd.concat([group.iloc[some] for _, group in table.groupby("layer", sort=False)], ignore_index=True)
    pd.testing.assert_frame_equal(checked, same, check_exact=True)
    return table


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


def _may_be_row(path: Path) -> bool:
    """Whether a table begins like a network's row of facts."""
    with path.open(encoding="utf-8") as lines:
        return lines.readline().startswith("study,data,architecture,optimizer,state,seed,noise,name")
