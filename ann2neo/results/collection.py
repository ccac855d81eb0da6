"""collect: one tidy table over many files, such as those of a sweep."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ann2neo.errors import AnalysisError
from ann2neo.formats import path_of
from ann2neo.recording import notes_of
from ann2neo.results.contrasts import read_results
from ann2neo.results.sources import SOURCE, counted_once, joined
from ann2neo.summary import is_summary, summary_of


def collect(
    paths: str | PathLike[str] | Iterable[str | PathLike[str]],
    *,
    level: Literal["layer", "unit"] = "layer",
    windows: Any = None,
    order: Literal["presented", "label"] | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Collect files into one tidy table, with the notes of each recording as columns: a sweep in one call.

    A network whose unit table, summary and joined table are all among the files counts once; such tables are recognized by their values.

    Parameters
    ----------
    paths
        Recordings, which are analyzed first, or tables that `ann2neo analyze` or `ann2neo.write_table` wrote: of units, summaries, ``all-sources``.
    level
        "layer": a row per file, layer and population, as in `ann2neo.summarize`. "unit": a row per unit.
    windows, order
        Options for the analysis of recordings; refused for tables, which are already measured.
    progress
        Whether to show progress bars.

    Returns
    -------
    pandas.DataFrame
        ``source`` (name of the file without its suffix), ``notes_...``, ``windows``, ``reference``, then the columns of the level. Values that some files lack are NaN or empty.

    Raises
    ------
    AnalysisError
        If two files have the same name, if there are no files, or if units are requested from a summary.
    FormatError
        If a file is missing or damaged.

    See Also
    --------
    ann2neo.compare, ann2neo.read_table

    References
    ----------
    Wickham (2014). Tidy data. Journal of Statistical Software 59(10). doi:10.18637/jss.v059.i10

    Examples
    --------
    >>> from pathlib import Path
    >>> import tempfile, numpy as np, ann2neo
    >>> folder = Path(tempfile.mkdtemp())
    >>> for epoch in (1, 2):
    ...     recording = ann2neo.from_array(np.eye(20, dtype=bool), provenance={"notes_epoch": epoch})
    ...     ann2neo.save(recording, folder / f"epoch{epoch}.zarr")
    >>> table = collect(sorted(folder.glob("*.zarr")), windows=5, progress=False)
    >>> table.query("layer == 'network' and population == 'all'")[["source", "notes_epoch", "n_units", "p_spike_mean"]]
        source  notes_epoch  n_units  p_spike_mean
    2   epoch1            1       20          0.05
    6   epoch2            2       20          0.05
    """
    if level not in ("layer", "unit"):
        raise AnalysisError(f"there is no level {level!r}.", "Nothing was collected.", "Use 'layer' or 'unit'.")
    given = [paths] if isinstance(paths, str | PathLike) else list(paths)
    files: list[Path] = [path_of(path) for path in given]
    if not files:
        raise AnalysisError("no file was given.", "There is nothing to collect.", "Pass names of recordings or tables.")
    how: dict[str, Any] = {"windows": windows, "progress": progress}
    found, _ = counted_once([one for path in files for one in read_results(path, order, **how)])
    tables: dict[str, pd.DataFrame] = {}
    for one in found:
        if one.name in tables:
            raise AnalysisError(
                f"two files are called {one.name!r}.",
                "Their rows could not be distinguished.",
                "Rename one of them, or collect them one after another.",
            )
        tables[one.name] = _at_level(one.table, level, one.name)
    together = joined(tables)
    first = [SOURCE, *(name for name in together if str(name).startswith("notes_")), "windows", "reference"]
    known = [name for name in first if name in together]
    return together[[*known, *(name for name in together if name not in known)]]


def _at_level(table: pd.DataFrame, level: str, name: str) -> pd.DataFrame:
    if level == "unit":
        if is_summary(table):
            raise AnalysisError(
                f"{name!r} is a summary, which has a row per layer.",
                "It no longer holds the single units.",
                'Collect tables of units, or use level="layer".',
            )
        return table
    summary = summary_of(table)
    noted = summary.assign(**notes_of({str(key): value for key, value in table.attrs.items()}))
    noted.attrs = dict(summary.attrs)
    return noted
