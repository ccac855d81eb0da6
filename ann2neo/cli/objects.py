"""Models and inputs by the name of the Python file or module that makes them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ann2neo.errors import FormatError, InputsError, ModelError


def load_object(reference: str, what: str) -> Any:
    """Import ``package.module:name`` or ``file.py:name``; a function without arguments is called."""
    place, _, name = reference.rpartition(":")
    if not place or not name.isidentifier():
        raise InputsError(
            f"{what} {reference!r} is not of the form package.module:name or file.py:name.",
            "Nothing was loaded.",
            "Write it so.",
        )
    module = _import(place)
    if not hasattr(module, name):
        raise InputsError(
            f"{place} has no {name!r}.", "Nothing was loaded.", f"Define the {what} there under this name."
        )
    found = getattr(module, name)
    return found() if _is_factory(found) else found


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


def with_weights(model: Any, weights: Path | None) -> Any:
    """Load a state dict without unpickling anything else."""
    if weights is None:
        return model
    import torch

    if not weights.is_file():
        raise FormatError(f"there is no file {weights}.", "The model has no weights.", "Check the name and the folder.")
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    # A file of anything else fails in as many ways as there are files.
    except Exception as error:
        raise FormatError(
            f"{weights} is no file of weights alone ({type(error).__name__}).",
            "Whole models and other objects are never unpickled: that would run code of the file.",
            "Save the weights with torch.save(model.state_dict(), ...) and give that file.",
        ) from error
    try:
        model.load_state_dict(state.get("state_dict", state))
    # torch reports what does not fit with many kinds of exceptions.
    except Exception as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{weights} does not fit {type(model).__name__}: {first_line}",
            "The model has no weights.",
            "Give a state dict of this model.",
        ) from error
    return model
