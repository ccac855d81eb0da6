"""What was added to the fixed estimates after data were seen: the floor that chance makes, layers weighted equally, rates of all five networks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.contrasts import LONG, MEMORIZING, THRESHOLDS, UNTRAINED, WINDOWS, by_setting, estimate, values
from analyses.statistics import sign_flip_p

SHORT = "generalizing"
EQUAL = (
    ("0", "true", "firing_rate_mean"),
    *product(THRESHOLDS, ("true", "trained"), ("fano_mean", "label_share_mean")),
)


def floors(states: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Compare indicators by trained label with those of the untrained network in windows of the permuted label, for each setting and threshold.

    Yields
    ------
    dict
        ``fano_ratio``, ``share_ratio``: memorizing over long, geometric mean over seeds; ``fano_floor``, ``share_floor``: untrained, by the permuted label, over long; ``adjusted_memorizing``, ``adjusted_generalizing``: mean over seeds of the
        adjusted share, ``adjusted_ratio`` their ratio; ``above_chance``: whether the memorizing network's is above 0.
    """
    for threshold in THRESHOLDS:
        found = {
            (state, column): values(states, state, column, threshold=threshold, windows=windows)
            for state, windows in ((MEMORIZING, "memorized"), (UNTRAINED, "memorized"), (LONG, "label"))
            for column in ("fano_mean", "label_share_mean", "label_share_adjusted_mean")
        }
        for setting in found[(MEMORIZING, "fano_mean")].index:
            of = {key: table.loc[setting].to_numpy(np.float64) for key, table in found.items()}
            row: dict[str, object] = {"setting": setting, "threshold": threshold}
            for name, column in (("fano", "fano_mean"), ("share", "label_share_mean")):
                row[f"{name}_ratio"] = _geometric(of[(MEMORIZING, column)], of[(LONG, column)])
                row[f"{name}_floor"] = _geometric(of[(UNTRAINED, column)], of[(LONG, column)])
            adjusted = {state: of[(state, "label_share_adjusted_mean")] for state in (MEMORIZING, LONG)}
            one, two = (float(np.nanmean(adjusted[state])) for state in (MEMORIZING, LONG))
            known = adjusted[MEMORIZING][np.isfinite(adjusted[MEMORIZING])]
            row |= {"adjusted_memorizing": one, "adjusted_generalizing": two, "adjusted_ratio": one / two}
            yield row | {"above_chance": bool(one > 0 and sign_flip_p(known) <= 0.05)}


def equal_layers(states: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Estimate ratios of networks whose indicators are means over layers, each of the mean over its units."""
    names = list(dict.fromkeys(states.loc[states["layer"] != "network", "layer"].dropna()))
    for threshold, kind, column in EQUAL:
        means = []
        for state, windows in zip((MEMORIZING, LONG), WINDOWS[kind]):
            tables = [values(states, state, column, threshold=threshold, windows=windows, layer=name) for name in names]
            means.append(pd.concat(tables).groupby(level=0, sort=False).mean())
        found = estimate(by_setting(np.log(means[0]) - np.log(means[1])))
        for name in ("mean", "low", "high", "new_low", "new_high"):
            found[name] = float(np.exp(found[name]))
        yield {
            "threshold": threshold,
            "windows": kind,
            "indicator": column,
            "ratio": found.pop("mean"),
            **found,
        }


def rates(states: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Ratios of mean firing rates at 0 of the networks of a seed, for each setting and layer, over training images, and over held-out images for whole networks."""
    names = list(dict.fromkeys(states.loc[states["layer"] != "network", "layer"].dropna()))
    for images, layer in (("train", "network"), ("held-out", "network"), *(("train", name) for name in names)):
        of = {
            state: values(states, state, "firing_rate_mean", threshold="0", windows="label", layer=layer, images=images)
            for state in (UNTRAINED, MEMORIZING, SHORT, LONG)
        }
        for setting in of[MEMORIZING].index:
            rate = {
                state: table.loc[setting].to_numpy(np.float64) for state, table in of.items() if setting in table.index
            }
            yield {
                "setting": setting,
                "images": images,
                "layer": layer,
                **{
                    f"{one.split('-')[-1]}_{other.split('-')[-1]}": _geometric(rate[one], rate[other])
                    if other in rate
                    else np.nan
                    for one, other in (
                        (MEMORIZING, UNTRAINED),
                        (LONG, UNTRAINED),
                        (MEMORIZING, LONG),
                        (MEMORIZING, SHORT),
                    )
                },
            }


def _geometric(one: Float[np.ndarray, " seed"], other: Float[np.ndarray, " seed"]) -> float:
    """Geometric mean over seeds of a ratio."""
    return float(np.exp(np.nanmean(np.log(one) - np.log(other))))


UNITS = (
    *product(("fano_equal_mean",), THRESHOLDS, ("true", "trained")),
    *product(("fano_untied_mean", "label_share_untied_mean"), THRESHOLDS[1:], ("true", "trained")),
    *product(("fano_mean", "label_share_mean"), ("0",), ("true", "trained")),
    ("empty_share", "0", "true"),
)


def of_units(units: pd.DataFrame, lost: frozenset[tuple[str, int]] = frozenset()) -> Iterator[dict[str, object]]:
    """Estimate ratios memorizing / long of what units add: windows of equal size, units that are not tied, rates matched within layers (Fano factor and label share at 0), and 1 - p of the units that fire.

    Parameters
    ----------
    units
        Table of the cells "units".
    lost
        Settings and seeds that are left out.
    """
    kept = units[[key not in lost for key in zip(units["setting"], units["seed"])]].assign(
        images="train", layer="network"
    )
    for column, threshold, kind in UNITS:
        windows = f"{kind}, matched within layers" if column in ("fano_mean", "label_share_mean") else kind
        one, two = (values(kept, state, column, threshold=threshold, windows=windows) for state in (MEMORIZING, LONG))
        found = estimate(by_setting(np.log(one) - np.log(two)))
        for name in ("mean", "low", "high", "new_low", "new_high"):
            found[name] = float(np.exp(found[name]))
        yield {
            "indicator": column,
            "threshold": threshold,
            "windows": kind,
            "memorizing": float(np.nanmean(one)),
            "generalizing": float(np.nanmean(two)),
            "ratio": found.pop("mean"),
            **found,
        }
