"""Question 2: what differs between whole networks, the level at which the paper describes them?

Data: the tables of the finished cells "states", training images; one number per network, over the units of all layers. Method: the 20 estimates fixed beforehand, as ratios memorizing / equally long trained generalizing network
of the same seed; random effects over settings (Paule and Mandel; Hartung and Knapp), p corrected by Holm over the 20. "New setting": interval that covers the ratio of another setting drawn alike with 95 %
probability, shown with I² once all settings are finished. "Settings lower": in how many settings the mean over seeds is below 1, and in how many of these the sign-flip test over seeds gives p <= 0.05. Beside them, decided after data were seen: the floor on which indicators in
windows of trained labels stand, layers weighted equally, and rates of all five networks.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473, arXiv:2308.00858; Hartung and Knapp (2001), doi:10.1002/sim.791. Limits: the settings share two data sets and two architectures and are not
independent draws; large layers weigh more in a network's mean, in convolutional networks the first convolution, whose units share weights; Fano factors over windows of one label are of counts in windows of unequal size, so that
a unit that always fires has one, too: the variance of the sizes over their mean, which is much larger in MNIST, where classes differ in size, than in digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analyses.beside import equal_layers, floors, rates
from analyses.contrasts import (
    named,
    planned_settings,
    ratio_table,
    reached,
    read,
    settings_of,
    shown_ratio,
)
from analyses.plan import PRIMARY
from analyses.tables import markdown, written

NAME = "02_networks"


def main(out: Path, smoke: bool = False) -> str:
    """Tabulate the primary estimates, beside them what was added and the secondary settings, and write the paragraph."""
    primary = reached(read(out, "states", smoke=smoke))
    if primary.empty:
        return ""
    planned = planned_settings(smoke)
    table = written(ratio_table(primary, planned=planned), out / f"{NAME}.csv")
    floor = written(pd.DataFrame(floors(primary)), out / f"{NAME}_floor.csv")
    equal = written(pd.DataFrame(equal_layers(primary)), out / f"{NAME}_layers.csv")
    rate = written(pd.DataFrame(rates(primary)), out / f"{NAME}_rates.csv")
    text = "\n".join(paragraph(table, settings_of(primary), primary.attrs["left_out"]))
    sizes = read(out, "windows", smoke=smoke)
    text += "\n\n" + "\n".join(
        [*_sizes_said(sizes), *_floor_said(floor), *_equal_said(equal, table), *_rates_said(rate)]
    )
    others = pd.DataFrame() if smoke else read(out, "states", secondary=True)
    if len(others):
        more = written(ratio_table(reached(others), planned=planned), out / f"{NAME}_secondary.csv")
        text += "\n\n" + "\n".join(_secondary(more, settings_of(others)))
    (out / f"{NAME}.md").write_text(text + "\n", encoding="utf-8")
    return text


def paragraph(table: pd.DataFrame, settings: list[str], left_out: int) -> Iterator[str]:
    """Write what the table says."""
    if len(settings) < len(PRIMARY):
        yield f'**Provisional: {len(settings)} of {len(PRIMARY)} primary settings are finished ({", ".join(settings)}).** The rule for "holds" needs all of them; until then a corrected p of at most 0.05 is "so far".\n'
    yield f"Primary estimates over {len(settings)} settings; seeds left out because the memorizing network did not learn its labels: {left_out}.\n"
    yield markdown(_table(table)) + "\n"
    for words, where in (
        ("holds", ", in all settings"),
        ("so far", " (not all settings are finished)"),
        ("holds on average", ""),
    ):
        some = [
            f"{_name(row)} ({side})"
            for row in table.to_dict("records")
            for side in ("lower", "higher")
            if row["verdict"] == f"{side}: {words}"
        ]
        if some or words == "holds":
            yield f"{words.capitalize()}{where}: {'; '.join(some) or 'none'}."
    undecided = [_name(row) for row in table.to_dict("records") if row["verdict"] == "undecided"]
    yield f"Undecided: {'; '.join(undecided) or 'none'}. Where the quantile fixes the probability of a spike, Fano factor and label share are nearly one number, but for a factor that both networks share: these are not two confirmations, and of the 20 estimates fewer are independent. What holds by trained label says that memorizing networks are nearer to chance than generalizing ones: how near, and how much of it chance makes, is in the table of the floor."


def _sizes_said(sizes: pd.DataFrame) -> Iterator[str]:
    """What the sizes of windows alone make."""
    if sizes.empty:
        return
    said = []
    for data, of in sizes.groupby("data", sort=False):
        n = of["n_images"]
        said.append(
            f"{data} {n.min()} to {n.max()} images of a label, variance over mean {n.var(ddof=0) / n.mean():.2f}"
        )
    yield f"Windows by label are not equally large: {'; '.join(said)}. The last is the Fano factor of a unit that fires for every image; a unit that fires with probability p for every label has p times as much of it, beside what chance makes. Label shares do not contain it.\n"


def _floor_said(floor: pd.DataFrame) -> Iterator[str]:
    yield (
        "The floor, added after data were seen: in windows of permuted labels an untrained network has only what chance deals, which depends on the number of images. Its value over that of the generalizing network is about the ratio that a network at chance has (Fano factors depend on rates, too); "
        'the adjusted label share has chance taken off, and is 0 on average at chance. "Above chance": mean over seeds above 0 with a sign-flip p of at most 0.05.\n'
    )
    rows = [
        {
            "setting": row["setting"],
            "threshold": row["threshold"],
            "Fano mean, ratio (floor)": f"{row['fano_ratio']:.3f} ({row['fano_floor']:.3f})",
            "label share, ratio (floor)": f"{row['share_ratio']:.3f} ({row['share_floor']:.3f})",
            "adjusted share, memorizing": f"{row['adjusted_memorizing']:.4f}",
            "generalizing": f"{row['adjusted_generalizing']:.3f}",
            "ratio": f"{row['adjusted_ratio']:.3f}",
            "memorizing": "above chance" if row["above_chance"] else "at chance",
        }
        for row in floor.to_dict("records")
    ]
    yield markdown(pd.DataFrame(rows)) + "\n"


def _equal_said(equal: pd.DataFrame, table: pd.DataFrame) -> Iterator[str]:
    """Layers weighted equally beside units weighted equally."""
    fixed = table.set_index(["threshold", "windows", "indicator"]).to_dict("index")
    rows = [
        {
            "threshold": row["threshold"],
            "windows": f"{row['windows']} label",
            "indicator": named(row["indicator"]),
            "layers equal": f"{shown_ratio(row)}, p {row['p']:.2g}",
            "units equal": f"{shown_ratio(of)}, p {of['p']:.2g}",
        }
        for row in equal.to_dict("records")
        for of in [fixed[(row["threshold"], row["windows"], row["indicator"])]]
    ]
    yield "Means over layers, each of the mean over its units, added after data were seen, beside means over all units; p is not corrected:\n"
    yield markdown(pd.DataFrame(rows).replace("firing rate", "rate mean")) + "\n"


def _rates_said(rate: pd.DataFrame) -> Iterator[str]:
    whole = rate[rate["layer"] == "network"]
    rows = [
        {
            "setting": row["setting"],
            "images": row["images"],
            "memorizing / untrained": f"{row['memorizing_untrained']:.2f}",
            "long / untrained": f"{row['long_untrained']:.2f}",
            "memorizing / long": f"{row['memorizing_long']:.2f}",
            "memorizing / generalizing": f"{row['memorizing_generalizing']:.2f}",
        }
        for row in whole.to_dict("records")
    ]
    layers = rate[(rate["layer"] != "network") & (rate["images"] == "train")]
    ratio = layers["memorizing_long"]
    lowest, highest = layers.loc[ratio.idxmin()], layers.loc[ratio.idxmax()]
    yield 'Mean firing rates at 0 of whole networks, ratios (geometric mean over seeds); "generalizing" is the network that just learned the true labels, "long" the one trained as long as the memorizing one:\n'
    yield markdown(pd.DataFrame(rows)) + "\n"
    yield f"By layer the ratio memorizing / long runs from {ratio.min():.2f} ({lowest['setting']}, {lowest['layer']}) to {ratio.max():.2f} ({highest['setting']}, {highest['layer']})."


def _secondary(table: pd.DataFrame, settings: list[str]) -> Iterator[str]:
    yield f"Secondary settings ({', '.join(settings)}), described:\n"
    yield markdown(_table(table).drop(columns="verdict"))


def _table(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "threshold": row["threshold"],
            "windows": _windows(row),
            "indicator": named(row["indicator"]),
            "ratio (95 %)": shown_ratio(row),
            "new setting": f"{row['new_low']:.2g} to {row['new_high']:.2g}" if row["n"] >= len(PRIMARY) else "",
            "tau (log)": f"{row['tau']:.2f}",
            "I²": f"{row['i_squared']:.0%}" if row["n"] >= len(PRIMARY) else "",
            "settings lower": f"{row['n_lower']} ({row['n_lower_decided']})",
            "settings higher": f"{row['n_higher']} ({row['n_higher_decided']})",
            "p (Holm)": f"{row['p_corrected']:.2g}",
            "verdict": row["verdict"],
        }
        for row in table.to_dict("records")
    )


def _windows(row: dict[str, str]) -> str:
    return "" if row["indicator"].startswith("firing") else f"{row['windows']} label"


def _name(row: dict[str, str]) -> str:
    windows = f", by {_windows(row)}" if _windows(row) else ""
    return f"{named(row['indicator'])} at {row['threshold']}{windows}"
