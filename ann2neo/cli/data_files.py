"""Inputs of files: .npy, .npz, IDX, CSV, a folder of images, a data set of Hugging Face, lines of text with a tokenizer."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ann2neo.errors import InputsError
from ann2neo.extras import require
from ann2neo.files import check_readable

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}
INPUT_KEYS = ("x", "X", "images", "image", "inputs", "data", "pixel_values", "features")
LABEL_KEYS = ("y", "label", "labels", "target", "targets")
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def is_data(reference: str) -> bool:
    """Whether a reference names a file or folder of data rather than an object of Python.

    Examples
    --------
    >>> is_data("x.npy"), is_data("nets.py:x"), is_data("nets.py")
    (True, False, False)
    """
    first = reference.split(",")[0]
    if ":" in first or Path(first).suffix == ".py":
        return False
    return Path(first).exists() or Path(first).suffix in (".npy", ".npz", ".csv", ".txt")


def read_data(reference: str, *, batch_size: int, tokenizer: Path | None = None) -> Any:
    """Read inputs of a file as `Inputs`, with labels where the file has them.

    Bytes (uint8), such as those of pictures, become numbers from 0 to 1, as torchvision's ``ToTensor`` makes them; floating-point numbers become float32; integers stay.
    Pictures are (channel, height, width). Names of classes are numbered in alphabetical order and kept as the column ``label_name``.

    Parameters
    ----------
    reference
        ``x.npy`` or ``x.npy,y.npy``; ``data.npz``; ``images-idx3-ubyte.gz,labels-idx1-ubyte.gz``; ``table.csv`` with a header; ``lines.txt``; a folder of pictures, those of each
        class in a folder of its own; a folder of a data set that Hugging Face's ``save_to_disk`` wrote.
    batch_size
        Inputs per batch.
    tokenizer
        Folder of the tokenizer of a text.

    Raises
    ------
    InputsError
        If nothing is there, or it is unclear what the inputs or labels are.
    MissingPackage
        If a package that reads them is not installed.
    """
    from ann2neo.capture import Inputs

    paths = [Path(part) for part in reference.split(",")]
    for path in paths:
        if not path.exists():
            raise InputsError(f"there is no file {path}.", "There are no inputs.", "Check the name and the folder.")
        check_readable(path, folder=True)
    first, suffix = paths[0], paths[0].name.removesuffix(".gz").rpartition(".")[2]
    if len(paths) > 2:
        raise InputsError(f"{len(paths)} files were given.", "It is unclear what they are.", "Give inputs,labels.")
    if suffix == "txt":
        batches = _tokens(first, batch_size, tokenizer)
        return Inputs(batches, forward=_by_keywords, dataset=first.name)
    if first.is_dir() and (first / "dataset_info.json").is_file():
        return _of_hugging_face(first, batch_size)
    if first.is_dir():
        x, y = _pictures(first)
    elif suffix == "npz":
        x, y = _of_npz(first)
    elif suffix == "csv":
        x, y = _of_csv(first)
    else:
        x, y = _array(first), None
    if len(paths) == 2:
        y = _array(paths[1]).ravel().astype(np.int64)
    return Inputs(as_numbers(x), labels=_columns(y), batch_size=batch_size, dataset=first.name)


def as_numbers(x: np.ndarray) -> np.ndarray:
    """Make bytes numbers from 0 to 1 and floating-point numbers float32; integers stay.

    Examples
    --------
    >>> as_numbers(np.array([0, 255], np.uint8)), as_numbers(np.array([7]))
    (array([0., 1.], dtype=float32), array([7]))
    """
    if x.dtype == np.uint8:
        return (x / np.float32(255)).astype(np.float32)
    return x.astype(np.float32) if x.dtype.kind == "f" else x.astype(np.int64)


def _columns(y: np.ndarray | None) -> dict[str, np.ndarray] | None:
    """Make columns of trials of classes: their numbers, and their names where they have any."""
    if y is None:
        return None
    if y.dtype.kind in "iu":
        return {"label": y.astype(np.int64)}
    names = y.astype(str)
    return {"label": np.unique(names, return_inverse=True)[1].astype(np.int64), "label_name": names}


def _by_keywords(model: Any, batch: Mapping[str, Any]) -> Any:
    return model(**batch)


def _array(path: Path) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zeros, kind, n_axes = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{n_axes}I", content, 4)
        if zeros != 0:
            raise ValueError("no IDX")
        return np.frombuffer(content, np.dtype(IDX_TYPES[kind]), offset=4 + 4 * n_axes).reshape(shape)
    # A file of anything else fails in as many ways as there are files.
    except Exception as error:
        raise InputsError(
            f"{path} cannot be read as an array ({type(error).__name__}: {str(error)[:100]}).",
            "There are no inputs.",
            "Give .npy, .npz, IDX (also .gz), .csv, .txt with --tokenizer, a folder of pictures, or file.py:name.",
        ) from error


def _of_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    with np.load(path, allow_pickle=False) as file:
        known = list(file)
        inputs = [key for key in known if key in INPUT_KEYS] if len(known) > 1 else known
        labels = [key for key in known if key in LABEL_KEYS]
        _one(inputs, known, path)
        return file[inputs[0]], file[labels[0]].ravel().astype(np.int64) if len(labels) == 1 else None


def _one(found: list[str], known: list[str], path: Path) -> None:
    if len(found) != 1:
        raise InputsError(
            f"{path} holds {', '.join(map(repr, known[:10]))}.",
            "It is unclear which are the inputs.",
            f"Call them 'x' (or one of {', '.join(INPUT_KEYS)}) and the labels 'y', or give file.py:name.",
        )


def _of_csv(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    import pandas as pd

    table = pd.read_csv(path)
    named = [name for name in table if name in LABEL_KEYS]
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
    y = table[named[0]].to_numpy() if named else None
    return rest.to_numpy(np.float32), y


def _pictures(folder: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the pictures of a folder, and their classes where they lie in folders of these."""
    image: Any = require("PIL.Image", to="A folder of pictures", extra="torch")
    classes = sorted(each.name for each in folder.iterdir() if each.is_dir())
    places = [folder / name for name in classes] if classes else [folder]
    files = [
        (path, number)
        for number, place in enumerate(places)
        for path in sorted(place.rglob("*"))
        if path.suffix.lower() in PICTURES
    ]
    if not files:
        raise InputsError(f"{folder} holds no pictures.", "There are no inputs.", f"Give {', '.join(PICTURES)}.")
    x, size = [], None
    for path, _ in files:
        with image.open(path) as opened:
            if opened.mode not in MODES:
                raise InputsError(
                    f"{path} is of mode {opened.mode}, not grey or RGB of 8 bits.",
                    "To convert it would lose transparency or bits.",
                    "Convert it yourself, or give file.py:name with a data set that does.",
                )
            values = np.asarray(opened.convert(MODES[opened.mode]))
        values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
        if size not in (None, values.shape):
            raise InputsError(
                f"{path} has (channels, height, width) {values.shape}, and those before it {size}.",
                "Pictures of several sizes make no array.",
                "Bring them to one size, or give file.py:name with a data set that does.",
            )
        size = values.shape
        x.append(values)
    return np.stack(x), np.array([classes[number] for _, number in files]) if classes else None


def _of_hugging_face(folder: Path, batch_size: int) -> Any:
    from ann2neo.capture import Inputs

    datasets: Any = require("datasets", to="A data set of Hugging Face")
    data = datasets.load_from_disk(str(folder)).with_format("torch")
    keys = [key for key in data.column_names if key in ("input_ids", "attention_mask", "token_type_ids")]
    if keys:
        forward = lambda model, batch: model(**{key: batch[key] for key in keys})  # noqa: E731
        return Inputs(data, forward=forward, batch_size=batch_size, dataset=folder.name)
    inputs = [key for key in data.column_names if key in INPUT_KEYS]
    _one(inputs, data.column_names, folder)
    labels = [key for key in data.column_names if key in LABEL_KEYS]
    x = as_numbers(np.stack([np.asarray(row[inputs[0]]) for row in data]))
    y = np.array([int(row[labels[0]]) for row in data]) if len(labels) == 1 else None
    names = None if y is None else getattr(data.features[labels[0]], "names", None)
    columns = _columns(y) if names is None or y is None else {"label": y, "label_name": np.array(names)[y]}
    return Inputs(x, labels=columns, batch_size=batch_size, dataset=folder.name)


def _tokens(path: Path, batch_size: int, tokenizer: Path | None) -> list[Any]:
    """Turn lines into batches of tokens with their masks, padded to the longest line of all."""
    if tokenizer is None:
        raise InputsError(f"{path} holds text.", "A model reads tokens.", "Give --tokenizer FOLDER.")
    transformers: Any = require("transformers", to="A tokenizer")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise InputsError(f"{path} has no lines.", "There are no inputs.", "Write one input a line.")
    make = transformers.AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
    if make.pad_token is None:
        make.pad_token = make.eos_token
    found = make(lines, padding=True, return_tensors="pt")
    keys = [key for key in ("input_ids", "attention_mask", "token_type_ids") if key in found]
    return [{key: found[key][i : i + batch_size] for key in keys} for i in range(0, len(lines), batch_size)]
