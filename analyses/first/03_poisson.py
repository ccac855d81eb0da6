"""Question 3: which share of units rejects "Poisson", and which rejects the Bernoulli process that bins of one spike at most allow?

Data: the NWB files of the study `networks/poisson.py`: perceptrons, convolutional networks and recurrent networks that read an image row by row (one bin per row), random,
generalizing and memorizing, over their training images, at three thresholds: the activation's value at pre-activation 0 ("zero") and the median and the 90 % quantile of each unit.
Exploratory: two or three networks per cell. Method: orders as presented, by label, and shuffled, the control in which the Bernoulli model is true and must be rejected at the
nominal rate; for recurrent networks the order of steps within a trial, the steps shuffled within each trial, and all bins shuffled. Each unit is tested given its number of spikes:
dispersion of counts (windows of 50 bins, or one trial), number of runs, law of intervals; and in the naive way of the literature: counts against Poisson's dispersion, intervals
against the exponential law. A model is rejected where the smallest p of its tests, times their number, is at most 5 %, per unit, and again with the false discovery rate held at
5 % over the units of a layer. Silent and saturated units, and those with less than 10 spikes, have no test and are classes of their own. "Neither" is no proof of either model: beside
it stands its power, the share of simulated units that would have been rejected, with as many spikes, whose chance of a spike depends on the label (on the step, for recurrent
networks), which explains 2 or 5 % of their variance. Fifty units per file are measured with Elephant too (one, where a file has a thousand trials of several bins).

Source: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473 (arrival processes); Eden & Kramer (2010), doi:10.1016/j.jneumeth.2010.04.012
(dispersion); Wald & Wolfowitz (1940), doi:10.1214/aoms/1177731909 (runs); Haslinger, Pipa & Brown (2010), doi:10.1162/NECO_a_00015 (intervals on bins).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from tqdm import tqdm

import ann2neo
from analyses.first.rejection import (
    CLASSES,
    LEVEL,
    MASKED,
    NAIVE,
    SOUND,
    Power,
    arranged,
    classes,
    cut_off,
    power,
    unit_p_values,
)
from analyses.replicates import measure, networks_of, written

STATES = ("random", "generalizing", "memorizing")
THRESHOLDS = ("zero", "median", "q90")
ORDERS = ("presented", "label", "shuffled")
ORDERS_OF_STEPS = ("presented", "shuffled within trials", "shuffled")
WINDOWS = 50
SHARES = (0.02, 0.05)
N_SIMULATED = {False: 100, True: 3}
CELL = ["data", "architecture", "state", "threshold", "order", "layer"]
COLOURS = {
    "both": "#D55E00",
    "only_bernoulli": "#E69F00",
    "only_poisson": "#56B4E9",
    "neither": "#009E73",
    "no_test": "#DDDDDD",
}
LABELS = {
    "both": "rejects both",
    "only_bernoulli": "only Bernoulli",
    "only_poisson": "only Poisson",
    "neither": "neither",
    "no_test": "no test (silent, saturated, few spikes)",
}


def main(out: Path, networks: Path, seed: int = 0, smoke: bool = False) -> str:
    """Tabulate what units reject, by network, threshold, order and layer, and give the paragraph that the numbers make."""
    out.mkdir(parents=True, exist_ok=True)
    known = networks_of(networks, "poisson")
    simulated: dict[tuple[str, str], dict[float, Power]] = {}
    rows = [
        row
        for cell in tqdm(list(known.itertuples()), desc="poisson", unit="network")
        for threshold in THRESHOLDS
        for row in _rows(cell, threshold, networks, seed, N_SIMULATED[smoke], simulated)
    ]
    table = written(averaged(pd.DataFrame(rows)), out / "03_poisson.csv")
    figure(table, out / "03_poisson.png")
    text = paragraph(table)
    (out / "03_poisson.md").write_text(text + "\n", encoding="utf-8")
    return text


def _rows(
    cell: Any,
    threshold: str,
    networks: Path,
    seed: int,
    n_simulated: int,
    simulated: dict[tuple[str, str], dict[float, Power]],
) -> Iterator[Mapping[str, object]]:
    """Test the units of a file in every order; simulations are shared by networks that saw the same inputs."""
    recording = ann2neo.load(networks / f"{cell.name}-{threshold}-train.nwb")
    steps = recording.n_bins > len(recording.trials)
    windows = "trial" if steps else WINDOWS
    facts = {"windows": windows, "followed_by_next": followed_by_next(recording.trials["label"].to_numpy())}
    # Elephant measures trial by trial, and these files have a thousand trials with several bins.
    measure(recording.select(units=[0]) if steps else recording, windows, seed)
    own_seed = zlib.crc32(f"{seed} {cell.name} {threshold}".encode())
    for order in ORDERS_OF_STEPS if steps else ORDERS:
        units = unit_p_values(arranged(recording, order, own_seed), windows, seed)
        key = (cell.data + " steps" * steps, order)
        if key not in simulated:
            how = {"windows": windows, "n_units": n_simulated, "seed": seed}
            simulated[key] = {share: power(recording, order, share=share, **how) for share in SHARES}
        for layer, some in units.groupby("layer", sort=False):
            first = {name: getattr(cell, name) for name in CELL[:3]} | {"threshold": threshold, "order": order}
            yield first | {"layer": layer, "seed": cell.seed} | facts | shares(some, simulated[key])


def followed_by_next(labels: Int[np.ndarray, " trial"]) -> float:
    """Give the share of inputs that are followed by one of the next class (9 by 0), a tenth in random order: scikit-learn's digits were written in turn.

    Examples
    --------
    >>> followed_by_next(np.array([8, 9, 0, 0]))
    0.6666666666666666
    """
    return float(np.mean((labels[1:] - labels[:-1]) % 10 == 1))


def shares(units: pd.DataFrame, simulated: dict[float, Power]) -> dict[str, float]:
    """Give the shares of a layer's units: classes (of all units), rejections (of the tested ones), and the power over those that reject neither.

    Parameters
    ----------
    units
        What `rejection.unit_p_values` gave, of one layer.
    simulated
        Simulated units by the share of variance that label or step explains.
    """
    good = units[units["quality"] == "good"]
    raw, corrected = classes(units), classes(units, corrected=True)
    row: dict[str, float] = {"n_units": len(units)} | {
        name: float((raw == name).mean()) for name in (*MASKED, *CLASSES)
    }
    row |= {f"{name}_corrected": float((corrected == name).mean()) for name in CLASSES}
    for name in (*SOUND, *NAIVE, "bernoulli_p", "poisson_p"):
        row[f"rejects_{name.removesuffix('_p')}"] = _share_below(good[name])
    for share, found in simulated.items():
        for kind, named, level in (
            ("", raw, LEVEL),
            ("_corrected", corrected, cut_off(good["bernoulli_p"].to_numpy())),
        ):
            chances = found.at(units["p_spike"][named == "neither"].to_numpy(), level)
            row[f"power_{share:g}{kind}"] = float(chances.mean()) if chances.size else float("nan")
    return row


def averaged(per_network: pd.DataFrame) -> pd.DataFrame:
    """Average over networks, and keep the range of the share that rejects the Bernoulli model."""
    groups = per_network.groupby(CELL, sort=False)
    keys = [*CELL, "windows"]
    means = per_network.drop(columns="seed").groupby(keys, sort=False).mean().reset_index()
    rejects = groups["rejects_bernoulli"].agg(["min", "max", "size"]).reset_index(drop=True)
    means.insert(len(keys), "n_networks", rejects["size"])
    return means.assign(rejects_bernoulli_low=rejects["min"], rejects_bernoulli_high=rejects["max"])


def figure(table: pd.DataFrame, path: Path) -> None:
    """Draw the classes at threshold zero, one bar per layer and state; marks show what rejects the Bernoulli model at the other thresholds."""
    from matplotlib.figure import Figure

    settings = list(table.groupby(["data", "architecture"], sort=False))
    n_bars = [rows[["layer", "state"]].drop_duplicates().shape[0] for _, rows in settings]
    page = Figure(figsize=(max(2 + 0.3 * sum(n_bars), 11), 8.5), layout="constrained")
    widths = {"width_ratios": [max(n, 4) for n in n_bars]}
    axes = page.subplots(3, len(settings), sharey=True, sharex="col", squeeze=False, gridspec_kw=widths)
    for column, (setting, rows) in zip(axes.T, settings):
        for ax, order in zip(column, rows["order"].unique()):
            _bars(ax, rows[rows["order"] == order])
            ax.set_title(f"{setting[0]} {setting[1]}\n{order}", fontsize="small")
        column[-1].tick_params(axis="x", rotation=90, labelsize="x-small")
    page.supylabel("share of units (pseudo-time: 1 bin = 1 input; gru: 1 step)")
    page.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    page.savefig(path, dpi=110)


def _bars(ax: Any, rows: pd.DataFrame) -> None:
    rows = rows.assign(place=rows["state"].map(STATES.index)).sort_values(["layer", "place"])
    zero = rows[rows["threshold"] == "zero"]
    names = (zero["layer"] + " " + zero["state"]).tolist()
    bottom = np.zeros(len(zero))
    heights = {kind: zero[kind].to_numpy() for kind in ("both", "only_bernoulli", "only_poisson", "neither")}
    heights["no_test"] = zero[[*MASKED]].sum(axis=1).to_numpy()
    for kind, height in heights.items():
        ax.bar(names, height, bottom=bottom, color=COLOURS[kind], label=LABELS[kind])
        bottom += height
    ax.set_ylim(0, 1.04)
    for threshold, marker in (("median", "o"), ("q90", "^")):
        some = rows[rows["threshold"] == threshold]
        ax.plot(
            names,
            some["both"] + some["only_bernoulli"],
            marker,
            color="black",
            ms=4,
            mfc="white",
            label=f"rejects Bernoulli, threshold {threshold}",
        )


def paragraph(table: pd.DataFrame) -> str:
    """Write what the numbers say."""
    return "\n".join(_sentences(table))


def _sentences(table: pd.DataFrame) -> Iterator[str]:
    control = table[table["order"] == "shuffled"]
    yield (
        f"{int(table.groupby(CELL[:3])['n_networks'].max().sum())} networks; all shares are means over networks. In the control, shuffled, where the Bernoulli model is true, "
        f"{_percent(control['rejects_bernoulli'].mean())} of the tested units reject it at a nominal 5 % (dispersion {_percent(control['rejects_dispersion'].mean())}, runs "
        f"{_percent(control['rejects_runs'].mean())}, intervals {_percent(control['rejects_isi_law'].mean())}; {_percent(control['rejects_bernoulli'].max())} in the worst of "
        f"{len(control)} cells). The naive tests reject Poisson for {_by_threshold(control, 'rejects_poisson')} of them there: that is the price of at most one spike per bin, "
        "not a finding about a network.\n"
    )
    yield (
        'Threshold zero, of the tested units; "corrected" holds the false discovery rate at 5 %, power is that of the uncorrected tests over the units that reject neither, for '
        "2 and 5 % of the variance explained by label (by step for gru):\n"
    )
    yield "| setting | order | no test | both | only Poisson | only Bernoulli | neither | neither, corrected | power 2 %, 5 % |"
    yield "|---|---|---|---|---|---|---|---|---|"
    zero = table[table["threshold"] == "zero"]
    for (data, architecture, order), rows in zero.groupby(["data", "architecture", "order"], sort=False):
        yield _line(f"{data} {architecture}", str(order), rows)
    yield ""
    yield from _findings(table)


def _line(setting: str, order: str, rows: pd.DataFrame) -> str:
    of_tested = [_percent(value) for value in (_among_tested(rows, name) for name in (*CLASSES, "neither_corrected"))]
    masked = _percent(rows[[*MASKED]].sum(axis=1).mean())
    powers = ", ".join(_percent(rows[f"power_{share:g}"].mean()) for share in SHARES)
    return f"| {setting} | {order} | {masked} | {' | '.join(of_tested)} | {powers} |"


def _findings(table: pd.DataFrame) -> Iterator[str]:
    real = table[~table["order"].str.startswith("shuffled")]
    forward, steps = real[real["windows"] != "trial"], real[real["windows"] == "trial"]
    for data, rows in forward[forward["order"] == "presented"].groupby("data", sort=False):
        by_state = ", ".join(
            f"{state} {_percent(some['rejects_bernoulli'].mean())}" for state, some in rows.groupby("state", sort=False)
        )
        yield (
            f"- {data} as presented ({_percent(rows['followed_by_next'].mean())} of the images are followed by one of the next class; 10 % by chance): the Bernoulli model is rejected for "
            f"{_percent(rows['rejects_bernoulli'].mean())} of the tested units ({by_state})."
        )
    for order, rows in forward.groupby("order", sort=False):
        by_layer = ", ".join(
            f"{layer} {_percent(some['rejects_bernoulli'].mean())}" for layer, some in rows.groupby("layer", sort=False)
        )
        yield f"- {order} order, rejections of the Bernoulli model by layer: {by_layer}; by threshold: {_by_threshold(rows, 'rejects_bernoulli')}."
    if len(steps):
        within = table[table["order"] == "shuffled within trials"]
        yield (
            f"- recurrent networks, step by step: runs reject the Bernoulli model for {_percent(steps['rejects_runs'].mean())}, intervals for {_percent(steps['rejects_isi_law'].mean())} "
            f"of the units; with the steps of each trial shuffled {_percent(within['rejects_runs'].mean())} and {_percent(within['rejects_isi_law'].mean())}, while the dispersion over trials "
            f"still rejects it for {_percent(within['rejects_dispersion'].mean())}: images differ in how many steps a unit is active."
        )
    presented = forward[forward["order"] == "presented"]
    yield (
        f'- "neither" is weak where the order carries little: as presented, a unit whose label explains {100 * SHARES[-1]:g} % of its variance would be found with a power of '
        f"{_percent(presented[f'power_{SHARES[-1]:g}'].mean())} at its number of spikes, in label order with {_percent(forward[forward['order'] == 'label'][f'power_{SHARES[-1]:g}'].mean())}."
    )
    yield from _verdict(table, forward, steps)


def _verdict(table: pd.DataFrame, forward: pd.DataFrame, steps: pd.DataFrame) -> Iterator[str]:
    real = pd.concat([forward, steps])
    orders = [
        f"{_percent(rows['rejects_bernoulli'].mean())} ({order})"
        for order, rows in forward.groupby("order", sort=False)
    ]
    orders += [f"{_percent(steps['rejects_bernoulli'].mean())} (step by step)"] * bool(len(steps))
    yield (
        f"\nVerdict: the naive tests reject Poisson for {_by_threshold(real, 'rejects_poisson')} of the tested units in orders with a meaning, but for "
        f"{_by_threshold(table[table['order'] == 'shuffled'], 'rejects_poisson')} in the shuffled control too: a rejection says that a bin holds at most one spike and that units fire often. "
        f"The Bernoulli model, which allows for that, is rejected for {', '.join(orders)}: whether a train looks random is a question of the order of inputs before it is one of the network. "
        f"Reject neither, with the false discovery rate held: {_by_threshold(real.assign(of_tested=_of_tested(real, 'neither_corrected')), 'of_tested')}."
    )


def _by_threshold(rows: pd.DataFrame, column: str) -> str:
    return ", ".join(f"{_percent(rows[rows['threshold'] == name][column].mean())} ({name})" for name in THRESHOLDS)


def _among_tested(rows: pd.DataFrame, column: str) -> float:
    return float(_of_tested(rows, column).mean())


def _of_tested(rows: pd.DataFrame, column: str) -> pd.Series:
    return rows[column] / (1 - rows[[*MASKED]].sum(axis=1))


def _share_below(p: pd.Series) -> float:
    known = p.dropna()
    return float((known <= LEVEL).mean()) if len(known) else float("nan")


def _percent(share: float) -> str:
    return "no unit" if np.isnan(share) else f"{100 * share:.1f} %"
