"""Question 2: what differs between whole networks, the level at which the paper describes them?

Data: the tables of the finished cells "states", training images; one number per network, over the units of all layers. Method: the 20 estimates fixed beforehand, as ratios memorizing / equally long trained generalizing network
of the same seed; random effects over settings (Paule and Mandel; Hartung and Knapp), p corrected by Holm over the 20. "New setting": interval that covers the ratio of another setting drawn alike with 95 %
probability. "Settings lower": in how many settings the mean over seeds is below 1, and in how many of these the sign-flip test over seeds gives p <= 0.05.

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473, arXiv:2308.00858; Hartung and Knapp (2001), doi:10.1002/sim.791. Limits: the settings share two data sets and two architectures and are not
independent draws; large layers weigh more in a network's mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analyses.contrasts import named, ratio_table, reached, read, settings_of, shown_ratio
from analyses.plan import PRIMARY
from analyses.replicates import markdown, written

NAME = "02_networks"


def main(out: Path, smoke: bool = False) -> str:
    """Tabulate the primary estimates, beside them those of the secondary settings, and write the paragraph."""
    primary = reached(read(out, "states", smoke=smoke))
    if primary.empty:
        return ""
    table = written(ratio_table(primary), out / f"{NAME}.csv")
    text = "\n".join(paragraph(table, settings_of(primary), primary.attrs["left_out"]))
    others = pd.DataFrame() if smoke else read(out, "states", secondary=True)
    if len(others):
        more = written(ratio_table(reached(others)), out / f"{NAME}_secondary.csv")
        text += "\n\n" + "\n".join(_secondary(more, settings_of(others)))
    (out / f"{NAME}.md").write_text(text + "\n", encoding="utf-8")
    return text


def paragraph(table: pd.DataFrame, settings: list[str], left_out: int) -> Iterator[str]:
    """Write what the table says."""
    if len(settings) < len(PRIMARY):
        yield f"**Provisional: {len(settings)} of {len(PRIMARY)} primary settings are finished.**\n"
    yield f"Primary estimates over {len(settings)} settings; seeds left out because the memorizing network did not learn its labels: {left_out}.\n"
    yield markdown(_table(table)) + "\n"
    for words in ("lower: holds", "higher: holds"):
        some = [_name(row) for row in table.to_dict("records") if row["verdict"] == words]
        yield f"{words.capitalize()}, in all settings: {'; '.join(some) or 'none'}."
    average = [
        f"{_name(row)} ({row['verdict'].split(':')[0]})"
        for row in table.to_dict("records")
        if row["verdict"].endswith("average")
    ]
    undecided = [_name(row) for row in table.to_dict("records") if row["verdict"] == "undecided"]
    yield f"Holds on average: {'; '.join(average) or 'none'}. Undecided: {'; '.join(undecided) or 'none'}."


def _secondary(table: pd.DataFrame, settings: list[str]) -> Iterator[str]:
    yield f"Secondary settings ({', '.join(settings)}), described:\n"
    yield markdown(_table(table))


def _table(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "threshold": row["threshold"],
            "windows": f"{row['windows']} label",
            "indicator": named(row["indicator"]),
            "ratio (95 %)": shown_ratio(row),
            "new setting": f"{row['new_low']:.2g} to {row['new_high']:.2g}" if row["n"] > 2 else "",
            "tau (log)": f"{row['tau']:.2f}",
            "I²": f"{row['i_squared']:.0%}",
            "settings lower": f"{row['n_lower']} ({row['n_lower_decided']})",
            "settings higher": f"{row['n_higher']} ({row['n_higher_decided']})",
            "p (Holm)": f"{row['p_corrected']:.2g}",
            "verdict": row["verdict"],
        }
        for row in table.to_dict("records")
    )


def _name(row: dict[str, str]) -> str:
    windows = "" if row["indicator"].startswith("firing") else f", by {row['windows']} label"
    return f"{named(row['indicator'])} at {row['threshold']}{windows}"
