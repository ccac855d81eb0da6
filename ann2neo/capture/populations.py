"""Which units of a layer are recorded: all, every so many, a drawn sample, or some by their places."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from ann2neo.errors import ActivationError, LayerNotFound, suggestion
from ann2neo.recording import matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Some units of each layer, drawn at random once and for all.

    Which units are drawn depends on the seed, on the name of the layer and on its number of units; not on other layers, on the model or on the version of a library.
    A larger sample contains the smaller ones.

    Parameters
    ----------
    fraction
        Share of the units of each layer, above 0 and at most 1; at least one unit is drawn.
    n
        Number of units of each layer, instead of a share; all units of a layer that has fewer.
    seed
        Seed of the draw, not negative.

    Raises
    ------
    ActivationError
        If there is not exactly one of share and number, or it is out of range.

    Examples
    --------
    >>> choose_units("features.0", 1000, Sample(n=4)), choose_units("features.0", 1000, Sample(n=4, seed=1))
    (array([ 58, 137, 216, 563]), array([ 44, 143, 482, 558]))
    """

    fraction: float | int | None = None
    n: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        share = self.fraction is not None and 0 < self.fraction <= 1
        number = self.n is not None and self.n >= 1
        if share == number or None not in (self.fraction, self.n) or self.seed < 0:
            raise ActivationError(
                f"{self!r} draws no sample.",
                "It is unclear which units to record.",
                "Give a share (Sample(fraction=0.01)) or a number (Sample(n=1000)), and a seed of 0 or more.",
            )

    def size(self, n_units: int) -> int:
        """Number of units to draw from so many."""
        return min(n_units, self.n) if self.n is not None else max(1, round(n_units * (self.fraction or 0.0)))

    def draw(self, layer: str, n_units: int) -> Int[np.ndarray, " unit"]:
        """Draw the places of units of a layer, ascending, shape (unit,)."""
        digest = hashlib.blake2b(f"{self.seed} {layer}".encode(), digest_size=16).digest()
        # Only the raw output of a bit generator is promised to be the same in all versions of NumPy.
        keys = np.random.PCG64(int.from_bytes(digest, "little")).random_raw(n_units)
        return np.sort(np.argsort(keys, kind="stable")[: self.size(n_units)])


UnitChoice = slice | Sequence[int] | np.ndarray | Sample | Mapping[str, Any] | None


def choose_units(layer: str, n_units: int, units: UnitChoice) -> Int[np.ndarray, " unit"]:
    """Find the places, in the flattened activation, of the units to record, shape (unit,).

    Raises
    ------
    ActivationError
        If the choice is empty, or has units that do not exist or come twice.

    Examples
    --------
    >>> choose_units("fc", 6, slice(None, None, 2)), choose_units("fc", 6, {"conv*": [0]}), choose_units("fc", 6, [5, 1])
    (array([0, 2, 4]), array([0, 1, 2, 3, 4, 5]), array([5, 1]))
    """
    if isinstance(units, Mapping):
        units = next((choice for pattern, choice in units.items() if matches(layer, pattern)), None)
    if units is None:
        return np.arange(n_units)
    if isinstance(units, Sample):
        return units.draw(layer, n_units)
    chosen = np.arange(n_units)[units].copy() if isinstance(units, slice) else _places(units, n_units)
    if chosen.size == 0 or chosen.min() < 0 or chosen.max() >= n_units or np.unique(chosen).size != chosen.size:
        raise ActivationError(
            f"layer {layer!r} has {n_units} units, but {describe_units(units)} were asked for.",
            "None of them, or units that do not exist or come twice, would be recorded.",
            f"Use different places from 0 to {n_units - 1}, a slice, a truth value for each unit, or Sample(...).",
        )
    return chosen


def describe_units(units: UnitChoice) -> str:
    """Write a choice of units down.

    Examples
    --------
    >>> describe_units({"conv*": Sample(n=5), "fc": [0, 7]}), describe_units(None)
    ("{'conv*': Sample(fraction=None, n=5, seed=0), 'fc': units [0, 7]}", 'all units')
    """
    if isinstance(units, Mapping):
        return "{" + ", ".join(f"{pattern!r}: {describe_units(choice)}" for pattern, choice in units.items()) + "}"
    if units is None:
        return "all units"
    if isinstance(units, (Sample, slice)):
        return repr(units)
    places = np.asarray(units)
    return (
        f"units {places.tolist()}"
        if places.size <= 10
        else f"{places.size} units from {places.min()} to {places.max()}"
    )


def check_patterns(option: str, choice: Any, layers: Sequence[str]) -> None:
    """Refuse an option whose patterns fit no layer: it would silently do nothing.

    Raises
    ------
    LayerNotFound
        If a pattern fits none of the layers.
    """
    for pattern in choice if isinstance(choice, Mapping) else ():
        if not any(matches(layer, pattern) for layer in layers):
            raise LayerNotFound(
                f"no recorded layer matches {pattern!r}, for which {option} were given (layers: {', '.join(map(repr, layers[:20]))})."
                f"{suggestion(pattern, layers)}",
                "They would silently apply to nothing.",
                "Use one of these names, a pattern such as 'features.*', or leave it out.",
            )


def _places(units: Any, n_units: int) -> Int[np.ndarray, " unit"]:
    """Read places or truth values; anything else gives no place."""
    array = np.asarray(units)
    if array.dtype == bool and array.shape == (n_units,):
        return np.flatnonzero(array)
    return array.astype(np.int64) if array.ndim == 1 and array.dtype.kind in "iu" else np.zeros(0, np.int64)
