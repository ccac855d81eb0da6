"""Question 7: do firing statistics tell memorizing networks better than what others would look at?

Data: the networks of the study `networks/states.py`, NWB files and table of facts; primary settings (perceptron and convolutional network, digits and MNIST, Adam) and
exploratory ones. Method: one number per network. Firing statistics, over all units: mean and variance of firing rate and Fano factor, label share. Others: weight norm,
distance from the initial weights, train loss, margin (output of the label minus the largest other one) on training images, the same of the largest output on held-out images,
sparsity and effective rank of the activations, and the gap between training and held-out accuracy, which asks for true labels of held-out images and is the definition rather than an indicator. Each stands with what one
must have to compute it. AUC: probability that a memorizing network has the larger value, in each setting against equally long trained generalizing networks and against
those that stopped at 99.9 %; "pooled" is the mean over settings, so that pairs are compared within a setting only. "Oriented": which side means memorizing is taken from the other
settings (leave one out), so that an indicator that changes its sign loses. "Across settings": the AUC of all networks of all settings together, of use to one who has no
reference networks of the same setting. Memorizing networks that have not learned 99.9 % of their labels are left out. p: exact permutation test within each setting, corrected over all cells shown.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473; Jiang, Neyshabur, Mobahi, Krishnan & Bengio (2020), arXiv:1912.02178 (measures of
generalization side by side); Roy & Vetterli (2007), 15th European Signal Processing Conference, 606-610 (effective rank); Vinje & Gallant (2000), doi:10.1126/science.287.5456.1273 (sparsity).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm import tqdm

import ann2neo
from analyses.replicates import COLOURS, corrected, markdown, measure, networks_of, written
from ann2neo.comparison.effects import auc, permutation_p

SETTING = ["data", "architecture", "optimizer"]
FIRING = ("firing_rate_mean", "firing_rate_var", "fano_mean", "fano_var", "label_share_mean")
# Which images, which windows, and what one must have besides the spikes.
FILES = (
    ("train", (("target_label", "training labels"), ("label", "true labels"))),
    ("held-out", (("label", "true labels"),)),
)
NO_LABELS = ("firing_rate_mean", "firing_rate_var")
OTHERS = {
    "weight_norm": "weights",
    "distance_from_initial": "initial weights",
    "train_loss": "training labels",
    "margin_mean": "training labels",
    "held_out_margin_mean": "outputs",
    "sparsity_mean": "activations",
    "effective_rank_mean": "activations",
    "gap": "true labels of held-out images",
}
WITHOUT_LABELS = ("spikes", "weights", "initial weights", "outputs", "activations")
CONTRASTS = ("generalizing-long", "generalizing")
STATES = ("memorizing", *CONTRASTS)
POOLED = ("pooled, primary", "pooled, all")

Values = Float[np.ndarray, " network"]


def main(out: Path, networks: Path, seed: int = 0, smoke: bool = False) -> str:
    """Tabulate the AUC of every indicator in every setting and over them, and give the paragraph that the numbers make."""
    out.mkdir(parents=True, exist_ok=True)
    known = networks_of(networks, "states")
    learned = (known["state"] != "memorizing") | known["reached"].astype(bool)
    known = known[known["state"].isin(STATES) & learned].assign(
        gap=lambda row: row["accuracy_target"] - row["accuracy_held_out"]
    )
    cells = tqdm(list(known.to_dict("records")), desc="other indicators", unit="network")
    values = pd.DataFrame([row for cell in cells for row in _values(cell, networks, seed)])
    table = pd.DataFrame([row for contrast in CONTRASTS for row in _compared(values, contrast)])
    table = table.assign(p_corrected=corrected(table["p"].to_numpy(np.float64)))
    table = written(table, out / "07_other_indicators.csv")
    figure(table, out / "07_other_indicators.png")
    text = paragraph(table)
    (out / "07_other_indicators.md").write_text(text + "\n", encoding="utf-8")
    return text


def _values(cell: Mapping[Any, Any], networks: Path, seed: int) -> Iterator[dict[str, object]]:
    """Give every indicator of one network, one row each."""
    first = {name: cell[name] for name in (*SETTING, "state", "seed", "exploratory")}
    for indicator, needs in OTHERS.items():
        yield first | {"kind": "other", "indicator": indicator, "needs": needs, "value": cell[indicator]}
    for split, conventions in FILES:
        recording = ann2neo.load(networks / f"{cell['name']}-{split}.nwb")
        for windows, labels in conventions:
            new = windows == conventions[0][0]
            table = (
                measure(recording, windows, seed)
                if new
                else ann2neo.analyze(recording, windows=windows, progress=False)
            )
            summary = ann2neo.summarize(table)
            network = summary[(summary["layer"] == "network") & (summary["population"] == "all")].iloc[0]
            for indicator in FIRING:
                if indicator not in NO_LABELS:
                    name, needs = f"{indicator}, {split}, by {windows.replace('_', ' ')}", f"spikes, {labels}"
                    yield first | {"kind": "firing", "indicator": name, "needs": needs, "value": network[indicator]}
                elif new:
                    name = f"{indicator}, {split}"
                    yield first | {"kind": "firing", "indicator": name, "needs": "spikes", "value": network[indicator]}


def _compared(values: pd.DataFrame, contrast: str) -> Iterator[dict[str, object]]:
    for (kind, indicator, needs), some in values.groupby(["kind", "indicator", "needs"], sort=False):
        first = {"contrast": contrast, "kind": kind, "indicator": indicator, "needs": needs}
        groups, primary = {}, set()
        for setting, cells in some.groupby(SETTING, sort=False):
            name = " ".join(map(str, setting))
            groups[name] = _two(cells, contrast)
            primary |= set() if cells["exploratory"].any() else {name}
        for name, (ours, theirs) in groups.items():
            where = {"setting": name, "exploratory": name not in primary}
            yield first | where | _in_one(ours, theirs)
        yield first | {"setting": POOLED[0], "exploratory": False} | over({name: groups[name] for name in primary})
        if len(primary) < len(groups):
            yield first | {"setting": POOLED[1], "exploratory": True} | over(groups)


def _two(cells: pd.DataFrame, contrast: str) -> tuple[Values, Values]:
    ours, theirs = (
        cells.loc[cells["state"] == state, "value"].to_numpy(np.float64) for state in ("memorizing", contrast)
    )
    return ours, theirs


def _in_one(ours: Values, theirs: Values) -> dict[str, float]:
    if not _measured(ours, theirs):
        return {"n_memorizing": len(ours), "n_generalizing": len(theirs)}
    area = auc(ours, theirs)
    found = {"n_memorizing": len(ours), "n_generalizing": len(theirs), "auc": area.value}
    return found | {"auc_low": area.low, "auc_high": area.high, "p": permutation_p(ours, theirs)}


def _measured(*sides: Values) -> bool:
    return all(values.size > 0 and not np.isnan(values).any() for values in sides)


def over(groups: Mapping[str, tuple[Values, Values]]) -> dict[str, float]:
    """Put settings together: AUC within settings, plain and oriented by the other settings, and across settings.

    Parameters
    ----------
    groups
        Values of memorizing and of generalizing networks in each setting.

    Returns
    -------
    dict[str, float]
        ``auc``, ``oriented`` and ``across``; ``same_sign`` is 1 if the AUC lies on one side of 0.5 in all settings; numbers of networks and of settings. Settings with a NaN or
        without networks of a kind are left out; ``oriented`` needs two settings.

    Examples
    --------
    >>> low, high = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    >>> found = over({"a": (high, low), "b": (high + 10, low + 10), "c": (low, high)})
    >>> round(found["auc"], 3), round(found["oriented"], 3), found["same_sign"]
    (0.667, 0.333, 0.0)
    """
    known = [pair for pair in groups.values() if _measured(*pair)]
    if not known:
        return {"n_settings": 0}
    areas = np.array([auc(ours, theirs).value for ours, theirs in known])
    together = [np.concatenate(side) for side in zip(*known)]
    return {
        "n_settings": len(known),
        "n_memorizing": together[0].size,
        "n_generalizing": together[1].size,
        "auc": float(areas.mean()),
        "oriented": oriented(areas),
        "same_sign": float((areas > 0.5).all() or (areas < 0.5).all()),
        "across": auc(together[0], together[1]).value,
    }


def oriented(areas: Float[np.ndarray, " setting"]) -> float:
    """Mean over settings of the AUC, turned to the side that the mean of the other settings takes; 0.5 for a setting where that is 0.5.

    Examples
    --------
    >>> oriented(np.array([1.0, 1.0, 1.0, 0.2])), oriented(np.array([0.0, 0.1, 0.2])), oriented(np.array([1.0, 0.0]))
    (0.8, 0.9, 0.0)
    """
    if len(areas) < 2:
        return math.nan
    others = (areas.sum() - areas) / (len(areas) - 1)
    return float(np.round((0.5 + np.sign(np.round(others - 0.5, 12)) * (areas - 0.5)).mean(), 12))


def figure(table: pd.DataFrame, path: Path) -> None:
    """Draw the AUC of every indicator: a mark per primary setting, the oriented mean as a bar; a panel per contrast."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(table["indicator"]))
    page = Figure(figsize=(13, 0.3 * len(names) + 1.6), layout="constrained")
    axes = page.subplots(1, len(CONTRASTS), sharey=True)
    for ax, contrast in zip(axes, CONTRASTS):
        shown = table[table["contrast"] == contrast]
        _panel(ax, shown, names)
        ax.set_title(f"memorizing v {contrast}", fontsize="medium")
        ax.set_xlabel("AUC (1: larger in every memorizing network, 0: smaller)")
    axes[0].set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize="small")
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    handles, labels = axes[0].get_legend_handles_labels()
    page.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    page.savefig(path, dpi=110)


def _panel(ax: Any, shown: pd.DataFrame, names: list[str]) -> None:
    pooled = shown[shown["setting"] == POOLED[0]]
    rows = [names.index(name) for name in pooled["indicator"]]
    ax.barh(rows, pooled["oriented"], color="0.88", height=0.8, label="oriented, primary settings")
    settings = list(dict.fromkeys(shown.loc[~shown["setting"].isin(POOLED), "setting"]))
    primary = [name for name in settings if not shown.loc[shown["setting"] == name, "exploratory"].any()]
    shifts = np.linspace(-0.24, 0.24, len(primary)) if len(primary) > 1 else [0.0]
    for setting in (name for name in settings if name not in primary):
        cells = shown[shown["setting"] == setting]
        at = [names.index(name) for name in cells["indicator"]]
        label = "exploratory settings" if setting == next(name for name in settings if name not in primary) else None
        ax.plot(cells["auc"], at, "x", color="0.55", ms=4, label=label)
    for shift, colour, marker, setting in zip(shifts, COLOURS, "osv^", primary):
        cells = shown[shown["setting"] == setting]
        at = np.array([names.index(name) for name in cells["indicator"]]) + shift
        ax.plot(cells["auc"], at, marker, color=colour, ms=4, label=setting)
    ax.axvline(0.5, color="0.4", lw=0.8)
    ax.set_xlim(-0.03, 1.03)


def paragraph(table: pd.DataFrame) -> str:
    """Write what the numbers say."""
    return "\n".join([line for contrast in CONTRASTS for line in _sentences(table[table["contrast"] == contrast])])


def _sentences(table: pd.DataFrame) -> Iterator[str]:
    settings = table[~table["setting"].isin(POOLED)]
    primary = settings.loc[~settings["exploratory"].astype(bool), "setting"].nunique()
    pooled = table[table["setting"] == POOLED[0]].set_index("indicator")
    everywhere = table[table["setting"] == POOLED[1]].set_index("indicator")
    contrast = table["contrast"].iloc[0]
    yield (
        f"Memorizing against {contrast} networks, {primary} primary and {settings['setting'].nunique() - primary} exploratory settings; sorted by oriented AUC in the primary ones. "
        "AUC is the mean within settings; one sign: whether it lies on the same side of 0.5 in all settings.\n"
    )
    yield markdown(_ranked(pooled, everywhere)) + "\n"
    yield _verdict(pooled, everywhere, contrast) + "\n"


def _ranked(pooled: pd.DataFrame, everywhere: pd.DataFrame) -> pd.DataFrame:
    best = pooled.sort_values(["oriented", "same_sign"], ascending=False, kind="stable")
    shown = pd.DataFrame({"indicator": best.index, "needs": best["needs"].to_numpy()})
    for title, table in (("primary", best), ("all", everywhere.reindex(best.index) if len(everywhere) else None)):
        if table is not None:
            shown[f"AUC, {title}"] = table["auc"].map(_two_digits).to_numpy()
            shown[f"oriented, {title}"] = table["oriented"].map(_two_digits).to_numpy()
            shown[f"one sign, {title}"] = table["same_sign"].map({1.0: "yes", 0.0: "no"}).fillna("").to_numpy()
            shown[f"across, {title}"] = table["across"].map(_two_digits).to_numpy()
    return shown


def _verdict(pooled: pd.DataFrame, everywhere: pd.DataFrame, contrast: str) -> str:
    kinds = {kind: some.drop(index="gap", errors="ignore") for kind, some in pooled.groupby("kind")}
    perfect = {kind: list(some.index[some["oriented"] >= 1]) for kind, some in kinds.items()}
    text = (
        f"Verdict, against {contrast} networks: in the primary settings {len(perfect['firing'])} of {len(kinds['firing'])} firing statistics "
        f"and {len(perfect['other'])} of {len(kinds['other'])} others (the gap left out) order every pair rightly with a direction learned from the other settings"
    )
    shown = (everywhere if len(everywhere) else pooled).drop(index="gap", errors="ignore")
    best = {kind: some["oriented"].max() for kind, some in shown.groupby("kind")}
    names = {kind: "; ".join(shown.index[(shown["kind"] == kind) & (shown["oriented"] == best[kind])]) for kind in best}
    answer = (
        "better than"
        if best["firing"] > best["other"]
        else "as good as"
        if best["firing"] == best["other"]
        else "worse than"
    )
    free = shown[shown["needs"].isin(WITHOUT_LABELS)].sort_values("oriented", ascending=False, kind="stable")
    listed = ", ".join(f"{row.Index} {_two_digits(row.oriented)}" for row in free.itertuples())
    return (
        f"{text}. Over {'all' if len(everywhere) else 'these'} settings the best firing statistics ({names['firing']}: {_two_digits(best['firing'])}) are {answer} the best others "
        f"({names['other']}: {_two_digits(best['other'])}). Of what can be had without any label, oriented AUC: {listed}."
    )


def _two_digits(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"
