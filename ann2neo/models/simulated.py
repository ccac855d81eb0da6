"""simulate: spikes of units that are nothing but a fitted model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from ann2neo.analysis.goodness import unit_keys
from ann2neo.errors import AnalysisError, suggestion
from ann2neo.models.fitted import HIGHEST_ORDER, MODELS
from ann2neo.raster import Raster
from ann2neo.recording import SCHEMA, Layer, Recording, make_trials, order_sha256
from ann2neo.recording.recording import as_recording
from ann2neo.windows import codes_of_column

_NUMBERS_AT_ONCE = 1 << 24


def simulate(
    fitted: pd.DataFrame,
    *,
    like: Recording | None = None,
    n_bins: int | None = None,
    model: str,
    seed: int,
    by: str | None = None,
) -> Recording:
    """Draw the spikes that units would have if they were no more than a fitted model, each unit by itself.

    ``"rate"``: every bin has a spike with probability ``rate_p``. ``"label"``: with ``label_p[c]`` where the condition of the trial is c, and ``rate_p``
    where it is unknown. ``"markov"``: with ``markov_p...`` after the spikes that were drawn for the preceding bins of the stretch, and ``rate_p`` in its
    first bins, which have no context; units without a chain (silent, saturated, a context never came) follow ``rate_p``, and the provenance counts them.

    Bin t of a unit has a spike where the number t of its own stream of uniform numbers, NumPy's ``Generator(Philox)`` keyed by (seed, layer, unit), is below the
    probability. So its bits depend on neither other units nor chunks, models share their numbers, and bins that are added at the end change none. Units
    are independent: what they share beyond their tuning (noise correlation, the input) is not in the model.

    Parameters
    ----------
    fitted
        What `fit` returned for a recording; also after a trip through CSV or Parquet.
    like
        Recording whose layers and trials, in their order, the simulation has; each of its units has a row in ``fitted``.
    n_bins
        In place of ``like``: a number of bins, each a trial of no label; models "rate" and "markov".
    model
        "rate", "label" or "markov".
    seed
        Seed of all units.
    by
        Column of the trials that holds the conditions; None is the one that was fitted, or "label" where the table does not say.

    Returns
    -------
    Recording
        Its provenance is that of ``like``, and ``simulated`` (the model), ``simulated_seed``, ``simulated_from`` (SHA-256 of layers, units and parameters) and
        ``simulated_by_rate`` (units without a chain).

    Raises
    ------
    AnalysisError
        If parameters, units or conditions are missing in the table, both or neither of ``like`` and ``n_bins`` are given, or rates are in Hz.

    References
    ----------
    Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473; Salmon et al. 2011, doi:10.1145/2063384.2063405 (Philox).

    Examples
    --------
    >>> import numpy as np, ann2neo
    >>> labels = np.repeat([0, 1], 500)
    >>> recording = ann2neo.from_array(np.random.default_rng(0).random((1000, 3)) < 0.2 + 0.4 * labels[:, None], labels=labels)
    >>> fitted = ann2neo.models.fit(recording, progress=False)
    >>> simulated = simulate(fitted, like=recording, model="label", seed=0)
    >>> again = ann2neo.models.fit(simulated, progress=False)
    >>> again[["label_p[0]", "label_p[1]"]].mean().round(1).tolist()
    [0.2, 0.6]
    """
    _check(fitted, like, n_bins, model, seed)
    recording = _of_bins(fitted, n_bins) if like is None else as_recording(like)
    rows = _rows_of(fitted, recording)
    law = _law(rows, recording, model, by or fitted.attrs.get("by") or "label")
    dense = _drawn(rows, law, recording, seed)
    first, layers = 0, []
    for layer in recording.layers:
        bits = dense[:, first : first + layer.n_units]
        layers.append(replace(layer, raster=Raster(packed=bits, n_bins=recording.n_bins // recording.n_passes)))
        first += layer.n_units
    made: dict[str, Any] = {
        "simulated": model,
        "simulated_seed": int(seed),
        "simulated_from": _sha256(rows, law),
        "simulated_by_rate": law.n_by_rate,
    }
    return replace(recording, layers=tuple(layers), provenance={**recording.provenance, **made})


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """Probability of a spike.

    Parameters
    ----------
    p
        Probability of each unit in each state, shape (unit, state): rate, conditions, or contexts.
    state
        State of each bin, shape (bin,); where bins have a context, it is added to it.
    order
        Number of bins of a context; 0 for none.
    n_by_rate
        Number of units that follow their rate for want of a chain.
    """

    p: Float[np.ndarray, "unit state"]
    state: Int[np.ndarray, " bin"]
    order: int
    n_by_rate: int


def _law(rows: pd.DataFrame, recording: Recording, model: str, by: str) -> Law:
    rate = _column(rows, "rate_p")
    if model == "rate":
        return Law(p=rate[:, None], state=np.zeros(recording.n_bins, np.int64), order=0, n_by_rate=0)
    if model == "label":
        codes, values = codes_of_column(recording.trials, by)
        p = np.stack([*(_column(rows, f"label_p[{value}]") for value in values.tolist()), rate], axis=1)
        length = (recording.trials["stop_bin"] - recording.trials["start_bin"]).to_numpy(np.int64)
        return Law(p=p, state=np.repeat(np.where(codes < 0, values.size, codes), length), order=0, n_by_rate=0)
    order = _order_of(rows)
    chain = np.stack([_column(rows, f"markov_p{c:0{order}b}1", missing=True) for c in range(2**order)], axis=1)
    without = np.isnan(chain).any(axis=1)
    chain[without] = rate[without, None]
    edges = recording.stretches
    place = np.arange(recording.n_bins) - np.repeat(edges[:-1], np.diff(edges))
    p, state = np.concatenate([rate[:, None], chain], axis=1), np.where(place < order, 0, 1).astype(np.int64)
    return Law(p=p, state=state, order=order, n_by_rate=int(without.sum()))


def _order_of(rows: pd.DataFrame) -> int:
    for order in range(1, HIGHEST_ORDER + 1):
        if f"markov_p{'0' * order}1" in rows:
            return order
    raise AnalysisError(
        "The table has no column 'markov_p01'.", "There is no chain to draw from.", "Fit the model 'markov' first."
    )


def _drawn(rows: pd.DataFrame, law: Law, recording: Recording, seed: int) -> np.ndarray:
    """Draw chunk by chunk; packed bits, shape (pass, unit, byte)."""
    keys, parts = unit_keys(rows, seed), []
    for units in _chunks(len(rows), recording.n_bins):
        streams = [_stream(int(key)) for key in keys[units]]
        drawn = _chained if law.order else _apart
        dense = drawn(streams, law.p[units], law)
        parts.append(Raster.from_dense(dense, n_passes=recording.n_passes).packed)
    return np.concatenate(parts, axis=1)


def _stream(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def _chunks(n_units: int, n_bins: int) -> Iterator[slice]:
    step = max(1, _NUMBERS_AT_ONCE // max(n_bins, 1))
    for first in range(0, n_units, step):
        yield slice(first, min(first + step, n_units))


def _apart(
    streams: list[np.random.Generator], p: Float[np.ndarray, "unit state"], law: Law
) -> Bool[np.ndarray, "unit bin"]:
    """Compare each number with the probability of its bin, unit by unit: their numbers stay in the cache."""
    dense = np.empty((len(streams), law.state.size), np.bool_)
    for row, stream, own in zip(dense, streams, p):
        np.less(stream.random(law.state.size), own[law.state] if own.size > 1 else own[0], out=row)
    return dense


def _chained(
    streams: list[np.random.Generator], p: Float[np.ndarray, "unit state"], law: Law
) -> Bool[np.ndarray, "unit bin"]:
    """Compare bin after bin, each after what was drawn for the bins before it."""
    # numba is loaded only where a chain is drawn.
    from ann2neo.models.kernels import draw_chain

    dense = np.empty((len(streams), law.state.size), np.bool_)
    has_context = law.state.astype(np.bool_)
    for row, stream, own in zip(dense, streams, p):
        draw_chain(stream.random(law.state.size), np.ascontiguousarray(own), has_context, law.order, row)
    return dense


def _rows_of(fitted: pd.DataFrame, recording: Recording) -> pd.DataFrame:
    """Find the row of each unit of the recording."""
    place = pd.MultiIndex.from_arrays([fitted["layer"].astype(str), fitted["unit"]])
    if place.has_duplicates:
        raise AnalysisError(
            f"{int(place.duplicated().sum())} units have more than one row in the table.",
            "It is unclear which parameters are theirs.",
            "Give the table of one recording.",
        )
    names = [layer.name for layer in recording.layers for _ in range(layer.n_units)]
    units = np.concatenate([layer.units for layer in recording.layers])
    found = place.get_indexer(pd.MultiIndex.from_arrays([names, units]))
    if (found < 0).any():
        first = int(np.argmax(found < 0))
        raise AnalysisError(
            f"{int((found < 0).sum())} of {units.size} units are not in the table, the first is unit {units[first]} of layer {names[first]!r}.",
            "They have no parameters.",
            "Fit the same layers and units, or select those of the table (`recording.select`).",
        )
    return fitted.iloc[found].reset_index(drop=True)


def _of_bins(fitted: pd.DataFrame, n_bins: Any) -> Recording:
    """Make an empty recording of the layers of the table, a trial a bin."""
    layers = []
    for name, rows in fitted.groupby("layer", sort=False):
        units = rows["unit"].to_numpy(np.int64)
        nothing = np.zeros((1, units.size, -(-int(n_bins) // 8)), np.uint8)
        raster = Raster(packed=nothing, n_bins=int(n_bins))
        zeros, shape = np.zeros(units.size), (int(units.max()) + 1,)
        layers.append(Layer(name=str(name), shape=shape, dtype="bool", units=units, thresholds=zeros, raster=raster))
    ids = np.arange(int(n_bins))
    provenance = {"schema": SCHEMA, "input_order": "presented", "input_order_sha256": order_sha256(ids)}
    return Recording(
        layers=tuple(layers), trials=make_trials(ids.size, stimulus_id=ids), bin_size_ms=1.0, provenance=provenance
    )


def _column(rows: pd.DataFrame, name: str, *, missing: bool = False) -> Float[np.ndarray, " unit"]:
    """Take a column of probabilities."""
    if name not in rows:
        known = [str(each) for each in rows if "_p" in str(each)]
        raise AnalysisError(
            f"The table has no column {name!r}." + suggestion(name, known),
            "These probabilities are unknown.",
            "Fit this model with the conditions of the recording (`ann2neo.models.fit`).",
        )
    values = rows[name].to_numpy(np.float64, copy=True)
    wrong = ~((values >= 0) & (values <= 1)) & ~(np.isnan(values) & missing)
    if wrong.any():
        raise AnalysisError(
            f"{int(wrong.sum())} of {values.size} values of {name!r} are no probabilities.",
            "No spike can be drawn from them.",
            "Give what `ann2neo.models.fit` returned for a recording.",
        )
    return values


def _sha256(rows: pd.DataFrame, law: Law) -> str:
    """Hash who the units are and what they do."""
    hashed = hashlib.sha256("\n".join(rows["layer"].astype(str)).encode())
    hashed.update(rows["unit"].to_numpy("<i8").tobytes())
    hashed.update(np.ascontiguousarray(law.p, "<f8").tobytes())
    return hashed.hexdigest()


def _check(fitted: Any, like: Any, n_bins: Any, model: Any, seed: Any) -> None:
    if not isinstance(fitted, pd.DataFrame) or not {"layer", "unit"} <= set(fitted.columns):
        raise AnalysisError(
            f"a table of fitted models is needed, and a {type(fitted).__name__} was given, or one without layer and unit.",
            "There are no parameters.",
            "Give what `ann2neo.models.fit` returned.",
        )
    if "rate_hz" in fitted:
        raise AnalysisError(
            "the table holds rates in Hz, of cells.",
            "Bins have probabilities.",
            "Fit a recording (`ann2neo.from_array` makes one of spikes in bins).",
        )
    if model not in MODELS:
        raise AnalysisError(
            f"There is no model {model!r}." + suggestion(str(model), MODELS),
            "Nothing was simulated.",
            "Use 'rate', 'label' or 'markov'.",
        )
    if (like is None) == (n_bins is None) or (like is None and model == "label"):
        raise AnalysisError(
            f"like was {'not ' * (like is None)}given, n_bins={n_bins} and model={model!r}.",
            "Trials follow from exactly one of like and n_bins, and the model 'label' needs the conditions of trials.",
            "Give a recording, or a number of bins for the models 'rate' and 'markov'.",
        )
    for name, value, low in (("n_bins", 1 if n_bins is None else n_bins, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < low:
            raise AnalysisError(
                f"{name}={value!r} is no whole number of at least {low}.",
                "Nothing was simulated.",
                f"Use {name}={low}.",
            )
