"""Layers: the modules of a model by name, which of them are observed, and what is said of those that are missing."""

from ann2neo.capture.layers.missing import check_all_ran, not_found
from ann2neo.capture.layers.modules import activation_names, named_modules, step_first_names
from ann2neo.capture.layers.patterns import base_name, pattern_of, wanted
from ann2neo.capture.layers.scripted import warn_of_scripted_functions
from ann2neo.capture.layers.selection import Selection, select

__all__ = [
    "Selection",
    "activation_names",
    "base_name",
    "check_all_ran",
    "named_modules",
    "not_found",
    "pattern_of",
    "select",
    "step_first_names",
    "wanted",
    "warn_of_scripted_functions",
]
