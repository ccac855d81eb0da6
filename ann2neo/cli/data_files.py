"""Inputs of files: .npy, .npz, IDX, CSV, a folder of images, a data set of Hugging Face, lines of text with a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ann2neo.cli.data_arrays import (
    INPUT_KEYS,
    LABEL_KEYS,
    as_columns,
    as_numbers,
    only,
    read_array,
    read_as,
    read_csv,
    read_npz,
)
from ann2neo.errors import InputsError
from ann2neo.extras import require
from ann2neo.files import check_readable

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}


def is_data(reference: str) -> bool:
    """Whether a reference names a file or folder of data rather than an object of Python.

    Examples
    --------
    >>> is_data("x.npy"), is_data("nets.py:x"), is_data("nets.py")
    (True, False, False)
    """
    first = str(_paths(reference)[0])
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

    paths = _paths(reference)
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
        x, y = read_npz(first)
    elif suffix == "csv":
        x, y = read_csv(first)
    else:
        x, y = read_array(first), None
    if len(paths) == 2:
        y = read_array(paths[1])
    return Inputs(as_numbers(x), labels=as_columns(y), batch_size=batch_size, dataset=first.name)


def _paths(reference: str) -> list[Path]:
    """Take a reference apart at its commas, unless a file has this name."""
    return [Path(part) for part in ([reference] if Path(reference).exists() else reference.split(","))]


def _by_keywords(model: Any, batch: Mapping[str, Any]) -> Any:
    return model(**batch)


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
        check_readable(path)
        with read_as(path, "a picture", "Remove it, or get it again from its source."), image.open(path) as opened:
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
    with read_as(folder, "a data set of Hugging Face", "Write it again with save_to_disk."):
        data = datasets.load_from_disk(str(folder)).with_format("torch")
    keys = [key for key in data.column_names if key in ("input_ids", "attention_mask", "token_type_ids")]
    if keys:
        forward = lambda model, batch: model(**{key: batch[key] for key in keys})  # noqa: E731
        return Inputs(data, forward=forward, batch_size=batch_size, dataset=folder.name)
    inputs = [key for key in data.column_names if key in INPUT_KEYS]
    only(inputs, data.column_names, folder, "inputs")
    labels = [key for key in data.column_names if key in LABEL_KEYS]
    x = as_numbers(np.stack([np.asarray(row[inputs[0]]) for row in data]))
    if labels:
        only(labels, data.column_names, folder, "labels")
    y = np.array([np.asarray(row[labels[0]]) for row in data]) if labels else None
    names = None if y is None else getattr(data.features[labels[0]], "names", None)
    columns = as_columns(y) if names is None or y is None else {"label": y, "label_name": _named(y, names)}
    return Inputs(x, labels=columns, batch_size=batch_size, dataset=folder.name)


def _named(y: np.ndarray, names: list[str]) -> np.ndarray:
    """Name classes; an unknown one, below 0, has an empty name."""
    return np.where(y < 0, "", np.array(names)[y])


def _tokens(path: Path, batch_size: int, tokenizer: Path | None) -> list[Any]:
    """Turn lines into batches of tokens with their masks, padded to the longest line of all."""
    if tokenizer is None:
        raise InputsError(f"{path} holds text.", "A model reads tokens.", "Give --tokenizer FOLDER.")
    transformers: Any = require("transformers", to="A tokenizer")
    with read_as(path, "text", "Write it in UTF-8."):
        # A text may hold other separators of lines, such as U+2028, which end no line of a file.
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    if not lines:
        raise InputsError(f"{path} has no lines.", "There are no inputs.", "Write one input a line.")
    with read_as(tokenizer, "a tokenizer", "Give the folder that its save_pretrained wrote."):
        make = transformers.AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
    if make.pad_token is None:
        make.pad_token = make.eos_token
    found = make(lines, padding=True, return_tensors="pt")
    keys = [key for key in ("input_ids", "attention_mask", "token_type_ids") if key in found]
    return [{key: found[key][i : i + batch_size] for key in keys} for i in range(0, len(lines), batch_size)]
