"""What the table of question 1 says, in words: everything here is made from the table alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.first.claims import ALPHA, DOES_NOT_HOLD, HOLDS, Verdict, cell_name, judge
from analyses.replicates import counted, markdown

PAPER = ("firing_rate_mean", "firing_rate_var", "fano_mean", "fano_var")
INDICATORS = (*PAPER, "label_share_mean")
CONVENTIONS = (("train", "label"), ("train", "target_label"), ("held-out", "label"))
CONTROL = ("train", "memorized_label")
SETTING = ["data", "architecture", "optimizer"]


def paragraph(table: pd.DataFrame) -> str:
    """Write what the numbers say, from the table alone."""
    primary, exploratory = table[~table["exploratory"]], table[table["exploratory"]]
    parts = [*_primary(primary)]
    if len(exploratory):
        parts += _exploratory(exploratory, primary)
    return "\n".join([*parts, *_claims(primary, exploratory)])


def _primary(table: pd.DataFrame) -> Iterator[str]:
    yield _head("Primary", table)
    yield "Verdicts, with the number of layers in which memorizing networks have lower and higher values (corrected p <= 0.05):\n"
    yield markdown(_verdicts(table)) + "\n"
    yield from _conditions(table)
    yield from _good(table)
    yield from _pooled(table)
    yield from _windows(table)
    yield from _control(table)
    yield from _random(table)


def _exploratory(table: pd.DataFrame, primary: pd.DataFrame) -> Iterator[str]:
    yield "### Exploratory\n"
    yield _head("Exploratory", table)
    yield markdown(_verdicts(table)) + "\n"
    yield from _conditions(table)
    yield from _control(table)
    against = [
        f"{indicator} ({split}, by {by_words(windows)}): {', '.join(names)}"
        for (split, windows), indicator, verdict in _judged(primary)
        if verdict.word == HOLDS and (names := _other_way(table, split, windows, indicator, verdict.direction))
    ]
    if any(verdict.word == HOLDS for *_, verdict in _judged(primary)):
        found = "; ".join(against) if against else "none"
        yield f"Exploratory layers in which the difference is significantly the other way than where the primary verdict is that it holds: {found}.\n"


def _claims(primary: pd.DataFrame, exploratory: pd.DataFrame) -> Iterator[str]:
    yield "### The abstract's claims\n"
    yield f'"Consistent differences across multiple architectures and training sets", primary settings: **{_claim(primary)}**.'
    yield from _overturned(primary)
    if len(exploratory):
        both = pd.concat([primary, exploratory], ignore_index=True)
        yield f"Primary and exploratory settings together: **{_claim(both)}**."
    yield (
        '\n"Stable indicators of memorization during learning": this question sees networks at the end of learning only; question 4 follows them through it.'
    )


def _overturned(table: pd.DataFrame) -> Iterator[str]:
    """Say which of the differences by trained label the control turns round."""
    layers = table[(table["population"] == "all") & (table["layer"] != "network")]
    for (_, windows), indicator, verdict in _judged(table):
        if windows == "target_label" and indicator.startswith("fano") and verdict.word != DOES_NOT_HOLD:
            control = judge(_chosen(layers, *CONTROL, indicator))
            kept = control.direction == verdict.direction and control.word != DOES_NOT_HOLD
            yield (
                f"For {indicator} by trained label the control {'agrees' if kept else '**disagrees**'}: in the same windows it is {control.direction} in memorizing networks, "
                f"{control.word} ({control.counts})."
            )
    yield ""


def _claim(table: pd.DataFrame) -> str:
    """Judge all four indicators of the paper under all conventions together."""
    judged = [(convention, indicator, v) for convention, indicator, v in _judged(table) if indicator in PAPER]
    words = {v.word for *_, v in judged}
    if words == {HOLDS}:
        return "holds for all four indicators under every convention"
    good = [
        f"{indicator} ({'' if v.word == HOLDS else 'with exceptions, '}{split} images, by {by_words(windows)})"
        for (split, windows), indicator, v in judged
        if v.word != DOES_NOT_HOLD
    ]
    if not good:
        return "does not hold for any of the four indicators under any convention"
    return f"holds with conditions, only for {', '.join(good)}; under the other {len(judged) - len(good)} of {len(judged)} combinations of indicator and convention it does not hold"


def _head(kind: str, table: pd.DataFrame) -> str:
    settings = table.drop_duplicates(SETTING)
    n = sorted({f"{row.n_memorizing:.0f} v {row.n_generalizing:.0f}" for row in table.itertuples()})
    out = settings[settings["left_out_memorizing"] > 0]
    missed = "; ".join(f"{row.left_out_memorizing:.0f} of {_setting(row)}" for row in out.itertuples())
    return (
        f"{kind}: memorizing against equally long generalizing networks, {' or '.join(n)} in each of {counted(len(settings), 'setting')}; p corrected over "
        f"{int(table['p'].notna().sum())} cells (the smallest p that these numbers of networks allow is {table['p'].min():.2g}). Memorizing networks are right on {_span(settings, 'accuracy_target_memorizing')} of the labels they were trained "
        f"on (mean of a setting, smallest to largest) and on {_span(settings, 'accuracy_held_out_memorizing')} of held-out images, generalizing ones on "
        f"{_span(settings, 'accuracy_held_out_generalizing')} of these. "
        + (
            f"Left out, because they did not learn 99.9 % of their labels: {missed}."
            if missed
            else "None had to be left out."
        )
        + "\n"
    )


def _verdicts(table: pd.DataFrame) -> pd.DataFrame:
    columns = {convention: f"{convention[0]} images, by {by_words(convention[1])}" for convention in CONVENTIONS}
    rows: dict[str, dict[str, str]] = {indicator: {"indicator": indicator} for indicator in INDICATORS}
    for convention, indicator, verdict in _judged(table):
        rows[indicator][columns[convention]] = str(verdict)
    return pd.DataFrame(list(rows.values()))


def _judged(table: pd.DataFrame, population: str = "all") -> Iterator[tuple[tuple[str, str], str, Verdict]]:
    """Judge every indicator under every convention over all layers."""
    layers = table[(table["population"] == population) & (table["layer"] != "network")]
    for split, windows in CONVENTIONS:
        for indicator in INDICATORS:
            yield (split, windows), indicator, judge(_chosen(layers, split, windows, indicator))


def _conditions(table: pd.DataFrame) -> Iterator[str]:
    """Name the exceptions where something holds with conditions, and the effect sizes where it holds."""
    layers = table[(table["population"] == "all") & (table["layer"] != "network")]
    for (split, windows), indicator, verdict in _judged(table):
        if verdict.word == DOES_NOT_HOLD:
            continue
        cells = _chosen(layers, split, windows, indicator)
        weakest = cells.loc[cells["hedges_g"].abs().idxmin()]
        excepted = f"; undecided: {', '.join(verdict.exceptions)}" if verdict.exceptions else ""
        yield (
            f"- {indicator}, {split} images, by {by_words(windows)}: {verdict.direction} in memorizing networks; median g {cells['hedges_g'].median():.2g}, closest to zero "
            f"{weakest['hedges_g']:.2g} [{weakest['hedges_g_low']:.2g}, {weakest['hedges_g_high']:.2g}]{excepted}."
        )
    yield ""


def _good(table: pd.DataFrame) -> Iterator[str]:
    """Say which verdicts are others when only good units count."""
    of_all = {key: v.word for *key, v in ((c, i, v) for c, i, v in _judged(table)) for key in [tuple(key)]}
    changed = [
        f"{indicator}, {convention[0]} images, by {by_words(convention[1])}: {v.word}"
        for convention, indicator, v in _judged(table, "good")
        if v.word != of_all[convention, indicator]
    ]
    yield f"Over good units only, {'no verdict changes' if not changed else 'other verdicts: ' + '; '.join(changed)}.\n"


def _pooled(table: pd.DataFrame) -> Iterator[str]:
    """Say what is left when the units of all layers are pooled into one number per network."""
    rows = table[(table["population"] == "all") & (table["layer"] == "network")]
    said = [
        f"{indicator} {judge(_chosen(rows, split, windows, indicator)).word}"
        for split, windows in CONVENTIONS
        if (split, windows) == ("train", "target_label")
        for indicator in INDICATORS
    ]
    yield f"All layers pooled into one number per network (training images, by target label, {counted(rows.drop_duplicates(SETTING).shape[0], 'setting')}): {'; '.join(said)}.\n"


def _windows(table: pd.DataFrame) -> Iterator[str]:
    """Say where the sign depends on which labels make the windows."""
    layers = table[(table["population"] == "all") & (table["layer"] != "network") & (table["split"] == "train")]
    for indicator in ("fano_mean", "label_share_mean"):
        wide = layers[layers["indicator"] == indicator].pivot_table(
            index=[*SETTING, "layer"], columns="windows", values="hedges_g", sort=False
        )
        turned = int((np.sign(wide["label"]) != np.sign(wide["target_label"])).sum())
        yield f"The sign of the difference in {indicator} depends on whether the true or the trained label makes the windows in {turned} of {len(wide)} layers."
    yield ""


def _control(table: pd.DataFrame) -> Iterator[str]:
    """Say what is left of the differences when both groups are measured with the same windows, by the memorized labels."""
    layers = table[(table["population"] == "all") & (table["layer"] != "network")]
    said = [
        f"{indicator} {judge(_chosen(layers, *CONTROL, indicator)).counts}"
        for indicator in ("fano_mean", "fano_var", "label_share_mean")
    ]
    yield (
        "Control, training images, both groups in the same windows, by the labels that the memorizing network of the same seed was trained on: in memorizing networks "
        f"{'; '.join(said)}. What is lower by trained label and not lower here lies in the labels that make the windows, not in the networks.\n"
    )


def _random(table: pd.DataFrame) -> Iterator[str]:
    """Say on which side of the generalizing networks the untrained ones lie."""
    layers = table[(table["population"] == "all") & (table["layer"] != "network") & table["position_random"].notna()]
    layers = layers[(layers["split"] == "train") & (layers["windows"] == "label")]
    said = [
        f"{indicator} {int((some['position_random'] > 0).sum())}"
        for indicator, some in layers.groupby("indicator", sort=False)
    ]
    n = layers.drop_duplicates([*SETTING, "layer"]).shape[0]
    yield f"Untrained networks lie on the memorizing networks' side of the generalizing ones (training images, by true label) in so many of {n} layers: {', '.join(said)}.\n"


def _other_way(table: pd.DataFrame, split: str, windows: str, indicator: str, direction: str) -> list[str]:
    layers = table[(table["population"] == "all") & (table["layer"] != "network")]
    cells = _chosen(layers, split, windows, indicator)
    sign = -1 if direction == "lower" else 1
    return [cell_name(c) for c in cells[(sign * cells["hedges_g"] < 0) & (cells["p_corrected"] <= ALPHA)].itertuples()]


def _chosen(table: pd.DataFrame, split: str, windows: str, indicator: str) -> pd.DataFrame:
    return table[(table["split"] == split) & (table["windows"] == windows) & (table["indicator"] == indicator)]


def _span(settings: pd.DataFrame, name: str) -> str:
    return f"{settings[name].min():.1%} to {settings[name].max():.1%}"


def _setting(row: Any) -> str:
    return f"{row.data} {row.architecture}" + ("" if row.optimizer == "adam" else f" {row.optimizer.upper()}")


def by_words(windows: str) -> str:
    """Say which label makes the windows."""
    return {"label": "true label", "target_label": "trained label", "memorized_label": "memorized label"}[windows]
