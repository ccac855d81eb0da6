"""A measure: one column of the table, and what every room of the house must know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

Statistic = Literal["mean", "var", "n"]
Place = Literal["chance", "layers", "page", "sentence", "cells"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One column of the table, and all that tables, summaries, surrogates, comparisons, figures and pages must know of it.

    Parameters
    ----------
    name
        Name of the column.
    unit
        Unit of measure, "1" for a pure number.
    definition
        What it is, and where it is undefined (NaN).
    doi
        Where it was defined; empty for plain counts.
    words
        What axes and sentences call one value.
    plural
        What they call several.
    of
        What it is a measure of: all spikes, the intervals between them, counts in windows, or labels. Empty for other columns.
    derived
        Whether it is computed from other measures and what chance predicts, and not by an engine.
    elephant
        Path of Elephant's function on which the reference engine rests; empty where Elephant has none.
    kernel
        Column of `ann2neo.measures.bulk.kernels` in which the bulk engine writes the same bits; empty where no kernel is needed.
    on_bins
        Name in `ann2neo.chance` of what chance predicts on bins; empty where chance says nothing. Of a measure of intervals: a function of some of
        `ann2neo.chance.expectations.ARGUMENTS`, in bins. See `chance_on_bins`.
    in_time
        The same in continuous time, in its unit. See `chance_in_time`.
    needs
        What the column is there for: a given refractoriness, or repeats of conditions. Empty: always.
    summarised
        Statistics over units in `ann2neo.summarize`.
    over_expected
        Whether it is also summarised divided by what chance predicts.
    since
        First version whose tables have it; empty for the first of all. In summaries of older tables it is NaN.
    shown
        Where it is shown unasked: beside chance, by layers, on the page of results, in the sentence that says what was found, in comparisons
        with cells.
    permuted
        Whether `ann2neo.surrogates` have its summary.
    alike
        Facts of two tables that must agree for its summary to be comparable, between networks and cells too; see
        `ann2neo.comparison.comparability`.
    alike_over_expected
        The same for what is divided by chance; None for `alike`.

    Examples
    --------
    >>> from ann2neo.measures.registry import MEASURES
    >>> MEASURES["lv"].unit, MEASURES["lv"].words, MEASURES["lv"].chance_on_bins.__name__
    ('1', 'Lv', 'expected_lv')
    """

    name: str
    unit: str
    definition: str
    doi: str = ""
    words: str = ""
    plural: str = ""
    of: Literal["", "spikes", "intervals", "windows", "labels"] = ""
    derived: bool = False
    elephant: str = ""
    kernel: str = ""
    on_bins: str = ""
    in_time: str = ""
    needs: Literal["", "refractoriness", "repeats"] = ""
    summarised: tuple[Statistic, ...] = ()
    over_expected: bool = False
    since: str = ""
    shown: tuple[Place, ...] = ()
    permuted: bool = False
    alike: tuple[str, ...] = ()
    alike_over_expected: tuple[str, ...] | None = None

    @property
    def has_expected(self) -> bool:
        """Whether the table has a column of what chance predicts."""
        return self.on_bins != ""

    @property
    def chance_on_bins(self) -> Callable[..., Any] | None:
        """What chance predicts on bins; None where it says nothing. Chance is loaded here, because it loads numba."""
        return getattr(import_module("ann2neo.chance"), self.on_bins) if self.on_bins else None

    @property
    def chance_in_time(self) -> Callable[..., Any] | None:
        """What chance predicts in continuous time; None where it says nothing."""
        return getattr(import_module("ann2neo.chance"), self.in_time) if self.in_time else None

    @property
    def expected_summarised(self) -> bool:
        """Whether a summary has the mean of what chance predicts."""
        return self.has_expected and bool(self.summarised) and not self.derived
