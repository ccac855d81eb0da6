"""Arrays and tables of files as inputs and classes: .npy, .npz, IDX, CSV. What would be changed by a conversion is refused."""

from __future__ import annotations

import gzip
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ann2neo.errors import Ann2NeoError, InputsError

INPUT_KEYS = ("x", "X", "images", "image", "inputs", "data", "pixel_values", "features")
LABEL_KEYS = ("y", "label", "labels", "target", "targets")
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
OTHER_KINDS = "Give .npy, .npz, IDX (also .gz), .csv, .txt with --tokenizer, a folder of pictures, or file.py:name."


@contextmanager
def read_as(path: Path, what: str, cure: str = OTHER_KINDS) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file, or on one of another kind, into an error that names the file.

    Raises
    ------
    InputsError
        If anything but an error of ours is raised inside.

    Examples
    --------
    >>> with read_as(Path("x.npy"), "an array"):
    ...     raise EOFError("no data left")
    Traceback (most recent call last):
        ...
    ann2neo.errors.InputsError: x.npy cannot be read as an array (EOFError: no data left).
    There are no inputs.
    Give .npy, .npz, IDX (also .gz), .csv, .txt with --tokenizer, a folder of pictures, or file.py:name.
    """
    try:
        yield
    except Ann2NeoError:
        raise
    # A file of anything else fails in as many ways as there are files.
    except Exception as error:
        said = " ".join(str(error).split())[:100]
        raise InputsError(
            f"{path} cannot be read as {what} ({type(error).__name__}: {said}).", "There are no inputs.", cure
        ) from error


def read_array(path: Path) -> np.ndarray:
    """Read an array of a .npy or IDX file, without unpickling objects."""
    with read_as(path, "an array"):
        if path.suffix == ".npy":
            found = np.load(path, allow_pickle=False)
            if not isinstance(found, np.ndarray):
                raise ValueError("it holds several arrays, as an .npz does")
            return found
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zeros, kind, n_axes = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{n_axes}I", content, 4)
        if zeros != 0:
            raise ValueError("no IDX")
        return np.frombuffer(content, np.dtype(IDX_TYPES[kind]), offset=4 + 4 * n_axes).reshape(shape)


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read inputs and labels, if there are any, of an .npz file, without unpickling objects."""
    with read_as(path, "arrays"):
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it holds one array, as an .npy does")
        with file:
            known = list(file)
            inputs = [key for key in known if key in INPUT_KEYS] if len(known) > 1 else known
            only(inputs, known, path, "inputs")
            labels = [key for key in known if key in LABEL_KEYS]
            if labels:
                only(labels, known, path, "labels")
            found = [file[key] for key in (*inputs, *labels)]
    for key, array in zip((*inputs, *labels), found):
        if not isinstance(array, np.ndarray):
            raise InputsError(f"{key!r} of {path} is not an array.", "There are no inputs.", "Write the file again.")
    return found[0], found[1] if labels else None


def read_csv(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read columns of numbers, and a column of classes if there is one."""
    import pandas as pd

    # Where rows have more values than the header has names, pandas would take the first ones for names of rows, or leave out the last ones.
    with (
        read_as(path, "a table", "Write as many values in each row as names in the header."),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error", pd.errors.ParserWarning)
        table = pd.read_csv(path, index_col=False)
    # A second column of the same name is called "label.1" by pandas.
    named = [name for name in map(str, table) if name.partition(".")[0] in LABEL_KEYS]
    if len(named) > 1:
        only(named, list(map(str, table)), path, "labels")
    rest = table.drop(columns=named)
    words = [str(name) for name in rest if not pd.api.types.is_numeric_dtype(rest[name])]
    if words or rest.empty or bool(rest.isna().any().any()):
        raise InputsError(
            f"{path} has columns that are not numbers ({', '.join(words)})."
            if words
            else f"{path} has missing values, or no columns beside the label.",
            "They cannot be inputs.",
            "Give numbers in every row, and call the column of classes 'label'.",
        )
    return rest.to_numpy(np.float64), _labels_of(table[named[0]], path) if named else None


def as_numbers(x: np.ndarray) -> np.ndarray:
    """Make bytes numbers from 0 to 1 and floating-point numbers float32; integers and truth values become int64.

    Raises
    ------
    InputsError
        If the values are not real numbers, or a number is too large for the type.

    Examples
    --------
    >>> as_numbers(np.array([0, 255], np.uint8)), as_numbers(np.array([7]))
    (array([0., 1.], dtype=float32), array([7]))
    """
    if x.dtype == np.uint8:
        return (x / np.float32(255)).astype(np.float32)
    if x.dtype.kind not in "biuf":
        raise InputsError(
            f"inputs have values of type {x.dtype}.",
            "They are not real numbers: a conversion would lose or change them.",
            "Write them as integers or floating-point numbers.",
        )
    with np.errstate(over="ignore"):
        found = x.astype(np.float32) if x.dtype.kind == "f" else x.astype(np.int64)
    if bool((np.isinf(found) & np.isfinite(x)).any()) or (x.dtype.kind == "u" and bool((found < 0).any())):
        raise InputsError(
            f"inputs of type {x.dtype} hold numbers beyond those of {found.dtype}.",
            "Models compute in float32; to convert these would change them.",
            "Scale them first, or give file.py:name with data of the type that the model computes in.",
        )
    return found


def as_columns(y: np.ndarray | None) -> dict[str, np.ndarray] | None:
    """Make columns of trials of classes: their numbers, and their names where they have any.

    Whole numbers are classes in any type; names are numbered in alphabetical order. Everything else is left to the rule of labels (`ann2neo.Inputs`), which refuses it.

    Examples
    --------
    >>> as_columns(np.array([2.0, 0.0])), as_columns(np.array(["dog", "ant"]))["label"]
    ({'label': array([2, 0])}, array([1, 0]))
    """
    if y is None:
        return None
    y = y.ravel() if y.size == max(y.shape, default=0) else y
    if y.dtype.kind == "U":
        return {"label": np.unique(y, return_inverse=True)[1].astype(np.int64), "label_name": y}
    if y.dtype.kind != "f":
        return {"label": y}
    strange = y[~(np.abs(y) < 2.0**53) | (y != np.round(y))]
    if strange.size:
        raise InputsError(
            f"{strange.size} of {y.size} labels are not whole numbers, such as {strange[0]}.",
            "They do not name a class; rounded ones would name another.",
            "Give integers or names; -1 stands for unknown.",
        )
    return {"label": y.astype(np.int64)}


def only(found: list[str], known: list[str], path: Path, what: str) -> None:
    """Check that one of the names in a file is that of the inputs, or of the labels.

    Raises
    ------
    InputsError
        If there is none, or several.
    """
    if len(found) != 1:
        raise InputsError(
            f"{path} holds {', '.join(map(repr, known[:10])) or 'nothing'}.",
            f"It is unclear which are the {what}.",
            f"Call the inputs 'x' (or one of {', '.join(INPUT_KEYS)}) and the labels 'y', or give file.py:name.",
        )


def _labels_of(column: Any, path: Path) -> np.ndarray:
    missing = int(column.isna().sum())
    if missing:
        raise InputsError(
            f"{missing} of {len(column)} labels of {path} are missing.",
            "These inputs would form a class of their own.",
            "Write a label in every row, -1 for unknown; NA and null are read as missing.",
        )
    return column.to_numpy() if column.dtype.kind in "biuf" else column.to_numpy().astype(str)
