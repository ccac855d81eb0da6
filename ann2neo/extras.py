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
        If it, or a package that it needs, is not installed, with the command that installs it; or if it is installed but fails to import, with the reason.

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
        name = error.name or package
        own = f"{package}.".startswith(f"{name}.")
        through = "" if own else f" (for {package})"
        raise MissingPackage(
            f"{to} needs {name}{through}, which is not installed.",
            "All other functions work without it.",
            f"Install it with: python -m pip install {_named(package if own else name, extra if own else None)}",
        ) from error
    # A package that does not fit another one, as of another version of torch, raises anything while it is imported.
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise MissingPackage(
            f"{to} needs {package}, which is installed but fails to import ({reason}).",
            "Most often it, or a package that it needs, was made for another version of a third one, such as torchvision for one version of torch. All other functions work.",
            f"Install versions that fit each other, until this passes: python -c 'import {package}'",
        ) from error


def _named(package: str, extra: str | None) -> str:
    """Return what pip has to install: an extra of ann2neo, or a package that belongs to no extra."""
    known = extra or EXTRAS.get(package)
    return f"'ann2neo[{known}]'" if known else package.partition(".")[0]
