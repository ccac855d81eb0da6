"""Outline: everything in a recording but its bits, thresholds and trials, as text that is read back unchanged."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.errors import AnnotationError, FormatError, RecordingError
from ann2neo.pseudotime import milliseconds
from ann2neo.recording import SCHEMA, Layer, Provenance, Recording

# Each of these keys breaks the neo object or the NIX file that has it as an annotation.
RESERVED_KEYS = frozenset(
    (
        *("units", "times", "t_start", "t_stop", "neo_name", "nix_name", "name", "description", "file_origin"),
        *("file_datetime", "rec_datetime", "index", "config_json", "checksums_json", "segmented_by", "min_spikes"),
    )
)


def outline_of(recording: Recording) -> dict[str, Any]:
    """Return the facts that neither arrays nor tables hold, in a form that JSON can hold: schema, provenance, layers, types of the trials' columns.

    Raises
    ------
    AnnotationError
        If a file format would lose or damage the provenance, a layer's name or a column of the trials.

    Examples
    --------
    >>> import ann2neo
    >>> outline_of(ann2neo.from_array(np.eye(2, dtype=bool), layer="relu"))["layers"]
    [{'name': 'relu', 'shape': [2], 'dtype': 'bool', 'n_units': 2, 'units_dtype': 'int64',
      'thresholds_dtype': 'float64'}]
    """
    check_columns(recording.trials)
    columns = [{"name": str(name), "dtype": str(dtype)} for name, dtype in recording.trials.dtypes.items()]
    known = outline_before_trials(
        recording.layers,
        bin_size_ms=recording.bin_size_ms,
        n_passes=recording.n_passes,
        provenance=recording.provenance,
    )
    if recording.bins is None:
        return known | {"trial_columns": columns}
    check_columns(recording.bins)
    of_bins = [{"name": str(name), "dtype": str(dtype)} for name, dtype in recording.bins.dtypes.items()]
    return known | {"trial_columns": columns, "bin_columns": of_bins}


def outline_before_trials(
    layers: Sequence[Layer], *, bin_size_ms: float, n_passes: int, provenance: Provenance
) -> dict[str, Any]:
    """Return the outline of a recording whose trials are still unknown; see `outline_of`."""
    check_provenance(provenance)
    for layer in layers:
        _check_text(layer.name, "the name of a layer")
    return {
        "schema": SCHEMA,
        "bin_size_ms": milliseconds(bin_size_ms),
        "n_passes": n_passes,
        "provenance": {key: plain(value) for key, value in provenance.items()},
        "layers": [
            {
                "name": layer.name,
                "shape": [int(size) for size in layer.shape],
                "dtype": layer.dtype,
                "n_units": layer.n_units,
                "units_dtype": str(layer.units.dtype),
                "thresholds_dtype": str(layer.thresholds.dtype),
            }
            for layer in layers
        ],
    }


def read_outline(text: str, source: str) -> dict[str, Any]:
    """Read an outline from JSON, and raise if a newer ann2neo wrote it.

    Raises
    ------
    FormatError
        If the text is not an outline, or has another schema.

    Examples
    --------
    >>> read_outline('{"schema": "ann2neo/99"}', "rec.nwb")
    Traceback (most recent call last):
        ...
    ann2neo.errors.FormatError: rec.nwb has schema 'ann2neo/99', but this version reads 'ann2neo/1'.
    It may hold what this version does not know.
    Install a newer ann2neo.
    """
    try:
        outline = json.loads(text)
        check_schema(str(outline["schema"]), source)
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"the outline of {source} cannot be read ({type(error).__name__}).",
            "It is unclear which layers and trials it holds.",
            "Get the file again, or record again.",
        ) from error
    return outline


def check_schema(schema: str, source: str) -> None:
    """Check that the schema is not that of a newer ann2neo.

    Raises
    ------
    FormatError
        If the schema is not the one of this version.
    """
    if schema != SCHEMA:
        raise FormatError(
            f"{source} has schema {schema!r}, but this version reads {SCHEMA!r}.",
            "It may hold what this version does not know.",
            "Install a newer ann2neo.",
        )


def restore_trials(columns: Mapping[str, Any], outline: Mapping[str, Any]) -> pd.DataFrame:
    """Make the table of trials from its columns, each with its original type and position."""
    return pd.DataFrame(
        {
            column["name"]: pd.Series(list(columns[column["name"]]), dtype=column["dtype"])
            for column in outline["trial_columns"]
        }
    )


def trial_column_names(outline: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns of the table of trials, in their order."""
    return [column["name"] for column in outline["trial_columns"]]


def restore_bins(columns: Mapping[str, Any], outline: Mapping[str, Any]) -> pd.DataFrame | None:
    """Make the table of bins from its columns, each with its original type and position; None if there is no such table."""
    named = outline.get("bin_columns", ())
    return (
        pd.DataFrame({one["name"]: np.asarray(columns[one["name"]], one["dtype"]) for one in named}) if named else None
    )


def bin_column_names(outline: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns of the table of bins, in their order."""
    return [column["name"] for column in outline.get("bin_columns", ())]


def time_axis(recording: Recording) -> str:
    """Describe what a bin of pseudo-time stands for.

    Examples
    --------
    >>> import ann2neo
    >>> time_axis(ann2neo.from_array(np.eye(2, dtype=bool)))
    'pseudo-time: 1 bin = 1 input (1.0 ms)'
    """
    length = recording.trials["stop_bin"].to_numpy() - recording.trials["start_bin"].to_numpy()
    what = "input" if (length == 1).all() else "step of an input"
    return f"pseudo-time: 1 bin = 1 {what} ({recording.bin_size_ms} ms)"


def trial_names(trials: pd.DataFrame, column: str | None = None) -> list[str]:
    """Return the name of each trial as a string, from the column, or else from the first of label_name, label and stimulus_id that exists."""
    known = [c for c in ("label_name", "label", "stimulus_id") if c in trials.columns]
    return [str(value) for value in trials[column or known[0]].tolist()]


def plain(value: Any) -> Any:
    """Convert a NumPy scalar to a Python object; return everything else unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def check_provenance(provenance: Mapping[str, Any]) -> None:
    """Check that neo and all file formats can keep the provenance: no nested or missing values, mixed lists or reserved keys.

    Raises
    ------
    AnnotationError
        If they cannot; the message names the key and the cure.

    Examples
    --------
    >>> check_provenance({"optimizer": {"lr": 0.1}})
    Traceback (most recent call last):
        ...
    ann2neo.errors.AnnotationError: provenance 'optimizer' is of type dict.
    NIX and NWB would lose it or refuse the whole file.
    Use an int, float, str, bool or a list of one of these; nested things as one JSON string under 'optimizer_json'.
    """
    for key, value in provenance.items():
        _check_key(key)
        _check_value(key, value)


def _check_key(key: Any) -> None:
    if not isinstance(key, str) or key in ("", ".") or "/" in key or key in RESERVED_KEYS:
        raise AnnotationError(
            f"{key!r} cannot be a key of the provenance.",
            "neo or NIX reserve it for another meaning, or cannot store it.",
            "Use another name, without '/'.",
        )
    _check_text(key, "a key of the provenance")


def _check_value(key: str, value: Any) -> None:
    items = value if isinstance(value, list) else [value]
    kinds = {type(plain(item)) for item in items}
    if len(kinds) > 1 or not kinds <= {int, float, str, bool}:
        of_list = " of " + ", ".join(sorted(kind.__name__ for kind in kinds)) if isinstance(value, list) else ""
        raise AnnotationError(
            f"provenance {key!r} is of type {type(value).__name__}{of_list}.",
            "NIX and NWB would lose it or refuse the whole file.",
            "Use an int, float, str, bool or a list of one of these; "
            f"nested things as one JSON string under {key + '_json'!r}.",
        )
    for item in items:
        if isinstance(item, str):
            _check_text(item, f"provenance {key!r}")
        elif isinstance(item, (int, np.integer)) and not -(2**63) <= item < 2**63:
            raise AnnotationError(f"provenance {key!r} does not fit into 64 bits.", "", "Store it as a string.")
        elif isinstance(item, (float, np.floating)) and math.isnan(item):
            raise AnnotationError(
                f"provenance {key!r} is NaN.", "NaN equals nothing, not even itself.", "Leave it out."
            )


def _check_text(text: str, what: str) -> None:
    if "\0" in text or any(0xD800 <= ord(letter) < 0xE000 for letter in text):
        raise AnnotationError(
            f"{what} holds a null character or half of a surrogate pair: {text!r}.",
            "HDF5 cannot store it.",
            "Use another text.",
        )


def check_columns(trials: pd.DataFrame) -> None:
    """Check that all file formats can keep the columns of the trials, or of the bins.

    Raises
    ------
    RecordingError, AnnotationError
        If one cannot; the message names the column and the cure.

    Examples
    --------
    >>> check_columns(pd.DataFrame({"a/b": [1]}))
    Traceback (most recent call last):
        ...
    ann2neo.errors.RecordingError: the trials have a column 'a/b'.
    NWB does not allow this name.
    Use a name without '/' and ':' that is not '.', and neither begins with '_' nor ends in '_index'.
    """
    for name, column in trials.items():
        if (
            not isinstance(name, str)
            or name in ("", ".")
            or set(name) & set("/:")
            or name.endswith("_index")
            or name.startswith("_")
        ):
            raise RecordingError(
                f"the trials have a column {name!r}.",
                "NWB does not allow this name.",
                "Use a name without '/' and ':' that is not '.', and neither begins with '_' nor ends in '_index'.",
            )
        _check_text(name, "the name of a column of the trials")
        values = column.to_numpy()
        if values.dtype.kind not in "biuf" and not _all_text(values.tolist(), name):
            raise AnnotationError(
                f"column {name!r} of the trials holds neither numbers nor truth values nor strings only.",
                "A file format would lose or change it.",
                "Use a number for every trial, or a string for every trial.",
            )


def _all_text(values: Sequence[Any], column: str) -> bool:
    if not all(isinstance(value, str) for value in values):
        return False
    for value in set(values):
        _check_text(value, f"column {column!r} of the trials")
    return True
