"""Files of other programs, as neo reads them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from ann2neo.errors import ForeignFile, FormatError
from ann2neo.formats import SUFFIXES, load
from ann2neo.recording import Recording

PICKLES = (".pkl", ".pickle")


def read_spikes(path: Path) -> Recording | list[Any]:
    """Read our recordings as such, and anything else through neo as a list of Blocks; but no pickle, which runs whatever code it holds.

    Raises
    ------
    FormatError
        If the file is missing, damaged, a pickle, or of no format in which neo finds spike trains.
    """
    if not path.exists():
        raise FormatError(f"there is no file {path}.", "Nothing was read.", "Check the name and the folder.")
    if path.suffix in SUFFIXES:
        try:
            return load(path)
        except ForeignFile:
            pass
    if path.suffix.lower() in PICKLES:
        raise FormatError(
            f"{path} is a pickle.",
            "To open it would run whatever code it holds.",
            "If you trust it, read it with `neo.io.PickleIO` yourself and give the Blocks to `ann2neo.analyze`.",
        )
    return _through_neo(path)


def _through_neo(path: Path) -> list[Any]:
    """Try the formats that neo proposes until one gives spike trains."""
    import neo

    tried = []
    for candidate in _candidates(path):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                blocks = _open(candidate, path).read()
        # An IO may fail on another's file with any exception at all; what was tried is told at the end.
        except Exception as error:
            tried.append(f"{candidate.__name__} ({type(error).__name__}: {str(error)[:80]})")
            continue
        if any(segment.spiketrains for block in blocks for segment in block.segments):
            return blocks
        tried.append(f"{candidate.__name__} (no spike trains)")
    raise FormatError(
        f"neo {neo.__version__} finds no spike trains in {path} (tried: {'; '.join(tried) or 'no format has this suffix'}).",
        "There is nothing to analyze.",
        "Convert it to a format that neo reads with spike trains, such as NWB or NIX.",
    )


def _candidates(path: Path) -> list[type]:
    import neo.io

    try:
        return [io for io in neo.io.list_candidate_ios(path) if io is not neo.io.PickleIO]
    except ValueError:
        return []


def _open(io: type, path: Path) -> Any:
    """Open read-only where an IO knows of modes."""
    try:
        return io(str(path), mode="r" if io.__name__ == "NWBIO" else "ro")
    except TypeError:
        return io(str(path))
