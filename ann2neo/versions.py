"""Versions of the software that made a result."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from ann2neo import __version__


def software(*packages: str) -> str:
    """List our version and those of some packages, as in ``ann2neo 0.2.0, torch 2.13.0``.

    Examples
    --------
    >>> software("numpy").startswith("ann2neo ")
    True
    """
    return ", ".join(f"{package} {_version(package)}" for package in ("ann2neo", *packages))


@cache
def _version(package: str) -> str:
    if package == "ann2neo":
        return __version__
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
