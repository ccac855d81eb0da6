"""Optional packages: the extra of ann2neo that installs each, and the error that is raised if one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from ann2neo.errors import MissingPackage

# Name of the package in imports -> extra that installs it, as in pyproject.toml.
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
    """Import an optional package.

    A package that is installed but fails to import raises its own error: installing it again would not help.

    Parameters
    ----------
    package
        Name under which it is imported.
    to
        Task that needs it, as the beginning of a sentence.
    extra
        Extra that installs it; if not given, the one in `EXTRAS`, if any.

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
    All other functions work without it.
    Install it with: python -m pip install 'ann2neo[notes]'
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{package}.".startswith(f"{error.name}."):
            raise
        raise MissingPackage(
            f"{to} needs {error.name}, which is not installed.",
            "All other functions work without it.",
            f"Install it with: python -m pip install {_named(package, extra)}",
        ) from error


def _named(package: str, extra: str | None) -> str:
    """Return what pip has to install: an extra of ann2neo, or a package that belongs to no extra."""
    known = extra or EXTRAS.get(package)
    return f"'ann2neo[{known}]'" if known else package.partition(".")[0]
