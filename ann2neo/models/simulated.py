"""simulate: spikes drawn from a fitted model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8

from ann2neo.analysis.goodness import unit_keys
from ann2neo.errors import AnalysisError
from ann2neo.models.checks import SIMULATED, check_model, check_whole
from ann2neo.models.copula import (
    Targets,
    check_size,
    check_together,
    drawn_together,
    facts_of,
    latent_of,
    targets_of,
    together_by,
)
from ann2neo.models.latent import Latent
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
    together: str | None = None,
    correlations: Any = None,
) -> Recording:
    r"""Draw the spikes of each unit from its fitted model, independently or together with the units of its layer.

    ``"rate"``: every bin has a spike with probability ``rate_p``. ``"label"``: with ``label_p[c]`` where the condition of the trial is c, and ``rate_p``
    where it is unknown. ``"markov"``: with ``markov_p...`` given the spikes drawn for the preceding bins of the stretch, and ``rate_p`` in its
    first bins, which have no context. ``"gain"``: with one probability for each window, from a beta law with mean ``gain_mu`` and correlation ``gain_rho``. ``"label_gain"``: with one for
    each input, of mean ``label_p[c]`` and correlation ``label_gain_rho``; ``rate_p`` where the condition is unknown. ``"renewal"``: intervals from the law of ``renewal_r`` and ``renewal_mean``,
    each stretch beginning at an arbitrary moment; trials of unknown condition are part of stretches. Units without a chain, gain or intervals (silent, saturated, or with a context that never occurred) follow ``rate_p``, and the provenance counts them.

    Bin t of a unit has a spike where the number t of its own stream of uniform numbers, NumPy's ``Generator(Philox)`` keyed by (seed, layer, unit), is below the
    probability; gains and intervals have a second stream. Its bits therefore do not depend on other units or on chunks, models share the same random numbers, and bins added at the end change no earlier bin (except of ``"renewal"``). Unless ``together`` is given, units
    are independent: what they share beyond their tuning (noise correlation, the input) is not part of the model.

    With ``together="copula"``, for ``"rate"`` and ``"label"``, units of a layer are correlated within a bin, and each of them keeps its model (dichotomized Gaussian; Emrich & Piedmonte 1991, Macke et al. 2009): unit i has a
    spike in bin t of condition c where :math:`z_i(t) < \Phi^{-1}(p_{ic})`, with z normal, of variance 1, correlated between units by a matrix :math:`\Lambda` and independent between bins and between layers. The correlation of a pair is that of deviations from the mean of the
    condition (``"label"``: noise correlation; ``"rate"``: about one mean, so that tuning contributes), with :math:`w_c` bins of ``like`` in condition c,

    .. math:: r_{ij} = \frac{\sum_c w_c (\Phi_2(h_{ic}, h_{jc}; \Lambda_{ij}) - p_{ic} p_{jc})}{\sqrt{\sum_c w_c p_{ic} (1 - p_{ic}) \sum_c w_c p_{jc} (1 - p_{jc})}}, \quad h_{ic} = \Phi^{-1}(p_{ic})

    which rises with :math:`\Lambda_{ij}`, and is solved for it. A pair has one latent correlation for all conditions. A condition in which a unit has p = 0 or 1 contributes nothing; constant units are independent. r has a smallest and a largest
    value (all coincidences that the rates allow, or as few as they allow); a target out of this range takes its end. A measured correlation closer to an end than half a bin of those it was measured in is moved to half a bin, at most to 0: two rare units that never met are not opposites.
    Latent correlations solved pair by pair may be impossible together, more so with few bins and many units; they are replaced by the nearest correlation matrix (Higham 2002), and correlations of spikes move by what
    ``simulated_correlations_moved_rms`` and ``_max`` tell. Units with no latent correlation have the bits that they have without ``together``.

    Correlations of a recording are those of its single bins, and contain chance: of independent units they vary by about 1 / sqrt(L - C) in L bins of C conditions, which the simulation takes for true and adds to once more. Correlations of counts in trials of several bins are reproduced as far as
    they come from within bins. Layers may have 2,000 units, and 50 million pairs x conditions: in 10 conditions, 300 units take some 2 s and 1,000 some 15 s, which grows with the pairs, and where the latent matrix is repaired with the cube of the units. Memory: a byte per bin of a layer, and some matrices of 8 bytes per pair of units, or pair and condition in parts.

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
    together
        "copula" to draw the units of a layer together; None to draw each unit alone.
    correlations
        A recording with these units; or a matrix, shape (unit, unit), NaN for no correlation; or a dictionary with a matrix for each layer. None for ``like``.

    Returns
    -------
    Recording
        Its provenance is that of ``like``, with ``simulated`` (the model), ``simulated_seed``, ``simulated_from`` (SHA-256 of layers, units, parameters and correlations) and
        ``simulated_by_rate`` (units without a chain, gain or intervals) added; with ``together`` also ``simulated_together``, ``simulated_correlations`` ("recording" or "matrix"),
        ``simulated_pairs``, ``simulated_pairs_out_of_range``, ``simulated_correlations_moved_rms`` and ``simulated_correlations_moved_max``. A warning says if pairs were out of range, or correlations moved by more than their standard error by chance, 1 / sqrt(bins) of the shorter recording.

    Raises
    ------
    AnalysisError
        If parameters, units or conditions are missing from the table, if both or neither of ``like`` and ``n_bins`` are given, if rates are in Hz, or if units cannot be drawn together.

    See Also
    --------
    ann2neo.models.fit, ann2neo.models.to_design

    References
    ----------
    Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473; Salmon et al. 2011, doi:10.1145/2063384.2063405 (Philox); Emrich & Piedmonte 1991, doi:10.1080/00031305.1991.10475828;
    Macke et al. 2009, doi:10.1162/neco.2008.02-08-713; Higham 2002, doi:10.1093/imanum/22.3.329.

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

    Units that share noise keep it, and their rates:

    >>> shared = np.array([[1, 0.4, 0], [0.4, 1, 0], [0, 0, 1]])
    >>> pairs = simulate(fitted, like=recording, model="label", seed=0, together="copula", correlations=shared)
    >>> ann2neo.population.correlations(pairs, n_permutations=0).noise[0, 1:].round(1).tolist()
    [0.4, -0.0]
    """
    _check(fitted, like, n_bins, model, seed)
    check_together(together, correlations, model)
    recording = _of_bins(fitted, n_bins) if like is None else as_recording(like)
    rows = rows_of(fitted, recording)
    law = _law_of(rows, recording, model, by, fitted)
    targets, facts = None, {}
    if together is not None and isinstance(law, Law):
        check_size(recording, law.p.shape[1])
        source = _source(correlations, like, recording)
        targets = targets_of(source, recording, model, together_by(by, fitted, source, model))
        latents = latent_of(law, recording, targets)
        facts = facts_of(targets, latents, recording)
        dense = _together(rows, law, recording, latents, seed)
    else:
        dense = _drawn(rows, law, recording, seed)
    first, layers = 0, []
    for layer in recording.layers:
        bits = dense[:, first : first + layer.n_units]
        layers.append(replace(layer, raster=Raster(packed=bits, n_bins=recording.n_bins // recording.n_passes)))
        first += layer.n_units
    made: dict[str, Any] = {
        "simulated": model,
        "simulated_seed": int(seed),
        "simulated_from": _sha256(rows, law, targets),
        "simulated_by_rate": int(law.follows_rate.sum()),
        **facts,
    }
    return replace(recording, layers=tuple(layers), provenance={**recording.provenance, **made})


def _source(correlations: Any, like: Recording | None, recording: Recording) -> Any:
    """Return the recording or the matrix that holds the correlations."""
    if correlations is None and like is None:
        raise AnalysisError(
            "together='copula' was given with `n_bins`, and without `correlations`.",
            "There is no recording whose correlations units could have.",
            "Pass `correlations`, a recording or a matrix.",
        )
    return recording if correlations is None else correlations


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


def _together(
    rows: pd.DataFrame, law: Law, recording: Recording, latents: list[Latent], seed: int
) -> UInt8[np.ndarray, "pass unit byte"]:
    """Draw layer after layer, the units of each together; packed bits."""
    keys, parts, first = unit_keys(rows, seed), [], 0
    for layer, latent in zip(recording.layers, latents):
        own = slice(first, first + layer.n_units)
        streams = [np.random.Generator(np.random.Philox(key=int(key))) for key in keys[own]]
        parts.append(drawn_together(streams, law, law.p[own], latent, recording.n_passes))
        first += layer.n_units
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


def _sha256(rows: pd.DataFrame, law: Law | Gains | Renewals, targets: Targets | None) -> str:
    """Hash the identities and the parameters of the units, and the correlations that they are to have."""
    hashed = hashlib.sha256("\n".join(rows["layer"].astype(str)).encode())
    hashed.update(rows["unit"].to_numpy("<i8").tobytes())
    hashed.update(np.ascontiguousarray(law.p if isinstance(law, Law) else law.parameters, "<f8").tobytes())
    for matrix in () if targets is None else targets.matrices:
        hashed.update(np.ascontiguousarray(matrix, "<f8").tobytes())
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
