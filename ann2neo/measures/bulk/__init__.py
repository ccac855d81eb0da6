"""The bulk engine: Elephant's numbers, bit for bit and NaN for NaN, computed without neo objects."""

from ann2neo.measures.bulk.agreement import sums_as_numpy
from ann2neo.measures.bulk.counts import (
    Intervals,
    count_in_groups,
    count_in_stretches,
    count_in_windows,
    count_labels,
    count_runs,
    intervals_in_bins,
)
from ann2neo.measures.bulk.measures import measure_bits, measure_bulk

__all__ = [
    "Intervals",
    "count_in_groups",
    "count_in_stretches",
    "count_in_windows",
    "count_labels",
    "count_runs",
    "intervals_in_bins",
    "measure_bits",
    "measure_bulk",
    "sums_as_numpy",
]
