"""Output of the demo: accuracies, the paper's four indicators, figures and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ann2neo import figures
from ann2neo.demo.networks import Network
from ann2neo.measures.indicators import INDICATORS, USUAL_BESIDE_CHANCE, measure_of
from ann2neo.recording import Recording
from ann2neo.report import Fact, Picture, Section, Table, Zoomable, write_report
from ann2neo.results import HOW_TO_READ, REPORT, definitions, describe, save_picture, table_lines, zoomable
from ann2neo.summary import NETWORK, summarize

COLUMNS = {
    "n_units": "units",
    "n_silent": "silent",
    **{name: INDICATORS[name].label for name in USUAL_BESIDE_CHANCE if name in INDICATORS},
    **{
        one.chance: f"{one.measure.words} by chance" for one in INDICATORS.values() if one.chance in USUAL_BESIDE_CHANCE
    },
}
SHOWN = ("n_units", "n_silent", *USUAL_BESIDE_CHANCE)
# Number of units of each layer in a raster of the page.
RASTER_UNITS = 60
BY_TARGET = tuple(name for name in USUAL_BESIDE_CHANCE if (found := measure_of(name)) and found.of != "spikes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyzed:
    """A network with its recording, and its tables by the kind of labels that define the windows."""

    network: Network
    recording: Recording
    tables: dict[str, pd.DataFrame]


def accuracies(networks: Sequence[Network]) -> pd.DataFrame:
    """Tabulate the accuracy of each network on its training labels, on the true labels, and on held-out images."""
    return pd.DataFrame(
        [
            {"network": network.name, "epochs": network.epochs} | {k: f"{v:.1%}" for k, v in network.accuracies.items()}
            for network in networks
        ]
    )


def indicators(analyzed: Sequence[Analyzed], labels: str) -> pd.DataFrame:
    """Tabulate the indicators of all networks layer by layer, over all units.

    With windows by target label, networks that were trained on true labels have their values by label, and the random network is left out.
    """
    rows = []
    for each in analyzed:
        if labels == "target_label" and each.network.state == "random":
            continue
        summary = summarize(each.tables.get(labels, each.tables["label"]))
        summary = summary[summary["population"] == "all"]
        rows.append(summary.assign(network=each.network.architecture, state=each.network.state))
    table = pd.concat(rows, ignore_index=True)
    layers = list(dict.fromkeys(table["layer"]))
    order = table.assign(place=table["layer"].map(layers.index)).sort_values(["place"], kind="stable")
    return order[["layer", "state", *SHOWN]].reset_index(drop=True)


def printed(analyzed: Sequence[Analyzed]) -> str:
    """Format the indicators of all networks for a terminal, with order, windows and references."""
    parts = []
    for architecture, group in _by_architecture(analyzed).items():
        by_true, by_target = indicators(group, "label"), indicators(group, "target_label")
        parts += [
            f"{architecture}: the paper's four indicators, over windows of one true label each\n({describe(group[0].tables['label'])})",
            _text(by_true),
            f"\n{architecture}: the same by target label (what the network was trained on)",
            _text(by_target[["layer", "state", *BY_TARGET]]),
            "",
            *told_apart(by_true, by_target),
            "",
        ]
    return "\n".join([*parts, CAUTION])


CAUTION = (
    "By target label, the windows of each network are the labels on which it was trained: a difference there may be due to these labels.\n"
    "Only one network of each kind was trained: these are differences between networks, not yet between kinds of networks.\n"
    "`ann2neo.compare` takes several networks of each kind and tests which differences exceed chance."
)


def told_apart(by_true: pd.DataFrame, by_target: pd.DataFrame) -> list[str]:
    """Describe, for each layer, how the memorizing network differs from the generalizing one.

    Examples
    --------
    >>> values = {"layer": ["1", "1"], "state": ["generalizing", "memorizing"], "firing_rate_mean": [400.0, 100.0]}
    >>> table = pd.DataFrame({**values, "fano_mean": [20.0, 5.0]})
    >>> told_apart(table, table)
    ['layer 1: the memorizing network fires at 0.25 x the rate of the generalizing one; Fano factor by true label 0.25 x, by target label 0.25 x.']
    """
    lines = []
    for layer in dict.fromkeys(by_true["layer"]):
        rate = _ratio(by_true, layer, "firing_rate_mean")
        by = {name: _ratio(table, layer, "fano_mean") for name, table in (("true", by_true), ("target", by_target))}
        who = "all layers together" if layer == NETWORK else f"layer {layer}"
        lines.append(
            f"{who}: the memorizing network fires at {rate:.2f} x the rate of the generalizing one; "
            f"Fano factor by true label {by['true']:.2f} x, by target label {by['target']:.2f} x."
        )
    return lines


def write(
    analyzed: Sequence[Analyzed], folder: Path, *, seed: int, images: Any = None, figure_format: str = "png"
) -> None:
    """Draw all figures and write the page; the rasters that can be zoomed show the images."""
    (folder / "figures").mkdir()
    groups = _by_architecture(analyzed)
    sections = [
        replace(_section(name, group, folder / "figures", figure_format), zoomable=_zoomable(group[-1], images))
        for name, group in groups.items()
    ]
    networks = [each.network for each in analyzed]
    (first, hero), *_ = [(section, section.figures[0]) for section in sections]
    sections[0] = replace(first, figures=first.figures[1:])
    write_report(
        folder / REPORT,
        title="Memorizing and generalizing networks as spike trains",
        lead=[_recorded(analyzed), *[line for group in groups.values() for line in _found(group)]],
        facts=_facts(analyzed),
        figure=hero,
        limits=[CAUTION.replace("\n", " "), HOW_TO_READ],
        sections=[*sections, _networks(networks)],
        files=FILES,
        provenance={"seed": seed, **analyzed[0].recording.provenance},
    )


FILES = {
    "bundle": "One recording, ready to publish: data card, check sums, citation.",
    "mlp-memorizing.nwb": "A network with all its units; the other networks have files of their own, with a sample of the units of each as .nix.",
    "mlp-memorizing-by-label.csv": "Its table over windows of one true label each; there is one such table for each network and kind of windows.",
    "figures": "All figures.",
}


def _recorded(analyzed: Sequence[Analyzed]) -> str:
    """Describe what was trained and recorded."""
    recording = analyzed[0].recording
    return (
        f"{len(analyzed)} small networks were recorded over the same {len(recording.trials):,} images of digits: random networks are untrained, generalizing networks learned the true "
        "labels, memorizing networks a random permutation of them. An activation above the threshold of its unit is a spike, and each image is a bin."
    )


def _found(group: Sequence[Analyzed]) -> list[str]:
    """Describe how the memorizing network of an architecture differs from the generalizing one, over all layers."""
    whole = [
        line
        for line in told_apart(indicators(group, "label"), indicators(group, "target_label"))
        if line.startswith("all layers")
    ]
    return [f"{group[0].network.architecture.upper()}, {line}" for line in whole]


def _facts(analyzed: Sequence[Analyzed]) -> list[Fact]:
    """Collect numbers of networks, units and images, and accuracies and silent units of generalizing and memorizing networks."""
    units = sum(each.recording.n_units for each in analyzed)
    shown = [state for state in ("generalizing", "memorizing") if any(each.network.state == state for each in analyzed)]
    right = {s: [each.network.accuracies["held out"] for each in analyzed if each.network.state == s] for s in shown}
    silent = {
        s: [each.tables["label"]["quality"] == "silent" for each in analyzed if each.network.state == s] for s in shown
    }
    return [
        Fact(value=str(len(analyzed)), name="networks"),
        Fact(value=f"{units:,}", name="units"),
        Fact(value=f"{len(analyzed[0].recording.trials):,}", name="images"),
        *[
            Fact(value=f"{np.mean(right[s]):.0%}", name=f"new images right, {s}, mean of {len(right[s])} networks")
            for s in shown
        ],
        *[Fact(value=f"{pd.concat(silent[s]).mean():.0%}", name=f"silent units, {s}") for s in shown],
    ]


def _networks(networks: Sequence[Network]) -> Section:
    caption = "Accuracy on the target labels, the true labels, and images held out."
    return Section(heading="How the networks were trained", tables=[Table(frame=accuracies(networks), caption=caption)])


def _section(architecture: str, group: Sequence[Analyzed], folder: Path, figure_format: str) -> Section:
    by_true, by_target = indicators(group, "label"), indicators(group, "target_label")
    shown, more = _pictures(architecture, group, folder, figure_format)
    meanings = definitions(list(SHOWN))
    return Section(
        heading=f"{architecture.upper()}: layer by layer",
        paragraphs=[f"{describe(group[0].tables['label'])}."],
        figures=shown,
        folded="Distributions and tables",
        more_figures=more,
        tables=[
            Table(
                frame=by_true.rename(columns=COLUMNS),
                caption="Indicators over windows of one true label each; all units; variances over units.",
                definitions={COLUMNS[name]: words for name, words in meanings.items()},
            ),
            Table(
                frame=by_target[["layer", "state", *BY_TARGET]].rename(columns=COLUMNS),
                caption="The same indicators over windows of one target label each; networks trained on true labels have the same windows as above.",
            ),
        ],
    )


def _zoomable(analyzed: Analyzed, images: Any) -> Zoomable:
    name = analyzed.network.name
    return replace(zoomable(analyzed.recording, name, images=images), heading=f"Browse the spikes of {name}")


def _pictures(
    architecture: str, group: Sequence[Analyzed], folder: Path, figure_format: str
) -> tuple[list[Picture], list[Picture]]:
    """Draw the indicators of all states and a raster of each, then distributions."""
    summaries = {each.network.state: summarize(each.tables["label"]) for each in group}

    def kept(name: str, drawn: Any, caption: str) -> Picture:
        made = save_picture(drawn, folder / f"{architecture}-{name}.{figure_format}", caption)
        return replace(made, file=f"figures/{made.file}")

    words = "the paper's four indicators by layer and state, over windows of one true label each. Orange bars are expected by chance."
    first = kept("indicators", figures.indicators(summaries), f"{architecture.upper()}: {words}")
    rasters, more = [], []
    for each in group:
        state = each.network.state
        drawn = figures.raster(each.recording.arrange("label"), units=RASTER_UNITS)
        rasters.append(kept(f"{state}-raster", drawn, f"{state}: spikes, images sorted by true label."))
        caption = f"{state}: Fano factors over windows of one true label each."
        more.append(kept(f"{state}-fano", figures.fano(each.tables["label"]), caption))
    last = group[-1]
    caption = f"{last.network.state}: Fano factor against firing rate, with the expectation by chance."
    more.append(kept("memorizing-fano-rate", figures.fano_against_rate(last.tables["label"]), caption))
    return [first, *rasters], more


def _by_architecture(analyzed: Sequence[Analyzed]) -> dict[str, list[Analyzed]]:
    names = dict.fromkeys(each.network.architecture for each in analyzed)
    return {name: [each for each in analyzed if each.network.architecture == name] for name in names}


def _ratio(table: pd.DataFrame, layer: str, column: str) -> float:
    rows = table[table["layer"] == layer].set_index("state")[column]
    return float(rows["memorizing"] / rows["generalizing"])


def _text(table: pd.DataFrame) -> str:
    return table_lines(table.rename(columns=COLUMNS))
