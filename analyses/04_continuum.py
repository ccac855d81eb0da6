"""Question 4: between memorizing and generalizing, do indicators follow the generalization gap?

Data: the tables of the finished cells "continuum": training sets of 50 to 2,000 images, 0 to 100 % of their labels permuted, networks trained until 99.9 % of their own labels are right. Method: Kendall's partial tau (tau-b) of each indicator and the gap (share
right on its own labels less share right on held-out images), given training loss, within each setting; intervals: percentiles of 2,000 bootstrap samples of networks. Firing statistics are those of the same 500
held-out images in windows by true label, and of each network's own training images in windows by its own labels, where the number of images differs. Other indicators beside.

Source: Jiang, Neyshabur, Mobahi, Krishnan and Bengio (2020), arXiv:1912.02178 (rank correlation with the gap); Kendall (1942), doi:10.1093/biomet/32.3-4.277 (partial tau); Lehmler et al. (2024), doi:10.1016/j.neucom.2024.128473. Limits: networks of a seed share initial weights and
images, which the bootstrap does not know; networks that did not learn their labels are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analyses.contrasts import COUNTS, RATES, THRESHOLDS, named, read
from analyses.statistics import partial_tau, partial_tau_interval
from analyses.tables import COLOURS, counted, markdown, written

NAME = "04_continuum"
OTHERS = (
    "weight_norm",
    "distance_from_initial",
    "margin_mean",
    "held_out_margin_mean",
    "sparsity_mean",
    "effective_rank_mean",
)
KEY = ["seed", "size", "noise"]


def main(out: Path, smoke: bool = False) -> str:
    """Tabulate partial taus and write the paragraph."""
    continuum = read(out, "continuum", smoke=smoke)
    if continuum.empty:
        return ""
    table = written(pd.DataFrame(_taus(continuum, 200 if smoke else 2000)), out / f"{NAME}.csv")
    figure(continuum, out / f"{NAME}.png")
    text = "\n".join(paragraph(table))
    (out / f"{NAME}.md").write_text(text + "\n", encoding="utf-8")
    return text


def indicators(of: pd.DataFrame) -> pd.DataFrame:
    """One row per network: gap, training loss and every indicator, named by images and threshold."""
    facts = of[of["windows"] == "facts"].set_index(KEY)
    found = facts[["gap", "train_loss", "accuracy_held_out", "reached", *OTHERS]].copy()
    for images in ("held-out", "train"):
        for threshold in THRESHOLDS:
            some = of[(of["images"] == images) & (of["threshold"] == threshold)].set_index(KEY)
            for column in (*(RATES if threshold == "0" else ()), *COUNTS):
                # By its own labels a share depends on the number of images by chance; this is taken away.
                source = "label_share_adjusted_mean" if images == "train" and column == "label_share_mean" else column
                found[f"{images} {threshold} {column}"] = some[source]
    return found[found["reached"] == 1]


def _taus(continuum: pd.DataFrame, n_samples: int) -> Iterator[dict[str, object]]:
    for setting, of in continuum.groupby("setting", sort=False):
        table = indicators(of)
        gap, loss = (table[name].to_numpy(np.float64) for name in ("gap", "train_loss"))
        for name in table.columns.drop(["gap", "train_loss", "accuracy_held_out", "reached"]):
            x = table[name].to_numpy(np.float64)
            known = np.isfinite(x)
            low, high = partial_tau_interval(x[known], gap[known], loss[known], n_samples=n_samples)
            images, threshold, column = name.split(" ") if " " in name else ("", "", name)
            yield {
                "setting": setting,
                "images": images,
                "threshold": threshold,
                "indicator": column,
                "n": int(known.sum()),
                "tau": partial_tau(x[known], gap[known], loss[known]),
                "low": low,
                "high": high,
            }


def figure(continuum: pd.DataFrame, path: Path) -> None:
    """Draw the gap against the label share of held-out images at each threshold; a colour for each size of training set."""
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys(continuum["setting"]))
    page = Figure(figsize=(12, 3.2 * len(settings)), layout="constrained")
    grid = page.subplots(len(settings), len(THRESHOLDS), sharey=True, squeeze=False)
    for axes, setting in zip(grid, settings):
        table = indicators(continuum[continuum["setting"] == setting]).reset_index()
        for ax, threshold in zip(axes, THRESHOLDS):
            for colour, (size, some) in zip(COLOURS, table.groupby("size")):
                ax.plot(
                    some[f"held-out {threshold} label_share_mean"],
                    some["gap"],
                    "o",
                    ms=3,
                    color=colour,
                    label=str(size),
                )
            ax.set_title(f"{setting}, threshold {threshold}", fontsize="medium")
            ax.set_xlabel("mean label share, held-out images")
        axes[0].set_ylabel("generalization gap")
    handles, _ = grid[0, 0].get_legend_handles_labels()
    # The largest training set is the whole of the data, whose size is their own.
    sizes = continuum.groupby("setting")["size"].unique().map(sorted)
    names = [" or ".join(f"{size:,}" for size in sorted(set(same))) + " images" for same in zip(*sizes)]
    page.legend(handles, names, loc="outside upper center", ncols=6, frameon=False)
    page.savefig(path, dpi=90)


def paragraph(table: pd.DataFrame) -> Iterator[str]:
    """Write what the table says."""
    settings = list(dict.fromkeys(table["setting"]))
    numbers = ", ".join(
        f"{setting} {some['n'].max()} networks" for setting, some in table.groupby("setting", sort=False)
    )
    yield f"Partial tau with the generalization gap given training loss, with 95 % intervals ({numbers}); negative: the larger the gap, the smaller the indicator.\n"
    rows = []
    for (images, threshold, indicator), some in table.groupby(
        ["images", "threshold", "indicator"], sort=False, dropna=False
    ):
        by_setting = some.set_index("setting")
        what = {
            "images": str(images).replace("nan", "none"),
            "threshold": str(threshold).replace("nan", ""),
            "indicator": named(str(indicator)),
        }
        rows.append(what | {setting: _shown(by_setting.loc[setting]) for setting in settings})
    yield markdown(pd.DataFrame(rows)) + "\n"
    same = [
        f"{row['indicator']} ({row['images']}{', ' + row['threshold'] if row['threshold'] else ''})"
        for row, (_, some) in zip(rows, table.groupby(["images", "threshold", "indicator"], sort=False, dropna=False))
        if (some["high"] < 0).all() or (some["low"] > 0).all()
    ]
    yield f"Intervals on one side of 0 in {counted(len(settings), 'finished setting')}: {'; '.join(same) or 'none'}.\n"


def _shown(row: pd.Series) -> str:
    return f"{row['tau']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})"
