"""Models and inputs by the name of the Python file or module that makes them."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ann2neo.errors import FormatError, InputsError


def load_object(reference: str, what: str) -> Any:
    """Import ``package.module:name`` or ``file.py:name``; a function without arguments is called.

    A function that gives an iterator, such as a generator function, is given itself instead: what it gives could be read only once.

    Raises
    ------
    InputsError, FormatError
        If nothing goes by this name, or it is a function that cannot be called without arguments.
    """
    place, _, name = reference.rpartition(":")
    if not place or not name.isidentifier():
        absent = "" if os.path.exists(reference) else ", and no file or folder has this name"
        raise InputsError(
            f"{what} {reference!r} is not of the form package.module:name or file.py:name{absent}.",
            "Nothing was loaded.",
            "Write it so, or check the name and the folder." if absent else "Write it so.",
        )
    module = _import(place)
    if not hasattr(module, name):
        raise InputsError(
            f"{place} has no {name!r}.", "Nothing was loaded.", f"Define the {what} there under this name."
        )
    found = getattr(module, name)
    return _made_by(found, reference, what) if _is_factory(found) else found


def _made_by(factory: Any, reference: str, what: str) -> Any:
    """Call a function or class, unless what it gives can be read only once."""
    needed = _needed_arguments(factory)
    if needed:
        raise InputsError(
            f"{reference} needs arguments ({', '.join(needed)}).",
            f"The {what} cannot be made.",
            f"Write a function without arguments that returns the {what}, and give its name.",
        )
    if inspect.isgeneratorfunction(factory):
        return factory
    made = factory()
    return factory if isinstance(made, Iterator) else made


def _needed_arguments(factory: Any) -> list[str]:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _is_factory(found: Any) -> bool:
    """Whether it is a function or class to be called, rather than the model or the data themselves."""
    import torch

    return isinstance(found, type) or (
        isinstance(found, Callable) and not isinstance(found, torch.nn.Module) and not hasattr(found, "__iter__")
    )


def _import(place: str) -> Any:
    if not place.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise InputsError(
                f"there is no module {place!r} ({error}).",
                "Nothing was loaded.",
                "Check the name, or give file.py:name.",
            ) from error
        finally:
            sys.path.pop(0)
    path = Path(place)
    if not path.is_file():
        raise FormatError(f"there is no file {path}.", "Nothing was loaded.", "Check the name and the folder.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputsError(f"{path} cannot be imported.", "Nothing was loaded.", "Give a Python file.")
    module = importlib.util.module_from_spec(spec)
    # Workers of a DataLoader find the classes of the file under this name.
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module
