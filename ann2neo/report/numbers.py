"""Formatting of numbers and units of measure for a page."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

DECADES, MAX_DECIMALS = 1e4, 6
# Below, a number is what rounding left, or a chance too small to matter.
LEAST = 1e-15


def format_number(value: object) -> str:
    """Format a cell of a table: three significant digits, whole numbers without decimals, and a dash for undefined values.

    Examples
    --------
    >>> [format_number(x) for x in (1234, 0.123456, 12345.6, 999.9, 2.5e-7, 2.5e-70, float("nan"), True, "fc1", 3.0)]
    ['1,234', '0.123', '12,346', '1,000', '2.50e-07', '<1e-15', '–', 'yes', 'fc1', '3']
    """
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    if isinstance(value, (float, np.floating)):
        return _format_float(float(value))
    return "–" if value is None or value is pd.NA else str(value)


def format_column(column: pd.Series) -> list[str]:
    """Format the numbers of a column with the same decimals, so that they line up: three digits of the median number. Format each separately where they span four decades.

    Examples
    --------
    >>> format_column(pd.Series([0.3, 0.56, 0.458, float("nan")])), format_column(pd.Series([11.0, 10.64]))
    (['0.300', '0.560', '0.458', '–'], ['11.0', '10.6'])
    >>> format_column(pd.Series([2e-9, 0.5])), format_column(pd.Series([1200, 3]))
    (['2.00e-09', '0.500'], ['1,200', '3'])
    """
    values = column.tolist()
    numbers = [abs(v) for v in values if isinstance(v, float) and math.isfinite(v) and abs(v) >= LEAST]
    whole = all(v == int(v) for v in numbers)
    if not pd.api.types.is_float_dtype(column) or not numbers or whole:
        return [format_number(value) for value in values]
    decimals = max(2 - math.floor(math.log10(sorted(numbers)[len(numbers) // 2])), 0)
    if max(numbers) > DECADES * min(numbers) or decimals > MAX_DECIMALS:
        return [format_number(value) for value in values]
    return [
        f"{value:,.{decimals}f}" if math.isfinite(value) and not _is_tiny(value) else format_number(value)
        for value in values
    ]


def _format_float(value: float) -> str:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if _is_tiny(value):
        return f"<{LEAST:g}" if value > 0 else f">−{LEAST:g}"
    if abs(value) >= 999.5 or (value == int(value) and abs(value) < 1e6):
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"
    return f"{value:#.3g}".rstrip(".")


def _is_tiny(value: float) -> bool:
    return 0 < abs(value) < LEAST


def counted(n: int, what: str) -> str:
    """Write a number of things, one of which has no plural s.

    Examples
    --------
    >>> counted(1, "input"), counted(1200, "input")
    ('1 input', '1,200 inputs')
    """
    return f"{n:,} {what}{'s' * (n != 1)}"


def unit_of(column: str, units: Mapping[str, str]) -> str:
    """Return the unit of measure of a column, or of a column's mean or variance; empty where it has none.

    Examples
    --------
    >>> units = {"firing_rate": "Hz", "fano": "1"}
    >>> [unit_of(c, units) for c in ("firing_rate", "firing_rate_mean", "firing_rate_var", "fano_mean", "n")]
    ['Hz', 'Hz', 'Hz²', '', '']
    """
    base, _, statistic = column.rpartition("_")
    own, of_base = units.get(column, ""), units.get(base, "") if statistic in ("mean", "var") else ""
    unit = own if own else of_base
    if unit in ("", "1"):
        return ""
    return f"{unit}²" if statistic == "var" and not own else unit.replace("^2", "²")
