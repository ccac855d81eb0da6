"""Question 1: do the paper's indicators tell memorizing from generalizing networks?

Data: the NWB files of the study "states", training and held-out images. Primary contrast, fixed beforehand: memorizing networks against networks that generalize and
were trained for as many epochs; perceptron and convolutional network, digits and MNIST, Adam, five seeds. Exploratory, four seeds: the same settings with SGD, a
residual network with batch normalization and a vision transformer (1,000 images; its layers are the GELUs of its blocks, every token's feature a unit), and
Fashion-MNIST.

Method: mean and variance over units of firing rate and Fano factor (windows: one label each, by true label and by the label the network was trained on), and the
label share, per layer and over all layers pooled ("network"), over all units and over good ones (neither silent nor saturated, 10 spikes or more); the network is the
replicate; Hedges g and AUC with 95 % intervals and an exact permutation test, p corrected (Benjamini-Hochberg) over all primary cells shown and, apart from them, over
all exploratory ones. A memorizing network that has not learned 99.9 % of its labels is left out and counted.

Control: windows by the trained label are other windows for the two groups, true classes for the one and a permutation for the other; a difference may then lie in the
labels and not in the networks. Therefore both groups are also measured with the same windows, by the labels that the memorizing network of the same seed was trained on
("memorized label"). Firing rates do not depend on windows.

Verdicts for each indicator and convention, over the layers of all settings, all units. Holds: the same sign and corrected p <= 0.05 everywhere. Holds with conditions:
the same sign in at least 80 % of the layers, corrected p <= 0.05 in at least half, and nowhere significantly the other way; the exceptions are named. Else it does not
hold. This rule was written down before the tables below were made, but after an earlier table of the primary settings had been seen.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473, arXiv:2308.00858. The abstract says that these indicators are
"stable indicators of memorization during learning" with "consistent differences across multiple architectures and training sets"; its windows and order of inputs
are unknown to us, so that every verdict is per convention.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

import ann2neo
from analyses.first.claims import cell_name
from analyses.first.states_account import CONTROL, CONVENTIONS, INDICATORS, SETTING, by_words, paragraph
from analyses.replicates import COLOURS, corrected, measure, networks_of, written

GROUPS = {"memorizing": "memorizing", "generalizing-long": "generalizing", "random": "random"}
TICKS = (-20, -5, -2, 0, 2, 5, 20)
KEYS = ["exploratory", *SETTING, "split", "windows", "layer", "population", "indicator"]


def main(out: Path, networks: Path, seed: int = 0, smoke: bool = False) -> str:
    """Compare the groups of networks in each setting, and give the paragraph that the numbers make."""
    out.mkdir(parents=True, exist_ok=True)
    known = networks_of(networks, "states")
    compared = [
        _compared(cells, networks, seed)
        for _, cells in tqdm(list(known.groupby(SETTING, sort=False)), desc="states", unit="setting")
    ]
    table = pd.concat(compared, ignore_index=True).sort_values("exploratory", kind="stable", ignore_index=True)
    parts = [part.assign(p_corrected=corrected(part["p"].to_numpy())) for _, part in table.groupby("exploratory")]
    table = pd.concat(parts, ignore_index=True)
    table = written(table[KEYS + [name for name in table if name not in KEYS]], out / "01_states.csv")
    for exploratory, part in table.groupby("exploratory"):
        figure(part, out / f"01_states{'_exploratory' * bool(exploratory)}.png")
    text = paragraph(table)
    (out / "01_states.md").write_text(text + "\n", encoding="utf-8")
    return text


def _compared(cells: pd.DataFrame, networks: Path, seed: int) -> pd.DataFrame:
    """Compare the networks of one setting under every convention."""
    left_out = cells[(cells["state"] == "memorizing") & ~cells["reached"]]
    cells = cells.drop(left_out.index)
    cells = cells[cells["state"].isin(list(GROUPS))]
    measured: dict[tuple[str, str], dict[str, list[pd.DataFrame]]] = {
        convention: {name: [] for name in GROUPS.values()} for convention in (*CONVENTIONS, CONTROL)
    }
    for cell in cells.itertuples():
        for split in ("train", "held-out"):
            recording = ann2neo.load(networks / f"{cell.name}-{split}.nwb")
            if split == "train":
                recording = _with_memorized(recording, networks / f"{_memorizing(cell)}-train.nwb")
            conventions = [by for of, by in measured if of == split and by in recording.trials]
            for place, windows in enumerate(conventions):
                units = measure(recording, windows, seed, check=place == 0)
                measured[split, windows][GROUPS[cell.state]].append(units)
    facts = dict(zip(SETTING, cells[SETTING].iloc[0])) | {"exploratory": bool(cells["exploratory"].iloc[0])}
    facts |= {"left_out_memorizing": len(left_out)} | _known(cells)
    return pd.concat(
        [_cells(tables).assign(**facts, split=split, windows=by) for (split, by), tables in measured.items()],
        ignore_index=True,
    )


def _memorizing(cell: Any) -> str:
    """Name the memorizing network of the same setting and seed."""
    return cell.name.removesuffix(f"{cell.state}-{cell.seed}") + f"memorizing-{cell.seed}"


def _with_memorized(recording: ann2neo.Recording, path: Path) -> ann2neo.Recording:
    """Add the labels that the memorizing network was trained on; all networks of a setting saw the same images in the same order."""
    labels = ann2neo.load(path).trials["target_label"].to_numpy()
    return replace(recording, trials=recording.trials.assign(memorized_label=labels))


def _cells(tables: dict[str, list[pd.DataFrame]]) -> pd.DataFrame:
    compared = ann2neo.compare({name: of for name, of in tables.items() if of}, indicators=INDICATORS)
    return compared[[name for name in compared if not name.startswith(("z_", "fits_"))]]


def _known(cells: pd.DataFrame) -> dict[str, float]:
    """Give what the networks of a setting achieved, on average."""
    of = {GROUPS[state]: rows for state, rows in cells.groupby("state")}
    names = ("accuracy_target", "accuracy_held_out", "epochs")
    groups = [group for group in ("memorizing", "generalizing") if group in of]
    return {f"{name}_{group}": float(of[group][name].mean()) for group in groups for name in names}


def figure(table: pd.DataFrame, path: Path) -> None:
    """Draw Hedges g with its interval: one panel per indicator, one row per setting and layer."""
    from matplotlib.figure import Figure

    shown = table[table["population"] == "all"]
    names = list(dict.fromkeys(cell_name(cell) for cell in shown.itertuples()))
    page = Figure(figsize=(12, 1.6 + 0.27 * len(names)), layout="constrained")
    axes = np.atleast_1d(page.subplots(1, len(INDICATORS), sharey=True))
    for ax, indicator in zip(axes, INDICATORS):
        cells = shown[shown["indicator"] == indicator]
        marks = zip((-0.3, -0.1, 0.1, 0.3), "os^D", COLOURS, (*CONVENTIONS, CONTROL))
        for shift, marker, colour, (split, windows) in marks:
            some = cells[(cells["split"] == split) & (cells["windows"] == windows)]
            y = [names.index(cell_name(cell)) + shift for cell in some.itertuples()]
            reach = [some["hedges_g"] - some["hedges_g_low"], some["hedges_g_high"] - some["hedges_g"]]
            label = f"{split}, by {by_words(windows)}" + " (control)" * ((split, windows) == CONTROL)
            ax.errorbar(some["hedges_g"], y, xerr=reach, fmt=marker, color=colour, ms=3.5, lw=1, label=label)
        ax.axvline(0, color="0.6", lw=0.8)
        ax.set_title(indicator.replace("_", " "), fontsize="medium")
        ax.set_xscale("symlog", linthresh=2)
        ax.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS], fontsize="small")
        ax.set_xticks([], minor=True)
        for place in [i for i, name in enumerate(names) if name.endswith("network")]:
            ax.axhspan(place - 0.5, place + 0.5, color="0.93", lw=0, zorder=0)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    kind = "Exploratory settings" if table["exploratory"].any() else "Primary settings"
    page.suptitle(
        f"{kind}: memorizing minus equally long generalizing networks\nHedges g with 95 % interval; grey: all layers pooled",
        fontsize="medium",
    )
    page.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, columnspacing=1, frameon=False
    )
    page.savefig(path, dpi=130)
