"""Borders of labels and passes on an axis of pseudo-time, and the names of the labels above it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Int
from matplotlib.axes import Axes

from ann2neo.figures.canvas import GREY
from ann2neo.figures.rows import shortened

# More lines than this would hide the image, and more ticks one another; this many letters fit side by side.
MAX_LINES, MAX_TICKS, MAX_LETTERS, LONGEST_NAME = 40, 200, 80, 14
PASS = "#E8384F"


def mark_borders(ax: Axes, trials: pd.DataFrame, n_bins: int) -> None:
    """Mark passes, and labels where each lies in one piece; where there are too many to be drawn, the axis tells.

    Parameters
    ----------
    ax
        Axes whose horizontal axis are the bins.
    trials
        The trials that are drawn, with their bins.
    n_bins
        Number of bins.
    """
    starts = trials["start_bin"].to_numpy()
    new_pass = np.diff(trials["pass"].to_numpy(), prepend=0) != 0
    runs = _label_runs(trials)
    if runs is not None and len(runs) <= MAX_TICKS:
        if len(runs) <= MAX_LINES:
            for row in runs[1:]:
                ax.axvline(float(starts[row]), color="white", linewidth=0.8)
        else:
            above = ax.get_xaxis_transform()
            ax.vlines(starts[runs[1:]], 1, 1.012, transform=above, color=GREY, linewidth=0.5, clip_on=False)
        _name_runs(ax, trials, runs, n_bins)
    elif runs is not None:
        ax.set_xlabel(f"{ax.get_xlabel()}\nborders of {len(runs):,} labels are not drawn")
    for start in starts[new_pass]:
        ax.axvline(start, color=PASS, linewidth=1.5)
    if new_pass.any():
        ax.set_xlabel(f"{ax.get_xlabel()}\nred line: a pass begins")


def _label_runs(trials: pd.DataFrame) -> Int[np.ndarray, " run"] | None:
    """Rows at which a label begins, or None if trials are not sorted by label."""
    if "label" not in trials:
        return None
    key = trials["pass"].to_numpy() * (trials["label"].max() + 2) + trials["label"].to_numpy()
    begins = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
    return begins if begins.size == np.unique(key).size else None


def _name_runs(ax: Axes, trials: pd.DataFrame, runs: Int[np.ndarray, " run"], n_bins: int) -> None:
    """Write the names of labels above the axis, and leave out those that would overlap the last one."""
    every = trials["label_name" if "label_name" in trials else "label"].to_numpy()[runs]
    names = shortened(list(map(str, every)), LONGEST_NAME)
    starts = np.append(trials["start_bin"].to_numpy()[runs], n_bins)
    letter = n_bins / MAX_LETTERS
    free = -letter  # left of the axis is the word "label"
    for name, left, right in zip(names, starts, starts[1:]):
        middle, half = (left + right) / 2, (len(name) + 1) / 2 * letter
        if middle - half < free:
            continue
        free = middle + half
        ax.annotate(
            name, (middle, 1), (0, 4), xycoords=ax.get_xaxis_transform(), textcoords="offset points",
            ha="center", va="bottom", fontsize="small", annotation_clip=False,
        )  # fmt: skip
    ax.annotate(
        "label", (0, 1), (-4, 3), xycoords="axes fraction", textcoords="offset points", ha="right", va="bottom", fontsize="small",
    )  # fmt: skip
