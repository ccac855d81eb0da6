"""Integrity: check sums that verify that bytes and values are those that were written."""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from ann2neo.errors import Ann2NeoWarning, FormatError
from ann2neo.outline import outline_of
from ann2neo.recording import Layer, Recording

# A seal is appended to an HDF5 file, after the end that readers of HDF5 see. It is written twice, so that damage to a few bytes cannot hide it.
SEAL_BYTES = 512
SEAL_MAGIC = b"\nann2neo-seal "
BLOCK_BYTES = 1 << 22
SPIKES, UNITS, THRESHOLDS = "spikes", "units", "thresholds"


def json_crc32(value: Any) -> int:
    """Compute the CRC-32 of a value that JSON can hold, independent of the formatting of its text.

    Examples
    --------
    >>> json_crc32({"a": 1, "b": [2.5]}) == json_crc32({"b": [2.5], "a": 1})
    True
    """
    return zlib.crc32(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def values_crc32(values: Shaped[np.ndarray, " value"] | pd.Series) -> int:
    """Compute the CRC-32 of numbers, truth values or strings together with their type.

    Examples
    --------
    >>> values_crc32(np.array([1, 2])) == values_crc32(np.array([1.0, 2.0]))
    False
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        return json_crc32([str(value) for value in array.tolist()])
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return zlib.crc32(little.data, zlib.crc32(little.dtype.str.encode()))


def listed(content: Mapping[str, int]) -> list[list[str | int]]:
    """List check sums by part as pairs, because inspectors of NWB report JSON of a mapping in a table as a mistake."""
    return [[part, crc] for part, crc in content.items()]


def content_of(recording: Recording) -> dict[str, int]:
    """Compute a CRC-32 of each part of a recording, by the name of the part.

    Parts are the ``outline`` (schema, size of a bin, passes, provenance, layers, names and types of the trials' columns), each column of the trials and of the bins, and
    spikes, units and thresholds of each layer. They do not depend on the format of the file.

    Examples
    --------
    >>> import ann2neo
    >>> list(content_of(ann2neo.from_array(np.eye(2, dtype=bool))))
    ['outline', "column 'pass' of the trials", "column 'trial' of the trials", "column 'start_bin' of the trials",
     "column 'stop_bin' of the trials", "column 'stimulus_id' of the trials", "spikes of layer 'array'",
     "units of layer 'array'", "thresholds of layer 'array'"]
    """
    found = {"outline": json_crc32(outline_of(recording))}
    for name, column in recording.trials.items():
        found[f"column {name!r} of the trials"] = values_crc32(column)
    for name, column in {} if recording.bins is None else recording.bins.items():
        found[f"column {name!r} of the bins"] = values_crc32(column)
    for layer in recording.layers:
        of_layer = {
            SPIKES: _spikes_crc32(layer),
            UNITS: values_crc32(layer.units),
            THRESHOLDS: values_crc32(layer.thresholds),
        }
        found |= {f"{part} of layer {layer.name!r}": crc for part, crc in of_layer.items()}
    return found


def check_content(recording: Recording, written: Any, path: Path) -> None:
    """Check that a recording agrees with its stored check sums; warn if there are none.

    Raises
    ------
    FormatError
        If a part has another check sum.
    """
    if written is None:
        warn_of_none(path)
        return
    here, known = content_of(recording), _by_part(written)
    if known != here:
        raise damaged(path, [part for part in here if known.get(part) != here[part]] or ["its list of check sums"])


def damaged(path: Path, parts: list[str], kind: type[FormatError] = FormatError) -> FormatError:
    """Make the error that names the parts that differ from what was written."""
    more = f" and {len(parts) - 5} more" if len(parts) > 5 else ""
    return kind(
        f"{path} is damaged, or was changed after ann2neo wrote it: {', '.join(parts[:5])}{more}.",
        "Other numbers than the written ones would be read.",
        "Get the file again from its source, or make it again; `ann2neo.check` lists what is damaged.",
    )


def warn_of_none(path: Path) -> None:
    """Warn that a file has no check sums, so that damage to it cannot be detected."""
    warnings.warn(
        Ann2NeoWarning(
            f"{path} carries no check sums: ann2neo 0.1.0, or another program, wrote it.\n"
            "A byte that was changed since cannot be detected.\n"
            "Load and save it again, so that damage is detected from now on."
        ),
        stacklevel=5,
    )


def seal_file(path: Path) -> None:
    """Append a check sum of all bytes of a file to its end."""
    size, crc = path.stat().st_size, file_crc32(path)
    line = SEAL_MAGIC + f"{size} {crc:08x} {zlib.crc32(f'{size} {crc:08x}'.encode()):08x}\n".encode()
    with path.open("ab") as file:
        file.write(line + b" " * (SEAL_BYTES - 2 * len(line)) + line)


def check_seal(path: Path) -> bool:
    """Verify all bytes of a file before they are interpreted; return False if the file has no seal.

    HDF5 follows the pointers in a damaged file wherever they lead, which may never end.

    Raises
    ------
    FormatError
        If the file was changed after it was sealed.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.nwb"
    >>> _ = file.write_bytes(b"content")
    >>> check_seal(file)
    False
    >>> seal_file(file)
    >>> check_seal(file)
    True
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * SEAL_BYTES))
        tail = file.read()
    if SEAL_MAGIC not in tail:
        return False
    seals = [_parsed(part) for part in tail.split(SEAL_MAGIC)[1:]]
    known = [seal for seal in seals if seal is not None]
    whole = len(seals) == len(known) == 2 and path.stat().st_size == known[0][0] + SEAL_BYTES
    if not whole or len(set(known)) != 1 or file_crc32(path, known[0][0]) != known[0][1]:
        raise damaged(path, ["its bytes do not have the check sum at its end"])
    return True


def file_crc32(path: Path, n_bytes: int | None = None) -> int:
    """Compute the CRC-32 of a file, or of its first bytes."""
    crc, left = 0, path.stat().st_size if n_bytes is None else n_bytes
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, BLOCK_BYTES))):
            crc, left = zlib.crc32(block, crc), left - len(block)
    return crc


def _by_part(written: Any) -> dict[Any, Any]:
    """Read check sums by part from pairs; return an empty mapping for anything else."""
    pairs = written if isinstance(written, list) else []
    return {
        pair[0]: pair[1] for pair in pairs if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)
    }


def _parsed(text: bytes) -> tuple[int, int] | None:
    """Read the size and the check sum from a seal, which is verified by its own check sum."""
    try:
        size, crc, own = text.split(b"\n")[0].split(b" ")
        return (int(size), int(crc, 16)) if int(own, 16) == zlib.crc32(size + b" " + crc) else None
    except ValueError:
        return None


def _spikes_crc32(layer: Layer) -> int:
    """Compute the CRC-32 of the packed bits, some units at a time and pass by pass within these."""
    crc, step = 0, max(1, BLOCK_BYTES * 8 // max(layer.raster.total_bins, 1))
    for first in range(0, layer.n_units, step):
        bits = layer.raster.bits(slice(first, min(first + step, layer.n_units)))
        crc = zlib.crc32(np.ascontiguousarray(bits).data, crc)
    return crc
