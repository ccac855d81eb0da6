"""Question 6: do firing statistics choose units to prune?

Data: the tables of the finished cells "use": memorizing and equally long trained generalizing networks, in every hidden layer 10 to 90 % of units replaced by zero or by their mean over training images. Method: accuracy averaged over the shares pruned (memorizing: trained labels;
generalizing: held-out images), less that of random choices in the same network, by ranking and kind of replacement; random effects over settings with 95 % intervals, not corrected for their number. "Better" and "worse" than random: the interval excludes 0. "Settings higher": in how many settings the mean over
seeds is above 0, and in how many of these the sign-flip test over seeds gives p <= 0.05: with so few settings an interval can hardly exclude 0, even if all agree.

Source: Hu, Peng, Tai and Tang (2016), arXiv:1607.03250 (share of zeros); Li, Kadav, Durdanovic, Samet and Graf (2017), arXiv:1608.08710 (weight magnitude); Morcos, Barrett, Rabinowitz and Botvinick (2018), arXiv:1803.06959; Lehmler et al. (2024), doi:10.1016/j.neucom.2024.128473.
Limits: no retraining after pruning; small networks; the mean of a unit that always fires carries a bias that zero takes away.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analyses.contrasts import estimate, read, settings_of, with_interval
from analyses.plan import ADAM
from analyses.tables import markdown, written

NAME = "06_use"
RANKINGS = ("rate", "variance", "fano", "label share", "magnitude")


def main(out: Path, smoke: bool = False) -> str:
    """Tabulate differences from random choices and write the paragraph."""
    use = read(out, "use", smoke=smoke)
    if use.empty:
        return ""
    table = written(pd.DataFrame(_differences(use)), out / f"{NAME}.csv")
    text = "\n".join(paragraph(table, settings_of(use)))
    (out / f"{NAME}.md").write_text(text + "\n", encoding="utf-8")
    return text


def _differences(use: pd.DataFrame) -> Iterator[dict[str, object]]:
    means = (
        use.groupby(["setting", "seed", "state", "ablation", "ranking"], sort=False)["accuracy"]
        .mean()
        .unstack("ranking")
    )
    for (state, ablation), some in means.groupby(["state", "ablation"], sort=False):
        for ranking in RANKINGS:
            difference = (some[ranking] - some["random"]).groupby("setting", sort=False)
            found = estimate({str(setting): of.to_numpy(np.float64) for setting, of in difference})
            yield {
                "state": state,
                "ablation": ablation,
                "ranking": ranking,
                "accuracy": float(some[ranking].mean()),
                "accuracy_random": float(some["random"].mean()),
                **found,
            }


def paragraph(table: pd.DataFrame, settings: list[str]) -> Iterator[str]:
    """Write what the table says."""
    if len(settings) < len(ADAM):
        yield f"**Provisional: {len(settings)} of {len(ADAM)} settings are finished.**\n"
    rows = [
        {
            "networks": row["state"],
            "units replaced by": row["ablation"],
            "ranking": row["ranking"],
            "accuracy": f"{row['accuracy']:.1%}",
            "random": f"{row['accuracy_random']:.1%}",
            "difference in points (95 %)": with_interval(
                100 * row["mean"], 100 * row["low"], 100 * row["high"], "+.1f"
            ),
            "settings higher": f"{row['n_higher']} ({row['n_higher_decided']})",
            "settings lower": f"{row['n_lower']} ({row['n_lower_decided']})",
            "against random": _word(row),
        }
        for row in table.to_dict("records")
    ]
    yield f"Mean accuracy over 10 to 90 % of units pruned ({', '.join(settings)}):\n"
    yield markdown(pd.DataFrame(rows)) + "\n"


def _word(row: dict[str, float]) -> str:
    if row["low"] > 0:
        return "better"
    return "worse" if row["high"] < 0 else "not told apart"
