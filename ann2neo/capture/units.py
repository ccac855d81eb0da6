"""Which units of a layer are recorded: all, every k-th, a drawn sample, or some by their places."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Int, UInt64

from ann2neo.errors import ActivationError, LayerNotFound, suggestion
from ann2neo.recording import matches
from ann2neo.threads import over_units
from ann2neo.thresholds import check_choices

# As many as stay in the processor's cache.
KEYS_AT_ONCE = 1 << 15
# Each thread draws this many keys at a time; shorter layers need no thread.
UNITS_PER_THREAD = 1 << 18


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

    See Also
    --------
    ann2neo.record, ann2neo.plan

    Examples
    --------
    >>> Sample(n=4).draw("features.0", 1000), Sample(n=4, seed=1).draw("features.0", 1000)
    (array([ 58, 137, 216, 563]), array([ 44, 143, 482, 558]))
    """

    fraction: float | int | None = None
    n: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        share = isinstance(self.fraction, Real) and not isinstance(self.fraction, bool) and 0 < self.fraction <= 1
        number, seed = _is_integer(self.n) and self.n >= 1, _is_integer(self.seed) and self.seed >= 0
        if share == number or not seed or (self.fraction is not None and self.n is not None):
            raise ActivationError(
                f"{self!r} draws no sample.",
                "It is unclear which units to record.",
                "Give a share (Sample(fraction=0.01)) or a number (Sample(n=1000)), and a seed of 0 or more.",
            )

    def size(self, n_units: int) -> int:
        """Number of units to draw from this many."""
        return min(n_units, self.n) if self.n is not None else max(1, round(n_units * (self.fraction or 0.0)))

    def draw(self, layer: str, n_units: int) -> Int[np.ndarray, " unit"]:
        """Draw the places of units of a layer, ascending, shape (unit,)."""
        digest = hashlib.blake2b(f"{self.seed} {layer}".encode(), digest_size=16).digest()
        size = min(n_units, self.size(n_units))
        return _with_smallest_keys(int.from_bytes(digest, "little"), n_units, size) if size else np.zeros(0, np.int64)


def _with_smallest_keys(seed: int, n_units: int, size: int) -> Int[np.ndarray, " unit"]:
    """Draw a random key for each unit, and return the units with the smallest ones, ascending, shape (unit,); of equal keys the first ones count.

    Keys below a bound that is almost certainly high enough are kept, so that nothing as long as the layer is stored or sorted.
    """
    share, top = size / n_units, 2**64 - 1
    # Six standard deviations above the expected key of the last unit.
    bound = min(top, int((share + 6 * math.sqrt(share / n_units)) * 2**64))
    places, keys = _keys_up_to(bound, seed, n_units)
    if places.size < size:
        places, keys = _keys_up_to(top, seed, n_units)
    last = np.partition(keys, size - 1)[size - 1]
    below = np.flatnonzero(keys < last)
    equal = np.flatnonzero(keys == last)[: size - below.size]
    return places[np.sort(np.concatenate([below, equal]))]


def _keys_up_to(bound: int, seed: int, n_units: int) -> tuple[Int[np.ndarray, " unit"], UInt64[np.ndarray, " unit"]]:
    """Draw the key of each unit, and keep places and keys of those that have none above the bound, both of shape (unit,)."""
    kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def keep(start: int, stop: int) -> None:
        draw = _raw_numbers(seed, start)
        places, keys = [], []
        for first in range(start, stop, KEYS_AT_ONCE):
            some = draw(min(KEYS_AT_ONCE, stop - first))
            here = np.flatnonzero(some <= np.uint64(bound))
            places.append(first + here)
            keys.append(some[here])
        kept[start] = np.concatenate(places), np.concatenate(keys)

    over_units(keep, n_units, units_per_task=UNITS_PER_THREAD)
    places, keys = zip(*(kept[start] for start in sorted(kept)))
    return np.concatenate(places), np.concatenate(keys)


def _raw_numbers(seed: int, start: int) -> Callable[[int], UInt64[np.ndarray, " number"]]:
    """Return a function that draws numbers of 64 bits as PCG64's raw output, after its first ``start`` numbers.

    Only that output is promised to be the same in all versions of NumPy. Its generator of integers gives the same numbers five times as fast, which is checked.
    """
    generator = np.random.Generator(np.random.PCG64(seed).advance(start))
    probe, raw = np.random.Generator(np.random.PCG64(seed)), np.random.PCG64(seed)
    if np.array_equal(_whole_numbers(probe, 16), raw.random_raw(16)):
        return partial(_whole_numbers, generator)
    return np.random.PCG64(seed).advance(start).random_raw


def _whole_numbers(generator: np.random.Generator, n: int) -> UInt64[np.ndarray, " number"]:
    return generator.integers(0, 2**64 - 1, n, dtype=np.uint64, endpoint=True)


UnitChoice = slice | Sequence[int] | np.ndarray | Sample | Mapping[str, Any] | None


def choose_units(
    layer: str, n_units: int, units: UnitChoice, shape: tuple[int, ...] | None = None
) -> Int[np.ndarray, " unit"]:
    """Find the places, in the flattened activation, of the units to record, shape (unit,).

    Of a mapping from patterns to choices the first pattern that fits counts, and all units where none fits. Truth values may have the ``shape`` of the activation of an input.

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
        check_choices("units", units, ActivationError)
        units = next((choice for pattern, choice in units.items() if matches(layer, pattern)), None)
    if units is None:
        return np.arange(n_units)
    if isinstance(units, Sample):
        return units.draw(layer, n_units)
    chosen = (
        _sliced(units, n_units) if isinstance(units, slice) else _places(units, (n_units,) if shape is None else shape)
    )
    if chosen.size == 0 or chosen.min() < 0 or chosen.max() >= n_units or np.unique(chosen).size != chosen.size:
        raise ActivationError(
            f"layer {layer!r} has {n_units} units, but {describe_units(units)} were asked for.",
            "None of them, or units that do not exist or come twice, would be recorded.",
            f"Use different places from 0 to {n_units - 1}, a slice, a truth value for each unit, or Sample(...).",
        )
    return chosen


def describe_units(units: UnitChoice) -> str:
    """Write a choice of units down: more than ten places as the hash of what a recording keeps as `Layer.units`, as little-endian integers of 64 bits.

    Examples
    --------
    >>> describe_units({"conv*": Sample(n=5), "fc": [0, 7]}), describe_units(None)
    ("{'conv*': Sample(fraction=None, n=5, seed=0), 'fc': units [0, 7]}", 'all units')
    >>> describe_units(np.arange(0, 30, 2)), hashlib.sha256(np.arange(0, 30, 2).astype("<i8").tobytes()).hexdigest()[:12]
    ('15 units from 0 to 28, sha256 2f3195b9a286', '2f3195b9a286')
    """
    if isinstance(units, Mapping):
        return "{" + ", ".join(f"{pattern!r}: {describe_units(choice)}" for pattern, choice in units.items()) + "}"
    if units is None:
        return "all units"
    if isinstance(units, (Sample, slice)):
        return repr(units)
    places = np.asarray(units)
    if places.size <= 10:
        return f"units {places.tolist()}"
    if places.dtype == bool:
        # Their places are what a recording keeps.
        return f"{places.size} truth values, of which {describe_units(np.flatnonzero(places))}"
    if places.dtype.kind not in "iu":
        return f"{places.size} values of type {places.dtype}"
    digest = hashlib.sha256(places.astype("<i8").tobytes()).hexdigest()[:12]
    return f"{places.size} units from {places.min()} to {places.max()}, sha256 {digest}"


def check_patterns(option: str, choice: Any, layers: Sequence[str]) -> None:
    """Refuse an option with patterns that fit no layer, or only layers that patterns before them took: they would silently do nothing.

    The first pattern that fits a layer counts. One that stands last for all the rest may find nothing left.

    Raises
    ------
    LayerNotFound
        If a pattern fits none of the layers, or is special and stands after a general one.

    Examples
    --------
    >>> check_patterns("thresholds", {"fc1": 0.1, "*": 0.3}, ["fc1"])
    >>> check_patterns("thresholds", {"*": 0.3, "fc1": 0.1}, ["fc1", "fc2"])
    Traceback (most recent call last):
        ...
    ann2neo.errors.LayerNotFound: thresholds were given for '*' and then for 'fc1', but the first pattern that fits a layer counts, and '*' fits 'fc1' too.
    Those for 'fc1' would silently apply to nothing.
    Put the special before the general: {'fc1': ..., '*': ...}.
    """
    patterns = list(choice) if isinstance(choice, Mapping) else []
    taken: dict[str, str] = {}
    for pattern in patterns:
        fitting = [layer for layer in layers if matches(layer, pattern)]
        if not fitting:
            raise LayerNotFound(
                f"no recorded layer matches {pattern!r}, for which {option} were given (layers: {', '.join(map(repr, layers[:20]))})."
                f"{suggestion(pattern, layers)}",
                "They would silently apply to nothing.",
                "Use one of these names, a pattern such as 'features.*', or leave it out.",
            )
        # A pattern that fits the text of another is the more general one: that it comes last is as it should be.
        before = [taken[layer] for layer in fitting if layer in taken and not matches(taken[layer], pattern)]
        if before and all(layer in taken for layer in fitting):
            raise _never_applied(option, before[0], pattern, [layer for layer in fitting if taken[layer] == before[0]])
        taken |= {layer: pattern for layer in fitting if layer not in taken}


def _never_applied(option: str, first: str, second: str, layers: Sequence[str]) -> LayerNotFound:
    shown = ", ".join(map(repr, layers[:5])) + (", ..." if len(layers) > 5 else "")
    return LayerNotFound(
        f"{option} were given for {first!r} and then for {second!r}, but the first pattern that fits a layer counts, and {first!r} fits {shown} too.",
        f"Those for {second!r} would silently apply to nothing.",
        f"Put the special before the general: {{{second!r}: ..., {first!r}: ...}}.",
    )


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _sliced(units: slice, n_units: int) -> Int[np.ndarray, " unit"]:
    """Read a slice; one that is none, such as with a step of 0, gives no place."""
    try:
        return np.arange(n_units)[units].copy()
    except (TypeError, ValueError):
        return np.zeros(0, np.int64)


def _places(units: Any, shape: tuple[int, ...]) -> Int[np.ndarray, " unit"]:
    """Read places or truth values; anything else gives no place."""
    array = np.asarray(units)
    if array.dtype == bool and array.shape in (shape, (math.prod(shape),)):
        return np.flatnonzero(array)
    return array.astype(np.int64) if array.ndim == 1 and array.dtype.kind in "iu" else np.zeros(0, np.int64)
