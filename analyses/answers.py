"""The study in a few sentences, and the answers to the review, one by one: everything from the tables of the questions; what is not finished is said to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analyses.contrasts import named, shown_ratio, with_interval
from analyses.plan import ADAM, PRIMARY
from analyses.tables import counted

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
        f"1. {_rates(out, networks)}\n"
        f"2. In windows of the trained label, the mean Fano factor is {_three(networks, 'trained', 'fano_mean')} times, the label share {_three(networks, 'trained', 'label_share_mean')} times that of generalizing networks, at 0, median and 90 % quantile{_floor(out)}.\n"
        f"3. In windows of the true label the mean Fano factor is {_three(networks, 'true', 'fano_mean')} times (corrected p {_corrected(networks, 'true', 'fano_mean')}), and it is lower in {_counts(spread)} layers, at 0, median and 90 % quantile (described: signs of layers, whose rates the quantiles do not make equal where many units are tied).\n"
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
    yield (
        "R1, by the true label the sign depends on layer and data set at the threshold 0 only",
        _thresholds(layers, networks) + _untied(out),
    )
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
        'Ten seeds in each primary setting, paired (smallest p of a setting 2/1,024), 20 estimates fixed beforehand and corrected by Holm; other p values are counted, and no verdict rests on them; "holds" needs all 8 settings.',
    )
    yield ("R6, pruning depends on zero", _use(out))
    yield (
        "R7, wording",
        "Data are named with their numbers of images and their size; shares of units are pooled over networks and layers, each weighted by the number of units that it is a share of; lists of what survives a correction are replaced by estimates with intervals.",
    )


def _thresholds(layers: pd.DataFrame | None, networks: pd.DataFrame | None = None) -> str:
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
    n_layers = len(layers[["setting", "layer"]].drop_duplicates())
    below = quantiles["log_ratio"] < 0
    described = (
        f"at both quantiles both are lower in all {n_layers} layers"
        if below.all()
        else f"at the quantiles {int((~below).sum())} of {len(quantiles)} values are not lower"
    )
    variance = layers[
        (layers["windows"] == "true") & (layers["indicator"] == "fano_var") & (layers["threshold"] == "median")
    ]
    return (
        f"By the true label, at 0, median and 90 % quantile, {'; '.join(parts)} ({counted(n, 'setting')} of {len(PRIMARY)}). Described, no verdict: {described}. {_fixed(networks)}"
        f"The Fano variance at the median is lower in {int((variance['log_ratio'] < 0).sum())} of {len(variance)} layers. Rates are equal at a quantile only where few units are tied (question 1, by layer), and Fano mean and label share are nearly one number there."
    )


def _untied(out: Path) -> str:
    """What is left where the quantile does fix the rate."""
    units = _table(out, "03_controls_units")
    if units is None:
        return ""
    of = units[(units["indicator"] == "fano_untied_mean") & (units["windows"] == "true")]
    said = [
        f"{row['threshold']} {shown_ratio(row)}, lower in {row['n_lower']} of {row['n']} settings"
        for row in of.to_dict("records")
    ]
    return (
        f" Among units that are not tied, Fano mean over whole networks: {'; '.join(said)} (added after, five seeds)."
    )


def _fixed(networks: pd.DataFrame | None) -> str:
    """The fixed estimates by the true label at both quantiles."""
    if networks is None:
        return ""
    said = [
        f"{named(name)} at {threshold} {_of(networks, threshold, 'true', name)}, corrected p {row['p_corrected']:.2g}, {row['verdict']}"
        for threshold in ("median", "q90")
        for name in ("fano_mean", "label_share_mean")
        for row in [_row(networks, threshold, "true", name)]
    ]
    return f"The fixed estimates over whole networks: {'; '.join(said)}. "


def _whole(networks: pd.DataFrame | None) -> str:
    if networks is None:
        return NOT_YET.capitalize() + "."
    holds = [
        f"{named(row['indicator'])} at {row['threshold']}{'' if row['indicator'].startswith('firing') else ', by ' + row['windows'] + ' label'} ({row['verdict']})"
        for row in networks.to_dict("records")
        if row["verdict"] != "undecided"
    ]
    return (
        f"Networks come first. Mean rate: {_of(networks, '0', 'true', 'firing_rate_mean')} times, lower in {_lower(networks, '0', 'true', 'firing_rate_mean')} settings; rate variance: "
        f"{_of(networks, '0', 'true', 'firing_rate_var')} times, lower in {_lower(networks, '0', 'true', 'firing_rate_var')}. Rates of held-out images, and those of networks that just learned the true labels, are in question 2. With a corrected p of at most 0.05, of 20 estimates, some of which are nearly one number: {'; '.join(holds) or 'none yet'}."
    )


def _rates(out: Path, networks: pd.DataFrame) -> str:
    """Both sides of the ratio of rates: what training did to either network."""
    said = f"Over whole networks, memorizing networks' mean firing rate is {_of(networks, '0', 'true', 'firing_rate_mean')} times that of equally long trained generalizing ones, lower in {_lower(networks, '0', 'true', 'firing_rate_mean')} settings"
    rates = _table(out, "02_networks_rates")
    if rates is None:
        return said + "."
    train = rates[rates["images"] == "train"]
    whole, layers = train[train["layer"] == "network"], train[train["layer"] != "network"]["memorizing_long"]
    optimizers = ", ".join(dict.fromkeys(str(name).split()[-1] for name in whole["setting"]))
    raised = [
        f"{whole[name].min():.2f} to {whole[name].max():.2f}" for name in ("memorizing_untrained", "long_untrained")
    ]
    return f"{said} ({optimizers}): against the untrained network memorizing changes it {raised[0]} times, generalizing {raised[1]} times, and by layer the ratio runs from {layers.min():.2f} to {layers.max():.2f}."


def _floor(out: Path) -> str:
    """What is left of the label share when chance is taken off, by architecture."""
    floor = _table(out, "02_networks_floor")
    if floor is None:
        return ""
    floor = floor.assign(kind=[name.split()[1] for name in floor["setting"]])
    names = {"cnn": "convolutional networks", "mlp": "perceptrons"}
    said = [
        f"{of['adjusted_ratio'].min():.3f} to {of['adjusted_ratio'].max():.3f} times in {names.get(str(kind), str(kind))} (with chance {of['share_ratio'].min():.3f} to {of['share_ratio'].max():.3f}, of which the number of images makes {of['share_floor'].min():.3f} to {of['share_floor'].max():.3f})"
        for kind, of in floor.groupby("kind")
    ]
    return f"; with chance taken off, over settings and thresholds, the label share is {', and '.join(said)}"


def _corrected(networks: pd.DataFrame, windows: str, indicator: str) -> str:
    return ", ".join(
        f"{_row(networks, rule, windows, indicator)['p_corrected']:.2g}" for rule in ("0", "median", "q90")
    )


def _gains(out: Path) -> str:
    gains = _table(out, "03_controls")
    if gains is None:
        return f"The difference in differences from the untrained network is {NOT_YET}."
    shares = gains[gains["indicator"] == "label_share_mean"]
    said = ", ".join(with_interval(row["mean"], row["low"], row["high"], "+.2f") for row in shares.to_dict("records"))
    rows = shares.to_dict("records")
    lower = ", ".join(f"{row['n_lower']} of {row['n']}" for row in rows)
    sure = ", ".join(str(row["n_lower_decided"]) for row in rows)
    names = {"0": "0", "median": "the median", "q90": "the 90 % quantile"}
    unknown = [names[row["threshold"]] for row in rows if not (row["high"] < 0 or row["low"] > 0)]
    known = (
        f"the mean over settings is not known to differ from 0 at {' and at '.join(unknown)}"
        if unknown
        else "all three intervals exclude 0"
    )
    return (
        f"What training adds to the label share of the untrained network, permuted labels less true labels, is {said} at 0, median and 90 % quantile (smaller for permuted labels in {lower} settings; by their own seeds in {sure}): {known}. "
        "This contrast cannot separate labels that say nothing about the images from the network that learned them: labels differ, and so does the start, because the untrained network has a larger share by true labels."
    )


def _within(out: Path) -> str:
    table = _table(out, "05_within")
    if table is None:
        return f"Whether mislabelled images have other patterns within one network is {NOT_YET}."
    fixed = table[(table["layer"] == "last") & (table["threshold"] == "median") & (table["score"] == "hamming")].iloc[0]
    output = table[table["layer"] == "output"].iloc[0]
    gains = _table(out, "05_within_gains")
    changes = [] if gains is None else [f"{row['setting']} {row['gained']:+.2f}" for row in gains.to_dict("records")]
    each = f" ({'; '.join(changes)})" if changes else ""
    return (
        f"Within one network that learned half of its labels permuted, codewords of the last layer tell mislabelled images with an AUC of {with_interval(fixed['mean'], fixed['low'], fixed['high'], '.2f')}, those of the untrained network with {fixed['untrained']:.2f}: "
        f"the geometry of the images tells them, and learning changes this by {with_interval(fixed['more_mean'], fixed['more_low'], fixed['more_high'], '+.2f')}{each}, while the margin of the output goes from {output['untrained']:.2f} to {output['mean']:.2f} ({int(fixed['n'])} of {len(ADAM)} settings)."
    )


def _use(out: Path) -> str:
    table = _table(out, "06_use")
    if table is None:
        return NOT_YET.capitalize() + "."
    said = []
    for ablation, some in table.groupby("ablation", sort=False):
        rows = some[some["ranking"] != "magnitude"].to_dict("records")
        better, worse = (sum(bool(row[side] * sign > 0) for row in rows) for side, sign in (("low", 1), ("high", -1)))
        higher, lower = (sum(row[f"n_{side}_decided"] == row["n"] for row in rows) for side in ("higher", "lower"))
        said.append(
            f"replaced by {ablation}: better than random in {better} and worse in {worse} of {len(rows)} by the interval over settings; in all settings by their own seeds better in {higher} and worse in {lower}"
        )
    return f"Rankings by firing statistics (four, both kinds of network), units {'; '.join(said)} ({int(table['n'].max())} of {len(ADAM)} settings, with which an interval can hardly exclude 0)."


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
