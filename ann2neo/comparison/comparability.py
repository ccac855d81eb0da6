"""Comparability: whether an indicator means the same in all tables, decided indicator by indicator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import pandas as pd

from ann2neo.measures.indicators import measure_of

Attrs = Mapping[Any, Any]

# Attributes on which the meaning of an indicator that is not a measure depends, by the beginning of its name; those of measures are in the registry.
NEEDED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("p_spike_", ("bins", "n_bins")),
    ("silent_share", ("n_bins",)),
    ("saturated_share", ("n_bins",)),
    ("label_bits", ("by", "clock")),
    ("label_gain", ("by", "clock")),
    ("markov", ("order", "markov_order")),
    ("gain", ("n_windows",)),
    ("renewal", ("order",)),
    ("best", ("order", "by", "models")),
)
# A variance over units holds the error of each unit's own value, which falls with the length of a recording. Lengths that differ by less hardly matter.
SAME_LENGTH = 0.1
LENGTHS = (("n_bins", "n_bins"), ("duration_ms", "duration_ms"), ("duration_min_ms", "duration_ms"))
# Columns of a summary that are not means or variances of a measure: what few bins do to them depends on their number.
OF_DISTRIBUTION = ("p_spike_q", "p_spike_rare", "p_spike_gini")
WHY = {
    "clock": "pseudo-time of a network and time of cells have no common unit",
    "bins": "there are spikes per bin only where there are bins",
}


def reason_against(indicator: str, population: str, tables: Mapping[str, Sequence[pd.DataFrame]]) -> str:
    """Return why an indicator does not mean the same in these tables; empty where it does.

    Rates need the same kind of time, and variances over units recordings of one length (to 10 %). Fano factors need the same windows (and the same kind of time, unless they are divided by
    what chance predicts). Label shares need the same labels, those that are not adjusted as
    many inputs too, and measures of intervals the same order of inputs. Indicators of
    good units need the same rule for these. Measures of intervals, adjusted shares of trials and values over expectation are compared
    between networks and cells, and their means, as those of rates, between recordings of unequal length; Fano factors of cells are then
    compared over expectation only, because that is 1 - 1 / W over W windows.

    Parameters
    ----------
    indicator
        A column of `ann2neo.summarize`.
    population
        "all" or "good".
    tables
        Unit tables by group.

    Examples
    --------
    >>> net, cells = pd.DataFrame(), pd.DataFrame()
    >>> net.attrs = {"reference": "Bernoulli, given the number of spikes", "n_bins": 10, "bin_size_ms": 1.0}
    >>> cells.attrs = {"reference": "Poisson, given the number of spikes"}
    >>> reason_against("firing_rate_mean", "all", {"a": [net], "b": [cells]})
    'pseudo-time of a network and time of cells have no common unit (a[0], b[0])'
    >>> reason_against("cv_mean", "all", {"a": [net], "b": [cells]})
    ''
    """
    named = [(f"{name}[{place}]", table.attrs) for name, of in tables.items() for place, table in enumerate(of)]
    needed = _needed(indicator) + (("min_spikes",) if population == "good" else ())
    needed += ("length",) if _depends_on_length(indicator) else ()
    origin, first = named[0]
    for other, attrs in named[1:]:
        for key in needed:
            if not _alike(key, first, attrs):
                return (
                    f"{WHY[key]} ({origin}, {other})" if key in WHY else _difference(key, origin, first, other, attrs)
                )
    return ""


def _needed(indicator: str) -> tuple[str, ...]:
    """Name the facts in which tables must agree for an indicator to mean the same."""
    measure = measure_of(indicator)
    if measure is None or indicator.startswith(OF_DISTRIBUTION):
        return next((keys for prefix, keys in NEEDED if indicator.startswith(prefix)), ())
    by_chance = indicator.startswith(f"{measure.name}_over_expected") and measure.alike_over_expected is not None
    return measure.alike if not by_chance else measure.alike_over_expected or ()


def _depends_on_length(indicator: str) -> bool:
    """Return whether a longer recording of the same units has another value: a variance over units, or a Fano factor that is not divided by its expectation."""
    measure = measure_of(indicator)
    if measure is None:
        return False
    return indicator.endswith("_var") or (measure.of == "windows" and "_over_expected" not in indicator)


def _alike(key: str, first: Attrs, other: Attrs) -> bool:
    """Return whether two tables agree in the attributes of a key."""
    bins = has_bins(first), has_bins(other)
    if key in ("clock", "bins"):
        return bins[0] == bins[1] and (key == "clock" or all(bins))
    if key in ("length", "n_labelled"):
        return _of_one_length(first, other, key)
    if key == "order":
        return not all(bins) or first.get("order") == other.get("order")
    if key == "place":
        # Windows that are cut by place hold other inputs in another order.
        by_place = all(bins) and str(first.get("windows")).endswith(" bins")
        return not by_place or all(first.get(k) == other.get(k) for k in ("order", "order_sha256"))
    if key in ("n_windows", "n_passes") and not any(bins) and _of_one_size(first) and _of_one_size(other):
        # Sessions of unequal length hold more or fewer of the same windows.
        return True
    if key.startswith("window_") and bins[0] != bins[1]:
        return False
    return first.get(key) == other.get(key)


def has_bins(attrs: Attrs) -> bool:
    """Return whether a table describes spikes in bins, such as those of a network."""
    return "n_bins" in attrs or str(attrs.get("reference")).startswith("Bernoulli")


def _of_one_length(first: Attrs, other: Attrs, key: str) -> bool:
    """Return whether recordings have equally many inputs with a label, or last equally long with the shortest observation of a unit in them, but for a little."""
    names = LENGTHS if key == "length" else ((key, key),)
    for name, instead in names:
        lengths = [attrs.get(name, attrs.get(instead)) for attrs in (first, other)]
        numbers = [one for one in lengths if isinstance(one, Real)]
        close = len(numbers) == 2 and max(numbers) <= (1 + SAME_LENGTH) * min(numbers)
        if None not in lengths and not close and lengths[0] != lengths[1]:
            return False
    return True


def _of_one_size(attrs: Attrs) -> bool:
    return attrs.get("window_min_ms") is not None and attrs.get("window_min_ms") == attrs.get("window_max_ms")


def _difference(key: str, origin: str, first: Attrs, other: str, attrs: Attrs) -> str:
    names = {"place": ("order", "order_sha256"), "length": tuple(name for name, _ in LENGTHS)}.get(key, (key,))
    name = next((k for k in names if first.get(k) != attrs.get(k)), key)
    return f"tables differ in {name!r}: {first.get(name)!r} in {origin}, {attrs.get(name)!r} in {other}"
