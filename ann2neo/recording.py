"""Recording: one network observed over one set of inputs, as packed spikes, a table of trials and provenance."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from ann2neo.errors import LayerNotFound, RecordingError, suggestion
from ann2neo.pseudotime import PseudoTime
from ann2neo.raster import Raster
from ann2neo.windows import Order, stretch_edges, trial_order

SCHEMA = "ann2neo/1"
AXES = ("channel", "row", "col")

Provenance = Mapping[str, "int | float | str | bool | list[int] | list[float] | list[str]"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """The units of one call of an activation function.

    Parameters
    ----------
    name
        Name of the module in its model, with ``:1`` behind it for its second call in a forward pass, and so on.
    shape
        Shape of the activation without the batch axis.
    dtype
        Floating-point type in which activation and threshold were compared, for instance "float32".
    units
        Place of each unit in the flattened activation, shape (unit,).
    thresholds
        Value that the activation of each unit has to exceed for a spike, shape (unit,).
    raster
        The spikes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    units: Int[np.ndarray, " unit"]
    thresholds: Float[np.ndarray, " unit"]
    raster: Raster

    def __post_init__(self) -> None:
        if not self.units.size == self.thresholds.size == self.raster.n_units:
            raise RecordingError(
                f"layer {self.name!r} has {self.units.size} units, {self.thresholds.size} thresholds and {self.raster.n_units} spike trains.",
                "It is unclear which belongs to which.",
                "Give one threshold and one row of the raster for each unit.",
            )

    @property
    def n_units(self) -> int:
        """Number of units that were recorded."""
        return self.units.size

    @property
    def coordinates(self) -> dict[str, Int[np.ndarray, " unit"]]:
        """Place of each unit along the first axes of the activation, as channel, row and col; only the axes that there are."""
        index = np.unravel_index(self.units, self.shape)
        return {axis: np.asarray(place, np.int64) for axis, place in zip(AXES, index)}

    @property
    def unit_names(self) -> list[str]:
        """Name of each unit: the layer and the place in its activation, as in ``features.3[12,0,5]``."""
        index = np.stack(np.unravel_index(self.units, self.shape), axis=1).tolist()
        return [f"{self.name}[{','.join(map(str, place))}]" for place in index]

    def take(self, units: Int[np.ndarray, " unit"]) -> Layer:
        """View some of the units, by their position among the recorded ones."""
        return replace(self, units=self.units[units], thresholds=self.thresholds[units], raster=self.raster.take(units))

    def identical(self, other: Layer) -> bool:
        """Whether name, shape, type, units, thresholds and bits are the same."""
        return (
            (self.name, self.shape, self.dtype) == (other.name, other.shape, other.dtype)
            and np.array_equal(self.units, other.units)
            and np.array_equal(self.thresholds, other.thresholds)
            and self.raster.identical(other.raster)
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """One network observed over one set of inputs; it never changes, and selecting or arranging gives another view of the same bits.

    Parameters
    ----------
    layers
        The recorded layers, in the order in which the network called them.
    trials
        One row per pass and trial, in the order in which the bins lie: ``pass``, ``trial`` (place in the presented order), ``start_bin`` and
        ``stop_bin`` (half-open, counted over all passes), ``stimulus_id``; where known ``label`` (the true class), ``label_name``, ``target_label`` (what
        the network was trained on), ``predicted_label``, ``correct``.
    bin_size_ms
        Size of a bin of pseudo-time in milliseconds.
    provenance
        What made this recording, flat: values are numbers, strings, truth values or lists of one of these.

    Examples
    --------
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.eye(4, dtype=bool), labels=[1, 0, 1, 0])
    >>> recording
    Recording(4 units in 1 layer, 4 bins of 1.0 ms, 4 trials in presented order)
    >>> recording.arrange("label").trials["label"].tolist()
    [0, 0, 1, 1]
    """

    layers: tuple[Layer, ...]
    trials: pd.DataFrame
    bin_size_ms: float
    provenance: Provenance

    def __post_init__(self) -> None:
        _check_trials(self.trials)
        _check_layers(self.layers, int(self.trials["stop_bin"].iloc[-1]))
        _ = self.pseudotime

    def __repr__(self) -> str:
        layers = f"{len(self.layers)} layer{'s' * (len(self.layers) != 1)}"
        passes = f", {self.n_passes} passes" if self.n_passes > 1 else ""
        return (
            f"Recording({self.n_units} units in {layers}, {self.n_bins} bins of {self.bin_size_ms} ms, "
            f"{len(self.trials) // self.n_passes} trials in {self.provenance.get('input_order', 'presented')} order{passes})"
        )

    @property
    def pseudotime(self) -> PseudoTime:
        """The lattice of all bins, pass after pass."""
        return PseudoTime(n_bins=self.n_bins, bin_size_ms=self.bin_size_ms)

    @property
    def n_units(self) -> int:
        """Number of units in all layers."""
        return sum(layer.n_units for layer in self.layers)

    @property
    def n_bins(self) -> int:
        """Number of bins, all passes together."""
        return int(self.trials["stop_bin"].iloc[-1])

    @property
    def n_passes(self) -> int:
        """Number of passes."""
        return int(self.trials["pass"].iloc[-1]) + 1

    @property
    def stretches(self) -> Int[np.ndarray, " edge"]:
        """Bins at which unbroken time begins, and the end, shape (stretch + 1,)."""
        return stretch_edges(self.trials)

    def layer(self, name: str) -> Layer:
        """Find a layer by its exact name.

        Raises
        ------
        LayerNotFound
            If there is none; the message suggests the nearest.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise _layer_not_found(name, self.layers)

    def raster(self, layer: str) -> Bool[np.ndarray, "unit bin"]:
        """Unpack the spikes of a layer, shape (unit, bin), the bins of all passes one after another."""
        return self.layer(layer).raster.dense()

    def select(
        self,
        *,
        layers: str | Sequence[str] | None = None,
        units: slice | Sequence[int] | Int[np.ndarray, " unit"] | Mapping[str, Sequence[int]] | None = None,
    ) -> Recording:
        """View some layers and units.

        Parameters
        ----------
        layers
            Names or patterns such as ``"features.*"``.
        units
            Positions among the units of every layer that is kept, or positions by layer name (layers that are not named keep all).

        Raises
        ------
        LayerNotFound
            If a name or pattern matches no layer.

        Examples
        --------
        >>> import ann2neo
        >>> ann2neo.from_array(np.eye(4, dtype=bool)).select(units=[0, 3]).n_units
        2
        """
        kept = (
            self.layers if layers is None else _matching(self.layers, [layers] if isinstance(layers, str) else layers)
        )
        return replace(self, layers=tuple(_take(layer, units) for layer in kept))

    def arrange(self, by: Order, *, seed: int | None = None) -> Recording:
        """View the trials in another order: "presented", "label" (stable) or "shuffled" with a seed; every pass in the same one.

        Raises
        ------
        WindowError
            If there are no labels to order by, or a shuffle lacks its seed.
        """
        one_pass = self.trials[self.trials["pass"] == 0]
        order = trial_order(one_pass, by, seed=seed)
        start, stop = one_pass["start_bin"].to_numpy(), one_pass["stop_bin"].to_numpy()
        bin_order = np.concatenate([np.arange(start[t], stop[t]) for t in order])
        rows = np.concatenate([order + p * len(one_pass) for p in range(self.n_passes)])
        return replace(
            self,
            layers=tuple(replace(layer, raster=layer.raster.arrange(bin_order)) for layer in self.layers),
            trials=with_bins(self.trials.iloc[rows].reset_index(drop=True)),
            provenance=_with_order(self.provenance, by, seed, one_pass["stimulus_id"].to_numpy()[order]),
        )

    def identical(self, other: Recording) -> bool:
        """Whether bits, labels, shapes, thresholds and provenance are all the same."""
        return (
            self.bin_size_ms == other.bin_size_ms
            and dict(self.provenance) == dict(other.provenance)
            and len(self.layers) == len(other.layers)
            and _same_trials(self.trials, other.trials)
            and all(a.identical(b) for a, b in zip(self.layers, other.layers))
        )


def with_bins(trials: pd.DataFrame) -> pd.DataFrame:
    """Number the bins of the trials anew, in the order of the rows."""
    length = (trials["stop_bin"] - trials["start_bin"]).to_numpy(np.int64)
    stop = np.cumsum(length)
    return trials.assign(start_bin=stop - length, stop_bin=stop)


def order_sha256(stimulus_ids: np.ndarray) -> str:
    """Hash the order of inputs: the SHA-256 of their ids as 64-bit little-endian integers.

    Examples
    --------
    >>> order_sha256(np.array([0, 1, 2]))[:8]
    'ab25350e'
    """
    return hashlib.sha256(np.ascontiguousarray(stimulus_ids, "<i8").tobytes()).hexdigest()


def make_trials(
    n_trials: int, *, n_passes: int = 1, lengths: Int[np.ndarray, " trial"] | None = None, **columns: Any
) -> pd.DataFrame:
    """Make the table of trials in presented order; columns hold a value per trial of one pass, or per pass and trial."""
    length = np.ones(n_trials, np.int64) if lengths is None else lengths
    table = {
        "pass": np.repeat(np.arange(n_passes), n_trials),
        "trial": np.tile(np.arange(n_trials), n_passes),
        "start_bin": np.zeros(n_trials * n_passes, np.int64),
        "stop_bin": np.tile(length, n_passes),
    }
    for name, values in columns.items():
        array = np.asarray(values)
        table[name] = np.tile(array, n_passes) if array.size == n_trials else array
    return with_bins(pd.DataFrame(table))


def join_passes(
    passes: Sequence[Mapping[str, Any]],
    *,
    lengths: Sequence[np.ndarray],
    stimulus_ids: Int[np.ndarray, " trial"],
) -> pd.DataFrame:
    """Make the table of trials of what each pass knows of its inputs; only predictions differ from pass to pass.

    Parameters
    ----------
    passes
        Columns of each pass; of those but ``predicted_label`` the first pass counts.
    lengths
        Number of bins of each input in each pass, each of shape (trial,).
    stimulus_ids
        Which input each trial presented, shape (trial,).

    Raises
    ------
    RecordingError
        If passes differ in the number of bins of an input.

    Examples
    --------
    >>> one = {"label": np.array([4, 7]), "predicted_label": np.array([4, 4])}
    >>> join_passes([one], lengths=[np.array([1, 1])], stimulus_ids=np.array([0, 1]))["correct"].tolist()
    [True, False]
    """
    if any(not np.array_equal(other, lengths[0]) for other in lengths[1:]):
        raise RecordingError(
            "inputs have another number of bins in a later pass than in the first.",
            "There is no common pseudo-time axis.",
            "Give the same inputs, of the same lengths, in every pass.",
        )
    columns: dict[str, Any] = {name: values for name, values in passes[0].items() if name != "predicted_label"}
    if all("predicted_label" in known for known in passes):
        columns["predicted_label"] = np.concatenate([known["predicted_label"] for known in passes])
        if "label" in columns:
            columns["correct"] = columns["predicted_label"] == np.tile(columns["label"], len(passes))
    return make_trials(lengths[0].size, n_passes=len(passes), lengths=lengths[0], stimulus_id=stimulus_ids, **columns)


def _with_order(provenance: Provenance, by: Order, seed: int | None, stimulus_ids: np.ndarray) -> Provenance:
    kept = {k: v for k, v in provenance.items() if k not in ("input_order", "input_order_seed", "input_order_sha256")}
    seeded = {} if seed is None else {"input_order_seed": seed}
    return kept | {"input_order": by, "input_order_sha256": order_sha256(stimulus_ids)} | seeded


def _take(layer: Layer, units: Any) -> Layer:
    if isinstance(units, Mapping):
        units = units.get(layer.name)
    if units is None:
        return layer
    return layer.take(np.arange(layer.n_units)[units if isinstance(units, slice) else np.asarray(units, np.int64)])


def _matching(layers: tuple[Layer, ...], patterns: Sequence[str]) -> tuple[Layer, ...]:
    for pattern in patterns:
        if not any(matches(layer.name, pattern) for layer in layers):
            raise _layer_not_found(pattern, layers)
    return tuple(layer for layer in layers if any(matches(layer.name, pattern) for pattern in patterns))


def matches(name: str, pattern: str) -> bool:
    """Whether a layer has this name or fits this pattern; a pattern without a call number fits all calls."""
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.rpartition(":")[0], pattern)


def _layer_not_found(name: str, layers: tuple[Layer, ...]) -> LayerNotFound:
    known = [layer.name for layer in layers]
    return LayerNotFound(
        f"no layer matches {name!r} in this recording (layers: {', '.join(map(repr, known))}).{suggestion(name, known)}",
        "Nothing was selected.",
        "Use one of these names or a pattern such as 'features.*'.",
    )


def _check_trials(trials: pd.DataFrame) -> None:
    missing = [c for c in ("pass", "trial", "start_bin", "stop_bin", "stimulus_id") if c not in trials.columns]
    if missing or trials.empty:
        raise RecordingError(
            f"the table of trials has {len(trials)} rows and lacks {missing or 'no column'}.",
            "Bins cannot be assigned to inputs.",
            "Give at least one trial with pass, trial, start_bin, stop_bin and stimulus_id.",
        )
    start, stop = trials["start_bin"].to_numpy(), trials["stop_bin"].to_numpy()
    if start[0] != 0 or (start[1:] != stop[:-1]).any() or (stop <= start).any():
        raise RecordingError(
            "the bins of the trials do not follow one another from 0.",
            "Spikes would be assigned to the wrong input.",
            "Number the bins in the order of the rows (`with_bins`).",
        )
    steps = np.diff(trials["pass"].to_numpy())
    if trials["pass"].iloc[0] != 0 or ((steps != 0) & (steps != 1)).any():
        raise RecordingError(
            "passes are not numbered from 0 in the order of the rows.", "", "Put the rows of a pass together."
        )


def _check_layers(layers: tuple[Layer, ...], n_bins: int) -> None:
    names = [layer.name for layer in layers]
    if not layers or len(set(names)) != len(names):
        raise RecordingError(
            f"a recording needs layers with names of their own, but has {names}.", "", "Record at least one layer."
        )
    for layer in layers:
        if layer.raster.total_bins != n_bins:
            raise RecordingError(
                f"layer {layer.name!r} has {layer.raster.total_bins} bins, but the trials have {n_bins}.",
                "Spikes would be assigned to the wrong input.",
                "Record all layers over the same inputs.",
            )


def _same_trials(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    if list(a.columns) != list(b.columns) or len(a) != len(b):
        return False
    return all(np.array_equal(a[c].to_numpy(), b[c].to_numpy()) for c in a.columns)
