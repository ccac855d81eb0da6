"""The check sums of a store: of each file and each chunk, in one list, whose own check sum is in the attributes of the store."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ann2neo.errors import FormatError, StoreError
from ann2neo.files import read_content
from ann2neo.integrity import json_crc32
from ann2neo.outline import check_schema
from ann2neo.store.log import write_whole

ATTRIBUTES = ".zattrs"
SEAL = "integrity"
NEWER = re.compile(r"ann2neo/\d+")
# A growing store has a list of its fixed files; a complete store has a list of all files, under another name.
LIST, LIST_OF_GROWING = "checksums.json", "checksums-of-growing.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """CRC-32 of each file by its path in the store, and the check sum of each chunk by its array, in the order of the chunks."""

    files: Mapping[str, int]
    chunks: Mapping[str, Sequence[int]]


def read_attributes(path: Path) -> dict[str, Any]:
    """Read the attributes of a store, without its seal.

    Raises
    ------
    StoreError
        If they differ from those that were written.
    """
    return _attributes(path)[0]


def read_sums(path: Path) -> Sums | None:
    """Read the check sums of a store; None if it was written without them.

    Raises
    ------
    StoreError
        If the list is missing or damaged.
    """
    seal = _attributes(path)[1]
    if seal is None:
        return None
    try:
        content = read_content(path / str(seal["list"]))
    except OSError as error:
        raise lacking(path, str(seal["list"])) from error
    if zlib.crc32(content) != seal["list_crc32"]:
        raise _damaged(path, str(seal["list"]))
    found = json.loads(content)
    return Sums(files=found["files"], chunks=found["chunks"])


def write_sealed(path: Path, attributes: Mapping[str, Any], sums: Sums, *, growing: bool = False) -> None:
    """Write the list of check sums, then atomically the attributes that point to it."""
    name = LIST_OF_GROWING if growing else LIST
    content = json.dumps({"files": dict(sums.files), "chunks": {k: list(v) for k, v in sums.chunks.items()}}).encode()
    write_whole(path / name, content)
    plain = {key: value for key, value in attributes.items() if key != SEAL}
    seal = {"list": name, "list_crc32": zlib.crc32(content), "attributes_crc32": json_crc32(plain)}
    write_whole(path / ATTRIBUTES, json.dumps(plain | {SEAL: seal}, indent=4).encode())


def read_verified(path: Path, name: str, sums: Sums | None) -> bytes:
    """Read a file of a store.

    Raises
    ------
    StoreError
        If it is missing, or differs from what was written.
    """
    try:
        content = read_content(path / name)
    except OSError as error:
        raise lacking(path, name) from error
    if sums is not None and zlib.crc32(content) != sums.files.get(name):
        raise _damaged(path, name)
    return content


def lacking(path: Path, name: str) -> StoreError:
    """Make the error of a file that is missing or cannot be read."""
    return StoreError(
        f"{path} lacks {name}, or it cannot be read.",
        "Missing values would read as zeros or silence.",
        "Copy the whole folder again, or record again.",
    )


def _damaged(path: Path, name: str) -> StoreError:
    return StoreError(
        f"{path} is damaged, or was changed after ann2neo wrote it: {name} has another check sum.",
        "Other values than the written ones would be read.",
        "Copy the whole folder again, or record again; `ann2neo.check` lists what is damaged.",
    )


def _attributes(path: Path) -> tuple[dict[str, Any], Mapping[str, Any] | None]:
    try:
        found = json.loads(read_content(path / ATTRIBUTES))
    except OSError as error:
        raise lacking(path, ATTRIBUTES) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, ATTRIBUTES) from error
    if not isinstance(found, dict):
        raise _damaged(path, ATTRIBUTES)
    seal = found.pop(SEAL, None)
    if seal is None and "schema" not in found:
        raise FormatError(
            f"{path} was not written by ann2neo.", "It names no layers and no trials.", "Use a store made by `save`."
        )
    if NEWER.fullmatch(str(found.get("schema"))):
        check_schema(str(found["schema"]), str(path))
    if seal is None and not any((path / name).exists() for name in (LIST, LIST_OF_GROWING)):
        return found, None
    known = seal if isinstance(seal, dict) else {}
    if known.get("list") not in (LIST, LIST_OF_GROWING) or known.get("attributes_crc32") != json_crc32(found):
        raise _damaged(path, ATTRIBUTES)
    return found, known
