"""Recording: one network observed over one set of inputs, as packed spikes, a table of trials and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from ann2neo.arguments import shown
from ann2neo.cards import card
from ann2neo.errors import RecordingError
from ann2neo.pseudotime import PseudoTime, milliseconds
from ann2neo.recording.bins import check_bins, same_bins
from ann2neo.recording.layers import Layer, layer_facts, layer_not_found, matching
from ann2neo.recording.trials import check_trials, order_sha256, presented_order, same_trials, with_bins
from ann2neo.windows import Order, order_words, stretch_edges, trial_order

SCHEMA = "ann2neo/1"
# Prefix of the keys of notes.
NOTES = "notes_"
# Keys of the provenance that a notebook shows.
SHOWN = ("model_class", "dataset", "dataset_split", "created")

Provenance = Mapping[str, "int | float | str | bool | list[int] | list[float] | list[str]"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """One network observed over one set of inputs. It never changes; `select` and `arrange` return views of the same bits.

    Parameters
    ----------
    layers
        The recorded layers, in the order in which the network called them.
    trials
        One row per pass and trial, in the order of the bins: ``pass``, ``trial`` (place in the presented order), ``start_bin`` and
        ``stop_bin`` (half-open, counted over all passes), ``stimulus_id``; where known ``label`` (the true class), ``label_name``, ``target_label`` (what
        the network was trained on), ``predicted_label``, ``correct``.
    bin_size_ms
        Size of a bin of pseudo-time in milliseconds; a quantity of time is converted.
    provenance
        How this recording was made, as a flat mapping: values are numbers, strings, truth values or lists of one of these.
    bins
        Labels of steps: one row per bin of a pass (the same in every pass), in the order of the bins, with columns such as ``label`` that the trials do
        not have; negative labels are unknown. None if labels belong to inputs, or nothing is labelled.

    See Also
    --------
    ann2neo.Layer, ann2neo.record, ann2neo.load, ann2neo.from_array

    Examples
    --------
    >>> import numpy as np
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
    bins: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", _as_layers(self.layers))
        _check_kind(self.trials, pd.DataFrame, "trials", "a table of trials", "ann2neo.from_array(...).trials")
        _check_kind(self.provenance, Mapping, "provenance", "a mapping", 'provenance={"model_class": "MLP"}')
        _check_facts(self.provenance)
        object.__setattr__(self, "bin_size_ms", milliseconds(self.bin_size_ms))
        check_trials(self.trials)
        n_bins = self.n_bins
        _check_layers(self.layers, n_bins)
        if self.bins is not None:
            check_bins(self.bins, self.trials, n_bins // self.n_passes)
        _ = PseudoTime(n_bins=n_bins, bin_size_ms=self.bin_size_ms)

    def __repr__(self) -> str:
        layers = f"{len(self.layers)} layer{'s' * (len(self.layers) != 1)}"
        passes = f", {self.n_passes} passes" if self.n_passes > 1 else ""
        return (
            f"Recording({self.n_units} units in {layers}, {self.n_bins} bins of {self.bin_size_ms} ms, "
            f"{len(self.trials) // self.n_passes} trials in {order_words(self.trials, self.provenance)} order{passes})"
        )

    def _repr_html_(self) -> str:
        known = {key: self.provenance.get(key) for key in SHOWN} | notes_of(self.provenance)
        labels = self.trials["label"].loc[lambda label: label >= 0].nunique() if "label" in self.trials else None
        facts = {
            "units": self.n_units,
            "bins": f"{self.n_bins:,} of {self.bin_size_ms:g} ms",
            "trials": f"{len(self.trials) // self.n_passes:,} in {order_words(self.trials, self.provenance)} order",
            "passes": self.n_passes if self.n_passes > 1 else None,
            "labels": labels,
        }
        parts = [{"layer": layer.name, "shape": layer.shape, **layer_facts(layer)} for layer in self.layers]
        return card("Recording", facts | {key.replace("_", " "): value for key, value in known.items()}, parts)

    @property
    def pseudotime(self) -> PseudoTime:
        """The pseudo-time axis of all bins, pass after pass."""
        return PseudoTime(n_bins=self.n_bins, bin_size_ms=self.bin_size_ms)

    @property
    def n_units(self) -> int:
        """Number of units in all layers."""
        return sum(layer.n_units for layer in self.layers)

    @property
    def n_bins(self) -> int:
        """Number of bins over all passes."""
        return int(self.trials["stop_bin"].to_numpy()[-1])

    @property
    def n_passes(self) -> int:
        """Number of passes."""
        return int(self.trials["pass"].to_numpy()[-1]) + 1

    @property
    def stretches(self) -> Int[np.ndarray, " edge"]:
        """First bin of each stretch of uninterrupted time, and the end of the last one, shape (stretch + 1,)."""
        return stretch_edges(self.trials)

    def layer(self, name: str) -> Layer:
        """Find a layer by its exact name.

        Raises
        ------
        LayerNotFound
            If no layer has this name; the message suggests the nearest.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise layer_not_found(name, self.layers)

    def raster(self, layer: str) -> Bool[np.ndarray, "unit bin"]:
        """Unpack the spikes of a layer, shape (unit, bin); the bins of all passes follow one another."""
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
            Positions among the units of every layer that is kept, or a truth value for each unit; or a mapping of these by layer name (layers that are not named keep
            all their units).

        Raises
        ------
        LayerNotFound
            If a name or pattern matches no layer.
        RecordingError
            If a position lies outside the recorded units.

        Examples
        --------
        >>> import ann2neo
        >>> ann2neo.from_array(np.eye(4, dtype=bool)).select(units=[0, 3]).n_units
        2
        """
        kept = self.layers if layers is None else matching(self.layers, layers)
        if isinstance(units, Mapping):
            for name in units:
                self.layer(name)
        return replace(self, layers=tuple(_take(layer, units) for layer in kept))

    def arrange(self, by: Order, *, seed: int | None = None) -> Recording:
        """View the trials in another order: "presented", "label" (stable) or "shuffled" with a seed. Every pass is arranged alike.

        Raises
        ------
        WindowError
            If the trials have no labels to order by, or a shuffle lacks its seed.
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
            bins=None if self.bins is None else self.bins.iloc[bin_order].reset_index(drop=True),
        )

    def identical(self, other: object) -> bool:
        """Whether bits, labels, shapes, thresholds and provenance are all the same."""
        return isinstance(other, Recording) and (
            self.bin_size_ms == other.bin_size_ms
            and dict(self.provenance) == dict(other.provenance)
            and len(self.layers) == len(other.layers)
            and same_trials(self.trials, other.trials)
            and same_bins(self.bins, other.bins)
            and all(a.identical(b) for a, b in zip(self.layers, other.layers))
        )


def notes_of(provenance: Provenance) -> dict[str, Any]:
    """Return the notes of a recording, under the names that they have in the provenance and in tables.

    Examples
    --------
    >>> notes_of({"notes_epoch": 3, "schema": 1})
    {'notes_epoch': 3}
    """
    return {key: value for key, value in provenance.items() if key.startswith(NOTES)}


def _with_order(provenance: Provenance, by: Order, seed: int | None, stimulus_ids: np.ndarray) -> Provenance:
    kept = {k: v for k, v in provenance.items() if k not in ("input_order", "input_order_seed", "input_order_sha256")}
    if by == "presented":
        return kept | presented_order(stimulus_ids)
    seeded = {} if seed is None else {"input_order_seed": seed}
    return kept | {"input_order": by, "input_order_sha256": order_sha256(stimulus_ids)} | seeded


def _take(layer: Layer, units: Any) -> Layer:
    if isinstance(units, Mapping):
        units = units.get(layer.name)
    if units is None:
        return layer
    if isinstance(units, slice):
        return layer.take(np.arange(layer.n_units)[units])
    chosen = np.asarray(units)
    if chosen.dtype == np.bool_ and chosen.shape == (layer.n_units,):
        chosen = np.flatnonzero(chosen)
    whole = np.issubdtype(chosen.dtype, np.integer) or chosen.size == 0
    if chosen.ndim != 1 or not whole or (np.abs(2 * chosen + 1) > 2 * layer.n_units).any():
        raise RecordingError(
            f"`units` must be positions among the {layer.n_units} recorded units of layer {layer.name!r}, got {units!r}.",
            "Nothing was selected.",
            f"Give integers from 0 to {layer.n_units - 1}, a truth value for each unit, or a slice; a mapping chooses by layer.",
        )
    return layer.take(np.arange(layer.n_units)[chosen.astype(np.int64)])


def _as_layers(layers: Any) -> tuple[Layer, ...]:
    if not isinstance(layers, Sequence) or not all(isinstance(layer, Layer) for layer in layers):
        raise RecordingError(
            f"`layers` must be a tuple of Layer, got {shown(layers)}.",
            "The recording would have no units.",
            "Give layers=(ann2neo.Layer(...),), or the `layers` of another recording.",
        )
    return tuple(layers)


def _check_kind(given: Any, kind: type, name: str, noun: str, example: str) -> None:
    if not isinstance(given, kind):
        raise RecordingError(f"`{name}` must be {noun}, got {shown(given)}.", "Nothing was done.", f"Use {example}.")


def _check_facts(provenance: Mapping[Any, Any]) -> None:
    """Raise if a fact of the provenance could not be stored in a file."""
    for key, value in provenance.items():
        items = value if isinstance(value, list | tuple) else [value]
        flat = all(isinstance(item, str | int | float | np.generic | np.ndarray) for item in items)
        if not isinstance(key, str) or not key or not flat:
            raise RecordingError(
                f"the provenance holds {key!r}, of type {type(value).__name__}.",
                "File formats store flat values under a name.",
                "Use texts as keys; as values use numbers, texts, truth values, or lists of one of these.",
            )


def _check_layers(layers: tuple[Layer, ...], n_bins: int) -> None:
    names = [layer.name for layer in layers]
    if not layers or len(set(names)) != len(names):
        raise RecordingError(
            f"a recording needs at least one layer, each with a unique name, got {names}.",
            "Units could not be told apart by their names.",
            "Give at least one layer, and a different name to each.",
        )
    for layer in layers:
        if layer.raster.total_bins != n_bins:
            raise RecordingError(
                f"layer {layer.name!r} has {layer.raster.total_bins} bins, but the trials have {n_bins}.",
                "Spikes would be assigned to the wrong input.",
                "Record all layers over the same inputs.",
            )


def as_recording(given: Any) -> Recording:
    """Return what was given if it is a recording, and raise if it is not.

    Parameters
    ----------
    given
        Argument of a public function.

    Raises
    ------
    RecordingError
        If it is not a recording.

    Examples
    --------
    >>> as_recording(3)
    Traceback (most recent call last):
        ...
    ann2neo.errors.RecordingError: a recording is needed, and an object of type int was given.
    Nothing was done.
    Give what `ann2neo.record`, `ann2neo.load` or `ann2neo.from_array` returned.
    """
    if isinstance(given, Recording):
        return given
    block = hasattr(given, "segments")
    raise RecordingError(
        f"a recording is needed, and an object of type {type(given).__name__} was given.",
        "Nothing was done.",
        "Give what `ann2neo.record`, `ann2neo.load` or `ann2neo.from_array` returned."
        + (" `ann2neo.from_block` converts a Block that ann2neo made." if block else ""),
    )
