"""How large a result will be, said before it is made."""

from __future__ import annotations

import math
import warnings

from ann2neo.arguments import check_number
from ann2neo.errors import AnalysisError, Ann2NeoWarning

MAX_BYTES = 2 * 1024**3
SAY_BYTES = 256 * 1024**2


def say_size(n_bytes: float | int, max_bytes: int, what: str, cure: str) -> None:
    """Log how much memory is about to be used if it is much; raise if it is more than allowed.

    Raises
    ------
    AnalysisError
        If it is more than allowed.

    Examples
    --------
    >>> say_size(8 * 50_000**2, 2 * 1024**3, "50,000 x 50,000 correlations", "Use units=1000.")
    Traceback (most recent call last):
        ...
    ann2neo.errors.AnalysisError: 50,000 x 50,000 correlations need 18.6 GiB, but 2.0 GiB are allowed.
    Nothing was computed.
    Use units=1000.
    """
    check_number(max_bytes, "max_bytes", above=0, such_as=MAX_BYTES)
    if n_bytes > max_bytes:
        raise AnalysisError(
            f"{what} need {written(n_bytes)}, but {written(max_bytes)} are allowed.", "Nothing was computed.", cure
        )
    if n_bytes > SAY_BYTES:
        text = f"{what} will take {written(n_bytes)} of memory.\nTake fewer units (`units=`) or a lower `max_bytes` if that is too much."
        warnings.warn(Ann2NeoWarning(text), stacklevel=3)


def fewer_units(max_bytes: int, bytes_per_pair: float | int, bytes_per_unit: float | int) -> str:
    """Describe how many units would fit."""
    check_number(max_bytes, "max_bytes", above=0, such_as=MAX_BYTES)
    half = bytes_per_unit / (2 * bytes_per_pair)
    fits = math.floor(math.sqrt(half**2 + max_bytes / bytes_per_pair) - half)
    return f"Use units={max(fits, 2)} for a random subset that fits, or allow more with max_bytes."


def written(n_bytes: float | int) -> str:
    """Write a number of bytes in the unit in which it is easiest to read.

    Examples
    --------
    >>> written(3 * 1024**2), written(100)
    ('3.0 MiB', '0.1 KiB')
    """
    for unit in ("KiB", "MiB", "GiB"):
        n_bytes /= 1024
        if n_bytes < 1024:
            return f"{n_bytes:.1f} {unit}"
    return f"{n_bytes / 1024:.1f} TiB"
