"""Question 5: within one network, do the patterns of mislabelled images differ?

Data: the tables of the finished cells "within": networks that learned 99.9 % of labels of which half had been permuted. Method: for each training image the distance (Hamming) to the nearest image of its trained label less that to the nearest of another, and
minus the left-out log-likelihood of its bits under its trained label (model "label" of `ann2neo.models`), alone and less the largest under another label; AUC of each score for images whose label is wrong, per network; mean over seeds and random effects
over settings of AUC less 0.5 (intervals are cut at 0 and 1). Fixed beforehand: Hamming, last hidden layer, unit median. Beside: the margin of the output, and, added after the first cell had been seen, the same scores of the untrained network of the seed, paired.

Source: Cover and Hart (1967), doi:10.1109/TIT.1967.1053964 (nearest neighbours); Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473. Limits: scores use the labels that the network was trained with; that an image stands out does not say that its label is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.contrasts import estimate, read, settings_of, with_interval
from analyses.plan import ADAM
from analyses.tables import markdown, written

NAME = "05_within"
FIXED = ("last", "median", "hamming")


def main(out: Path, smoke: bool = False) -> str:
    """Tabulate areas and write the paragraph."""
    within = read(out, "within", smoke=smoke)
    if within.empty:
        return ""
    table = written(pd.DataFrame(_areas(within)), out / f"{NAME}.csv")
    gains = written(pd.DataFrame(_gains(within)), out / f"{NAME}_gains.csv")
    text = "\n".join([*paragraph(table, within), *_gains_said(gains)])
    (out / f"{NAME}.md").write_text(text + "\n", encoding="utf-8")
    return text


def _areas(within: pd.DataFrame) -> Iterator[dict[str, object]]:
    """One row for each place of a layer (all networks have three), threshold and score."""
    places = {"relu1": "first", "relu2": "second", "relu3": "last", "output": "output"}
    placed = within.assign(place=within["layer"].map(places))
    for (place, threshold, score), some in placed.groupby(["place", "threshold", "score"], sort=False):
        wide = {
            state: of.pivot_table(index="setting", columns="seed", values="auc", sort=False)
            for state, of in some.groupby("state")
        }
        found = estimate({setting: of - 0.5 for setting, of in _rows(wide["trained"])})
        more = estimate(dict(_rows(wide["trained"] - wide["untrained"])))
        # With few settings an interval of Student's t passes the ends of the scale, where it is cut.
        shifted = {name: float(np.clip(found[name] + 0.5, 0, 1)) for name in ("mean", "low", "high")}
        shifted |= {"untrained": float(np.nanmean(wide["untrained"]))}
        shifted |= {f"more_{name}": more[name] for name in ("mean", "low", "high")}
        yield {
            "layer": place,
            "threshold": threshold,
            "score": score,
            **found,
            **shifted,
            "smallest": float(np.nanmin(wide["trained"])),
            "largest": float(np.nanmax(wide["trained"])),
        }


def _gains(within: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Setting by setting, of the score fixed beforehand: trained less untrained, and in how many seeds it is below 0."""
    fixed = within[(within["layer"] == "relu3") & (within["threshold"] == FIXED[1]) & (within["score"] == FIXED[2])]
    wide = fixed.pivot_table(index=["setting", "seed"], columns="state", values="auc", sort=False)
    for setting, of in wide.groupby("setting", sort=False):
        gained = of["trained"] - of["untrained"]
        yield {
            "setting": setting,
            "trained": of["trained"].mean(),
            "untrained": of["untrained"].mean(),
            "gained": gained.mean(),
            "n_lower": int((gained < 0).sum()),
            "n": int(gained.notna().sum()),
        }


def _gains_said(gains: pd.DataFrame) -> Iterator[str]:
    said = [
        f"{row['setting']} {row['gained']:+.2f} (lower than untrained in {row['n_lower']} of {row['n']} seeds)"
        for row in gains.to_dict("records")
    ]
    yield f"\nThe same score by setting, trained less untrained: {'; '.join(said)}. Random weights keep the geometry of the images, which tells mislabelled ones; the margin of the output does not before training."


def _rows(wide: pd.DataFrame) -> Iterator[tuple[str, Float[np.ndarray, " seed"]]]:
    return ((str(setting), row.dropna().to_numpy(np.float64)) for setting, row in wide.iterrows())


def paragraph(table: pd.DataFrame, within: pd.DataFrame) -> Iterator[str]:
    """Write what the table says."""
    settings = settings_of(within)
    if len(settings) < len(ADAM):
        yield f"**Provisional: {len(settings)} of {len(ADAM)} settings are finished.**\n"
    facts = within.drop_duplicates(["setting", "seed"])
    yield (
        f"{len(facts)} networks of {', '.join(settings)}; {facts['n_wrong'].mean():.0f} of their training images on average have another label than their class; {facts['accuracy'].min():.1%} or more of the labels were learned, "
        f"and {facts['accuracy_held_out'].mean():.1%} of held-out images are right.\n"
    )
    rows = [
        {
            "layer": row["layer"],
            "threshold": row["threshold"],
            "score": row["score"],
            "AUC (95 %)": with_interval(row["mean"], row["low"], row["high"], ".3f"),
            "networks from": f"{row['smallest']:.3f}",
            "to": f"{row['largest']:.3f}",
            "untrained": f"{row['untrained']:.3f}",
            "trained less untrained (95 %)": _more(row),
        }
        for row in table.to_dict("records")
    ]
    yield markdown(pd.DataFrame(rows)) + "\n"
    fixed = table[(table["layer"] == FIXED[0]) & (table["threshold"] == FIXED[1]) & (table["score"] == FIXED[2])].iloc[
        0
    ]
    output = table[table["layer"] == "output"].iloc[0]
    spikes = table[table["layer"] != "output"]
    best = spikes.loc[spikes["mean"].idxmax()]
    yield (
        f"Fixed beforehand (Hamming, last layer, median): AUC {with_interval(fixed['mean'], fixed['low'], fixed['high'], '.3f')}; less that of the untrained network {_more(fixed)}. Margin of the output: {output['mean']:.3f}. "
        f"Largest of all spike scores, found afterwards: {best['score']}, {best['layer']} layer, {best['threshold']}: {best['mean']:.3f} (untrained {best['untrained']:.3f})."
    )


def _more(row: Any) -> str:
    return with_interval(row["more_mean"], row["more_low"], row["more_high"], "+.3f")
