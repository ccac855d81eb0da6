"""Versions of the software with which a result was computed."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version


def software(*packages: str) -> str:
    """List the versions of ann2neo and of some packages, as in ``ann2neo 0.2.0, torch 2.13.0``.

    Examples
    --------
    >>> software("numpy").startswith("ann2neo ")
    True
    """
    return ", ".join(f"{package} {_version(package)}" for package in ("ann2neo", *packages))


@cache
def _version(package: str) -> str:
    if package == "ann2neo":
        return sys.modules["ann2neo"].__version__  # not imported: for import-linter, that would import every subpackage
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
