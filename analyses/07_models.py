"""Question 7: which arrival process describes a unit, and what does label tuning alone reproduce?

Data: the tables of the finished cells "models": 32 units of each layer of untrained, memorizing and equally long trained generalizing networks, at three thresholds, inputs as presented and in the order of the labels trained with. Method: maximum likelihood of one probability ("rate", the
lattice's Poisson process), one for each trained label ("label"), a Markov chain, a beta-binomial gain over windows of 50 ("gain") and a renewal process; the best by BIC, as a share of the units that vary; share of good units whose intervals differ from those of one rate (p <= 0.05, by chance 5 %).
Simulation: units that fire independently by their label alone, and their indicators over those observed.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473 (arrival processes); Schwarz (1978), doi:10.1214/aos/1176344136 (BIC); `ann2neo.models.fit` has the models' own. Limits: BIC favours models with few parameters, of which "label" has ten;
"gain" and "renewal" know no labels, so that in label order they can stand for tuning.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analyses.contrasts import named, read, settings_of
from analyses.plan import ADAM
from analyses.replicates import markdown, written

NAME = "07_models"
MODELS = ("rate", "label", "markov", "gain", "renewal")


def main(out: Path, smoke: bool = False) -> str:
    """Tabulate processes and simulations and write the paragraph."""
    models = read(out, "models", smoke=smoke)
    if models.empty:
        return ""
    processes = written(_processes(models), out / f"{NAME}.csv")
    simulated = written(_simulated(models), out / f"{NAME}_simulated.csv")
    text = "\n".join(paragraph(processes, simulated, settings_of(models)))
    (out / f"{NAME}.md").write_text(text + "\n", encoding="utf-8")
    return text


def _processes(models: pd.DataFrame) -> pd.DataFrame:
    """Mean over networks and layers, and each layer's, of shares of units."""
    of = models[models["what"] == "process"]
    columns = [*(f"best_{name}" for name in MODELS), "label_bits", "rejected_isi_law_p", "rejected_overdispersion_p"]
    means = (
        of.groupby(["state", "threshold", "order"], sort=False)[columns]
        .mean()
        .reset_index()
        .assign(layer="mean of layers")
    )
    layers = of.groupby(["state", "threshold", "order", "layer"], sort=False)[columns].mean().reset_index()
    return pd.concat([means, layers], ignore_index=True)


def _simulated(models: pd.DataFrame) -> pd.DataFrame:
    """Median over networks of the simulated indicator over the observed one, with the smallest and the largest."""
    of = models[models["what"] == "simulated"]
    # Where a quantile fixes the rate it is no indicator.
    of = of[~(of["indicator"].str.startswith("firing") & (of["threshold"] != "0"))]
    ratio = (of["simulated"] / of["observed"]).replace([np.inf, -np.inf], np.nan)
    keys = [of[name] for name in ("model", "state", "threshold", "indicator")]
    return ratio.groupby(keys, sort=False).agg(["median", "min", "max"]).reset_index()


def paragraph(processes: pd.DataFrame, simulated: pd.DataFrame, settings: list[str]) -> Iterator[str]:
    """Write what the tables say."""
    if len(settings) < len(ADAM):
        yield f"**Provisional: {len(settings)} of {len(ADAM)} settings are finished ({', '.join(settings)}).**\n"
    mean = processes[processes["layer"] == "mean of layers"]
    rows = [
        {
            "networks": row["state"],
            "threshold": row["threshold"],
            "order": row["order"],
            **{name: f"{row[f'best_{name}']:.0%}" for name in MODELS},
            "label, bits": f"{row['label_bits']:.3f}",
            "intervals rejected": f"{row['rejected_isi_law_p']:.0%}",
        }
        for row in mean.to_dict("records")
    ]
    yield "Share of units that each model describes best, mean over networks and layers (layers in the table):\n"
    yield markdown(pd.DataFrame(rows)) + "\n"
    yield "Indicators of a simulation over those observed, median over networks (smallest to largest); 1: reproduced.\n"
    shown = simulated.assign(
        said=[
            f"{row.median_:.2f} ({row.min_:.2f} to {row.max_:.2f})"
            for row in simulated.rename(columns={"median": "median_", "min": "min_", "max": "max_"}).itertuples()
        ]
    )
    wide = shown.pivot_table(
        index=["model", "threshold", "indicator"], columns="state", values="said", aggfunc="first", sort=False
    ).reset_index()
    yield markdown(wide.assign(indicator=[named(name) for name in wide["indicator"]])) + "\n"
