"""Measures of single units, computed by Elephant or, bit for bit the same, by a bulk engine."""
