"""Question 5: does each indicator follow the share of wrong labels, and from which share on does it show?

Data: the NWB files of the study `networks/dose.py`: perceptrons (five seeds) and convolutional networks (three) on digits, of whose training labels 0, 10, ..., 100 % were permuted
among themselves. All are trained equally long; as the control, each was also exported when it had first got 99.9 % of its own labels right ("reached"). Exploratory.
Method: indicators per layer and over the whole network, over training and held-out images. The network is the replicate: Spearman's rho of indicator and dose in each
seed, and Page's test for a trend, of which the seeds are the raters (two-sided; its statistic is the mean rho), corrected over all cells shown. "Monotone" is a trend whose rho is at
least 0.9 in every seed and whose mean moves the same way from no wrong labels to the smallest dose. The detection limit is the smallest dose from which on the
networks of every dose lie outside the range of the networks without wrong labels, all on the same side; networks that do not differ would do so at a single dose with
probability 2 / C(2n, n), for n seeds.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473; Zhang, Bengio, Hardt, Recht & Vinyals (2017), arXiv:1611.03530 (partly wrong labels);
Page (1963), doi:10.1080/01621459.1963.10500843 (test for a trend).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm import tqdm

import ann2neo
from analyses.replicates import COLOURS, corrected, markdown, measure, networks_of, written

INDICATORS = ("firing_rate_mean", "firing_rate_var", "fano_mean", "fano_var", "label_share_mean")
# Which windows are counted over which images, of the networks at their end and of the control.
EQUALLY_LONG, REACHED = "equally long", "reached"
FILES = (
    (EQUALLY_LONG, "", "train", ("target_label", "label")),
    (EQUALLY_LONG, "", "held-out", ("label",)),
    (REACHED, "-reached", "train", ("target_label",)),
    (REACHED, "-reached", "held-out", ("label",)),
)
DRAWN = (("train", "target_label"), ("held-out", "label"))
UNITS = {"firing_rate_mean": " (1/s)", "firing_rate_var": " (1/s²)"}
FACTS = ("share_wrong", "accuracy_target", "accuracy_held_out", "epochs_reached")
CELL = ["architecture", "trained", "split", "windows", "layer", "indicator"]
MONOTONE = 0.9


def main(out: Path, networks: Path, seed: int = 0, smoke: bool = False) -> str:
    """Tabulate trends and detection limits, and give the paragraph that the numbers make."""
    out.mkdir(parents=True, exist_ok=True)
    known = networks_of(networks, "dose")
    cells = tqdm(list(known.itertuples()), desc="dose", unit="network")
    values = pd.DataFrame([row for cell in cells for row in _values(cell, networks, seed)])
    trends = [dict(zip(CELL, key)) | _trend_of(some) for key, some in values.groupby(CELL, sort=False)]
    table = pd.DataFrame(trends)
    table.insert(table.columns.get_loc("p") + 1, "p_corrected", corrected(table["p"].to_numpy()))
    table = written(table, out / "05_dose.csv")
    figure(values, out / "05_dose.png")
    text = paragraph(table)
    (out / "05_dose.md").write_text(text + "\n", encoding="utf-8")
    return text


def _values(cell: Any, networks: Path, seed: int) -> Iterator[dict[str, object]]:
    """Give a network's facts and its indicators in every convention, one row each."""
    first = {"architecture": cell.architecture, "seed": cell.seed, "noise": cell.noise}
    for fact in FACTS:
        where = {"trained": EQUALLY_LONG, "split": "facts", "windows": "none", "layer": "network"}
        yield first | where | {"indicator": fact, "value": getattr(cell, fact)}
    for trained, suffix, split, conventions in FILES:
        recording = ann2neo.load(networks / f"{cell.name}{suffix}-{split}.nwb")
        for windows in conventions:
            new = windows == conventions[0]
            table = (
                measure(recording, windows, seed)
                if new
                else ann2neo.analyze(recording, windows=windows, progress=False)
            )
            where = {"trained": trained, "split": split, "windows": windows}
            # Rates know no windows: counted once per file.
            yield from (first | where | row for row in _indicators(table, INDICATORS if new else INDICATORS[2:]))


def _indicators(table: pd.DataFrame, wanted: tuple[str, ...]) -> Iterator[dict[str, object]]:
    summary = ann2neo.summarize(table)
    for row in summary[summary["population"] == "all"].to_dict("records"):
        yield from ({"layer": row["layer"], "indicator": name, "value": row[name]} for name in wanted)


def _trend_of(cell: pd.DataFrame) -> dict[str, object]:
    """Measure the trend of one cell, and give its means beside it."""
    wide = cell.pivot(index="seed", columns="noise", values="value")
    doses, values = wide.columns.to_numpy(np.float64), wide.to_numpy(np.float64)
    means = {f"mean_at_{dose:g}": mean for dose, mean in zip(doses, values.mean(axis=0))}
    return {"n_seeds": len(values), **trend(values), "detection_limit": detection_limit(values, doses), **means}


def trend(values: Float[np.ndarray, "seed dose"]) -> dict[str, float]:
    """Measure how well values follow the dose, whose columns ascend, in each seed and in all.

    Returns
    -------
    dict[str, float]
        ``rho_mean``, ``rho_min`` and ``rho_max`` over seeds of Spearman's rho (0 where nothing varies), and ``p``, two-sided, of Page's test. NaN where a value is NaN.

    Examples
    --------
    >>> trend(np.array([[1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 5.0, 9.0], [0.0, 0.1, 0.3, 0.2]]))["rho_mean"]
    0.9333333333333332
    """
    from scipy.stats import page_trend_test, rankdata

    if np.isnan(values).any():
        return dict.fromkeys(("rho_mean", "rho_min", "rho_max", "p"), math.nan)
    ranks = rankdata(values, axis=1) - (values.shape[1] + 1) / 2
    line = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    size = np.sqrt(np.square(ranks).sum(axis=1) * np.square(line).sum())
    rho = np.divide(ranks @ line, size, out=np.zeros(len(values)), where=size > 0)
    rising, falling = page_trend_test(values).pvalue, page_trend_test(values[:, ::-1]).pvalue
    p = min(1.0, 2 * min(rising, falling))
    return {"rho_mean": float(rho.mean()), "rho_min": float(rho.min()), "rho_max": float(rho.max()), "p": float(p)}


def detection_limit(values: Float[np.ndarray, "seed dose"], doses: Float[np.ndarray, " dose"]) -> float:
    """Give the smallest dose from which on all values lie above, or all below, the range of those at the first dose; NaN if there is none.

    Examples
    --------
    >>> detection_limit(np.array([[1.0, 1.5, 3.0, 4.0], [2.0, 2.5, 5.0, 9.0]]), np.array([0.0, 10.0, 20.0, 30.0]))
    20.0
    """
    above = (values > values[:, 0].max()).all(axis=0)
    below = (values < values[:, 0].min()).all(axis=0)
    for first in range(1, len(doses)):
        if above[first:].all() or below[first:].all():
            return float(doses[first])
    return math.nan


def chance_of(n_seeds: int) -> float:
    """Give the probability that networks of one dose lie outside the range of as many others, all on one side, although nothing differs.

    Examples
    --------
    >>> chance_of(3)
    0.1
    """
    return 2 / math.comb(2 * n_seeds, n_seeds)


def figure(values: pd.DataFrame, path: Path) -> None:
    """Draw every indicator against the dose: a line per layer with the range of its seeds, the control dashed."""
    from matplotlib.figure import Figure

    rows = [
        (architecture, *convention) for architecture in dict.fromkeys(values["architecture"]) for convention in DRAWN
    ]
    page = Figure(figsize=(15, 2.8 * len(rows)), layout="constrained")
    grid = page.subplots(len(rows), len(INDICATORS), sharex=True, squeeze=False)
    for axes, (architecture, split, windows) in zip(grid, rows):
        where = (values["architecture"] == architecture) & (values["split"] == split) & (values["windows"] == windows)
        for ax, indicator in zip(axes, INDICATORS):
            _panel(ax, values[where & (values["indicator"] == indicator) & (values["layer"] != "network")])
            ax.set_title(indicator.replace("_", " ") + UNITS.get(indicator, ""), fontsize="medium")
        axes[0].set_ylabel(f"{architecture}, {split} images\nwindows by {windows.replace('_', ' ')}")
    page.supxlabel("training labels permuted among themselves (%)")
    page.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False)
    page.savefig(path, dpi=110)


def _panel(ax: Any, shown: pd.DataFrame) -> None:
    for colour, (layer, cells) in zip(COLOURS, shown.groupby("layer", sort=False)):
        for trained, style in ((EQUALLY_LONG, "-"), (REACHED, "--")):
            by_dose = cells[cells["trained"] == trained].groupby("noise")["value"]
            mean = by_dose.mean()
            ax.plot(mean.index, mean, style, color=colour, marker="o", ms=3, label=f"{layer}, {trained}")
            if trained == EQUALLY_LONG:
                ax.fill_between(mean.index, by_dose.min(), by_dose.max(), color=colour, alpha=0.15, lw=0)


def paragraph(table: pd.DataFrame) -> str:
    """Write what the numbers say."""
    return "\n".join([*_networks(table), *_verdicts(table), *_limits(table), *_verdict(table)])


def _doses(table: pd.DataFrame) -> list[str]:
    return [name for name in table if name.startswith("mean_at_")]


def _networks(table: pd.DataFrame) -> Iterator[str]:
    doses = _doses(table)
    for architecture, some in table[table["split"] == "facts"].groupby("architecture", sort=False):
        facts = some.set_index("indicator")
        held_out = facts.loc["accuracy_held_out"]
        slowest = facts.loc["epochs_reached", doses].astype(float)
        if slowest.notna().all():
            learned = f"Every network got 99.9 % of its own labels right on the way, slowest at a dose of {slowest.idxmax().removeprefix('mean_at_')} % ({slowest.max():.0f} epochs on average)"
        else:
            learned = "Not every network got 99.9 % of its own labels right"
        yield (
            f"{architecture}: {int(held_out['n_seeds'])} seeds at each of {len(doses)} doses; at the largest, {facts.loc['share_wrong', doses[-1]]:.1%} of the labels are wrong. {learned}; at the end, "
            f"where training is stopped at a fixed epoch, the mean of a dose is {facts.loc['accuracy_target', doses].min():.1%} or more. Held-out accuracy falls from {held_out[doses[0]]:.1%} to "
            f"{held_out[doses[-1]]:.1%} (detection limit {_limit(held_out['detection_limit'])}). "
            f"One dose would lie outside by chance with probability {chance_of(int(held_out['n_seeds'])):.2g}.\n"
        )


def _verdicts(table: pd.DataFrame) -> Iterator[str]:
    """Count the layers of all architectures in a table: direction of the trend, with how many of them monotone, and detection limit."""
    layers = table[(table["split"] != "facts") & (table["layer"] != "network")]
    rows = []
    for keys, some in layers.groupby(["trained", "split", "windows", "indicator"], sort=False):
        trends = some[some["p_corrected"] <= 0.05]
        falling, rising = trends[trends["rho_mean"] < 0], trends[trends["rho_mean"] > 0]
        limits = some["detection_limit"].dropna()
        rows.append(
            dict(zip(("trained", "images", "windows by", "indicator"), (str(key).replace("_", " ") for key in keys)))
            | {
                "falls (monotone)": f"{len(falling)} ({_monotone(falling)})",
                "rises (monotone)": f"{len(rising)} ({_monotone(rising)})",
                "no trend": len(some) - len(trends),
                "first against": int(_against(trends).sum()),
                "detected": len(limits),
                "median limit": _limit(limits.median()),
            }
        )
    n_layers = len(layers[["architecture", "layer"]].drop_duplicates())
    yield f"Layers of all architectures, {n_layers} in all; first against: trends whose mean moves the other way from none to the smallest dose.\n"
    yield markdown(pd.DataFrame(rows)) + "\n"


def _limits(table: pd.DataFrame) -> Iterator[str]:
    """Say which single numbers of a whole network work in every architecture."""
    whole = table[(table["layer"] == "network") & (table["split"] != "facts") & (table["trained"] == EQUALLY_LONG)]
    n_architectures = whole["architecture"].nunique()
    for keys, some in whole.groupby(["split", "windows", "indicator"], sort=False):
        signs = np.sign(some["rho_mean"]).nunique() == 1
        if signs and _monotone(some[some["p_corrected"] <= 0.05]) == n_architectures:
            limits = ", ".join(f"{row.architecture} {_limit(row.detection_limit)}" for row in some.itertuples())
            yield f"- Over the whole network, monotone with one direction in every architecture: {_named(*keys)} (detection limit: {limits})."


def _verdict(table: pd.DataFrame) -> Iterator[str]:
    layers = table[(table["split"] != "facts") & (table["layer"] != "network")]
    equal = layers[layers["trained"] == EQUALLY_LONG]
    trends = equal["p_corrected"] <= 0.05
    conventions = equal[trends].groupby(["split", "windows", "indicator"], sort=False)
    everywhere = [
        _named(*key)
        for key, some in conventions
        if _monotone(some) == equal["layer"].groupby(equal["architecture"]).nunique().sum()
        and np.sign(some["rho_mean"]).nunique() == 1
    ]
    yield (
        f"\nVerdict: of {len(equal)} cells (layer, indicator, convention) of equally long trained networks {_monotone(equal[trends])} are monotone in the dose and {int(trends.sum())} have "
        f"a trend; {int(equal['detection_limit'].notna().sum())} have a detection limit, {int((equal['detection_limit'] <= 20).sum())} one of at most 20 %. Monotone in one direction in every layer: "
        f"{'; '.join(everywhere) if everywhere else 'none'}. In {int(_against(equal[trends]).sum())} of the trends the mean first moves the other way, so that a little "
        f"memorization looks like less than none. {_same_direction(layers)}"
    )


def _same_direction(layers: pd.DataFrame) -> str:
    """Compare with the control where both were measured."""
    keys = [name for name in CELL if name != "trained"]
    wide = layers.pivot(index=keys, columns="trained", values=["rho_mean", "p_corrected"]).dropna()
    equally, both = wide["p_corrected"][EQUALLY_LONG] <= 0.05, (wide["p_corrected"] <= 0.05).all(axis=1)
    same = np.sign(wide["rho_mean"][EQUALLY_LONG]) == np.sign(wide["rho_mean"][REACHED])
    return (
        f"Where training stops at 99.9 % instead, {int((both & same).sum())} of the {int(equally.sum())} trends that were measured in both ways are there in the same direction, "
        f"{int((both & ~same).sum())} in the opposite one."
    )


def _monotone(some: pd.DataFrame) -> int:
    steep = (some["rho_min"] >= MONOTONE) | (some["rho_max"] <= -MONOTONE)
    return int((steep & ~_against(some)).sum())


def _against(some: pd.DataFrame) -> pd.Series:
    """Whether the mean first moves the other way than it does over all doses."""
    first, second = _doses(some)[:2]
    return np.sign(some[second] - some[first]) * np.sign(some["rho_mean"]) < 0


def _limit(dose: float) -> str:
    return "none" if np.isnan(dose) else f"{dose:g} %"


def _named(split: str, windows: str, indicator: str) -> str:
    return f"{indicator}, {split} images, windows by {windows.replace('_', ' ')}"
