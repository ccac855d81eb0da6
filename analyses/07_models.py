"""Question 7: which arrival process describes a unit, and what does label tuning alone reproduce?

Data: the tables of the finished cells "models": 32 units of each layer of untrained, memorizing and equally long trained generalizing networks, at three thresholds, inputs in shuffled order (that of the file is the order of classes in MNIST, and no training presented images in it) and in the order of the labels trained with. Method: maximum likelihood of one probability ("rate", the
lattice's Poisson process), one for each trained label ("label"), a Markov chain, a beta-binomial gain over windows of 50 ("gain") and a renewal process; the best by BIC, as a share of the units that vary; share of good units whose intervals differ from those of one rate (p <= 0.05, by chance 5 %).
Shares are pooled over networks and layers: of all units that vary, or that are tested, not means of shares.
Simulation: units that fire independently by their label alone, and their indicators over those observed. It draws from fitted shares, so that chance enters twice: a label share s becomes s + (1 - s) f on average, f = (labels - 1) / (images - 1); this over s is the reference, not 1.

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
from analyses.tables import markdown, written

NAME = "07_models"
MODELS = ("rate", "label", "markov", "gain", "renewal")
N_IMAGES, N_LABELS = {"digits": 1297, "mnist": 2000}, 10
SMOKE_IMAGES = 200


def main(out: Path, smoke: bool = False) -> str:
    """Tabulate processes and simulations and write the paragraph."""
    models = read(out, "models", smoke=smoke)
    if models.empty:
        return ""
    processes = written(_processes(models), out / f"{NAME}.csv")
    simulated = written(_simulated(models, smoke), out / f"{NAME}_simulated.csv")
    text = "\n".join(paragraph(processes, simulated, settings_of(models)))
    (out / f"{NAME}.md").write_text(text + "\n", encoding="utf-8")
    return text


def _processes(models: pd.DataFrame) -> pd.DataFrame:
    """Shares of units, pooled over the networks of a data set, of all layers and of each."""
    of = models[models["what"] == "process"]
    kept = [("n_described", [*(f"best_{name}" for name in MODELS), "label_bits"])]
    kept += [(f"tested_{name}", [f"rejected_{name}"]) for name in ("isi_law_p", "overdispersion_p")]
    keys = ["data", "state", "threshold", "order"]
    parts = [
        some.groupby(by, sort=False)
        .apply(lambda rows: pd.Series(_pooled(rows, kept)), include_groups=False)
        .reset_index()
        for by, some in ((keys, of), ([*keys, "layer"], of))
    ]
    parts[0].insert(len(keys), "layer", "all layers")
    return pd.concat(parts, ignore_index=True)


def _pooled(rows: pd.DataFrame, kept: list[tuple[str, list[str]]]) -> dict[str, float]:
    """Means of columns weighted by the number of units that each is a share of."""
    found = {}
    for number, columns in kept:
        weights = rows[number].to_numpy(np.float64)
        for column in columns:
            share = rows[column].to_numpy(np.float64)
            known = np.isfinite(share) & (weights > 0)
            found[column] = float(np.average(share[known], weights=weights[known])) if known.any() else np.nan
    return found


def _simulated(models: pd.DataFrame, smoke: bool = False) -> pd.DataFrame:
    """Median over networks of the simulated indicator over the observed one, with the smallest and the largest; for label shares also of the ratio that is expected."""
    of = models[models["what"] == "simulated"]
    # Where a quantile fixes the rate it is no indicator.
    of = of[~(of["indicator"].str.startswith("firing") & (of["threshold"] != "0"))]
    n_images = SMOKE_IMAGES if smoke else of["data"].map(N_IMAGES)
    chance = (N_LABELS - 1) / (n_images - 1)
    truth = of["observed"].where(of["model"] == "label", 0.0)
    ratios = {
        "found": of["simulated"] / of["observed"],
        "expected": ((truth + (1 - truth) * chance) / of["observed"]).where(of["indicator"] == "label_share_mean"),
    }
    ratios["found_over_expected"] = ratios["found"] / ratios["expected"]
    keys = [of[name] for name in ("model", "state", "threshold", "indicator")]
    parts = [
        ratio.replace([np.inf, -np.inf], np.nan)
        .groupby(keys, sort=False)
        .agg(["median", "min", "max"])
        .add_prefix("" if name == "found" else f"{name}_")
        for name, ratio in ratios.items()
    ]
    return pd.concat(parts, axis=1).reset_index()


def paragraph(processes: pd.DataFrame, simulated: pd.DataFrame, settings: list[str]) -> Iterator[str]:
    """Write what the tables say."""
    if len(settings) < len(ADAM):
        yield f"**Provisional: {len(settings)} of {len(ADAM)} settings are finished ({', '.join(settings)}).**\n"
    whole = processes[processes["layer"] == "all layers"]
    rows = [
        {
            "data": row["data"],
            "networks": row["state"],
            "threshold": row["threshold"],
            "order": row["order"],
            **{name: f"{row[f'best_{name}']:.0%}" for name in MODELS},
            "label, bits": f"{row['label_bits']:.3f}",
            "intervals rejected": f"{row['rejected_isi_law_p']:.0%}",
        }
        for row in whole.to_dict("records")
    ]
    yield "Share of the units that vary that each model describes best, pooled over networks and layers (layers in the table):\n"
    yield markdown(pd.DataFrame(rows)) + "\n"
    yield "Indicators of a simulation over those observed, median over networks (smallest to largest); for label shares then the ratio expected of the simulated model, and what was found over it: there, and not in the first, 1 means reproduced. A Fano factor contains the same chance.\n"
    wide = pd.DataFrame(_wide(simulated))
    yield markdown(wide.fillna("")) + "\n"


def _wide(simulated: pd.DataFrame) -> Iterator[dict[str, str]]:
    """Rows for people: one state a column."""
    for (model, threshold, indicator), some in simulated.groupby(["model", "threshold", "indicator"], sort=False):
        for prefix, words in (("", ""), ("expected_", ", expected"), ("found_over_expected_", ", found over expected")):
            if some[f"{prefix}median"].notna().any():
                yield {
                    "model": str(model),
                    "threshold": str(threshold),
                    "indicator": named(str(indicator)) + words,
                    **{
                        row[
                            "state"
                        ]: f"{row[f'{prefix}median']:.2f} ({row[f'{prefix}min']:.2f} to {row[f'{prefix}max']:.2f})"
                        for row in some.to_dict("records")
                    },
                }
