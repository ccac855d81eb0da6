"""Indicators of each layer with the band that random orders of the inputs give."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from ann2neo.errors import AnalysisError
from ann2neo.figures import given
from ann2neo.figures.canvas import (
    BLUE,
    CHANCE,
    GREY,
    NAMES,
    Population,
    canvas,
    legend_outside,
    say,
    tidy,
    window_words,
    with_words,
)
from ann2neo.figures.drawing import Drawing, styled
from ann2neo.figures.rows import height_of, name_rows, width_of


@styled()
def null_band(
    bands: pd.DataFrame, ax: Axes | None = None, *, indicator: str = "fano_mean", population: Population = "all"
) -> Drawing:
    """Draw an indicator of each layer, a row each, on the band of its surrogates; a value outside the band is filled.

    Parameters
    ----------
    bands
        What `ann2neo.surrogates.null_bands` gave.
    ax
        Where to draw; None for a figure of its own.
    indicator
        Indicator to draw.
    population
        All units, or those of good quality.

    Raises
    ------
    AnalysisError
        If the bands do not hold the indicator.

    See Also
    --------
    ann2neo.surrogates.null_bands, ann2neo.figures.beside_chance

    Examples
    --------
    >>> import ann2neo, numpy as np
    >>> from ann2neo.surrogates import null_bands
    >>> recording = ann2neo.from_array(np.eye(20, dtype=bool), labels=np.arange(20) % 2)
    >>> null_band(null_bands(recording, progress=False)).ax.get_xlabel()
    'mean Fano factor\\n(windows: label, 10 bins each)'
    """
    bands = given.kind(bands, pd.DataFrame, "`ann2neo.surrogates.null_bands`")
    given.known_columns(bands, ("layer", "population", "indicator", "value", "null_low", "null_high"), "table of bands")
    rows = bands[(bands["indicator"] == indicator) & (bands["population"] == population)]
    if rows.empty:
        raise AnalysisError(
            f"the bands hold no indicator {indicator!r} of {population} units.",
            "There is nothing to draw.",
            "Name it in `null_bands(..., indicators=...)`.",
        )
    ax = tidy(canvas(ax, width_of(rows["layer"].astype(str).tolist(), 6.8), height_of(len(rows), frame=1.9)))
    ax.set_xlabel(with_words(NAMES.get(indicator, indicator), window_words(bands.attrs)))
    ax.set_title(f"beside inputs in random order, {population} units")
    name_rows(ax, rows["layer"].astype(str).tolist())
    if rows["value"].isna().all():
        return Drawing(axes=(say(ax, "no layer has this indicator", keep="y"),))
    at = pd.Series(range(len(rows)), index=rows.index, dtype=float)
    width = rows["null_high"] - rows["null_low"]
    band = ax.barh(at, width, left=rows["null_low"], height=0.5, color=GREY, alpha=0.4, label=_band_words(bands))
    mean = ax.vlines(rows["null_mean"], at - 0.25, at + 0.25, color=CHANCE, linewidth=2, label="their mean")
    marks: list[Any] = [band, mean]
    outside = (rows["value"] < rows["null_low"]) | (rows["value"] > rows["null_high"])
    for chosen, face, words in ((outside, BLUE, "observed, outside"), (~outside, "white", "observed, inside")):
        if chosen.any():
            values, places = rows["value"][chosen], at[chosen]
            marks.append(ax.scatter(values, places, color=face, edgecolors=BLUE, s=36, zorder=3, label=words))
    legend_outside(ax, marks, n_columns=4)
    return Drawing(axes=(ax,))


def _band_words(bands: pd.DataFrame) -> str:
    n, share = bands.attrs.get("n_permutations"), bands.attrs.get("confidence")
    return "surrogates" if n is None or share is None else f"{100 * share:g} % of {n} surrogates"
