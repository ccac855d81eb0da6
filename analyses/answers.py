"""The study in a few sentences, and the answers to the review, one by one: everything from the tables of the questions; what is not finished is said to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analyses.contrasts import named, shown_ratio, with_interval
from analyses.plan import ADAM, PRIMARY
from analyses.replicates import counted

NOT_YET = "not finished"


def summary(out: Path) -> list[str]:
    """What holds, where and how much, in five sentences; empty before any setting is finished."""
    networks, layers = _table(out, "02_networks"), _table(out, "01_thresholds")
    if networks is None or layers is None:
        return []
    n = int(networks["n"].max())
    provisional = (
        ""
        if n == len(PRIMARY)
        else f" So far these are {n} of the {len(PRIMARY)} settings fixed beforehand; verdicts may change."
    )
    spread = layers[(layers["indicator"] == "fano_mean") & (layers["windows"] == "true")]
    return [
        "## In five sentences\n",
        f"1. Over whole networks, memorizing networks' mean firing rate is {_of(networks, '0', 'true', 'firing_rate_mean')} times that of equally long trained generalizing ones, lower in {_lower(networks, '0', 'true', 'firing_rate_mean')} settings.\n"
        f"2. In windows of the trained label, the mean Fano factor is {_three(networks, 'trained', 'fano_mean')} times, the label share {_three(networks, 'trained', 'label_share_mean')} times that of generalizing networks, at 0, median and 90 % quantile.\n"
        f"3. In windows of the true label the mean Fano factor is {_three(networks, 'true', 'fano_mean')} times, and it is lower in {_counts(spread)} layers, at 0, median and 90 % quantile.\n"
        f"4. {_gains(out)}\n"
        f"5. {_within(out)}{provisional}\n",
    ]


def answers(out: Path) -> list[str]:
    """Answer the points of the review that led to this edition."""
    said = [f"- **{name}.** {text}" for name, text in _answers(out)]
    return [
        "## Answers to the review\n",
        "The review of the first edition made seven points (R1 to R7). Of its own verdicts the first edition is not corrected in place: where this page has numbers, it supersedes them.\n",
        *[line + "\n" for line in said],
    ]


def _answers(out: Path) -> Iterator[tuple[str, str]]:
    layers, networks = _table(out, "01_thresholds"), _table(out, "02_networks")
    yield ("R1, by the true label the sign depends on layer and data set at the threshold 0 only", _thresholds(layers))
    yield (
        "R2, the control in the same windows does not license its sentence",
        f"It is replaced by the difference in differences from the untrained network. {_gains(out)}",
    )
    yield ("R3, the paper describes networks", _whole(networks))
    yield (
        "R4, the rule asked for every layer",
        "Estimates have random effects over settings, intervals and heterogeneity (question 2); the old rule is the last column of the table of question 1, and decides nothing.",
    )
    yield (
        "R5, too few seeds, and an unpaired test",
        "Ten seeds in each primary setting, paired (smallest p of a setting 2/1,024), 20 estimates fixed beforehand and corrected by Holm; other p values are counted, and no verdict rests on them.",
    )
    yield ("R6, pruning depends on zero", _use(out))
    yield (
        "R7, wording",
        "Data are named with their numbers of images and their size; shares are of units, over a mean of networks and layers of equal numbers of units; lists of what survives a correction are replaced by estimates with intervals.",
    )


def _thresholds(layers: pd.DataFrame | None) -> str:
    if layers is None:
        return NOT_YET.capitalize() + "."
    n = layers["setting"].nunique()
    parts = []
    for indicator in ("fano_mean", "label_share_mean"):
        some = layers[(layers["windows"] == "true") & (layers["indicator"] == indicator)]
        parts.append(f"{named(indicator)} is lower in memorizing networks in {_counts(some)} layers")
    quantiles = layers[
        (layers["windows"] == "true")
        & layers["indicator"].isin(["fano_mean", "label_share_mean"])
        & (layers["threshold"] != "0")
    ]
    confirmed = (quantiles["log_ratio"] < 0).all()
    verdict = (
        "Verdict changed: that the sign depends on layer and data set holds at the threshold 0 only; once rates are equalized, memorizing networks' layers tell true classes less."
        if confirmed
        else "The review's finding, lower in every layer at the quantiles, is not confirmed everywhere."
    )
    return f"By the true label, at 0, median and 90 % quantile, {'; '.join(parts)} ({counted(n, 'setting')} of {len(PRIMARY)}). {verdict}"


def _whole(networks: pd.DataFrame | None) -> str:
    if networks is None:
        return NOT_YET.capitalize() + "."
    holds = [
        f"{named(row['indicator'])} at {row['threshold']}, by {row['windows']} label ({row['verdict']})"
        for row in networks.to_dict("records")
        if row["verdict"] != "undecided"
    ]
    return (
        f"Networks come first. Mean rate: {_of(networks, '0', 'true', 'firing_rate_mean')} times, lower in {_lower(networks, '0', 'true', 'firing_rate_mean')} settings; rate variance: "
        f"{_of(networks, '0', 'true', 'firing_rate_var')} times, lower in {_lower(networks, '0', 'true', 'firing_rate_var')}. Decided of 20 estimates: {'; '.join(holds) or 'none yet'}."
    )


def _gains(out: Path) -> str:
    gains = _table(out, "03_controls")
    if gains is None:
        return f"The difference in differences from the untrained network is {NOT_YET}."
    shares = gains[gains["indicator"] == "label_share_mean"]
    said = ", ".join(with_interval(row["mean"], row["low"], row["high"], "+.2f") for row in shares.to_dict("records"))
    lower = ", ".join(f"{row['n_lower']} of {row['n']}" for row in shares.to_dict("records"))
    return (
        f"What training adds to the label share of the untrained network, permuted labels less true labels, is {said} at 0, median and 90 % quantile (smaller for permuted labels in {lower} settings): "
        + (
            "so much of the difference lies in the networks and not in the labels that make the windows."
            if (shares["high"] < 0).all()
            else "not all of these intervals exclude 0, so that the difference may lie in the labels that make the windows."
        )
    )


def _within(out: Path) -> str:
    table = _table(out, "05_within")
    if table is None:
        return f"Whether mislabelled images have other patterns within one network is {NOT_YET}."
    fixed = table[(table["layer"] == "last") & (table["threshold"] == "median") & (table["score"] == "hamming")].iloc[0]
    output = table[table["layer"] == "output"].iloc[0]
    return (
        f"Within one network that learned half of its labels permuted, mislabelled images are told by the codewords of the last layer with an AUC of {with_interval(fixed['mean'], fixed['low'], fixed['high'], '.2f')} (margin of the output {output['mean']:.2f}, codewords of the untrained network {fixed['untrained']:.2f}; "
        f"{int(fixed['n'])} of {len(ADAM)} settings)."
    )


def _use(out: Path) -> str:
    table = _table(out, "06_use")
    if table is None:
        return NOT_YET.capitalize() + "."
    said = []
    for ablation, some in table.groupby("ablation", sort=False):
        rows = some[some["ranking"] != "magnitude"].to_dict("records")
        better, worse = (sum(bool(row[side] * sign > 0) for row in rows) for side, sign in (("low", 1), ("high", -1)))
        said.append(f"replaced by {ablation}: better than random in {better}, worse in {worse} of {len(rows)}")
    return f'Rankings by firing statistics (four, both kinds of network), units {"; ".join(said)} ({int(table["n"].max())} of {len(ADAM)} settings). "Worse than random" is a statement about zero, and is made with it only.'


def _table(out: Path, name: str) -> pd.DataFrame | None:
    path = out / f"{name}.csv"
    return pd.read_csv(path, dtype={"threshold": str}) if path.exists() else None


def _row(table: pd.DataFrame, threshold: str, windows: str, indicator: str) -> dict[str, float]:
    where = (table["threshold"] == threshold) & (table["windows"] == windows) & (table["indicator"] == indicator)
    return table[where].to_dict("records")[0]  # type: ignore[return-value]


def _of(table: pd.DataFrame, threshold: str, windows: str, indicator: str) -> str:
    return shown_ratio(_row(table, threshold, windows, indicator))


def _lower(table: pd.DataFrame, threshold: str, windows: str, indicator: str) -> str:
    row = _row(table, threshold, windows, indicator)
    return f"{row['n_lower']} of {row['n_lower'] + row['n_higher']}"


def _three(table: pd.DataFrame, windows: str, indicator: str) -> str:
    return ", ".join(_of(table, threshold, windows, indicator) for threshold in ("0", "median", "q90"))


def _counts(layers: pd.DataFrame) -> str:
    lower = layers.groupby("threshold", sort=False)["log_ratio"].agg(lambda values: int((values < 0).sum()))
    total = layers.groupby("threshold", sort=False).size()
    return ", ".join(f"{lower[threshold]}/{total[threshold]}" for threshold in ("0", "median", "q90"))
