"""Spikes of the units of a layer drawn together: correlations of a recording, or of a matrix, by a dichotomized Gaussian."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.sparse import csr_matrix
from scipy.special import ndtri

from ann2neo.errors import AnalysisError, Ann2NeoWarning, kind_of
from ann2neo.models.latent import Latent, latent_correlations, symmetric_root
from ann2neo.models.law import Law, by_of
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording
from ann2neo.windows import codes_of_column

TOGETHER = ("rate", "label")
"""Models of which the units of a layer can be drawn together."""
MOST_UNITS = 2000
MOST_PAIRS = 50_000_000
"""Largest number of pairs of units of a layer, times conditions."""
_NUMBERS_AT_ONCE = 1 << 22

Matrix = Float[np.ndarray, "unit unit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Correlations that the units of each layer are to have.

    Parameters
    ----------
    source
        "recording" or "matrix".
    matrices
        Correlations of the units of each layer, shape (unit, unit).
    n_bins
        Number of bins in which they were measured; None for those of a matrix.
    """

    source: str
    matrices: tuple[Matrix, ...]
    n_bins: int | None


def check_together(together: Any, correlations: Any, model: Any) -> None:
    """Check that units are drawn together by a method that is known, from a model that allows it.

    Raises
    ------
    AnalysisError
        If one of these does not hold.
    """
    if together is None and correlations is not None:
        raise AnalysisError(
            "`correlations` was given without `together`.",
            "Units would be drawn independently.",
            "Use together='copula', or leave `correlations` out.",
        )
    if together not in (None, "copula"):
        raise AnalysisError(
            f"`together` must be None or 'copula', got {together!r}.",
            "It is unclear how units depend on each other.",
            "Use together='copula'.",
        )
    if together is not None and model not in TOGETHER:
        raise AnalysisError(
            f"together='copula' was given with the model {model!r}.",
            "Its bins depend on other bins of their unit, so that no latent correlation of single bins gives pairs a correlation and leaves each unit its model.",
            "Use the model 'rate' or 'label', or together=None.",
        )


def check_size(recording: Recording, n_states: int) -> None:
    """Check that the pairs of each layer can be solved.

    Raises
    ------
    AnalysisError
        If there are too many.
    """
    for layer in recording.layers:
        n_pairs = layer.n_units * (layer.n_units - 1) // 2
        if layer.n_units <= MOST_UNITS and n_pairs * n_states <= MOST_PAIRS:
            continue
        fits = min(MOST_UNITS, int(np.sqrt(2 * MOST_PAIRS / n_states)))
        raise AnalysisError(
            f"Layer {layer.name!r} has {layer.n_units} units, {n_pairs} pairs of them in {n_states} conditions; {MOST_UNITS} units and {MOST_PAIRS} pairs x conditions are the most.",
            "Each pair has a latent correlation to be solved for.",
            f"Select units of the recording, such as recording.select(layers={layer.name!r}, units=range({fits})).",
        )


def targets_of(correlations: Any, like: Recording, model: str, by: str | None) -> Targets:
    """Read the correlations of each layer from a recording, a matrix, or a matrix for each layer.

    Raises
    ------
    AnalysisError
        If units are missing, or a matrix holds no correlations.
    """
    if isinstance(correlations, Recording):
        condition = _conditions(correlations, model, by)
        found = [_measured(_layer_of(correlations, layer), condition) for layer in like.layers]
        return Targets(source="recording", matrices=tuple(found), n_bins=int(np.count_nonzero(condition >= 0)))
    names = [layer.name for layer in like.layers]
    given = correlations if isinstance(correlations, Mapping) else dict.fromkeys(names[:1], correlations)
    if len(given) != len(names) or set(given) != set(names):
        raise AnalysisError(
            f"`correlations` has {'matrices of' if isinstance(correlations, Mapping) else 'one matrix for'} {', '.join(map(repr, given)) or 'no layer'}, and the layers are {', '.join(map(repr, names))}.",
            "Units of different layers are drawn independently, and each layer needs a matrix.",
            "Pass a recording, or a dictionary with a matrix for each layer.",
        )
    matrices = tuple(_matrix(given[layer.name], layer) for layer in like.layers)
    return Targets(source="matrix", matrices=matrices, n_bins=None)


def _conditions(recording: Recording, model: str, by: str | None) -> Int[np.ndarray, " bin"]:
    """Return the condition of each bin, -1 where it is unknown; one condition for one rate."""
    if by is None:
        return np.zeros(recording.n_bins, np.int64)
    length = (recording.trials["stop_bin"] - recording.trials["start_bin"]).to_numpy(np.int64)
    codes = np.repeat(codes_of_column(recording.trials, by)[0], length)
    if not (codes >= 0).any():
        raise AnalysisError(
            f"The {by} of all trials is unknown in the recording of `correlations`.",
            "No bin tells how spikes vary about the mean of a condition.",
            "Pass a recording whose conditions are known, or a matrix.",
        )
    return np.minimum(codes, 0) if model == "rate" else codes


def _layer_of(recording: Recording, layer: Layer) -> Raster:
    """Find the units of a layer in the recording whose correlations are taken."""
    named = [each for each in recording.layers if each.name == layer.name]
    place = {int(unit): row for row, unit in enumerate(named[0].units)} if named else {}
    rows = [place.get(int(unit), -1) for unit in layer.units]
    if min(rows, default=0) < 0:
        raise AnalysisError(
            f"{rows.count(-1)} of {len(rows)} units of layer {layer.name!r} are not in the recording of `correlations`.",
            "Their correlations are unknown.",
            "Pass a recording of the same layers and units.",
        )
    return named[0].raster.take(np.array(rows, np.int64))


def _matrix(values: Any, layer: Layer) -> Matrix:
    """Check a matrix; NaN, as of units without variance, counts as a correlation of 0."""
    try:
        found = np.array(values, np.float64)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.shape != (layer.n_units, layer.n_units):
        what = f"shape {found.shape}" if found.size else kind_of(values)
        raise AnalysisError(
            f"`correlations` of layer {layer.name!r} must be a matrix of {layer.n_units} x {layer.n_units} units, got {what}.",
            "It is unclear which units are correlated.",
            f"Pass a recording, or a matrix such as `ann2neo.population.correlations(recording, layer={layer.name!r}).noise`.",
        )
    unknown = np.isnan(found)
    wrong = (np.abs(found) > 1 + 1e-6) | (np.abs(found - found.T) > 1e-6) | (np.eye(len(found)) * (found - 1) < -1e-6)
    if (wrong & ~unknown).any() or (unknown != unknown.T).any():
        raise AnalysisError(
            f"`correlations` of layer {layer.name!r} is not symmetric, has a diagonal other than 1, or values outside -1 to 1.",
            "Values must be correlations.",
            "Pass correlations, not covariances.",
        )
    return np.clip(np.where(unknown, 0.0, found), -1, 1)


def _measured(raster: Raster, condition: Int[np.ndarray, " bin"]) -> Matrix:
    """Correlate the deviations of bins from the mean of their condition; 0 for units without any."""
    n_conditions = int(condition.max()) + 1
    joint, counts = np.zeros((raster.n_units, raster.n_units)), np.zeros((raster.n_units, n_conditions))
    for spikes, own in _blocks(raster, condition):
        joint += spikes @ spikes.T
        code = (np.ones(own.size, np.float32), own, np.arange(own.size + 1))
        counts += (csr_matrix(code, shape=(own.size, n_conditions)).T @ spikes.T).T
    size = np.maximum(np.bincount(condition[condition >= 0], minlength=n_conditions), 1)
    covariance = joint - (counts / size) @ counts.T
    deviation = np.sqrt((counts * (1 - counts / size)).sum(axis=1))
    scale = deviation[:, None] * deviation
    return np.where(scale > 0, covariance / np.where(scale > 0, scale, 1.0), 0.0)


def _blocks(raster: Raster, condition: Int[np.ndarray, " bin"]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield spikes of counted bins as numbers, shape (unit, bin), and the condition of each; counts up to 2^24 are exact in them."""
    packed, step = raster.bits(), max(1, _NUMBERS_AT_ONCE // (8 * max(raster.n_units, 1)))
    for number, bits in enumerate(packed):
        own = condition[number * raster.n_bins : (number + 1) * raster.n_bins]
        for first in range(0, packed.shape[2], step):
            codes = own[8 * first : 8 * (first + step)]
            known = codes >= 0
            dense = np.unpackbits(bits[:, first : first + step], axis=1, count=codes.size)
            yield dense[:, known].astype(np.float32), codes[known]


def latent_of(law: Law, like: Recording, targets: Targets) -> list[Latent]:
    """Solve for the latent correlations of each layer, weighing conditions by their bins in the simulated recording."""
    size = np.bincount(law.state, minlength=law.p.shape[1]).astype(np.float64)
    if size.size > 1 and size[:-1].any():
        size[-1] = 0.0  # Bins of unknown condition follow the rate.
    used, found, first = np.flatnonzero(size), [], 0
    for layer, matrix in zip(like.layers, targets.matrices):
        p = law.p[first : first + layer.n_units][:, used]
        margin = 0.0 if targets.n_bins is None else 0.5 / targets.n_bins
        found.append(latent_correlations(p, size[used] / size.sum(), matrix, margin))
        first += layer.n_units
    return found


def facts_of(targets: Targets, latents: list[Latent], like: Recording) -> dict[str, Any]:
    """Describe what was asked for and what is drawn, and warn where they differ by more than the error of a correlation."""
    moved = [
        (latent.expected - matrix)[np.triu_indices(len(matrix), 1)] for latent, matrix in zip(latents, targets.matrices)
    ]
    off = np.concatenate([np.zeros(0), *moved])
    facts = {
        "simulated_together": "copula",
        "simulated_correlations": targets.source,
        "simulated_pairs": int(off.size),
        "simulated_pairs_out_of_range": sum(latent.n_clipped for latent in latents),
        "simulated_correlations_moved_rms": float(np.sqrt((off**2).mean())) if off.size else 0.0,
        "simulated_correlations_moved_max": float(np.abs(off).max(initial=0.0)),
    }
    fewest = like.n_bins if targets.n_bins is None else min(like.n_bins, targets.n_bins)
    if facts["simulated_pairs_out_of_range"] or facts["simulated_correlations_moved_rms"] > fewest**-0.5:
        text = (
            f"{facts['simulated_pairs_out_of_range']} of {off.size} pairs have a correlation that units of their rates cannot have, and take the nearest one;\n"
            f"with the repair of the latent matrix, correlations move by {facts['simulated_correlations_moved_rms']:.2g} (root of the mean square), at most {facts['simulated_correlations_moved_max']:.2g}.\n"
            "Take more bins or fewer units, or correlations that go together with the rates, if this matters."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=4)
    return facts


def drawn_together(
    streams: list[np.random.Generator], law: Law, p: np.ndarray, latent: Latent, n_passes: int
) -> UInt8[np.ndarray, "pass unit byte"]:
    """Draw the units of a layer bin by bin, and pack them; units without a latent correlation are those that are drawn alone."""
    n_bins = law.state.size
    linked = np.flatnonzero(np.count_nonzero(latent.matrix, axis=1) > 1)
    root, threshold = symmetric_root(latent.matrix[np.ix_(linked, linked)]), ndtri(p[linked])
    dense: Bool[np.ndarray, "unit bin"] = np.empty((len(p), n_bins), np.bool_)
    step = max(1, _NUMBERS_AT_ONCE // max(len(p), 1))
    for first in range(0, n_bins, step):
        state = law.state[first : first + step]
        numbers = np.stack([stream.random(state.size) for stream in streams])
        own = dense[:, first : first + step]
        own[:] = numbers < p[:, state]
        # A number of 0, of probability 2^-53, has no finite latent value.
        own[linked] = root @ ndtri(np.maximum(numbers[linked], 2.0**-54)) < threshold[:, state]
    return Raster.from_dense(dense, n_passes=n_passes).packed


def together_by(fitted_by: str | None, fitted: Any, correlations: Any, model: str) -> str | None:
    """Return the column about whose conditions correlations are measured."""
    if not isinstance(correlations, Recording):
        return None
    if model == "label":
        return fitted_by or fitted.attrs.get("by") or "label"
    return fitted_by or by_of(fitted, correlations.trials)
