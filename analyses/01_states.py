"""Question 1: do the paper's indicators tell memorizing from generalizing networks?

Data: the NWB files of `networks.py`. Primary contrast, fixed beforehand: memorizing networks against networks that generalize and were trained for as many epochs;
perceptron and convolutional network, two data sets, Adam, five seeds. Method: mean and variance over units of firing rate and Fano factor (windows: one label each,
by true label and by the label the network was trained on), and the label share, per layer, over the training and the held-out images; the network is the
replicate; Hedges g, AUC and an exact permutation test, corrected over all cells shown.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473, arXiv:2308.00858. The abstract says that these indicators are
"stable indicators of memorization during learning" with "consistent differences across multiple architectures and training sets"; its windows and order of inputs
are unknown to us, so that every verdict is per convention.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

import ann2neo

INDICATORS = ("firing_rate_mean", "firing_rate_var", "fano_mean", "fano_var", "label_share_mean")
CONTRAST = {"memorizing": "memorizing", "generalizing-long": "generalizing"}
CONVENTIONS = (("train", "label"), ("train", "target_label"), ("held-out", "label"))
CHECKED_UNITS = 50


def main(out: Path, networks: Path, seed: int = 0, smoke: bool = False) -> str:
    """Compare the groups of networks in each data set and architecture, and give the paragraph that the numbers make."""
    out.mkdir(parents=True, exist_ok=True)
    known = pd.concat([pd.read_csv(path) for path in sorted(networks.glob("*.csv"))], ignore_index=True)
    results = []
    groups = list(known.groupby(["data", "architecture"], sort=True))
    for (data, architecture), cells in tqdm(groups, desc="states", unit="cell"):
        for split, windows in CONVENTIONS:
            tables = {CONTRAST[state]: [] for state in CONTRAST}
            for cell in cells[cells["state"].isin(list(CONTRAST))].itertuples():
                path = networks / f"{data}-{architecture}-{cell.state}-{cell.seed}-{split}.nwb"
                tables[CONTRAST[cell.state]].append(analyze_file(path, windows, seed))
            compared = ann2neo.compare(tables, indicators=INDICATORS)
            results.append(compared.assign(data=data, architecture=architecture, split=split, windows=windows))
    table = corrected(pd.concat(results, ignore_index=True))
    table.to_csv(out / "01_states.csv", index=False, float_format="%.6g")
    figure(table, out / "01_states.png")
    text = paragraph(table)
    (out / "01_states.md").write_text(text + "\n", encoding="utf-8")
    return text


def analyze_file(path: Path, windows: str, seed: int) -> pd.DataFrame:
    """Measure all units of a file with the bulk engine, and check some of them with Elephant."""
    recording = ann2neo.load(path)
    table = ann2neo.analyze(recording, windows=windows, progress=False)
    rng = np.random.default_rng(seed)
    n_units = min(layer.n_units for layer in recording.layers)
    some = np.sort(rng.permutation(n_units)[: max(1, CHECKED_UNITS // len(recording.layers))])
    checked = ann2neo.analyze(recording.select(units=some), windows=windows, engine="elephant", progress=False)
    same = pd.concat([group.iloc[some] for _, group in table.groupby("layer", sort=False)], ignore_index=True)
    pd.testing.assert_frame_equal(checked, same, check_exact=True)
    return table


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Correct p over all cells shown (Benjamini and Hochberg), not only over those of one comparison."""
    from scipy.stats import false_discovery_control

    p = table["p"].to_numpy()
    adjusted = np.full(p.shape, np.nan)
    adjusted[~np.isnan(p)] = false_discovery_control(p[~np.isnan(p)])
    first = ["data", "architecture", "split", "windows", "layer", "population", "indicator"]
    table = table.assign(p_corrected=adjusted)
    return table[first + [name for name in table if name not in first]]


def figure(table: pd.DataFrame, path: Path) -> None:
    """Draw Hedges g of every cell: one panel per indicator, one row per data set, architecture and layer."""
    from matplotlib.figure import Figure

    shown = table[(table["population"] == "all") & (table["layer"] != "network")]
    panels = Figure(figsize=(15, 5.5), layout="constrained")
    axes = panels.subplots(1, len(INDICATORS), sharey=True)
    rows = shown[["data", "architecture", "layer"]].drop_duplicates().agg(" ".join, axis=1).tolist()
    marks = {
        ("train", "label"): ("o", "#0072B2"),
        ("train", "target_label"): ("s", "#D55E00"),
        ("held-out", "label"): ("^", "#009E73"),
    }
    for ax, indicator in zip(np.atleast_1d(axes), INDICATORS):
        for shift, (convention, (marker, colour)) in zip((-0.22, 0, 0.22), marks.items()):
            cells = shown[
                (shown["indicator"] == indicator)
                & (shown["split"] == convention[0])
                & (shown["windows"] == convention[1])
            ]
            y = [rows.index(f"{c.data} {c.architecture} {c.layer}") + shift for c in cells.itertuples()]
            low, high = cells["hedges_g"] - cells["hedges_g_low"], cells["hedges_g_high"] - cells["hedges_g"]
            name = f"{convention[0]}, windows by {convention[1].replace('_', ' ')}"
            ax.errorbar(cells["hedges_g"], y, xerr=[low, high], fmt=marker, color=colour, ms=4, lw=1, label=name)
        ax.axvline(0, color="0.6", lw=0.8)
        ax.set_title(indicator.replace("_", " "))
        ax.set_xscale("symlog", linthresh=2)
        ax.set_xlabel("Hedges g (memorizing - generalizing)")
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].invert_yaxis()
    panels.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    panels.savefig(path, dpi=130)


def paragraph(table: pd.DataFrame) -> str:
    """Write what the numbers say, indicator by indicator."""
    return "\n".join(_sentences(table))


def _sentences(table: pd.DataFrame) -> Iterator[str]:
    n = int(table["n_memorizing"].iloc[0]), int(table["n_generalizing"].iloc[0])
    yield (
        f"Memorizing against equally long generalizing networks, {n[0]} v {n[1]} in each of {table.groupby(['data', 'architecture']).ngroups} settings; "
        f"p corrected over {int(table['p'].notna().sum())} cells. All units; the smallest p that these numbers allow is {table['p'].min():.2g}.\n"
    )
    cells = table[(table["population"] == "all") & (table["layer"] != "network")]
    for (split, windows), shown in cells.groupby(["split", "windows"], sort=False):
        yield f"Over {split} images, windows by {windows.replace('_', ' ')}:\n"
        for indicator in INDICATORS:
            some = shown[shown["indicator"] == indicator]
            lower = int(((some["p_corrected"] <= 0.05) & (some["hedges_g"] < 0)).sum())
            higher = int(((some["p_corrected"] <= 0.05) & (some["hedges_g"] > 0)).sum())
            yield f"- {indicator}: lower in memorizing networks in {lower}, higher in {higher}, undecided in {len(some) - lower - higher} of {len(some)} layers."
        yield ""
