"""Registration of ann2neo's readers in neo's tables.

neo has no plug-ins; `neo.io.get_io` looks up in a table which of its readers claims the suffix of a file. For a folder it counts the suffixes of all files inside, and the chunks
of a store, such as ``0.3.1``, have suffixes that other readers claim. The reader of ann2neo therefore claims them too, and ``0`` as well, so that it has more matches than any
other. It refuses at once any folder that is not an ann2neo store, and neo then tries the next reader.

`neo.rawio.get_rawio` looks only at the suffixes of the files at the top of a folder. Those of a store begin with a dot and count as files without a suffix, which
AxoGraph's reader claims, and if two readers claim a folder neo returns neither. This function is therefore wrapped: it returns ann2neo's reader for a store, and for anything else the reader that it returned before.
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
    """Register the readers in neo's tables, once."""
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
    """Return whether a folder is an ann2neo store of any version."""
    attributes = path / ATTRIBUTES
    return attributes.is_file() and SCHEMA.partition("/")[0] + "/" in attributes.read_text(errors="replace")
