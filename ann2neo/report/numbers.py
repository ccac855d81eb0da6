"""Numbers and units of measure as a reader of a page wants them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd


def format_number(value: object) -> str:
    """Write a cell of a table: three significant digits, whole numbers whole, nothing that is undefined as a number.

    Examples
    --------
    >>> [format_number(x) for x in (1234, 0.123456, 12345.6, 2.5e-7, float("nan"), True, "fc1", 3.0)]
    ['1,234', '0.123', '12,346', '2.5e-07', '–', 'yes', 'fc1', '3']
    """
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    if isinstance(value, (float, np.floating)):
        return _format_float(float(value))
    return "–" if value is None or value is pd.NA else str(value)


def _format_float(value: float) -> str:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) >= 1000 or (value == int(value) and abs(value) < 1e6):
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"
    return f"{value:.3g}"


def unit_of(column: str, units: Mapping[str, str]) -> str:
    """Give the unit of measure of a column, also of the mean or variance of one; empty where it has none.

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
