"""permute: spikes permuted between inputs, jointly for all units or separately for each unit."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Int, UInt8

from ann2neo.arguments import check_choice, check_seed
from ann2neo.errors import AnalysisError, Ann2NeoWarning, RecordingError
from ann2neo.progress import progress_bar
from ann2neo.raster import CHUNK_BYTES, Raster
from ann2neo.recording import Layer, Recording, as_recording

How = Literal["jointly", "per_unit"]


def permute(
    recording: Recording, *, how: How = "jointly", seed: int, number: int = 0, progress: bool = True
) -> Recording:
    """Permute the spikes of trials at random, while labels and everything else stay in place.

    ``"jointly"`` draws one permutation for all units of all layers: correlations between units in a trial are kept, and
    only the relation of spikes to labels and to time is destroyed. ``"per_unit"`` draws one permutation for each unit:
    correlations between units are destroyed as well. Both keep every unit's number of spikes.

    The same permutation is used in every pass: the passes of an input stay together, and only the assignment of spikes
    to inputs is destroyed. A trial of several bins moves as a block, and only to the position of a trial of equal length:
    windows and stretches do not change, nor do intervals within trials.

    Random numbers are keyed by ``(seed, number)``, and per unit also by the layer's name and the unit's position in its
    activation. A selection of units or layers, their order, and the size of chunks do not change a bit (within one
    version of NumPy).

    Parameters
    ----------
    recording
        Recording to permute.
    how
        One permutation for all units, or one for each unit.
    seed
        Seed of the permutations.
    number
        Number of the permutation for this seed: permutations 0, 1, 2, ... are independent.
    progress
        Whether to show a progress bar for "per_unit"; "jointly" is a view and takes no time.

    Returns
    -------
    Recording
        With "jointly" a view of the same bits, with "per_unit" new packed bits in memory. Its provenance holds
        ``surrogate``, ``surrogate_seed`` and ``surrogate_number``.

    Raises
    ------
    AnalysisError
        If no two trials have the same length, or ``how`` is unknown.
    RecordingError
        If the recording is already a surrogate: its provenance could not describe both permutations.

    Warns
    -----
    Ann2NeoWarning
        If some trials have a unique length: they keep their spikes.

    See Also
    --------
    ann2neo.surrogates.null_bands, ann2neo.Recording.arrange

    References
    ----------
    Grün (2009), Data-driven significance estimation for precise spike correlation, doi:10.1152/jn.00093.2008.

    Examples
    --------
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.eye(5, dtype=bool)[:, [0, 0, 1]], labels=[0, 0, 1, 1, 1])
    >>> jointly = permute(recording, seed=0).raster("array")
    >>> bool((jointly[0] == jointly[1]).all()), jointly.sum(axis=1)  # the first two units still spike together
    (True, array([1, 1, 1]))
    """
    check_choice(how, "how", get_args(How))
    seed, number = check_seed(seed), check_seed(number, "number")
    if "surrogate" in as_recording(recording).provenance:
        raise RecordingError(
            f"The recording is already a surrogate ({recording.provenance['surrogate']}).",
            "A surrogate of a surrogate could not be reproduced from its provenance.",
            "Permute the original, with another number=.",
        )
    lengths = exchangeable_lengths(recording)
    if how == "jointly":
        order = joint_bin_order(lengths, seed=seed, number=number)
        layers = tuple(replace(layer, raster=layer.raster.arrange(order)) for layer in recording.layers)
    else:
        with progress_bar(shown=progress, desc="permuting", unit="unit", total=recording.n_units) as bar:
            layers = tuple(_permute_units(layer, lengths, seed, number, bar) for layer in recording.layers)
    made = {"surrogate": how, "surrogate_seed": seed, "surrogate_number": number}
    return replace(recording, layers=layers, provenance={**recording.provenance, **made})


def exchangeable_lengths(recording: Recording) -> Int[np.ndarray, " trial"]:
    """Return the number of bins of each trial of a pass, shape (trial,), if at least two trials can be exchanged.

    Raises
    ------
    AnalysisError
        If no two trials have the same length.

    Warns
    -----
    Ann2NeoWarning
        If some trials have a unique length.

    Examples
    --------
    >>> import ann2neo
    >>> exchangeable_lengths(ann2neo.from_array(np.eye(3, dtype=bool)))
    array([1, 1, 1])
    """
    lengths = trial_lengths(recording)
    n_alone = int(np.count_nonzero(np.unique(lengths, return_counts=True)[1] == 1))
    if n_alone == lengths.size:
        raise AnalysisError(
            f"No two of {lengths.size} trials have the same number of bins.",
            "No trials can be exchanged.",
            "Record inputs of equal length (pad them, or cut them with Steps(lengths=...)).",
        )
    if n_alone:
        text = (
            f"{n_alone} of {lengths.size} trials have a number of bins that no other trial has.\n"
            "They cannot be exchanged and keep their spikes, which makes every comparison with surrogates conservative."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=3)
    return lengths


def trial_lengths(recording: Recording) -> Int[np.ndarray, " trial"]:
    """Return the number of bins of each trial of a pass, shape (trial,)."""
    one_pass = as_recording(recording).trials[recording.trials["pass"] == 0]
    return (one_pass["stop_bin"] - one_pass["start_bin"]).to_numpy(np.int64)


def joint_bin_order(lengths: Int[np.ndarray, " trial"], *, seed: int, number: int) -> Int[np.ndarray, " bin"]:
    """Draw the permutation that all units share: the bin whose spikes move to each position of a pass, shape (bin,).

    Parameters
    ----------
    lengths
        Number of bins of each trial of a pass, shape (trial,).
    seed
        Seed of the permutations.
    number
        Number of the permutation for this seed.

    Examples
    --------
    >>> order = joint_bin_order(np.array([2, 1, 2, 1]), seed=0, number=0)
    >>> sorted(order.tolist()), sorted(order[[2, 5]].tolist())
    ([0, 1, 2, 3, 4, 5], [2, 5])
    """
    return _bins_of(_exchanged(lengths, generator("jointly", seed, number)), lengths)


def generator(*key: str | int) -> np.random.Generator:
    """Make a random number generator that is determined by a key.

    Examples
    --------
    >>> generator("a", 1).integers(100) == generator("a", 1).integers(100)
    np.True_
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def _permute_units(layer: Layer, lengths: Int[np.ndarray, " trial"], seed: int, number: int, bar: Any) -> Layer:
    """Permute the spikes of each unit separately, chunk by chunk."""
    raster, parts = layer.raster, []
    # An order takes eight bytes per bin, an unpacked bin one.
    for units in raster.chunks(CHUNK_BYTES // 8):
        orders = np.stack([_unit_bin_order(lengths, layer.name, int(u), seed, number) for u in layer.units[units]])
        parts.append(_rearranged(raster, units, orders))
        bar.update(len(orders))
    return replace(layer, raster=Raster(packed=np.concatenate(parts, axis=1), n_bins=raster.n_bins))


def _unit_bin_order(
    lengths: Int[np.ndarray, " trial"], layer: str, unit: int, seed: int, number: int
) -> Int[np.ndarray, " bin"]:
    return _bins_of(_exchanged(lengths, generator("per_unit", seed, number, layer, unit)), lengths)


def _rearranged(
    raster: Raster, units: slice, orders: Int[np.ndarray, "unit bin"]
) -> UInt8[np.ndarray, "pass unit byte"]:
    dense = np.unpackbits(raster.bits(units), axis=2, count=raster.n_bins)
    return np.packbits(np.take_along_axis(dense, orders[None], axis=2), axis=2)


def _exchanged(lengths: Int[np.ndarray, " trial"], rng: np.random.Generator) -> Int[np.ndarray, " trial"]:
    """Permute trials among those of equal length."""
    order = np.arange(lengths.size)
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length)
        order[places] = rng.permutation(places)
    return order


def _bins_of(order: Int[np.ndarray, " trial"], lengths: Int[np.ndarray, " trial"]) -> Int[np.ndarray, " bin"]:
    """List the bins of trials in this order, in which each trial takes the position of one of equal length."""
    start = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(start[order] - start, lengths)
