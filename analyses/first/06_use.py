"""Question 6: are firing statistics of use for pruning and for transfer learning, as the abstract names them?

Data: the tables and NWB files of the studies `networks/pruning.py` and `networks/transfer.py`: perceptrons and convolutional networks on digits and MNIST, five seeds. Exploratory.
Pruning: in every hidden layer the units (channels, of convolutions) that a ranking puts last are silenced, 10 to 90 % of them: lowest firing rate over the training images (which is the highest
percentage of zeros), the opposite, lowest variance p (1 - p) of a spike (never or always firing), lowest Fano factor over windows by the label trained with, smallest norm of incoming weights, random (mean of ten draws). Measured is the mean
accuracy over all sparsities: held-out accuracy of generalizing networks, accuracy on the (wrong) labels of memorizing ones. Transfer: pre-trained on the
classes 0 to 4, tuned on 100 images of the classes 5 to 9, one or two hidden layers frozen: those that pre-training moved farthest from, or left nearest to, their random state
(mean over units of the absolute change of firing rate, or of Fano factor, over the images of pre-training), against the first ones, against the mean over all choices of as many, and against none; measured is
held-out accuracy on the new classes. Method: the network is the replicate, ways are compared within it; mean over settings with a 95 % interval, a test that flips signs, corrected over all
contrasts shown.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473 (the claim); Hu, Peng, Tai & Tang (2016), arXiv:1607.03250 (percentage of zeros); Li, Kadav, Durdanovic,
Samet & Graf (2017), arXiv:1608.08710 (norms); Yosinski, Clune, Bengio & Lipson (2014), arXiv:1411.1792 (frozen layers).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyses.first import treatments as read
from analyses.first.treatments import SETTING
from analyses.paired import mean_within, sign_flip_p
from analyses.replicates import COLOURS, corrected, markdown, written

STATES = ("generalizing", "memorizing")
RANKINGS = ("rate", "rate, highest first", "variance", "fano", "magnitude", "random")
PRUNING_CONTRASTS = (
    ("rate", "random"),
    ("rate", "magnitude"),
    ("variance", "random"),
    ("variance", "magnitude"),
    ("fano", "random"),
    ("fano", "magnitude"),
    ("magnitude", "random"),
    ("rate, highest first", "random"),
)
CHOICES = ("farthest (rate)", "nearest (rate)", "farthest (fano)", "nearest (fano)")
REFERENCES = ("none", "first", "any")


def main(out: Path, networks: Path, seed: int = 0, smoke: bool = False) -> str:
    """Compare ways of pruning and of freezing, and give the paragraph that the numbers make."""
    out.mkdir(parents=True, exist_ok=True)
    pruned, silent = read.pruned(networks, seed)
    areas = (
        pruned[pruned["sparsity"] > 0].groupby([*SETTING, "state", "seed", "ranking"], sort=False)["accuracy"].mean()
    )
    tuned, moved = read.tuned(networks, seed)
    rows = [
        *_facts("pruning", silent),
        *_compared("pruning", areas.unstack(), PRUNING_CONTRASTS, seed),
        *_facts("transfer", moved),
        *_compared("transfer", tuned, _transfer_contrasts(tuned), seed),
        *_compared("pre-training", _pre_training(tuned), (("generalizing", "random"), ("memorizing", "random")), seed),
    ]
    table = pd.DataFrame(rows)
    table = table.assign(p_corrected=corrected(table["p"].to_numpy(np.float64)))
    table = written(table, out / "06_use.csv")
    figure(pruned, tuned, out / "06_use.png")
    text = paragraph(table)
    (out / "06_use.md").write_text(text + "\n", encoding="utf-8")
    return text


def _transfer_contrasts(tuned: pd.DataFrame) -> list[tuple[str, str]]:
    numbers = [name.removeprefix("first ") for name in tuned if name.startswith("first ")]
    contrasts = [
        (f"{choice} {k}", reference if reference == "none" else f"{reference} {k}")
        for k in numbers
        for choice in CHOICES
        for reference in REFERENCES
    ]
    return [*contrasts, *((f"first {k}", "none") for k in numbers)]


def _pre_training(tuned: pd.DataFrame) -> pd.DataFrame:
    """Set side by side the accuracies of one seed with nothing frozen, by what the network was before."""
    wide = tuned["none"].unstack("state")
    return wide.assign(state="none frozen").set_index("state", append=True).reorder_levels([*SETTING, "state", "seed"])


def _facts(part: str, values: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Give the mean over networks of what was measured of them, in each setting and over all."""
    for state, some in values.groupby("state", sort=False):
        settings = {"all": some} | {" ".join(key): cells for key, cells in some.groupby(SETTING, sort=False)}
        for setting, cells in settings.items():
            for quantity, value in cells.groupby("quantity", sort=False)["value"]:
                first = {"part": part, "kind": "fact", "state": state, "setting": setting, "quantity": quantity}
                yield first | {"n": len(value), "mean": value.mean()}


def _compared(
    part: str, values: pd.DataFrame, contrasts: Sequence[tuple[str, str]], seed: int
) -> Iterator[dict[str, object]]:
    """Give the mean of each way, and each difference of two ways over all settings, with its test, and within each."""
    for state, some in values.groupby("state", sort=False):
        groups = {" ".join(map(str, key)): cells for key, cells in some.groupby(SETTING, sort=False)}
        for way in some.columns:
            means = [cells[way].mean() for cells in groups.values()]
            if not np.isnan(means).any():
                yield _row(part, "level", state, "all", way) | {"n": len(some), "mean": float(np.mean(means))}
        if state == "random":
            continue
        for one, other in contrasts:
            by_setting = {name: (cells[one] - cells[other]).to_numpy(np.float64) for name, cells in groups.items()}
            together = np.concatenate(list(by_setting.values()))
            mean, low, high = mean_within(by_setting)
            facts = {
                "low": low,
                "high": high,
                "equal": float((together == 0).mean()),
                "p": sign_flip_p(together, seed=seed),
            }
            yield _row(part, "contrast", state, "all", f"{one} - {other}") | {"n": together.size, "mean": mean} | facts
            for name, differences in by_setting.items():
                yield _row(part, "contrast", state, name, f"{one} - {other}") | {
                    "n": differences.size,
                    "mean": differences.mean(),
                }


def _row(part: str, kind: str, state: object, setting: str, quantity: str) -> dict[str, object]:
    return {"part": part, "kind": kind, "state": state, "setting": setting, "quantity": quantity}


def figure(pruned: pd.DataFrame, tuned: pd.DataFrame, path: Path) -> None:
    """Draw accuracy against sparsity for every ranking, and the accuracy after every way of freezing: a column per setting, the range of its networks shaded."""
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys(map(tuple, pruned[SETTING].to_numpy())))
    page = Figure(figsize=(max(8.0, 3.9 * len(settings)), 10), layout="constrained")
    rows = page.subfigures(3, 1)
    for row, state in zip(rows, STATES):
        axes = row.subplots(1, len(settings), sharey=True, squeeze=False)[0]
        for ax, setting in zip(axes, settings):
            here = (pruned[SETTING] == list(setting)).all(axis=1) & (pruned["state"] == state)
            _curves(ax, pruned[here])
            ax.set_title(f"{' '.join(setting)}, {state}", fontsize="medium")
            ax.set_xlabel("share of units silenced in each hidden layer")
        axes[0].set_ylabel("held-out accuracy" if state == "generalizing" else "accuracy on wrong labels")
        row.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, title="goes first")
    axes = rows[2].subplots(1, len(settings), sharey=True, squeeze=False)[0]
    for ax, setting in zip(axes, settings):
        _frozen(ax, tuned.xs(setting, level=tuple(SETTING)))
        ax.set_title(f"{' '.join(setting)}, transfer", fontsize="medium")
    axes[0].set_ylabel("held-out accuracy, new classes")
    rows[2].legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, title="pre-trained")
    page.savefig(path, dpi=100)


def _curves(ax: Any, shown: pd.DataFrame) -> None:
    names = {
        "rate": "lowest rate",
        "rate, highest first": "highest rate",
        "variance": "most one-sided",
        "fano": "lowest Fano factor",
    }
    names |= {"magnitude": "smallest weights", "random": "random"}
    for colour, ranking in zip(COLOURS, RANKINGS):
        by_sparsity = shown[shown["ranking"] == ranking].groupby("sparsity")["accuracy"]
        mean = by_sparsity.mean()
        ax.plot(mean.index, mean, color=colour, marker="o", ms=3, label=names[ranking])
        ax.fill_between(mean.index, by_sparsity.min(), by_sparsity.max(), color=colour, alpha=0.12, lw=0)


def _frozen(ax: Any, accuracies: pd.DataFrame) -> None:
    ways = [name for name in accuracies if "fano" not in name]
    ways.sort(key=lambda name: {"none": -1, "all": 9}.get(name) or int(name[-1]))
    names = {"random": "not at all", "generalizing": "generalizing", "memorizing": "memorizing"}
    for shift, (colour, marker, state) in zip((-0.2, 0, 0.2), zip(COLOURS, "osv", ("random", *STATES))):
        some = accuracies.xs(state, level="state")[ways]
        mean = some.mean()
        spread = [mean - some.min(), some.max() - mean]
        ax.errorbar(
            np.arange(len(ways)) + shift, mean, yerr=spread, fmt=marker, color=colour, ms=4, lw=1, label=names[state]
        )
    ax.set_xticks(range(len(ways)), ways, rotation=50, ha="right", fontsize="small")
    ax.set_xlabel("frozen hidden layers")


def paragraph(table: pd.DataFrame) -> str:
    """Write what the numbers say."""
    return "\n".join([*_of_pruning(table), "", *_of_transfer(table)])


def _of_pruning(table: pd.DataFrame) -> Iterator[str]:
    shown = table[table["part"] == "pruning"]
    levels = _overall(shown, "level").pivot(index="quantity", columns="state", values="mean")
    areas = levels.loc[list(RANKINGS)].rename_axis(index="goes first", columns=None).map("{:.1%}".format)
    n = int(_overall(shown, "contrast")["n"].iloc[0])
    yield f"Pruning, {n} networks of each kind: mean accuracy over 10 to 90 % of units silenced, memorizing networks on their wrong labels.\n"
    yield markdown(areas.reset_index())
    yield "\nDifferences, with 95 % intervals:\n"
    yield from _contrasts(shown)
    silent = _overall(shown, "fact")
    parts = ", ".join(
        f"{row.state} {row.quantity.removeprefix('silent share of ')} {row.mean:.1%}" for row in silent.itertuples()
    )
    yield f"\nSilent over all training images, which a ranking by rate silences first and for nothing: {parts}."
    yield "\n" + _verdict_of_pruning(shown)


def _verdict_of_pruning(shown: pd.DataFrame) -> str:
    said = []
    for state in STATES:
        some = _overall(shown[shown["state"] == state], "contrast").set_index("quantity")
        ways = [
            f"{way} is {_better(some.loc[f'{way} - random'])} random and {_better(some.loc[f'{way} - magnitude'])} weights"
            for way in ("rate", "variance", "fano")
        ]
        said.append(f"in {state} networks {', '.join(ways)}")
    return f"Verdict on pruning by firing statistics: {'; '.join(said)}."


def _better(row: pd.Series) -> str:
    if not row["p_corrected"] <= 0.05:
        return "not told apart from"
    return "better than" if row["mean"] > 0 else "worse than"


def _of_transfer(table: pd.DataFrame) -> Iterator[str]:
    shown = table[table["part"] == "transfer"]
    levels = _overall(shown, "level").pivot(index="quantity", columns="state", values="mean")
    order = list(dict.fromkeys(_overall(shown, "level")["quantity"]))
    n = int(_overall(shown, "contrast")["n"].iloc[0])
    yield f"Transfer, {n} networks of each kind: held-out accuracy on the new classes by what was frozen.\n"
    levels = levels.loc[order, ["random", *STATES]].rename(columns={"random": "not pre-trained"})
    written_out = levels.map(lambda mean: "" if np.isnan(mean) else f"{mean:.1%}")
    yield markdown(written_out.rename_axis(index="frozen", columns=None).reset_index())
    yield "\nPre-training, nothing frozen, against none:\n"
    yield from _contrasts(table[table["part"] == "pre-training"])
    yield "\nDifferences that the correction leaves:\n"
    contrasts = _overall(shown, "contrast")
    left = contrasts[contrasts["p_corrected"] <= 0.05]
    yield from _contrasts(shown[_left(shown, left)]) if len(left) else ["- none"]
    yield f"\n{_farthest(shown)}"
    yield "\n" + _verdict_of_transfer(contrasts)


def _left(shown: pd.DataFrame, left: pd.DataFrame) -> pd.Series:
    """Mark the rows of these contrasts, in all settings."""
    wanted = set(zip(left["state"], left["quantity"]))
    return pd.Series([key in wanted for key in zip(shown["state"], shown["quantity"])], index=shown.index)


def _farthest(shown: pd.DataFrame) -> str:
    facts = _overall(shown, "fact")
    told = [
        f"{row.state} networks {row.quantity.removeprefix('farthest by rate: ')} in {row.mean:.0%}"
        for row in facts[facts["quantity"].str.startswith("farthest by rate")].itertuples()
        if row.mean > 0
    ]
    return f"Farthest from its random state by firing rate: {', '.join(told)}."


def _verdict_of_transfer(contrasts: pd.DataFrame) -> str:
    named = {"none": "freezing none", "first": "the first layers", "any": "any layers, on average"}
    counted = []
    for choice in CHOICES:
        for reference in REFERENCES:
            here = contrasts["quantity"].str.startswith(choice) & contrasts["quantity"].str.contains(f" - {reference}")
            some = contrasts[here]
            better, worse = (int(((some["p_corrected"] <= 0.05) & (sign * some["mean"] > 0)).sum()) for sign in (1, -1))
            row = {"frozen": choice, "against": named[reference], "better": better, "worse": worse}
            counted.append(row | {"not told apart": len(some) - better - worse})
    table = pd.DataFrame(counted)
    verdicts = [f"{choice} {_helps(table[table['frozen'] == choice].set_index('against'))}" for choice in CHOICES]
    return (
        f"Contrasts (both kinds of network, one and two layers):\n\n{markdown(table)}\n\n"
        f"Verdict on freezing by distance from the random state: {'; '.join(verdicts)}."
    )


def _helps(counts: pd.DataFrame) -> str:
    none, others = counts.loc["freezing none"], counts.drop(index="freezing none")
    gain = "gains" if none["better"] and not none["worse"] else "loses" if none["worse"] else "neither gains nor loses"
    better, worse, alike = others[["better", "worse", "not told apart"]].sum()
    choice = f"better in {better} and worse in {worse} of {better + worse + alike} contrasts with other choices"
    return f"{gain} against freezing none and is {choice}"


def _overall(shown: pd.DataFrame, kind: str) -> pd.DataFrame:
    return shown[(shown["kind"] == kind) & (shown["setting"] == "all")]


def _contrasts(shown: pd.DataFrame) -> Iterator[str]:
    """List contrasts over all settings, and in how many of these the difference has the same sign."""
    within = shown[(shown["kind"] == "contrast") & (shown["setting"] != "all")]
    for row in _overall(shown, "contrast").itertuples():
        settings = within[(within["state"] == row.state) & (within["quantity"] == row.quantity)]["mean"]
        side = f"on this side in {int((np.sign(settings) == np.sign(row.mean)).sum())} of {len(settings)} settings"
        same = f", nothing differs in {row.equal:.0%} of networks" if row.equal > 0 else ""
        points = f"{100 * row.mean:+.2f} points ({100 * row.low:.2f} to {100 * row.high:.2f})"
        yield f"- {row.state}, {row.quantity}: {points}, corrected p {row.p_corrected:.2g}, {side}{same}"
