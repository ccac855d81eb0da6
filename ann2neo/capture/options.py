"""Options of record, plan and export: of the right kind, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ann2neo.arguments import check_flag
from ann2neo.capture.passes import Passes
from ann2neo.capture.steps import Steps
from ann2neo.errors import InputsError, LayerNotFound


def check_kinds(options: Mapping[str, Any]) -> None:
    """Refuse options of the wrong kind before anything runs.

    Raises
    ------
    InputsError, LayerNotFound
        If a truth value is not one, layers are not names, or steps and passes are something else.

    Examples
    --------
    >>> check_kinds({"layers": "fc*", "steps": Steps(1), "verify": True})
    """
    for option in ("verify", "progress"):
        check_flag(options.get(option, True), option, error=InputsError)
    layers = options.get("layers")
    names = [layers] if isinstance(layers, str) else layers
    if names is not None and not (
        isinstance(names, Sequence) and names and all(isinstance(n, str) and n for n in names)
    ):
        raise LayerNotFound(
            f"layers={layers!r} are not names.",
            "Nothing was recorded.",
            'Use names or patterns such as "features.*"; without layers= every activation function is recorded.',
        )
    for name, kind, example in (("steps", Steps, "Steps(1)"), ("passes", Passes, "Passes(10)")):
        given = options.get(name)
        if not isinstance(given, kind | None):
            raise InputsError(
                f"{name}={given!r} is unclear.", "Nothing was recorded.", f"Use {name}=ann2neo.{example}."
            )
