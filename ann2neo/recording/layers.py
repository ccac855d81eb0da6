"""The units of one layer, and the search for layers by name or pattern."""

from __future__ import annotations

import fnmatch
import glob
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ann2neo.arguments import shown
from ann2neo.cards import card
from ann2neo.errors import LayerNotFound, RecordingError, suggestion
from ann2neo.raster import Raster

AXES = ("channel", "row", "col")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """The units of one call of an activation function.

    Parameters
    ----------
    name
        Name of the module in its model; ``:1`` is appended for its second call in a forward pass, and so on.
    shape
        Shape of the activation without the batch axis.
    dtype
        Floating-point type in which activation and threshold were compared, for instance "float32".
    units
        Place of each unit in the flattened activation, shape (unit,).
    thresholds
        Value that the activation of each unit must exceed for a spike, shape (unit,).
    raster
        The spikes.

    See Also
    --------
    ann2neo.Recording, ann2neo.from_array
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    units: Int[np.ndarray, " unit"]
    thresholds: Float[np.ndarray, " unit"]
    raster: Raster

    def __repr__(self) -> str:
        return (
            f"Layer({self.name!r}, {self.n_units} of {math.prod(self.shape)} units of shape {self.shape}, {self.dtype})"
        )

    def _repr_html_(self) -> str:
        return card(f"Layer {self.name}", {"shape": self.shape, **layer_facts(self)} | {"passes": self.raster.n_passes})

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _shape(self.shape))
        _check_name(self.name)
        _check_dtype(self.dtype)
        _check_arrays(self)
        if not self.units.size == self.thresholds.size == self.raster.n_units:
            raise RecordingError(
                f"layer {self.name!r} has {self.units.size} units, {self.thresholds.size} thresholds and {self.raster.n_units} spike trains.",
                "It is unclear which threshold and which spikes belong to which unit.",
                "Give one threshold and one row of the raster for each unit.",
            )
        n_places = math.prod(self.shape)
        if self.units.size and not 0 <= self.units.min() <= self.units.max() < n_places:
            raise RecordingError(
                f"layer {self.name!r} has units {self.units.min()} to {self.units.max()}, but its shape {self.shape} has {n_places} places.",
                "Some units would lie outside the activation.",
                "Give the shape of one activation without the batch axis; its product is the number of places.",
            )
        if (np.diff(self.units) <= 0).any() and np.unique(self.units).size < self.units.size:
            raise RecordingError(
                f"layer {self.name!r} names {self.units.size - np.unique(self.units).size} of its units twice.",
                "Two units would share one name, and one of them would be counted twice.",
                "Name each unit once: `list(dict.fromkeys(units))` leaves repeats out.",
            )
        if np.isnan(self.thresholds).any():
            raise RecordingError(
                f"{int(np.isnan(self.thresholds).sum())} of {self.thresholds.size} thresholds of layer {self.name!r} are NaN.",
                "Nothing exceeds NaN, so these units could never have spiked.",
                "Give a number for each unit.",
            )

    @property
    def n_units(self) -> int:
        """Number of units that were recorded."""
        return self.units.size

    @property
    def coordinates(self) -> dict[str, Int[np.ndarray, " unit"]]:
        """Position of each unit along the first axes of the activation: channel, row and col, as far as the activation has them."""
        index = np.unravel_index(self.units, self.shape)
        return {axis: np.asarray(place, np.int64) for axis, place in zip(AXES, index)}

    @property
    def unit_names(self) -> list[str]:
        """Name of each unit: its layer and its position in the activation, as in ``features.3[12,0,5]``."""
        index = np.stack(np.unravel_index(self.units, self.shape), axis=1).tolist()
        return [f"{self.name}[{','.join(map(str, place))}]" for place in index]

    def take(self, units: Int[np.ndarray, " unit"]) -> Layer:
        """View some of the units, by their position among the recorded units."""
        return replace(self, units=self.units[units], thresholds=self.thresholds[units], raster=self.raster.take(units))

    def identical(self, other: Layer) -> bool:
        """Whether name, shape, type, units, thresholds and bits are the same."""
        return (
            (self.name, self.shape, self.dtype) == (other.name, other.shape, other.dtype)
            and np.array_equal(self.units, other.units)
            and np.array_equal(self.thresholds, other.thresholds)
            and self.raster.identical(other.raster)
        )


def layer_facts(layer: Layer) -> dict[str, Any]:
    """Summarize a layer: number of units and bins, range of thresholds, and floating-point type."""
    low, high = (
        (float(layer.thresholds.min()), float(layer.thresholds.max())) if layer.n_units else (math.nan, math.nan)
    )
    units = f"{layer.n_units:,}" + (f" of {whole:,}" if (whole := math.prod(layer.shape)) > layer.n_units else "")
    thresholds = f"{low:g}" if low == high else f"{low:.4g} to {high:.4g}"
    return {"units": units, "bins": layer.raster.total_bins, "threshold": thresholds, "dtype": layer.dtype}


def _shape(given: object) -> tuple[int, ...]:
    """Convert a shape to a tuple of integers, or raise if it is something else."""
    sizes = given if isinstance(given, tuple | list) else (given,)
    if not all(isinstance(size, Integral) and not isinstance(size, bool) and int(size) >= 0 for size in sizes):
        raise RecordingError(
            f"`shape` must be a tuple of whole numbers, got {given!r}.",
            "Units would have no place in the activation.",
            "Use shape=(channels, rows, columns), or shape=(n_units,) for a plain layer.",
        )
    return tuple(int(size) for size in sizes)  # pyright: ignore[reportArgumentType]


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise RecordingError(
            f"`name` must be a text, got {shown(name)}.", "No file could store it.", "Use name='fc1', for instance."
        )


def _check_dtype(name: object) -> None:
    try:
        known = isinstance(name, str) and (name.startswith(("bfloat", "float8")) or np.dtype(name).kind in "biuf")
    except TypeError:
        known = False
    if not known:
        raise RecordingError(
            f"`dtype` must be the name of a numeric type, got {name!r}.",
            "It is unclear in which type activations and thresholds were compared.",
            "Use dtype='float32', for instance.",
        )


def _check_arrays(layer: Layer) -> None:
    wrong = next(
        (
            name
            for name, kinds in (("units", "iu"), ("thresholds", "iuf"))
            if not isinstance(values := getattr(layer, name), np.ndarray) or values.dtype.kind not in kinds
        ),
        None,
    )
    if wrong is not None:
        raise RecordingError(
            f"`{wrong}` must be an array of {'whole ' * (wrong == 'units')}numbers, got {shown(getattr(layer, wrong))}.",
            "Units would lack a position or a threshold.",
            f"Use numpy.array({'[0, 1, 2]' if wrong == 'units' else '[0.0, 0.0, 0.0]'}), for instance.",
        )
    if not isinstance(layer.raster, Raster):
        raise RecordingError(
            f"`raster` must be a Raster, got {shown(layer.raster)}.",
            "The layer would have no spikes.",
            "Make one from an array of shape (unit, bin) with Raster.from_dense, or use `ann2neo.from_array`.",
        )


def matches(name: str, pattern: str) -> bool:
    """Whether the name of a layer matches a name or pattern; a pattern without a call number matches all calls.

    Examples
    --------
    >>> matches("act:1", "act"), matches("act", "act:1"), matches("act[0]", "act[0]"), matches("act0", "act[0]")
    (True, False, True, True)
    """
    # A name may hold what stands for others in a pattern.
    return any(one == pattern or fnmatch.fnmatchcase(one, pattern) for one in _with_its_module(name))


def _with_its_module(name: str) -> tuple[str, ...]:
    return (name, name.rpartition(":")[0].removesuffix(":")) if ":" in name else (name,)


def matching(layers: tuple[Layer, ...], patterns: str | Sequence[str]) -> tuple[Layer, ...]:
    """Find the layers that match any of the names or patterns, in the order of the layers.

    Raises
    ------
    LayerNotFound
        If a name or pattern matches no layer; the message suggests the nearest.
    """
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(patterns, Sequence) or not all(isinstance(pattern, str) for pattern in patterns):
        raise LayerNotFound(
            f"`layers` must be a name, a pattern or a list of these, got {patterns!r}.",
            "Nothing was selected.",
            f"Use names or patterns of {', '.join(repr(layer.name) for layer in layers)}.",
        )
    for pattern in patterns:
        if not any(matches(layer.name, pattern) for layer in layers):
            raise layer_not_found(pattern, layers)
    names = {one for layer in layers for one in _with_its_module(layer.name)}
    asked = [glob.escape(pattern) if pattern in names else pattern for pattern in patterns]
    return tuple(layer for layer in layers if any(matches(layer.name, pattern) for pattern in asked))


def layer_not_found(name: str, layers: tuple[Layer, ...]) -> LayerNotFound:
    """Build the error for a name without a layer: it lists all layers and suggests the nearest."""
    known = [layer.name for layer in layers]
    return LayerNotFound(
        f"no layer matches {name!r} in this recording (layers: {', '.join(map(repr, known))}).{suggestion(name, known)}",
        "Nothing was selected.",
        "Use one of these names or a pattern such as 'features.*'.",
    )
