"""Verdicts: what a comparison supports, in one sentence per layer."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ann2neo.measures.indicators import INDICATORS

WORDS = {
    **{name: indicator.words for name, indicator in INDICATORS.items()},
    "p_spike_q50": "median share of bins with a spike",
    "p_spike_rare_share": "share of rare units",
    "p_spike_gini": "Gini coefficient of the shares of bins with a spike",
    "rate_p_mean": "mean activation probability",
    "rate_p_var": "variance of the activation probabilities",
    "label_bits_corrected_mean": "mean information about the label",
    "markov_memory_mean": "mean memory",
    "silent_share": "share of silent units",
    "saturated_share": "share of saturated units",
    "p_mean": "mean activation probability of units that are neither silent nor saturated",
    "p_rho": "spread of the activation probabilities of units that are neither silent nor saturated",
}


def verdicts(comparison: pd.DataFrame) -> list[str]:
    """Describe for each layer what the comparison of two known groups supports, and which of them a placed group fits.

    A difference is stated where its corrected p is at most ``alpha``. A placed group is judged on these indicators only, by the prediction intervals of the
    known groups. Where no verdict is possible, the sentence gives the reason; a difference that is not found is never called equality.

    Parameters
    ----------
    comparison
        Table that `compare` returned.

    Examples
    --------
    >>> comparison = pd.DataFrame()
    >>> comparison.attrs = {"contrast": [], "n_networks": {"mine": 3}}
    >>> verdicts(comparison)
    ['No verdict is possible: there are no two known groups to compare with (mine: 3 networks).']
    """
    impossible = _why_impossible(comparison)
    if impossible:
        return [f"No verdict is possible: {impossible}."]
    return [_of_layer(layer, rows, comparison.attrs) for layer, rows in comparison.groupby("layer", sort=False)]


def _why_impossible(comparison: pd.DataFrame) -> str:
    sizes, contrast = comparison.attrs["n_networks"], comparison.attrs["contrast"]
    if len(contrast) < 2:
        return f"there are no two known groups to compare with ({'; '.join(_count(k, n) for k, n in sizes.items())})"
    short = [name for name in contrast if sizes[name] < 2]
    if short:
        counts = "; ".join(_count(name, sizes[name]) for name in short)
        return f"the network is the replicate, and a known group needs at least 2 of them ({counts})"
    least, alpha = comparison.attrs["smallest_p"], comparison.attrs["alpha"]
    if least > alpha:
        a, b = (sizes[name] for name in contrast)
        return f"with {a} v {b} networks no p can be below {least:.2g}, and {alpha:g} would be needed"
    if comparison.attrs["cells_needed"] > comparison.attrs["n_cells"]:
        return f"p values corrected over {comparison.attrs['n_cells']} cells cannot come down to {alpha:g} with so few networks, whatever they are"
    return ""


def _of_layer(layer: object, rows: pd.DataFrame, attrs: dict) -> str:
    (first, second), sizes = attrs["contrast"], attrs["n_networks"]
    n = f"{sizes[first]} v {sizes[second]} networks, p corrected over {attrs['n_cells']} cells"
    rows = rows.assign(higher=rows[f"mean_{first}"] > rows[f"mean_{second}"])
    # The row of all units comes first and stands for both populations where they agree; the good units are named where only they differ, or where they disagree.
    clear = rows[rows["p_corrected"] <= attrs["alpha"]]
    clear = clear[~clear.duplicated(["indicator", "higher"])]
    if clear.empty:
        if rows["p_corrected"].isna().all():
            return f"{layer}: no verdict, because no indicator is defined in enough networks."
        least = rows["p_corrected"].min()
        return (
            f"{layer}: no indicator tells {first} from {second} networks (smallest corrected p {least:.2g}; {n}; "
            f"to survive the correction, {attrs['cells_needed']} cells would have to be as far apart as they can be), which does not show that they are alike."
        )
    found = [_difference(row) for _, row in clear.iterrows()]
    placed = "".join(f"; {_placing(name, clear, attrs)}" for name in attrs["placed"])
    return f"{layer}: {first} networks have a {_listed(found)} than {second} ones ({n}){placed}."


def _difference(row: pd.Series) -> str:
    side = "higher" if row["higher"] else "lower"
    of_good = " of good units" if row["population"] == "good" else ""
    size = f"g {row['hedges_g']:.1f}, " if pd.notna(row["hedges_g"]) else ""
    return f"{side} {WORDS.get(row['indicator'], row['indicator'])}{of_good} ({size}AUC {row['auc']:.2f})"


def _placing(name: str, clear: pd.DataFrame, attrs: dict) -> str:
    """Count on how many of the separating indicators a group fits each kind."""
    (first, second), n = attrs["contrast"], attrs["n_networks"][name]
    fits = clear[f"fits_{name}"]
    counts = {kind: int((fits == kind).sum()) for kind in (first, second, "both", "neither", "")}
    who, rest = f"{name} ({n} network{'s' * (n != 1)})", _rest(counts)
    if not counts[first] and not counts[second]:
        return f"{who} cannot be told to be either{rest}"
    if counts[first] and counts[second]:
        contradiction = f"only {first} networks on {counts[first]} and only {second} ones on {counts[second]} of {len(fits)} of these"
        return f"{who} fits {contradiction}{rest}, so that it cannot be told which it is"
    kind, other = (first, second) if counts[first] else (second, first)
    return (
        f"{who} fits only {kind} networks on {counts[kind]} of {len(fits)} of these and only {other} ones on none{rest}"
    )


def _rest(counts: dict[str, int]) -> str:
    said = {"both": "both", "neither": "neither", "": "undefined"}
    return "".join(f", {said[kind]} on {counts[kind]}" for kind in said if counts[kind])


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _count(name: str, n: int) -> str:
    return f"{name}: {n} network{'s' * (n != 1)}"


def not_compared(comparison: pd.DataFrame) -> list[str]:
    """Write the reason of each indicator that cannot be compared, a line for each.

    Examples
    --------
    >>> not_compared(pd.DataFrame({"indicator": ["a", "b", "b"], "reason": ["", "other windows", "other windows"]}))
    ['b is not compared: other windows.']
    """
    refused = comparison[comparison["reason"] != ""].drop_duplicates("indicator")
    return [f"{name} is not compared: {reason}." for name, reason in zip(refused["indicator"], refused["reason"])]
