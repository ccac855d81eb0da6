"""Packages that only some work needs: the extra of ann2neo that installs each, and what is said where one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from ann2neo.errors import MissingPackage

# Package as it is imported -> the extra that installs it, as in pyproject.toml.
EXTRAS = {
    "dask.distributed": "cluster",
    "nixio": "nix",
    "nwbinspector": "share",
    "pyarrow": "parquet",
    "sklearn": "gpfa",
    "torch": "torch",
    "xarray": "xarray",
    "yaml": "share",
}


def require(package: str, *, to: str, extra: str | None = None) -> ModuleType:
    """Import a package that only an extra of ann2neo installs.

    A package that is there but fails to import fails with its own error: to install it once more would not help.

    Parameters
    ----------
    package
        Name by which it is imported.
    to
        What needs it, as the beginning of a sentence.
    extra
        The extra that installs it; that of `EXTRAS` where it is not given, and none where that knows none.

    Raises
    ------
    MissingPackage
        If it is not installed; the message has the command that installs it.

    Examples
    --------
    >>> require("json", to="Reading notes", extra="notes").__name__
    'json'
    >>> require("jsonn", to="Reading notes", extra="notes")
    Traceback (most recent call last):
    ...
    ann2neo.errors.MissingPackage: Reading notes needs jsonn, which is not installed.
    Everything that does without it works.
    Install it with: python -m pip install 'ann2neo[notes]'
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{package}.".startswith(f"{error.name}."):
            raise
        raise MissingPackage(
            f"{to} needs {error.name}, which is not installed.",
            "Everything that does without it works.",
            f"Install it with: python -m pip install {_named(package, extra)}",
        ) from error


def _named(package: str, extra: str | None) -> str:
    """Name what pip installs: an extra of ours, or a package that no extra brings."""
    known = extra or EXTRAS.get(package)
    return f"'ann2neo[{known}]'" if known else package.partition(".")[0]
