"""ann2neo: thresholded activations of torch networks as neo spike trains on a pseudo-time axis.

Three main steps: export activations to neo files, analyze them with Elephant, share them. Names are loaded when they are first used:
`import ann2neo` alone loads neither torch, Elephant, neo nor matplotlib.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ann2neo import chance, figures, models, population, surrogates
    from ann2neo.analysis import analyze
    from ann2neo.around import Around
    from ann2neo.arrays import from_array
    from ann2neo.capture import Inputs, Passes, Sample, Steps, export, plan, record
    from ann2neo.comparison import compare, compare_distributions
    from ann2neo.errors import Ann2NeoError, Ann2NeoWarning
    from ann2neo.formats import load, save
    from ann2neo.formats.damage import check
    from ann2neo.formats.laboratory import read_block
    from ann2neo.recording import Layer, Recording
    from ann2neo.results.collection import collect
    from ann2neo.sharing import share
    from ann2neo.summary import summarize
    from ann2neo.tables import read_table, write_table
    from ann2neo.thresholds import MeanPlusSd, Quantile
    from ann2neo.trains import from_block, to_block
    from ann2neo.viewer import browse
    from ann2neo.xarrays import to_xarray

__version__ = "0.2.0"

_HOME = {
    "Ann2NeoError": "errors",
    "Ann2NeoWarning": "errors",
    "Around": "around",
    "Inputs": "capture",
    "Layer": "recording",
    "MeanPlusSd": "thresholds",
    "Passes": "capture",
    "Quantile": "thresholds",
    "Recording": "recording",
    "Sample": "capture",
    "Steps": "capture",
    "analyze": "analysis",
    "browse": "viewer",
    "chance": "",
    "check": "formats.damage",
    "collect": "results.collection",
    "compare": "comparison",
    "compare_distributions": "comparison",
    "export": "capture",
    "figures": "",
    "from_array": "arrays",
    "from_block": "trains",
    "load": "formats",
    "models": "",
    "plan": "capture",
    "population": "",
    "read_block": "formats.laboratory",
    "read_table": "tables",
    "record": "capture",
    "save": "formats",
    "share": "sharing",
    "summarize": "summary",
    "surrogates": "",
    "to_block": "trains",
    "to_xarray": "xarrays",
    "write_table": "tables",
}

__all__ = [
    "Ann2NeoError",
    "Ann2NeoWarning",
    "Around",
    "Inputs",
    "Layer",
    "MeanPlusSd",
    "Passes",
    "Quantile",
    "Recording",
    "Sample",
    "Steps",
    "analyze",
    "browse",
    "chance",
    "check",
    "collect",
    "compare",
    "compare_distributions",
    "export",
    "figures",
    "from_array",
    "from_block",
    "load",
    "models",
    "plan",
    "population",
    "read_block",
    "read_table",
    "record",
    "save",
    "share",
    "summarize",
    "surrogates",
    "to_block",
    "to_xarray",
    "write_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        from ann2neo.errors import suggestion

        near = "" if name.startswith("_") else suggestion(name, _HOME)
        raise AttributeError(f"module 'ann2neo' has no attribute {name!r}.{near}")
    if not _HOME[name]:
        return importlib.import_module(f"ann2neo.{name}")
    found = getattr(importlib.import_module(f"ann2neo.{_HOME[name]}"), name)
    globals()[name] = found
    return found


# Subpackage -> package that everything in it needs; its extra is in extras.py.
_NEEDS = {"capture": "torch", "sharing": "nwbinspector"}


def __dir__() -> list[str]:
    # `help(ann2neo)` and completion access every listed name, so names whose package is missing are not listed.
    lacking = {room for room, package in _NEEDS.items() if find_spec(package) is None}
    return sorted([*(name for name in __all__ if _HOME[name] not in lacking), "__version__"])
