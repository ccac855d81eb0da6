"""Indicators of each layer with the band that random orders of the inputs give."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from ann2neo.errors import AnalysisError
from ann2neo.figures import given
from ann2neo.figures.canvas import (
    BLACK,
    GREY,
    NAMES,
    VERMILLION,
    Population,
    canvas,
    legend_below,
    name_layers,
    say,
    tidy,
    window_words,
    with_words,
)


def null_band(
    bands: pd.DataFrame, ax: Axes | None = None, *, indicator: str = "fano_mean", population: Population = "all"
) -> Axes:
    """Draw an indicator of each layer on the band of its surrogates; a value outside the band is filled.

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

    Examples
    --------
    >>> import ann2neo, numpy as np
    >>> from ann2neo.surrogates import null_bands
    >>> recording = ann2neo.from_array(np.eye(20, dtype=bool), labels=np.arange(20) % 2)
    >>> null_band(null_bands(recording, progress=False)).get_ylabel()
    'mean Fano factor\\n(windows: label, 10 bins each)'
    """
    bands = given.kind(bands, pd.DataFrame, "`ann2neo.surrogates.null_bands`")
    given.known_columns(bands, ("layer", "population", "indicator", "value", "null_low", "null_high"), "table of bands")
    ax = tidy(canvas(ax))
    rows = bands[(bands["indicator"] == indicator) & (bands["population"] == population)]
    if rows.empty:
        raise AnalysisError(
            f"the bands hold no indicator {indicator!r} of {population} units.",
            "There is nothing to draw.",
            "Name it in `null_bands(..., indicators=...)`.",
        )
    ax.set_ylabel(with_words(NAMES.get(indicator, indicator), window_words(bands.attrs)))
    ax.set_title(f"inputs in random order, {population} units")
    if rows["value"].isna().all():
        return say(ax, "no layer has this indicator")
    at = pd.Series(range(len(rows)), index=rows.index, dtype=float)
    ax.vlines(at, rows["null_low"], rows["null_high"], color=GREY, alpha=0.45, linewidth=14, label=_band_words(bands))
    ax.hlines(rows["null_mean"], at - 0.15, at + 0.15, color=BLACK, linewidth=1.2, label="their mean")
    outside = (rows["value"] < rows["null_low"]) | (rows["value"] > rows["null_high"])
    for chosen, face, words in ((outside, VERMILLION, "observed, outside"), (~outside, "white", "observed")):
        if chosen.any():
            ax.scatter(
                at[chosen], rows["value"][chosen], color=face, edgecolors=VERMILLION, s=36, zorder=3, label=words
            )
    name_layers(ax, rows["layer"].astype(str).tolist())
    legend_below(ax, n_columns=4)
    return ax


def _band_words(bands: pd.DataFrame) -> str:
    n, share = bands.attrs.get("n_permutations"), bands.attrs.get("confidence")
    return "surrogates" if n is None or share is None else f"{100 * share:g} % of {n} surrogates"
