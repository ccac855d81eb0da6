"""Models by name: timm:NAME, torchvision:NAME, hf:FOLDER, or an object of a Python file; nothing is downloaded."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ann2neo.cli.objects import load_object
from ann2neo.errors import Ann2NeoWarning, ModelError
from ann2neo.extras import require


def load_model(reference: str, *, seed: int = 0, weighted: bool = False) -> Any:
    """Make the model that a reference names.

    Architectures of timm and torchvision, and folders of Hugging Face that hold a configuration alone, get random weights of this seed, so that an
    interrupted export can go on.

    Parameters
    ----------
    reference
        ``timm:resnet18``, ``torchvision:resnet18``, ``hf:FOLDER`` (what ``save_pretrained`` wrote), ``package.module:name`` or ``file.py:name``.
    seed
        Seed of random weights.
    weighted
        Whether weights are loaded into it afterwards.

    Raises
    ------
    ModelError
        If there is no such architecture, or the folder holds no model.
    MissingPackage
        If timm, torchvision or transformers is not installed.
    """
    kind, _, name = reference.partition(":")
    make = _KINDS.get(kind)
    if make is None:
        return load_object(reference, "model")
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, is_random = make(name)
    if is_random and not weighted:
        text = f"{reference} has random weights (seed {seed}).\nNothing is downloaded.\nGive --weights FILE for trained ones."
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
    return model


def _of_timm(name: str) -> tuple[Any, bool]:
    timm: Any = require("timm", to=f"timm:{name}")
    return _made(lambda: timm.create_model(name, pretrained=False), f"timm:{name}"), True


def _of_torchvision(name: str) -> tuple[Any, bool]:
    torchvision: Any = require("torchvision", to=f"torchvision:{name}")
    return _made(lambda: torchvision.models.get_model(name, weights=None), f"torchvision:{name}"), True


def _of_hugging_face(name: str) -> tuple[Any, bool]:
    folder = Path(name)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} holds no config.json.",
            "It is not a folder of Hugging Face, and nothing is downloaded.",
            "Give a folder that save_pretrained wrote.",
        )
    transformers: Any = require("transformers", to=f"hf:{name}")
    config = _made(lambda: transformers.AutoConfig.from_pretrained(folder, local_files_only=True), f"hf:{name}")
    named = (getattr(config, "architectures", None) or [""])[0]
    kind = getattr(transformers, named, transformers.AutoModel)
    if any(folder.glob("*.safetensors*")) or any(folder.glob("pytorch_model*.bin*")):
        return _made(lambda: kind.from_pretrained(folder, local_files_only=True), f"hf:{name}"), False
    make = kind.from_config if kind is transformers.AutoModel else kind
    return _made(lambda: make(config), f"hf:{name}"), True


def _made(make: Callable[[], Any], reference: str) -> Any:
    try:
        return make()
    # Each library has errors of its own for names that it does not know.
    except Exception as error:
        raise ModelError(
            f"{reference} cannot be made ({type(error).__name__}: {' '.join(str(error).split())[:200]}).",
            "There is no model, and nothing was recorded.",
            "Check the name; nothing is downloaded, and code of a folder is not run.",
        ) from error


_KINDS: dict[str, Callable[[str], tuple[Any, bool]]] = {
    "timm": _of_timm,
    "torchvision": _of_torchvision,
    "hf": _of_hugging_face,
}
