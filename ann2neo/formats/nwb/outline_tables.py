"""Tables of a processing module for facts that belong to neither units nor trials: written, and read again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
from hdmf.common import DynamicTable, VectorData

from ann2neo.outline import check_schema

LAYER_COLUMNS = {
    "name": "name of the layer",
    "shape": "shape of its activation without the batch axis, as JSON",
    "dtype": "type in which activation and threshold were compared",
    "n_units": "number of units that were recorded",
    "units_dtype": "type of the units' numbers in memory",
    "thresholds_dtype": "type of the thresholds in memory",
}


CHECKSUMS = "checksums"


def outline_tables(outline: dict[str, Any], content: Sequence[Sequence[str | int]]) -> list[Any]:
    """Make the tables of the processing module, with the check sums of the content; a recording without provenance has no such table."""
    layers, single = outline["layers"], ("schema", "bin_size_ms", "n_passes")
    columns = outline["trial_columns"]
    of_layers: dict[str, tuple[str, Sequence[Any]]] = {
        "layer" if name == "name" else name: (text, [_cell(layer[name]) for layer in layers])
        for name, text in LAYER_COLUMNS.items()
    }
    return [
        _table(
            "recording",
            "the recording as a whole",
            _pairs({key: outline[key] for key in single} | {CHECKSUMS: content}),
        ),
        # hdmf cannot write a table without rows.
        *(_table("provenance", "what made these spikes", _pairs(known)) for known in [outline["provenance"]] if known),
        _table("layers", "the recorded layers, in the order in which the network called them", of_layers),
        _columns_table("trial_columns", "trials", columns),
        *([_columns_table("bin_columns", "bins", outline["bin_columns"])] if "bin_columns" in outline else ()),
    ]


def _columns_table(name: str, of: str, columns: Sequence[Mapping[str, str]]) -> Any:
    known = {
        "column": ("name of the column", [column["name"] for column in columns]),
        "dtype": ("type of its values", [column["dtype"] for column in columns]),
    }
    return _table(name, f"columns of the table of {of}", known)


def _pairs(values: dict[str, Any]) -> dict[str, tuple[str, Sequence[Any]]]:
    return {
        "key": ("what is known", list(values)),
        "value": ("its value as JSON", [json.dumps(value) for value in values.values()]),
    }


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value


def _table(name: str, description: str, columns: Mapping[str, tuple[str, Sequence[Any]]]) -> Any:
    return DynamicTable(
        name=name,
        description=description,
        columns=[VectorData(name=n, description=text, data=data) for n, (text, data) in columns.items()],
    )


def read_outline_tables(tables: Any, path: Path) -> dict[str, Any]:
    """Read the outline from the HDF5 group that holds its tables.

    Raises
    ------
    FormatError
        If a newer ann2neo wrote it.
    """
    single = _read_pairs(tables["recording"])
    check_schema(str(single["schema"]), str(path))
    of_bins = {"bin_columns": _read_columns(tables["bin_columns"])} if "bin_columns" in tables else {}
    return single | {
        "provenance": _read_pairs(tables["provenance"]) if "provenance" in tables else {},
        "layers": _read_layers(tables["layers"]),
        "trial_columns": _read_columns(tables["trial_columns"]),
        **of_bins,
    }


def _read_columns(table: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "dtype": dtype} for name, dtype in zip(values_of(table["column"]), values_of(table["dtype"]))
    ]


def _read_pairs(table: Any) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in zip(values_of(table["key"]), values_of(table["value"]))}


def _read_layers(table: Any) -> list[dict[str, Any]]:
    columns = {name: values_of(table["layer" if name == "name" else name]) for name in LAYER_COLUMNS}
    columns["shape"] = [json.loads(shape) for shape in columns["shape"]]
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def values_of(dataset: Any) -> list[Any]:
    """Read a column of HDF5, text as strings."""
    return (dataset.asstr()[:] if h5py.check_string_dtype(dataset.dtype) else dataset[:]).tolist()
