"""Weights of a file into a model, without unpickling anything else."""

from __future__ import annotations

import json
import shlex
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ann2neo.errors import FormatError, MissingPackage, ModelError, kind_of
from ann2neo.extras import require

# What wrappers put before every name.
WRAPPERS = ("module.", "_orig_mod.")


def with_weights(model: Any, weights: Path | None, *, prefix: str = "") -> Any:
    """Load a state dict, which may be the only one in a dictionary, and be that of a data-parallel or compiled wrapper of the model.

    Parameters
    ----------
    model
        What gets the weights.
    weights
        A file of torch, a ``.safetensors`` file, or a folder of either, also in several parts with an index.
    prefix
        What stands before the names of the model in the file, such as "net." in a checkpoint of Lightning; what has other names is left out.

    Raises
    ------
    FormatError
        If the file is missing, or holds anything but weights.
    ModelError
        If they are not the weights of this model; the message names what is missing and what is too much.
    """
    if weights is None:
        return model
    state = _inside(_state(_read(weights), weights), prefix, weights)
    expected = _expected(model)
    state = _unwrapped(state, expected)
    try:
        model.load_state_dict(state)
    # torch reports what does not fit with many kinds of exceptions.
    except Exception as error:
        raise _misfit(weights, model, state, expected, error) from error
    return model


def _inside(state: Mapping[str, Any], prefix: str, weights: Path) -> Mapping[str, Any]:
    """Keep what begins with a prefix, without it."""
    if not prefix:
        return state
    found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not found:
        known = sorted({key.partition(".")[0] + "." for key in state if "." in key})
        raise ModelError(
            f"no weight of {weights} begins with {prefix!r} (they begin with {_listed(map(repr, known))}).",
            "The model would have no weights.",
            "Give one of these as --prefix.",
        )
    return found


def _of_folder(folder: Path) -> Any:
    """Read the parts that an index names, or the only file of weights."""
    for index in sorted(folder.glob("*.index.json")):
        try:
            parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            raise FormatError(
                f"{index} is not an index of weights.", "They are not found.", "Save them again."
            ) from error
        outside = [part for part in parts if Path(str(part)).name != part]
        if outside:
            raise FormatError(
                f"{index} names {outside[0]!r}, which lies elsewhere.",
                "Only what lies in the folder is read.",
                "Get the folder again from a source that you trust.",
            )
        return {key: value for part in parts for key, value in _read(folder / part).items()}
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")])
    if len(files) != 1:
        raise FormatError(
            f"{folder} holds {len(files)} files of weights and no index.",
            "It is unclear which the model is to have.",
            "Give the file itself.",
        )
    return _read(files[0])


def _read(weights: Path) -> Any:
    import torch

    if weights.is_dir():
        return _of_folder(weights)
    if not weights.is_file():
        raise FormatError(f"there is no file {weights}.", "The model has no weights.", "Check the name and the folder.")
    try:
        if weights.suffix == ".safetensors":
            safetensors: Any = require("safetensors.torch", to="A .safetensors file")
            return safetensors.load_file(weights)
        _check_sums(weights)
        return torch.load(weights, map_location="cpu", weights_only=True)
    except (MissingPackage, FormatError):
        raise
    # A file of anything else fails in as many ways as there are files.
    except Exception as error:
        raise FormatError(
            f"{weights} is not a file of weights alone ({type(error).__name__}).",
            "Whole models and other objects are never unpickled: that would run code of the file.",
            "Save the weights with torch.save(model.state_dict(), ...) and give that file.",
        ) from error


def _check_sums(weights: Path) -> None:
    """Verify the CRC-32 of each record of a file of torch, which `torch.load` does not."""
    if not zipfile.is_zipfile(weights):
        return
    with zipfile.ZipFile(weights) as file:
        damaged = file.testzip()
    if damaged is not None:
        raise FormatError(
            f"{weights} is damaged: {damaged} does not have the check sum that is stored with it.",
            "The model would have other weights than those that were saved.",
            "Get the file again from its source, or save it again; `torch.serialization.set_crc32_options(False)` leaves check sums out.",
        )


def _state(found: Any, weights: Path) -> Mapping[str, Any]:
    """Take what was read, or the only entry of it that is a state dict."""
    if _is_state(found):
        return found
    entries = found if isinstance(found, Mapping) else {}
    inner = [key for key, value in entries.items() if _is_state(value)]
    if len(inner) == 1:
        return entries[inner[0]]
    what = f"a dictionary of {_listed(map(str, entries))}" if entries else kind_of(found)
    which = f"; several of them hold tensors: {_listed(map(str, inner))}" if inner else ""
    raise FormatError(
        f"{weights} holds {what}{which}.",
        "It is unclear which weights the model is to have.",
        "Save them alone with torch.save(model.state_dict(), ...) and give that file.",
    )


def _is_state(found: Any) -> bool:
    import torch

    return isinstance(found, Mapping) and any(isinstance(value, torch.Tensor) for value in found.values())


def _expected(model: Any) -> Mapping[str, Any]:
    import torch

    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"{kind_of(model)} is not a torch module.", "It has no weights.", "Give a torch.nn.Module.")
    return model.state_dict()


def _unwrapped(state: Mapping[str, Any], expected: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what a wrapper put before every name, if the model's names are the rest."""
    for _ in WRAPPERS:
        for prefix in WRAPPERS:
            if set(state) != set(expected) and all(key.startswith(prefix) for key in state):
                state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _misfit(
    weights: Path, model: Any, state: Mapping[str, Any], expected: Mapping[str, Any], error: Exception
) -> ModelError:
    """Name what is missing, what is too much, and what has another shape."""
    missing = [key for key in expected if key not in state]
    unexpected = [str(key) for key in state if key not in expected]
    shapes = [
        f"{key} is {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if hasattr(state.get(key), "shape") and hasattr(value, "shape") and state[key].shape != value.shape
    ]
    facts = [f"missing: {_listed(missing)}"] if missing else []
    facts += [f"unexpected: {_listed(unexpected)}"] if unexpected else []
    facts += [f"shapes: {_listed(shapes)}"] if shapes else []
    return ModelError(
        f"{weights} does not fit {type(model).__name__} ({'; '.join(facts) or ' '.join(str(error).split()) or type(error).__name__}).",
        "The model would run with other weights than those of the file.",
        _cure(missing, unexpected) or "Give a state dict of this model.",
    )


def _cure(missing: list[str], unexpected: list[str]) -> str:
    """Where all names differ by one and the same beginning, say so."""
    for short, long, ours in ((missing, unexpected, False), (unexpected, missing, True)):
        prefix = long[0].removesuffix(short[0]) if short and long and long[0].endswith(short[0]) else ""
        if prefix and [prefix + key for key in short] == long:
            owner = "the model" if ours else "the file"
            cure = (
                "give the model of which these are the weights, or rename them."
                if ours
                else f"give --prefix {shlex.quote(prefix)}"
            )
            return f"The names differ by {prefix!r} before those of {owner}: {cure}"
    return ""


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:8]) + (f", ... ({len(every)} in all)" if len(every) > 8 else "")
