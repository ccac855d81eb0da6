"""Where in a user's own code an error arose: the last lines of it, without those of libraries."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

LAST = 3
MODULES = "torch/nn/modules/"
OURS = Path(__file__).parents[1]


def user_frames(error: BaseException) -> list[str]:
    """List the last frames of an error that lie neither in ann2neo nor in an installed library: file, line, function, code.

    Examples
    --------
    >>> user_frames(ValueError("raised nowhere"))
    []
    """
    frames = traceback.extract_tb(error.__traceback__)
    # A model that is made of torch's modules alone has no line of the user's.
    own = [frame for frame in frames if not _is_library(frame.filename)] or [
        frame for frame in frames if MODULES in Path(frame.filename).as_posix()
    ][-1:]
    return [f"  {frame.filename}, line {frame.lineno}, in {frame.name}: {frame.line}" for frame in own[-LAST:]]


def _is_library(name: str) -> bool:
    path = Path(name)
    installed = [Path(sysconfig.get_paths()[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    started = path.name in ("ann2neo", "__main__.py") and path.suffix != ".py"
    return name.startswith("<") or started or any(path.is_relative_to(place) for place in (OURS, *installed))
