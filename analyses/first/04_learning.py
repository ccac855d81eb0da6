"""Question 4: seen epoch by epoch, does any indicator flag memorization before the gap between training and held-out accuracy does?

Data: the NWB files that the study `networks/learning.py` wrote from inside the training loop, one for every recorded epoch (before the first, after each of the first 30, then every
tenth) and each of two fixed probes, 500 training and 250 held-out images of digits. Perceptron and convolutional network, Adam; generalizing and memorizing networks (five seeds each)
and networks with half of their labels permuted (three). Exploratory. Method: mean and variance over units of firing rate and Fano factor, and the label share, by layer and over the
network, windows by true label and by the label that the network is trained on; training and held-out accuracy and their gap on the same probes, from the predictions in the files.
Held-out images are relabelled like the training images, so that the gap is what a user of such data would see. The network is the replicate. Fifty units of each network's last epoch are
measured with Elephant too.

Fixed beforehand: an indicator flags a network at the first recorded epoch from which on, until the end, it lies outside the range of all generalizing networks of that architecture
at the same epoch (the gap: above it). Rule "range" takes the range as it is, rule "widened" adds its width on both sides. False alarms: generalizing networks that are flagged against
the other generalizing ones; under rule "range" about 2 of 5 by construction (1 of 5 for the gap). "Separated" (in the table) is the first epoch from which on all memorizing networks
lie on one side of all generalizing ones; for 5 against 5 chance does so at a given epoch with probability 0.008 (two-sided, not corrected for the search over epochs and indicators).
Added after a first look: rule "online" flags at the first epoch outside the widened range, because nobody who trains knows the end; and a difference is called steady if its sign is
the same from the first epoch of training to the end. Few networks: all of this is description.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473: "stable indicators of memorization during learning"; Arpit et al. (2017),
arXiv:1706.05394, doi:10.48550/arXiv.1706.05394 (learning on random labels).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

import ann2neo
from analyses.first.flags import RULES, counts, flags, separations, steady_from
from analyses.replicates import measure, networks_of, written

RATES = ("firing_rate_mean", "firing_rate_var")
COUNTS = ("fano_mean", "fano_var", "label_share_mean")
OUTCOMES = ("gap", "train_accuracy", "held_out_accuracy")
CONVENTIONS = (("train", "label"), ("train", "target_label"), ("held-out", "label"))
INDICATOR = ["layer", "split", "windows", "indicator"]
FILE = re.compile(r"-epoch-(\d+)-train\.nwb$")
TITLES = {
    "gap": "gap of accuracies",
    "train_accuracy": "training accuracy",
    "held_out_accuracy": "held-out accuracy",
    "firing_rate_mean": "mean firing rate",
    "firing_rate_var": "variance of firing rates",
    "fano_mean": "mean Fano factor",
    "fano_var": "variance of Fano factors",
    "label_share_mean": "mean label share",
}
SHOWN = (
    ("gap", "any"),
    ("firing_rate_mean", "any"),
    ("fano_mean", "label"),
    ("fano_mean", "target_label"),
    ("label_share_mean", "target_label"),
)
TICKS = (0, 2, 10, 20, 40, 75, 140, 200)
COLOURS = {"generalizing": "#0072B2", "memorizing": "#D55E00", "noisy": "#009E73"}


def main(out: Path, networks: Path, seed: int = 0, smoke: bool = False) -> str:
    """Follow the indicators over epochs, say when each flags, and give the paragraph that the numbers make."""
    out.mkdir(parents=True, exist_ok=True)
    known = networks_of(networks, "learning")
    rows = [
        row
        for cell in tqdm(list(known.itertuples()), desc="learning", unit="network")
        for row in _of_network(cell, networks, seed)
    ]
    epochs = pd.DataFrame(rows)
    table = written(flagged(epochs, known), out / "04_learning.csv")
    figure(written(curves(epochs), out / "04_learning_curves.csv"), table, out / "04_learning.png")
    text = paragraph(table)
    (out / "04_learning.md").write_text(text + "\n", encoding="utf-8")
    return text


def _of_network(cell: Any, networks: Path, seed: int) -> Iterator[dict[str, object]]:
    """Measure all recorded epochs of a network; some units of the last are checked with Elephant."""
    paths = sorted(networks.glob(f"{cell.name}-epoch-*-train.nwb"))
    for path in paths:
        found = FILE.search(path.name)
        assert found is not None
        first = {"architecture": cell.architecture, "state": cell.state, "seed": cell.seed, "epoch": int(found[1])}
        recordings = {
            "train": ann2neo.load(path),
            "held-out": ann2neo.load(Path(str(path).replace("-train", "-held-out"))),
        }
        yield from (first | row for row in _outcomes(recordings["train"].trials, recordings["held-out"].trials))
        for split, windows in CONVENTIONS:
            summary = ann2neo.summarize(_measured(recordings[split], windows, seed if path == paths[-1] else None))
            summary = summary[summary["population"] == "all"]
            for name in (*COUNTS, *(RATES if windows == "label" else ())):
                where = {"split": split, "windows": "any" if name in RATES else windows, "indicator": name}
                for layer, value in zip(summary["layer"], summary[name]):
                    yield first | {"layer": layer} | where | {"value": value}


def _outcomes(train: pd.DataFrame, held_out: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Give the accuracies on both probes, by the labels that the network is, or would be, trained on, and their gap."""
    accuracy = [float((trials["predicted_label"] == trials["target_label"]).mean()) for trials in (train, held_out)]
    for name, value in zip(OUTCOMES, (accuracy[0] - accuracy[1], *accuracy)):
        yield {
            "layer": "output",
            "split": "both" if name == "gap" else "one",
            "windows": "any",
            "indicator": name,
            "value": value,
        }


def _measured(recording: ann2neo.Recording, windows: str, seed: int | None) -> pd.DataFrame:
    if seed is None:
        return ann2neo.analyze(recording, windows=windows, progress=False)
    return measure(recording, windows, seed)


def flagged(epochs: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Say of every indicator, layer and rule when it flags each network, how often falsely, and how often before the gap does."""
    rows = []
    for architecture, own in epochs.groupby("architecture", sort=False):
        facts = known[known["architecture"] == architecture]
        costs = {name: facts[f"{name}_per_epoch_of_training"].median() for name in ("recording", "saving")}
        reached = {
            "reached_low": facts[facts["state"] == "memorizing"]["accuracy_target"].min(),
            "last_epoch": own["epoch"].max(),
        }
        for rule in RULES:
            gap = flags(_matrix(own[own["indicator"] == "gap"]), rule, above_only=True)
            for key, some in own.groupby(INDICATOR, sort=False):
                own_flags = flags(_matrix(some), rule, above_only=key[-1] == "gap")
                first = {"architecture": architecture, **dict(zip(INDICATOR, key)), "rule": rule}
                rows.append(
                    first
                    | counts(own_flags, gap)
                    | separations(_matrix(some))
                    | steady_from(_matrix(some))
                    | reached
                    | costs
                )
    return pd.DataFrame(rows)


def _matrix(cells: pd.DataFrame) -> pd.DataFrame:
    """Put the epochs of all networks side by side: rows epochs, columns (state, seed)."""
    return cells.pivot(index="epoch", columns=["state", "seed"], values="value")


def curves(epochs: pd.DataFrame) -> pd.DataFrame:
    """Take what the figure shows: mean and range over networks of the gap and of the last hidden layer's indicators over training images."""
    shown = epochs[[pair in SHOWN for pair in zip(epochs["indicator"], epochs["windows"])]]
    shown = shown[shown["layer"].isin(["output", "relu3"]) & shown["split"].isin(["both", "train"])]
    keys = ["architecture", "state", *INDICATOR, "epoch"]
    return shown.groupby(keys, sort=False)["value"].agg(["mean", "min", "max"]).reset_index()


def figure(lines: pd.DataFrame, table: pd.DataFrame, path: Path) -> None:
    """Draw indicators over epochs, a row per architecture; the dashed line is where the gap flags the memorizing networks (median, rule "widened")."""
    from matplotlib.figure import Figure

    architectures = lines["architecture"].unique().tolist()
    page = Figure(figsize=(14, 3.1 * len(architectures) + 0.8), layout="constrained")
    axes = page.subplots(len(architectures), len(SHOWN), squeeze=False, sharex="row")
    for row, architecture in zip(axes, architectures):
        own = lines[lines["architecture"] == architecture]
        gap = table[
            (table["architecture"] == architecture) & (table["indicator"] == "gap") & (table["rule"] == "widened")
        ]
        for ax, (indicator, windows) in zip(row, SHOWN):
            _lines(ax, own[(own["indicator"] == indicator) & (own["windows"] == windows)])
            ax.axvline(gap["median_memorizing"].iloc[0], color="0.4", ls="--", lw=1)
            ax.set_xscale("function", functions=(lambda epoch: np.sqrt(np.maximum(epoch, 0)), np.square))
            ax.set_xlim(0, own["epoch"].max())
            ax.set_xticks([tick for tick in TICKS if tick <= own["epoch"].max()])
            by = "" if windows == "any" else f"\nwindows by {windows.replace('_', ' ')}"
            unit = " (Hz)" * (indicator == "firing_rate_mean")
            ax.set_title(f"{architecture}, {TITLES[indicator]}{unit}{by}", fontsize="small")
    page.supxlabel(
        "epoch (0: before training); all but the gap: last hidden layer over training images\n"
        "lines: mean over networks, shades: smallest to largest, dashed: median epoch at which the gap flags memorizing networks",
        fontsize="medium",
    )
    page.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    page.savefig(path, dpi=110)


def _lines(ax: Any, own: pd.DataFrame) -> None:
    for state, colour in COLOURS.items():
        line = own[own["state"] == state]
        ax.plot(line["epoch"], line["mean"], color=colour, lw=1.5, label=state)
        ax.fill_between(line["epoch"], line["min"], line["max"], color=colour, alpha=0.2, lw=0)


def paragraph(table: pd.DataFrame) -> str:
    """Write what the numbers say."""
    return "\n".join(_sentences(table))


def _sentences(table: pd.DataFrame) -> Iterator[str]:
    for architecture, own in table.groupby("architecture", sort=False):
        yield from _of_architecture(str(architecture), own)
    yield "| architecture | rule | | memorizing flagged, at epoch (median; range) | noisy flagged | generalizing flagged |"
    yield "|---|---|---|---|---|---|"
    for (architecture, rule), own in table.groupby(["architecture", "rule"], sort=False):
        for row in (own[own["indicator"] == name].iloc[0] for name in OUTCOMES):
            yield f"| {architecture} | {rule} | {TITLES[row['indicator']]} | {_when(row, 'memorizing')} | {_when(row, 'noisy')} | {int(row['false_alarms'])} of {int(row['n_generalizing'])} |"
    yield ""
    firing = table[~table["indicator"].isin(OUTCOMES)]
    for (architecture, rule), own in firing.groupby(["architecture", "rule"], sort=False):
        yield from _of_rule(str(architecture), str(rule), own)
    yield ""
    yield from _stability(firing[firing["rule"] == RULES[0]])
    yield from _verdict(table, firing)


def _of_architecture(architecture: str, own: pd.DataFrame) -> Iterator[str]:
    facts = own.iloc[0]
    yield (
        f"{architecture}: {int(facts['n_generalizing'])} generalizing, {int(facts['n_memorizing'])} memorizing and {int(facts['n_noisy'])} noisy networks over {int(facts['last_epoch'])} "
        f"epochs (memorizing networks end with at least {100 * facts['reached_low']:.1f} % of their labels). Recording both probes takes {facts['recording']:.2g} of the time that one epoch of "
        f"training takes, writing the NWB files {facts['saving']:.2g}: an epoch of these small networks is a fraction of a second.\n"
    )


def _of_rule(architecture: str, rule: str, own: pd.DataFrame) -> Iterator[str]:
    start, early = own[own["at_start_memorizing"] == own["n_memorizing"]], own[_always_early(own)]
    false = f"{int(own['false_alarms'].sum())} of {int(own['n_generalizing'].sum())}"
    named = f": {'; '.join(_grouped(early))}" if len(early) and rule == "widened" else ""
    yield (
        f'- {architecture}, rule "{rule}", {len(own)} firing indicators (by layer, probe and windows): {int((own["flagged_memorizing"] == own["n_memorizing"]).sum())} flag every memorizing '
        f"network, {len(start)} of them before training has begun, {len(early)} in training and before the gap{named}. False alarms: {false}."
    )


def _stability(firing: pd.DataFrame) -> Iterator[str]:
    """Say whether differences keep their sign; windows by permuted labels are told apart, for they differ before a network has learnt anything."""
    for by_target, some in firing.groupby(firing["windows"] == "target_label"):
        steady = some[some["steady_memorizing"] <= 1]
        named = "; ".join(
            f"{TITLES[str(name)]} {int((steady['indicator'] == name).sum())} of {len(rows)}"
            for name, rows in some.groupby("indicator", sort=False)
        )
        which = "Windows by the labels that are trained on" if by_target else "Rates, and windows by true label"
        why = ", which differ between permuted and true labels before training too" if by_target else ""
        yield f"{which}{why}: the difference between memorizing and generalizing networks keeps its sign from the first epoch on in {len(steady)} of {len(some)} cells ({named}).\n"


def _verdict(table: pd.DataFrame, firing: pd.DataFrame) -> Iterator[str]:
    early = firing[_always_early(firing) & (firing["rule"] == "widened")]
    cells = ", ".join(
        f"{name} {len(early[early['architecture'] == name])} of {len(own[own['rule'] == 'widened'])}"
        for name, own in firing.groupby("architecture", sort=False)
    )
    faultless = early[early["false_alarms"] == 0].groupby([*INDICATOR])["architecture"].nunique()
    both = [_named(key) for key, n in faultless.items() if n == table["architecture"].nunique()]
    held_out = table[(table["indicator"] == "held_out_accuracy") & (table["rule"] == "widened")]
    alone = ", ".join(f"{row['architecture']} {_when(row, 'memorizing')}" for _, row in held_out.iterrows())
    yield (
        f'Verdict: before the gap flags, by rule "widened", every memorizing network is flagged in training by some firing indicators ({cells}); {len(both)} do so in every architecture without a '
        f'false alarm{": " + "; ".join(both) if both else ""}. The held-out accuracy alone, without the gap and without a spike, flags {alone}. "Stable indicators during learning": '
        f"{_stable(firing)}. One data set and few networks: a description, no proof."
    )


def _stable(firing: pd.DataFrame) -> str:
    """Say which indicators, of rates and by true label, keep one sign in every layer, probe and architecture."""
    some = firing[(firing["rule"] == RULES[0]) & (firing["windows"] != "target_label")]
    steady = [
        TITLES[str(name)]
        for name, rows in some.groupby("indicator", sort=False)
        if (rows["steady_memorizing"] <= 1).all()
    ]
    return f"of rates and by true label {', '.join(steady) if steady else 'no indicator'} kept one sign in every layer, probe and architecture"


def _always_early(rows: pd.DataFrame) -> pd.Series:
    return rows["early_memorizing"] == rows["n_memorizing"]


def _when(row: pd.Series, state: str) -> str:
    n, of = int(row[f"flagged_{state}"]), int(row[f"n_{state}"])
    epochs = f", at {row[f'median_{state}']:g} ({row[f'first_{state}']:g} to {row[f'last_{state}']:g})" if n else ""
    return f"{n} of {of}{epochs}"


def _grouped(rows: pd.DataFrame) -> Iterator[str]:
    """Name indicators with the layers in which they flag, when (median over networks), and how often falsely."""
    for (split, windows, indicator), some in rows.groupby(["split", "windows", "indicator"], sort=False):
        layers = [_where(row) for _, row in some.iterrows()]
        yield f"{_named(('', split, windows, indicator))} ({'; '.join(layers)})"


def _where(row: pd.Series) -> str:
    false = f", {int(row['false_alarms'])} false" if row["false_alarms"] > 0 else ""
    return f"{row['layer']} at {row['median_memorizing']:g}{false}"


def _named(key: Any) -> str:
    layer, split, windows, indicator = key
    by = "" if windows == "any" else f" by {windows.replace('_', ' ')}"
    return f"{TITLES[indicator]}{by}, {split} images{f', {layer}' if layer else ''}"
