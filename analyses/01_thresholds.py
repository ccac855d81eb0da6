"""Question 1: does the difference between memorizing and generalizing networks depend on the threshold?

Data: the tables of the finished cells "states", training images. Method: layer by layer, mean Fano factor and label share of memorizing and of equally long trained generalizing networks, at 0, at each unit's median and at its 90 %
quantile, in windows by the true label and by the label trained with; in how many layers memorizing networks are lower on average, and in how many with a sign-flip p of at most 0.05. Order: Fano factor in windows of 50 images
in label order and in shuffled order, over whole networks. Tied units, whose quantile is the floor of the ReLU, keep the rate that they have at 0. The rule of the first edition (one sign and corrected p at most 0.05 in every layer) is applied in the last column.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473, arXiv:2308.00858. Limits: feed-forward networks of three layers on two small data sets; what the quantile fixes
(rates at the median and at the 90 % quantile) is not an indicator and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from analyses.contrasts import (
    COUNTS,
    LONG,
    MEMORIZING,
    THRESHOLDS,
    WINDOWS,
    by_setting,
    estimate,
    named,
    reached,
    read,
    settings_of,
    values,
    with_interval,
)
from analyses.tables import corrected, counted, markdown, written

NAME = "01_thresholds"
ORDERS = ("label order", "shuffled")


def main(out: Path, smoke: bool = False) -> str:
    """Tabulate layers and orders, and write the paragraph that the numbers make; nothing without finished cells."""
    states = reached(read(out, "states", smoke=smoke))
    if states.empty:
        return ""
    layers = written(pd.DataFrame(_layers(states)).pipe(_with_corrected), out / f"{NAME}.csv")
    orders = written(pd.DataFrame(_orders(states)), out / f"{NAME}_order.csv")
    ties = written(pd.DataFrame(_ties(states)), out / f"{NAME}_ties.csv")
    text = paragraph(layers, orders, ties, settings_of(states))
    (out / f"{NAME}.md").write_text(text + "\n", encoding="utf-8")
    return text


def _layers(states: pd.DataFrame) -> Iterator[dict[str, object]]:
    """One row for each setting, layer, threshold, kind of windows and indicator."""
    by_layer = states[states["layer"] != "network"].groupby(["setting", "layer"], sort=False)
    for (setting, layer), of in by_layer:
        for threshold, (kind, (first, second)), column in product(THRESHOLDS, WINDOWS.items(), COUNTS):
            one = values(of, MEMORIZING, column, threshold=threshold, windows=first, layer=layer)
            two = values(of, LONG, column, threshold=threshold, windows=second, layer=layer)
            found = estimate(by_setting(np.log(one) - np.log(two)))
            yield {
                "setting": setting,
                "layer": layer,
                "threshold": threshold,
                "windows": kind,
                "indicator": column,
                "memorizing": float(np.nanmean(one)),
                "generalizing": float(np.nanmean(two)),
                "log_ratio": found["mean"],
                "p": found["largest_p"],
            }


def _with_corrected(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(p_corrected=corrected(table["p"].to_numpy(np.float64)))


def _orders(states: pd.DataFrame) -> Iterator[dict[str, object]]:
    for order in ORDERS:
        for threshold in THRESHOLDS:
            one = values(states, MEMORIZING, "fano_mean", threshold=threshold, windows=order)
            two = values(states, LONG, "fano_mean", threshold=threshold, windows=order)
            found = estimate(by_setting(np.log(one) - np.log(two)))
            yield {
                "order": order,
                "threshold": threshold,
                "memorizing": float(np.nanmean(one)),
                "generalizing": float(np.nanmean(two)),
                **found,
            }


def _ties(states: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Share of tied units and mean p, by threshold, setting and layer; rows of setting "all" are means over whole networks."""
    whole = states.assign(setting="all", seed=range(len(states)))[states["layer"] == "network"]
    for setting, of in (("all", whole), *states[states["layer"] != "network"].groupby("setting", sort=False)):
        for layer, threshold, state in product(of["layer"].dropna().unique(), THRESHOLDS[1:], (MEMORIZING, LONG)):
            tied, p = (
                values(of, state, column, threshold=threshold, windows="label", layer=layer)
                for column in ("tied_share", "p_spike_mean")
            )
            yield {
                "setting": setting,
                "layer": layer,
                "threshold": threshold,
                "state": state,
                "tied_share": float(np.nanmean(tied)),
                "p_spike": float(np.nanmean(p)),
            }


def paragraph(layers: pd.DataFrame, orders: pd.DataFrame, ties: pd.DataFrame, settings: list[str]) -> str:
    """Write what the tables say."""
    return "\n".join([*_counts(layers, settings), *_orders_said(orders), *_ties_said(ties)])


def _counts(layers: pd.DataFrame, settings: list[str]) -> Iterator[str]:
    n = len(layers[["setting", "layer"]].drop_duplicates())
    rows = []
    for (kind, indicator, threshold), some in layers.groupby(["windows", "indicator", "threshold"], sort=False):
        lower, sure = some["log_ratio"] < 0, some["p"] <= 0.05
        everywhere = (some["p_corrected"] <= 0.05).all() and lower.nunique() == 1
        rows.append(
            {
                "windows": f"{kind} label",
                "indicator": named(str(indicator)),
                "threshold": threshold,
                "lower (p <= 0.05)": f"{int(lower.sum())} ({int((lower & sure).sum())})",
                "higher (p <= 0.05)": f"{int((~lower).sum())} ({int((~lower & sure).sum())})",
                "in every layer": "yes" if everywhere else "no",
            }
        )
    yield f"{counted(n, 'layer')} of {counted(len(settings), 'finished primary setting')} ({', '.join(settings)}): in how many memorizing networks have lower and higher values than equally long trained generalizing ones.\n"
    yield (
        markdown(pd.DataFrame(rows).sort_values(["windows", "indicator"], kind="stable", ascending=[False, True]))
        + "\n"
    )
    yield "Where the quantile fixes p, the Fano factor is 1 - p times the label share times the number of images in a window, nearly: its counts and those of the label share are the same finding twice.\n"


def _orders_said(orders: pd.DataFrame) -> Iterator[str]:
    said = [
        f"{row.order}, {row.threshold}: {row.memorizing:.2f} against {row.generalizing:.2f}, ratio {with_interval(*np.exp([row.mean, row.low, row.high]), '.2f')}"
        for row in orders.itertuples()
    ]
    yield f"Mean Fano factor of whole networks in windows of 50 images, memorizing against generalizing, by order and threshold: {'; '.join(said)}. In shuffled order a window holds chance only, and the Fano factor of a unit is near 1 - p: that ratio says how rates are distributed, not that spikes are more variable.\n"


def _ties_said(ties: pd.DataFrame) -> Iterator[str]:
    whole = ties[ties["setting"] == "all"]
    said = [
        f"{row.state} {row.threshold} {row.tied_share:.0%} (mean p {row.p_spike:.2f})" for row in whole.itertuples()
    ]
    yield f"Tied units, whose quantile is the floor of the ReLU, so that it does not fix their rate: {'; '.join(said)}. By layer both differ much more; where most units are tied, the quantile is the threshold 0 under another name, and rates are not equal:\n"
    layers = ties[ties["setting"] != "all"]
    wide = layers.assign(
        said=[f"{row.tied_share:.0%} (p {row.p_spike:.2f})" for row in layers.itertuples()],
        what=[f"{row.state}, {row.threshold}" for row in layers.itertuples()],
    ).pivot_table(index=["setting", "layer"], columns="what", values="said", aggfunc="first", sort=False)
    yield markdown(wide.reset_index()) + "\n"
