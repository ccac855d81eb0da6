"""NIX: neo's own format, which keeps Segments, Groups and all annotations as they are, one object for each spike train.

It is slow and large for many units; `ann2neo.formats.nwb` and the ``.zarr`` store are not.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import h5py
import neo

from ann2neo.atomic import complete_or_absent, reserve
from ann2neo.errors import Ann2NeoError, Ann2NeoWarning, FormatError
from ann2neo.extras import require
from ann2neo.formats.hdf5 import check_storage
from ann2neo.integrity import check_content, check_seal, content_of, listed, seal_file
from ann2neo.recording import Recording
from ann2neo.trains import from_block, to_block

CHECKSUMS, OUTLINE = "checksums_json", "config_json"
MANY_TRAINS = 1000
SECONDS_PER_TRAIN = 0.04
BYTES_PER_TRAIN = 30_000
BYTES_PER_SPIKE = 8


def save(recording: Recording, path: Path, *, overwrite: bool = False) -> None:
    """Write a recording as a neo Block in NIX, with a warning if this will take long; see `ann2neo.formats.save`."""
    require("nixio", to="A .nix file")
    _check_name(path)
    with complete_or_absent(path, overwrite=overwrite) as part:
        _warn_of_size(recording)
        block = to_block(recording)
        block.annotations[CHECKSUMS] = json.dumps(listed(content_of(recording)))
        reserve(part, _likely_bytes(recording))
        with neo.NixIO(str(part), "ow") as io:
            io.write_block(block)
        seal_file(part)


def load(path: Path) -> Recording:
    """Read a recording from a NIX file that ann2neo wrote; see `ann2neo.formats.load`."""
    require("nixio", to="A .nix file")
    _check_name(path)
    try:
        check_seal(path)
        block = _read_block(path)
        recording = from_block(block)
        written = json.loads(block.annotations.get(CHECKSUMS, "null"))
    except Ann2NeoError:
        raise
    # neo and nixio raise many kinds of exception on a damaged file; all mean the same.
    except Exception as error:
        raise FormatError(
            f"{path} cannot be read as NIX ({type(error).__name__}: {error}).",
            "It is not a NIX file, or it is truncated or damaged.",
            "Get the file again, or record again.",
        ) from error
    check_content(recording, written, path)
    return recording


def _check_name(path: Path) -> None:
    """Refuse a name that nixio cannot open."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormatError(
            f"the name {str(path)!a} is not text in UTF-8.",
            "The library that reads and writes NIX cannot open such a file.",
            "Use another name for the file and its folders.",
        ) from error


def _read_block(path: Path) -> neo.Block:
    # nixio does not close a file that it fails to open, and an open file cannot be opened in another mode.
    with h5py.File(path, "r") as file:
        check_storage(file, "/", path)
    with neo.NixIO(str(path), "ro") as io:
        foreign = _foreign(io.nix_file)
        block = io.read_block() if foreign is None else foreign
    if block is None:
        raise FormatError(
            f"{path} holds no Block.", "There is nothing to read.", "Get the file again, or record again."
        )
    return block


def _foreign(file: Any) -> neo.Block | None:
    """Return an empty Block of the same name where the first Block of a file was not made by ann2neo: its trains need not be read to refuse it."""
    if not len(file.blocks):
        return None
    metadata = file.blocks[0].metadata
    values = {} if metadata is None else {each.name: each.values for each in metadata.inherited_properties()}
    return None if OUTLINE in values else neo.Block(name=next(iter(values.get("neo_name", ())), None))


def _warn_of_size(recording: Recording) -> None:
    n_trains = recording.n_units * recording.n_passes
    if n_trains <= MANY_TRAINS:
        return
    megabytes = _likely_bytes(recording) / 1e6
    warnings.warn(
        f"{n_trains} spike trains take about {n_trains * SECONDS_PER_TRAIN:.0f} s and {megabytes:.0f} MB as NIX.\n"
        "NIX stores each of them as separate objects.\n"
        "Save as .nwb or .zarr, or select units first (`recording.select`).",
        Ann2NeoWarning,
        stacklevel=4,
    )


def _likely_bytes(recording: Recording) -> int:
    """Estimate the size of the file."""
    n_spikes = sum(int(layer.raster.n_spikes().sum()) for layer in recording.layers)
    return recording.n_units * recording.n_passes * BYTES_PER_TRAIN + n_spikes * BYTES_PER_SPIKE
