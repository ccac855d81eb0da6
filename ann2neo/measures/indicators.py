"""Indicators: statistics of a measure over the units of a layer, their names, words and units of measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from ann2neo.measures.measure import Measure
from ann2neo.measures.registry import MEASURES

# Levels of the quantiles of activation probabilities over units, in percent, and the border below which a unit is rare.
LEVELS, RARE = (10, 25, 50, 75, 90), 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """Mean or variance of a measure over units, a column of `ann2neo.summarize`.

    Examples
    --------
    >>> one = Indicator(measure=MEASURES["firing_rate"], statistic="var")
    >>> one.name, one.words, one.unit, one.label
    ('firing_rate_var', 'variance of firing rates', 'Hz^2', 'variance of firing rates (Hz²)')
    """

    measure: Measure
    statistic: Literal["mean", "var"]

    @property
    def name(self) -> str:
        """Name of the column."""
        return f"{self.measure.name}_{self.statistic}"

    @property
    def words(self) -> str:
        """What sentences call it."""
        return f"mean {self.measure.words}" if self.statistic == "mean" else f"variance of {self.measure.plural}"

    @property
    def unit(self) -> str:
        """Unit of measure."""
        unit = self.measure.unit
        return f"{unit}^2" if self.statistic == "var" and unit != "1" else unit

    @property
    def label(self) -> str:
        """What axes and heads of tables call it."""
        return self.words if self.unit == "1" else f"{self.words} ({self.unit.replace('^2', '²')})"

    @property
    def chance(self) -> str:
        """Name of the column of what chance predicts; empty where it predicts nothing."""
        return (
            f"{self.measure.name}_expected_mean"
            if self.statistic == "mean" and self.measure.expected_summarised
            else ""
        )


def summarised() -> tuple[Measure, ...]:
    """List the measures that a summary has, in its order: what has a unit of measure first, what older tables lack last.

    Examples
    --------
    >>> [measure.name for measure in summarised()][:3]
    ['firing_rate', 'p_spike', 'fano']
    """
    known = [measure for measure in MEASURES.values() if measure.summarised]
    return tuple(sorted(known, key=lambda one: (one.since != "", "var" not in one.summarised, one.unit == "1")))


INDICATORS: Mapping[str, Indicator] = MappingProxyType(
    {
        indicator.name: indicator
        for measure in summarised()
        for statistic in ("mean", "var")
        if statistic in measure.summarised
        for indicator in (Indicator(measure=measure, statistic=statistic),)
    }
)
"""Means and variances by name, in the order of a summary."""

PERMUTED = tuple(name for name, one in INDICATORS.items() if one.measure.permuted)
"""What surrogates, and intervals over networks, are made for."""

PAPER = tuple(
    name for name, one in INDICATORS.items() if "var" in one.measure.summarised and "page" in one.measure.shown
)
"""The four indicators of Lehmler et al. (2024), doi:10.1016/j.neucom.2024.128473."""

USUAL = tuple(name for name, one in INDICATORS.items() if "page" in one.measure.shown)
"""Those of the paper and the label share: what pages show and comparisons take unasked."""

USUAL_BESIDE_CHANCE = tuple(
    name
    for measure in summarised()
    if "page" in measure.shown
    for name in (
        *(one.name for one in INDICATORS.values() if one.measure is measure),
        *([f"{measure.name}_expected_mean"] if measure.expected_summarised else []),
    )
)
"""The same, each measure followed by what chance predicts."""

USUAL_OF_CELLS = tuple(
    name
    for measure in summarised()
    if "cells" in measure.shown
    for name in (
        [f"{measure.name}_over_expected_mean"]
        if measure.over_expected
        else [one.name for one in INDICATORS.values() if one.measure is measure]
    )
)
"""What comparisons with recordings of cells take unasked: values over expectation and adjusted shares, free of the number of windows and trials, beside rates."""

_DEALT = (
    "all ways to deal the same spikes to units and bins: what a finite number of bins gives for units that are alike."
)

DISTRIBUTION: Mapping[str, Measure] = MappingProxyType(
    {
        measure.name: measure
        for measure in (
            *(
                Measure(
                    name=f"p_spike_q{level}",
                    unit="1",
                    definition=f"Quantile of the activation probability (p_spike) over units, interpolated linearly: {level} % of them are below.",
                    doi="10.1007/978-3-032-21477-5_27",
                )
                for level in LEVELS
            ),
            Measure(
                name="p_spike_rare_share",
                unit="1",
                definition=f"Share of units whose activation probability is below {RARE:g}, silent ones included.",
                doi="10.1007/978-3-032-21477-5_27",
            ),
            Measure(
                name="p_spike_rare_share_expected", unit="1", definition=f"Mean of p_spike_rare_share over {_DEALT}"
            ),
            Measure(
                name="p_spike_gini",
                unit="1",
                definition="Gini coefficient of the activation probabilities, silent units included: 0 where all units are alike, at most 1 less their mean. NaN where all units are silent.",
                doi="10.2307/2223319",
            ),
            Measure(name="p_spike_gini_expected", unit="1", definition=f"Mean of p_spike_gini over {_DEALT}"),
        )
    }
)
"""Columns of a summary that describe how activation probabilities are distributed over the units of a layer."""


def measure_of(column: str) -> Measure | None:
    """Find the measure of which a column of a table or a summary tells something; None where it is of none.

    Examples
    --------
    >>> measure_of("label_share_adjusted_mean").name, measure_of("cv2_expected").name, measure_of("silent_share")
    ('label_share_adjusted', 'cv2', None)
    """
    known = [name for name in MEASURES if column == name or column.startswith(f"{name}_")]
    return MEASURES[max(known, key=len)] if known else None
