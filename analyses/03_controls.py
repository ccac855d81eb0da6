"""Question 3: what is left of the differences after controls?

Data: the tables of the finished cells "states", training images, whole networks. Method: (a) difference in differences: what training on permuted labels added to the untrained network, in windows of the permuted labels, less what training on
true labels added, in windows of the true labels, of the same seed; label share, and Fano mean over the mean number of images of a label; (b) the 20 estimates against generalizing networks at the training
loss of the memorizing one; (c) both networks of a pair weighted to one histogram of spike probabilities, at threshold 0. Random effects over settings as in question 2; intervals are not corrected for their number.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473; Churchland et al. (2010), doi:10.1038/nn.2501 (matching on rate). Limits: a network was kept when its loss had fallen by a tenth or more, so that
a matched loss is at most the memorizing network's, often less; matching on rate leaves rates within a bin of 0.05 unequal, and pools layers, so that the matched networks differ in their shares of layers ((d) matches within each). The control of the first edition, both groups in the windows of the permuted labels, is not used: networks that never saw these labels lie at
chance in them by construction.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analyses.beside import of_units
from analyses.contrasts import (
    LONG,
    MATCHED,
    MEMORIZING,
    THRESHOLDS,
    UNTRAINED,
    Differences,
    estimate,
    named,
    planned_settings,
    ratio_table,
    reached,
    read,
    settings_of,
    shown_ratio,
    values,
    with_interval,
)
from analyses.plan import PRIMARY
from analyses.tables import markdown, written

NAME = "03_controls"
N_LABELS = 10
GAINED = ("label_share_mean", "fano_mean")


def main(out: Path, smoke: bool = False) -> str:
    """Tabulate the three controls and write the paragraph."""
    states = reached(read(out, "states", smoke=smoke))
    if states.empty:
        return ""
    gains = written(pd.DataFrame(_gains(states)), out / f"{NAME}.csv")
    planned = planned_settings(smoke)
    loss = written(ratio_table(states, planned=planned, other=MATCHED), out / f"{NAME}_loss.csv")
    long = ratio_table(states, planned=planned)
    matched = written(pd.DataFrame(_matched_losses(states)), out / f"{NAME}_losses.csv")
    rates = written(pd.DataFrame(_rate_matched(states)), out / f"{NAME}_rate.csv")
    text = "\n".join(paragraph(gains, loss, long, rates, matched, settings_of(states)))
    units = read(out, "units", smoke=smoke)
    if len(units):
        facts = states[states["windows"] == "facts"]
        known = set(zip(facts["setting"], facts["seed"]))
        lost = frozenset(key for key in zip(units["setting"], units["seed"]) if key not in known)
        more = written(pd.DataFrame(of_units(units, lost)), out / f"{NAME}_units.csv")
        text += "\n\n" + "\n".join(_units_said(more, units))
    (out / f"{NAME}.md").write_text(text + "\n", encoding="utf-8")
    return text


def _gains(states: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Difference in differences for each threshold and indicator."""
    for threshold in THRESHOLDS:
        for column in GAINED:
            memorized, true = (
                gain(states, state, column, threshold, windows)
                for state, windows in ((MEMORIZING, "memorized"), (LONG, "label"))
            )
            differences = {setting: memorized[setting] - true[setting] for setting in memorized}
            yield {
                "threshold": threshold,
                "indicator": column,
                "gain_memorizing": float(np.nanmean(np.concatenate(list(memorized.values())))),
                "gain_generalizing": float(np.nanmean(np.concatenate(list(true.values())))),
                **estimate({setting: of[np.isfinite(of)] for setting, of in differences.items()}),
            }


def gain(states: pd.DataFrame, state: str, column: str, threshold: str, windows: str) -> Differences:
    """What training added to the untrained network of the seed, in the same windows; Fano factors over the mean window."""
    after, before = (values(states, of, column, threshold=threshold, windows=windows) for of in (state, UNTRAINED))
    sizes = {
        setting: _mean_window(states, str(setting)) if column.startswith("fano") else 1.0 for setting in after.index
    }
    return {str(setting): (row / sizes[setting]).to_numpy(np.float64) for setting, row in (after - before).iterrows()}


def _mean_window(states: pd.DataFrame, setting: str) -> float:
    """Mean number of training images of a label, from the setting's size in the plan."""
    return {"digits": 1297, "mnist": 2000}[setting.split()[0]] / N_LABELS


def _rate_matched(states: pd.DataFrame) -> Iterator[dict[str, object]]:
    for kind, windows in (("true", "label, rate-matched"), ("trained", "trained, rate-matched")):
        for column in ("fano_mean", "label_share_mean"):
            one, two = (values(states, state, column, threshold="0", windows=windows) for state in (MEMORIZING, LONG))
            ratios = {str(setting): row.to_numpy(np.float64) for setting, row in (np.log(one) - np.log(two)).iterrows()}
            found = estimate({setting: of[np.isfinite(of)] for setting, of in ratios.items()})
            for name in ("mean", "low", "high", "new_low", "new_high"):
                found[name] = float(np.exp(found[name]))
            yield {"windows": kind, "indicator": column, "ratio": found.pop("mean"), **found}


def _matched_losses(states: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Training losses by setting: medians over seeds, and the loss of the matched network over that of the memorizing one."""
    facts = states[states["windows"] == "facts"].pivot_table(
        index=["setting", "seed"], columns="state", values="train_loss", sort=False
    )
    for setting, of in facts.groupby("setting", sort=False):
        ratio = of[MATCHED] / of[MEMORIZING]
        yield {
            "setting": setting,
            **{state: of[state].median() for state in (MEMORIZING, MATCHED, LONG)},
            "n_matched": int(ratio.notna().sum()),
            "ratio_median": ratio.median(),
            "ratio_smallest": ratio.min(),
            "ratio_largest": ratio.max(),
        }


def paragraph(
    gains: pd.DataFrame,
    loss: pd.DataFrame,
    long: pd.DataFrame,
    rates: pd.DataFrame,
    losses: pd.DataFrame,
    settings: list[str],
) -> Iterator[str]:
    """Write what the tables say."""
    if len(settings) < len(PRIMARY):
        yield f"**Provisional: {len(settings)} of {len(PRIMARY)} primary settings are finished.**\n"
    yield "(a) What training added, memorizing (permuted labels) and generalizing (true labels), and the difference of the two:\n"
    rows = [
        {
            "threshold": row["threshold"],
            "indicator": named(row["indicator"]) + (" / window" if row["indicator"].startswith("fano") else ""),
            "memorizing": f"{row['gain_memorizing']:+.3f}",
            "generalizing": f"{row['gain_generalizing']:+.3f}",
            "difference (95 %)": with_interval(row["mean"], row["low"], row["high"], "+.3f"),
            "settings lower": f"{row['n_lower']} ({row['n_lower_decided']})",
            "settings higher": f"{row['n_higher']} ({row['n_higher_decided']})",
        }
        for row in gains.to_dict("records")
    ]
    yield markdown(pd.DataFrame(rows)) + "\n"
    yield "(b) Training losses, medians over seeds, and how closely they are matched (at most the memorizing network's, not equal to it):\n"
    yield markdown(_loss_table(losses)) + "\n"
    yield "Ratios against networks of at most the same training loss beside those against equally long trained ones:\n"
    both = [
        {
            "threshold": one["threshold"],
            "windows": "" if one["indicator"].startswith("firing") else f"{one['windows']} label",
            "indicator": named(one["indicator"]),
            "at most equal loss": shown_ratio(one),
            "equally long": shown_ratio(two),
            "verdict at this loss": one["verdict"],
        }
        for one, two in zip(loss.to_dict("records"), long.to_dict("records"))
    ]
    yield markdown(pd.DataFrame(both)) + "\n"
    changed = [
        f"{named(one['indicator'])} at {one['threshold']} by {one['windows']} label (corrected p {two['p_corrected']:.2g} against long, {one['p_corrected']:.2g} at this loss)"
        for one, two in zip(loss.to_dict("records"), long.to_dict("records"))
        if one["verdict"] != two["verdict"]
    ]
    yield f"Verdicts that differ between the columns: {'; '.join(changed) or 'none'}.\n"
    if any("trained label" in words for words in changed):
        yield "By trained labels convolutional memorizing networks stand near the floor of question 2: a p that passes 0.05 there is no finding about losses.\n"
    said = [
        f"{named(str(row['indicator']))} by {row['windows']} label {shown_ratio(row)}, lower in {row['n_lower']} and higher in {row['n_higher']} of {row['n']} settings"
        for row in rates.to_dict("records")
    ]
    yield f"(c) Threshold 0, both networks weighted to the same rates, ratio: {'; '.join(said)}."


def _loss_table(losses: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "setting": row["setting"],
            **{state: f"{row[state]:.2g}" for state in (MEMORIZING, MATCHED, LONG)},
            "matched / memorizing, median (range)": f"{row['ratio_median']:.2f} ({row['ratio_smallest']:.2f} to {row['ratio_largest']:.2f})",
            "seeds matched": row["n_matched"],
        }
        for row in losses.to_dict("records")
    )


UNITS_NAMED = {
    "fano_equal_mean": "Fano mean of counts rescaled to windows of equal size",
    "fano_untied_mean": "Fano mean, units that are not tied",
    "label_share_untied_mean": "label share, units that are not tied",
    "fano_mean": "Fano mean, rates matched within layers",
    "label_share_mean": "label share, rates matched within layers",
    "empty_share": "1 - p of the units that fire",
}


def _units_said(more: pd.DataFrame, units: pd.DataFrame) -> Iterator[str]:
    """What was measured after data were seen, from single units."""
    shared = units.loc[units["windows"] == "true, matched within layers", "common_share"]
    yield f"(d) Added after data were seen, {len(settings_of(units))} of {len(PRIMARY)} settings, five seeds each, described (no sign-flip p of five seeds is below 1/16); of two matched networks {shared.mean():.0%} of the units are common within layers ({shared.min():.0%} to {shared.max():.0%}):\n"
    rows = [
        {
            "indicator": UNITS_NAMED[row["indicator"]],
            "threshold": row["threshold"],
            "windows": "" if row["indicator"] == "empty_share" else f"{row['windows']} label",
            "memorizing": f"{row['memorizing']:.3g}",
            "generalizing": f"{row['generalizing']:.3g}",
            "ratio (95 %)": shown_ratio(row),
            "settings lower": row["n_lower"],
            "settings higher": row["n_higher"],
        }
        for row in more.to_dict("records")
    ]
    yield markdown(pd.DataFrame(rows))
