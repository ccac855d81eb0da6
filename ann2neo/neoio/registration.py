"""Entering our readers into neo's tables.

neo has no plug-ins; `neo.io.get_io` asks a table which of its readers knows the suffix of a file. For a folder it counts the suffixes of all files inside, and the chunks
of a store, such as ``0.3.1``, have suffixes that other readers claim. That is why our reader claims them too, and ``0`` besides, so that it has more than any
other. It refuses at once what is no store of ann2neo, and neo then asks the next one.

`neo.rawio.get_rawio` looks at nothing but the suffixes of the files at the top of a folder. Those of a store begin with a dot and count as without a suffix, which
AxoGraph's reader claims, and of two claims neo makes none. So this function is wrapped: it gives our reader for a store, and for anything else what it gave before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import neo.io
import neo.rawio

from ann2neo.neoio.io import Ann2NeoIO
from ann2neo.neoio.rawio import Ann2NeoRawIO
from ann2neo.recording import SCHEMA

# The suffixes of files in a store: of chunks (every store has 0.0.0), and of the log of a store that grew.
SUFFIXES_INSIDE = ("0", "json", "npz")
ATTRIBUTES = ".zattrs"


def register() -> None:
    """Enter the readers into neo's tables, once."""
    if Ann2NeoIO in neo.io.iolist:
        return
    neo.io.iolist.append(Ann2NeoIO)
    neo.rawio.rawiolist.append(Ann2NeoRawIO)
    claimed = {suffix for suffix in neo.io.io_by_extension if suffix.isdigit()}
    for suffix in {*Ann2NeoIO.extensions, *SUFFIXES_INSIDE} | claimed:
        neo.io.io_by_extension.setdefault(suffix, []).append(Ann2NeoIO)
    neo.rawio.get_rawio = _knowing_stores(neo.rawio.get_rawio)


def _knowing_stores(ask: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(ask)
    def get_rawio(filename_or_dirname: str | Path, exclusive_rawio: bool = True) -> Any:
        if not _is_store(Path(filename_or_dirname)):
            return ask(filename_or_dirname, exclusive_rawio)
        return Ann2NeoRawIO if exclusive_rawio else [Ann2NeoRawIO]

    return get_rawio


def _is_store(path: Path) -> bool:
    """Whether it is a folder of ours, of whatever version."""
    attributes = path / ATTRIBUTES
    return attributes.is_file() and SCHEMA.partition("/")[0] + "/" in attributes.read_text(errors="replace")
