"""Exact quantiles of a stream in bounded memory: usually in one reading, in a few if the values come in an unfavourable order."""

from ann2neo.thresholds.selection.keys import ordered_keys, place_of, values_of
from ann2neo.thresholds.selection.stream import MAX_BYTES, Selection

__all__ = ["MAX_BYTES", "Selection", "ordered_keys", "place_of", "values_of"]
