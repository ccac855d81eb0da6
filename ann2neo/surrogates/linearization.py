"""Standard errors of Fano factors over label windows with respect to the inputs, by linearization.

With counts n_c and their sum N, a Fano factor is ``F = sum n_c^2 / N - N / W``. An input that deviates by x from the mean of
its label changes F by ``dF/dn_c x``; two such inputs together change it by an additional ``d2F/dn_c dn_d x x'``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import cast

import numpy as np
from jaxtyping import Bool, Float, Int

from ann2neo.analysis.expectation import unit_blocks
from ann2neo.analysis.source import Chunk, Source
from ann2neo.exchange import Exchange
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.bulk import count_in_groups
from ann2neo.measures.quality import quality
from ann2neo.summary import NETWORK, POPULATIONS

# Largest number of inputs whose pairs enter the second-order term.
MOST_PAIRED = 600

Errors = dict[tuple[str, str], dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Sums over units: their number, F, dF and F dF of each input, second derivatives and products of dF for pairs of inputs."""

    n: float
    factor: float
    first: Float[np.ndarray, "two input"]
    second: Float[np.ndarray, "two paired other"]
    products: Float[np.ndarray, "paired other"]

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            n=self.n + other.n,
            factor=self.factor + other.factor,
            first=self.first + other.first,
            second=self.second + other.second,
            products=self.products + other.products,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Inputs with a known label, their label, the number of inputs of each label, and the inputs whose pairs are used."""

    known: Int[np.ndarray, " input"]
    code: Int[np.ndarray, " input"]
    inputs: Int[np.ndarray, " label"]
    paired: Int[np.ndarray, " paired"]


def fano_errors(source: Source, min_spikes: int) -> Errors | None:
    r"""Estimate standard errors of the mean and variance over units of Fano factors over label windows.

    The errors refer to new inputs with the same labels. To first order the variance is :math:`V_1 = \sum_c k_c \sum_{i \in c}
    u_i^2` with :math:`k_c = w_c / (w_c - 1)`, where :math:`u_i` is the contribution of input i, one of the :math:`w_c` inputs of its
    label, averaged over units. Derivatives are taken at the observed counts, so :math:`V_1` exceeds the true variance by half of the
    second-order term :math:`\sum_{ij} k_i k_j A_{ij}^2`, with :math:`A_{ij}` the second derivatives. That half, estimated from at most
    600 inputs, is subtracted (at most half of :math:`V_1`). Labels with one input do not contribute.

    Parameters
    ----------
    source
        Chunks of a recording.
    min_spikes
        As for `ann2neo.analyze`.

    Returns
    -------
    dict or None
        Standard errors of "fano_mean" and "fano_var" by layer and population, the network last; None if windows are not
        labels, or the label of an input differs from pass to pass.

    References
    ----------
    Efron and Stein (1981), doi:10.1214/aos/1176345462.
    """
    first = source.chunks[0]().spikes
    if first.exchange is None or not first.exchange.labels_are_windows or first.exchange.first_pass_only:
        return None
    labels = _labels(first.exchange)
    if labels.inputs.size < 2 or labels.inputs.max() < 2:
        return None
    errors: Errors = {}
    whole: dict[str, Sums] = {}
    chunks = (read() for read in source.chunks)
    for layer, own in groupby(chunks, key=lambda chunk: str(chunk.units["layer"].iloc[0])):
        sums: dict[str, Sums] = {}
        for chunk in own:
            for population, part in _of_chunk(chunk, labels, min_spikes):
                sums[population] = sums[population] + part if population in sums else part
        for population, found in sums.items():
            errors[layer, population] = _errors(found, labels)
            whole[population] = whole[population] + found if population in whole else found
    return errors | {(NETWORK, population): _errors(found, labels) for population, found in whole.items()}


def _labels(exchange: Exchange) -> Labels:
    known = np.flatnonzero((exchange.label >= 0) & (exchange.size > 0))
    code = np.unique(exchange.label[known], return_inverse=True)[1]
    rng = np.random.default_rng(known.size)
    share = min(1.0, MOST_PAIRED / max(known.size, 1))
    paired = [np.flatnonzero(code == one) for one in np.unique(code)]
    few = [np.sort(rng.permutation(own)[: max(2, round(share * own.size))]) for own in paired]
    return Labels(known=known, code=code, inputs=np.bincount(code), paired=np.concatenate(few))


def _of_chunk(chunk: Chunk, labels: Labels, min_spikes: int) -> Iterator[tuple[str, Sums]]:
    # Chunks of a recording are stored as bits.
    spikes = cast(SpikeBits, chunk.spikes)
    exchange = cast(Exchange, spikes.exchange)
    n_passes, n_inputs = spikes.bits.shape[0], exchange.size.size
    of_pass = np.arange(spikes.n_bins) // spikes.pass_bins
    for block in unit_blocks(spikes, 4 * n_passes * n_inputs):
        counts = count_in_groups(cast(SpikeBits, block), exchange.ids + of_pass * n_inputs, n_passes * n_inputs)
        good = quality(counts.sum(axis=1), spikes.n_bins, min_spikes=min_spikes) == "good"
        by_pass = counts.reshape(len(counts), n_passes, n_inputs)[:, :, labels.known].astype(np.float64)
        for population in POPULATIONS:
            yield population, _sums(by_pass[np.ones(good.size, bool) if population == "all" else good], labels)


def _sums(counts: Float[np.ndarray, "unit pass input"], labels: Labels) -> Sums:
    """Sum derivatives of the Fano factor over units, averaged over the passes in which a unit has spikes."""
    kinds = np.eye(labels.inputs.size)[labels.code]
    of_label = counts @ kinds
    n = of_label.sum(axis=2)
    active: Bool[np.ndarray, "unit pass"] = n > 0
    passes = active.sum(axis=1)
    counts, of_label, n, active = (part[passes > 0] for part in (counts, of_label, n, active))
    share = active / active.sum(axis=1, keepdims=True)
    n = np.maximum(n, 1)
    squares = (of_label**2).sum(axis=2) / n
    factor = (share * (squares - n / labels.inputs.size)).sum(axis=1)
    slope = 2 * of_label / n[..., None] - (squares / n + 1 / labels.inputs.size)[..., None]
    deviation = counts - (of_label / labels.inputs)[..., labels.code]
    moved = np.einsum("up,upi->ui", share, slope[..., labels.code] * deviation)
    paired = moved[:, labels.paired]
    near = deviation[..., labels.paired].reshape(-1, labels.paired.size)
    level = (of_label / n[..., None])[..., labels.code[labels.paired]].reshape(near.shape)
    weight = (share / n).ravel()
    second = [
        _second(near, level, (squares / n).ravel(), weight * extra, labels)
        for extra in (np.ones(weight.size), np.repeat(factor, active.shape[1]))
    ]
    return Sums(
        n=float(factor.size),
        factor=float(factor.sum()),
        first=np.stack([moved.sum(axis=0), (factor[:, None] * moved).sum(axis=0)]),
        second=np.stack(second),
        products=paired.T @ paired,
    )


def _second(
    near: Float[np.ndarray, "row paired"],
    level: Float[np.ndarray, "row paired"],
    squares: Float[np.ndarray, " row"],
    weight: Float[np.ndarray, " row"],
    labels: Labels,
) -> Float[np.ndarray, "paired other"]:
    """Sum ``d2F/dn_c dn_d x_i x_j`` over units and passes: ``2 (delta_cd - n_c / N - n_d / N + sum n^2 / N^2) / N``."""
    code = labels.code[labels.paired]
    weighted = near * weight[:, None]
    plain = weighted.T @ near
    crossed = (weighted * level).T @ near
    same = code[:, None] == code
    return 2 * (same * plain - crossed - crossed.T + (weighted * squares[:, None]).T @ near)


def _errors(sums: Sums, labels: Labels) -> dict[str, float]:
    if sums.n == 0:
        return {"fano_mean": np.nan, "fano_var": np.nan}
    mean = sums.factor / sums.n
    first, with_factor = sums.first / sums.n
    second, factor_second = sums.second / sums.n
    own = first[labels.paired]
    curved = 2 * (factor_second - mean * second + sums.products / sums.n - np.outer(own, own))
    return {
        "fano_mean": _error(first, second, labels),
        "fano_var": _error(2 * (with_factor - mean * first), curved, labels),
    }


def _error(first: Float[np.ndarray, " input"], second: Float[np.ndarray, "paired other"], labels: Labels) -> float:
    """Compute the standard error: first-order variance minus half of the second-order term over pairs of different inputs."""
    factor = labels.inputs / np.maximum(labels.inputs - 1.0, 1.0) * (labels.inputs > 1)
    variance = float((factor[labels.code] * first**2).sum())
    code = labels.code[labels.paired]
    taken = np.bincount(code, minlength=labels.inputs.size).astype(np.float64)
    pairs = np.outer(labels.inputs, labels.inputs).astype(np.float64) / np.outer(taken, taken)
    np.fill_diagonal(pairs, labels.inputs**2 / np.maximum(taken * (taken - 1), 1.0))
    scale = (pairs * np.outer(factor, factor))[np.ix_(code, code)]
    np.fill_diagonal(scale, 0.0)
    return float(np.sqrt(max(variance - 0.5 * float((scale * second**2).sum()), variance / 2)))
