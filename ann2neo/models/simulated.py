"""simulate: spikes drawn from a fitted model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ann2neo.analysis.goodness import unit_keys
from ann2neo.errors import AnalysisError
from ann2neo.models.checks import SIMULATED, check_model, check_whole
from ann2neo.models.law import Law, law_of, rows_of
from ann2neo.models.processes import PROCESSES, Gains, Renewals, process_of
from ann2neo.raster import Raster
from ann2neo.recording import SCHEMA, Layer, Recording, make_trials, order_sha256
from ann2neo.recording.recording import as_recording
from ann2neo.threads import over_units

_NUMBERS_AT_ONCE = 1 << 24
MOST_BITS = 10**12
"""Largest number of bins of all units that is drawn without a recording to resemble."""


def simulate(
    fitted: pd.DataFrame,
    *,
    like: Recording | None = None,
    n_bins: int | None = None,
    model: str,
    seed: int,
    by: str | None = None,
) -> Recording:
    """Draw the spikes of each unit independently from its fitted model.

    ``"rate"``: every bin has a spike with probability ``rate_p``. ``"label"``: with ``label_p[c]`` where the condition of the trial is c, and ``rate_p``
    where it is unknown. ``"markov"``: with ``markov_p...`` given the spikes drawn for the preceding bins of the stretch, and ``rate_p`` in its
    first bins, which have no context. ``"gain"``: with one probability for each window, from a beta law with mean ``gain_mu`` and correlation ``gain_rho``. ``"label_gain"``: with one for
    each input, of mean ``label_p[c]`` and correlation ``label_gain_rho``; ``rate_p`` where the condition is unknown. ``"renewal"``: intervals from the law of ``renewal_r`` and ``renewal_mean``,
    each stretch beginning at an arbitrary moment; trials of unknown condition are part of stretches. Units without a chain, gain or intervals (silent, saturated, or with a context that never occurred) follow ``rate_p``, and the provenance counts them.

    Bin t of a unit has a spike where the number t of its own stream of uniform numbers, NumPy's ``Generator(Philox)`` keyed by (seed, layer, unit), is below the
    probability; gains and intervals have a second stream. Its bits therefore do not depend on other units or on chunks, models share the same random numbers, and bins added at the end change no earlier bin (except of ``"renewal"``). Units
    are independent: what they share beyond their tuning (noise correlation, the input) is not part of the model.

    Parameters
    ----------
    fitted
        Table that `fit` returned for a recording, also when read back from CSV or Parquet.
    like
        Recording whose layers and trials the simulation takes over, in the same order; each of its units needs a row in ``fitted``.
    n_bins
        In place of ``like``: a number of bins, each a trial without a label; for the models "rate", "markov" and "renewal".
    model
        "rate", "label", "markov", "gain", "label_gain" or "renewal".
    seed
        Seed of all units.
    by
        Column of the trials that holds the conditions; None for the one that was fitted, or "label" where the table does not name it.

    Returns
    -------
    Recording
        Its provenance is that of ``like``, with ``simulated`` (the model), ``simulated_seed``, ``simulated_from`` (SHA-256 of layers, units and parameters) and
        ``simulated_by_rate`` (units without a chain, gain or intervals) added.

    Raises
    ------
    AnalysisError
        If parameters, units or conditions are missing from the table, if both or neither of ``like`` and ``n_bins`` are given, or if rates are in Hz.

    See Also
    --------
    ann2neo.models.fit, ann2neo.models.to_design

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
    rows = rows_of(fitted, recording)
    law = _law_of(rows, recording, model, by, fitted)
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
        "simulated_by_rate": int(law.follows_rate.sum()),
    }
    return replace(recording, layers=tuple(layers), provenance={**recording.provenance, **made})


def _law_of(
    rows: pd.DataFrame, recording: Recording, model: str, by: str | None, fitted: pd.DataFrame
) -> Law | Gains | Renewals:
    """Read the parameters of a model."""
    if model in PROCESSES:
        return process_of(rows, recording, model, by, fitted)
    return law_of(rows, recording, model, by or fitted.attrs.get("by") or "label")


def _drawn(rows: pd.DataFrame, law: Law | Gains | Renewals, recording: Recording, seed: int) -> np.ndarray:
    """Draw spikes chunk by chunk, units in threads; packed bits, shape (pass, unit, byte)."""
    # Seeds are not negative: gains and intervals have streams of their own.
    keys, others, parts = unit_keys(rows, seed), unit_keys(rows, -1 - seed), []
    for units in _chunks(len(rows), recording.n_bins):
        dense = np.empty((units.stop - units.start, recording.n_bins), np.bool_)

        def fill(first: int, last: int, dense: np.ndarray = dense, begin: int = units.start) -> None:
            own = slice(begin + first, begin + last)
            streams = _streams(keys[own])
            if isinstance(law, Law):
                (_chained if law.order else _apart)(streams, law.p[own], law, dense[first:last])
            else:
                law.draw(streams, _streams(others[own]), own, dense[first:last])

        over_units(fill, len(dense))
        parts.append(Raster.from_dense(dense, n_passes=recording.n_passes).packed)
    return np.concatenate(parts, axis=1)


def _streams(keys: np.ndarray) -> Iterator[np.random.Generator]:
    """Yield a stream of each unit, to be used before the next one: a new generator takes as long as a third of its numbers."""
    bits = np.random.Philox(key=0)
    state, stream = bits.state, np.random.Generator(bits)
    for key in keys.tolist():
        state["state"]["key"][:] = key, 0
        bits.state = state
        yield stream


def _chunks(n_units: int, n_bins: int) -> Iterator[slice]:
    step = max(1, _NUMBERS_AT_ONCE // max(n_bins, 1))
    for first in range(0, n_units, step):
        yield slice(first, min(first + step, n_units))


def _apart(
    streams: Iterator[np.random.Generator],
    p: Float[np.ndarray, "unit state"],
    law: Law,
    dense: Bool[np.ndarray, "unit bin"],
) -> None:
    """Compare each number with the probability of its bin, unit by unit: their numbers stay in the cache."""
    for row, stream, own in zip(dense, streams, p):
        np.less(stream.random(law.state.size), own[law.state] if own.size > 1 else own[0], out=row)


def _chained(
    streams: Iterator[np.random.Generator],
    p: Float[np.ndarray, "unit state"],
    law: Law,
    dense: Bool[np.ndarray, "unit bin"],
) -> None:
    """Compare bin after bin, each given the spikes drawn for the bins before it."""
    # numba is loaded only where a chain is drawn.
    from ann2neo.models.kernels import draw

    for row, stream, own in zip(dense, streams, p):
        draw(stream.random(law.state.size), np.ascontiguousarray(own), law.state, law.order, row)


def _of_bins(fitted: pd.DataFrame, n_bins: Any) -> Recording:
    """Make an empty recording of the layers of the table, with one bin per trial."""
    _check_identities(fitted)
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


def _check_identities(fitted: pd.DataFrame) -> None:
    """Check that each row names its layer, and a whole number as its unit."""
    units = pd.to_numeric(fitted["unit"], errors="coerce").to_numpy(np.float64)
    wrong = fitted["layer"].isna().to_numpy() | ~((units >= 0) & (units < 2**53) & (units % 1 == 0))
    if wrong.any():
        raise AnalysisError(
            f"{int(wrong.sum())} of {wrong.size} rows name no layer, or a unit that is not a whole number of at least 0.",
            "It is unclear which units are to be drawn.",
            "Pass the table that `ann2neo.models.fit` returned for a recording.",
        )


def _sha256(rows: pd.DataFrame, law: Law | Gains | Renewals) -> str:
    """Hash the identities and the parameters of the units."""
    hashed = hashlib.sha256("\n".join(rows["layer"].astype(str)).encode())
    hashed.update(rows["unit"].to_numpy("<i8").tobytes())
    hashed.update(np.ascontiguousarray(law.p if isinstance(law, Law) else law.parameters, "<f8").tobytes())
    return hashed.hexdigest()


def _check(fitted: Any, like: Any, n_bins: Any, model: Any, seed: Any) -> None:
    check_model(fitted, model, SIMULATED)
    if not len(fitted):
        raise AnalysisError("The table has no rows.", "There is no unit to draw.", "Keep the rows of some units.")
    if (like is None) == (n_bins is None) or (like is None and model in ("label", "gain", "label_gain")):
        raise AnalysisError(
            f"like was {'not ' * (like is None)}given, n_bins={n_bins} and model={model!r}.",
            "Trials follow from exactly one of like and n_bins, and the models 'label', 'gain' and 'label_gain' need the conditions of trials.",
            "Pass a recording, or a number of bins for the models 'rate', 'markov' and 'renewal'.",
        )
    check_whole("n_bins", 1 if n_bins is None else n_bins, 1)
    if n_bins is not None and int(n_bins) * len(fitted) > MOST_BITS:
        raise AnalysisError(
            f"n_bins={n_bins} of {len(fitted)} units are {int(n_bins) * len(fitted):.1e} bits, more than {MOST_BITS:.0e}.",
            "They would not fit into memory.",
            "Draw fewer bins, or fewer units of the table.",
        )
    check_whole("seed", seed, 0)
