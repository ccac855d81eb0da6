"""Codewords of inputs as packed bits: how often each occurs, how many pairs are equal by chance, and distances between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt64
from scipy import special

from ann2neo.compiled import compiled
from ann2neo.raster import CHUNK_BYTES, Raster
from ann2neo.threads import over_units
from ann2neo.windows import STIMULUS

# Inputs of a task of a thread.
INPUTS_PER_TASK = 16
# What is found of each input, in this order.
FOUND = ("nearest_same", "nearest_other", "nearest_same_expected", "nearest_other_expected", "difference_p")


@dataclass(frozen=True, slots=True, kw_only=True)
class Codewords:
    """The codewords of all inputs of one length in one pass.

    Parameters
    ----------
    rows
        Rows of the inputs in the table of trials, shape (input,).
    length
        Number of bins of each input.
    n_bits
        Number of bits of a codeword: units times bins.
    words
        The bits, bin after bin; what fills up a word is 0, shape (input, word).
    """

    rows: Int[np.ndarray, " input"]
    length: int
    n_bits: int
    words: UInt64[np.ndarray, "input word"]


def inputs_of(trials: pd.DataFrame, number: int) -> Int[np.ndarray, " input"]:
    """Find the rows of the inputs of a pass: the first presentation of each stimulus, where it has bins."""
    own = trials[trials["pass"] == number]
    kept = ~own.duplicated(STIMULUS) & (own["stop_bin"] > own["start_bin"])
    return np.flatnonzero(trials["pass"] == number)[kept.to_numpy()]


def codewords_of(raster: Raster, trials: pd.DataFrame, number: int) -> Iterator[Codewords]:
    """Pack the bits of each input of a pass, inputs of one length at a time, from the shortest to the longest."""
    rows = inputs_of(trials, number)
    start = trials["start_bin"].to_numpy(np.int64)[rows] - number * raster.n_bins
    length = (trials["stop_bin"] - trials["start_bin"]).to_numpy(np.int64)[rows]
    for bins in np.unique(length):
        own = np.flatnonzero(length == bins)
        places = start[own][:, None] + np.arange(bins)
        yield Codewords(
            rows=rows[own],
            length=int(bins),
            n_bits=int(bins) * raster.n_units,
            words=_packed(raster, places, number),
        )


def _packed(raster: Raster, places: Int[np.ndarray, "input bin"], number: int) -> UInt64[np.ndarray, "input word"]:
    """Turn bits of a unit over bins into bits of a bin over units, a few units at a time."""
    n_bytes = 8 * -(-raster.n_units // 64)
    packed = np.zeros((*places.shape, n_bytes), np.uint8)
    step = max(8, CHUNK_BYTES // max(raster.total_bins, 1) // 8 * 8)
    for first in range(0, raster.n_units, step):
        bits = raster.bits(slice(first, min(first + step, raster.n_units)))[number]
        dense = np.unpackbits(bits, axis=1, count=raster.n_bins)[:, places]
        part = np.packbits(dense, axis=0)
        packed[:, :, first // 8 : first // 8 + len(part)] = np.moveaxis(part, 0, 2)
    return packed.reshape(len(places), -1).view(np.uint64)


def occurrences(words: np.ndarray) -> Int[np.ndarray, " pattern"]:
    """Count how many rows each distinct row is."""
    if not words.shape[1]:
        return np.array([len(words)], np.int64)
    rows = np.ascontiguousarray(words).view(np.dtype((np.void, words.dtype.itemsize * words.shape[1]))).ravel()
    return np.unique(rows, return_counts=True)[1].astype(np.int64)


def expected_pairs(raster: Raster, found: Codewords, number: int, trials: pd.DataFrame) -> float:
    """Expect the number of pairs of inputs that agree in all units if each unit's words were dealt to the inputs by themselves."""
    n = len(found.rows)
    if n < 2:
        return 0.0
    agree = np.concatenate(
        [_agreement(raster, units, found, number, trials) for units in raster.chunks()] or [np.ones(0)]
    )
    with np.errstate(divide="ignore"):
        return float(n * (n - 1) / 2 * np.exp(np.log(agree).sum()))


def _agreement(
    raster: Raster, units: slice, found: Codewords, number: int, trials: pd.DataFrame
) -> Float[np.ndarray, " unit"]:
    """Find the share of pairs of inputs in which each unit has the same word."""
    n = len(found.rows)
    start = trials["start_bin"].to_numpy(np.int64)[found.rows] - number * raster.n_bins
    bits = raster.bits(units)[number]
    if found.length == 1:
        inside = np.zeros(raster.n_bins, np.bool_)
        inside[start] = True
        spiked = np.bitwise_count(bits & np.packbits(inside)).sum(axis=1, dtype=np.int64)
        return (spiked * (spiked - 1) + (n - spiked) * (n - spiked - 1)) / (n * (n - 1))
    dense = np.unpackbits(bits, axis=1, count=raster.n_bins)
    words = np.packbits(dense[:, start[:, None] + np.arange(found.length)], axis=2)
    counts = (occurrences(each) for each in words)
    return np.array([(c * (c - 1)).sum() / (n * (n - 1)) for c in counts])


def neighbours(found: Codewords, label: Int[np.ndarray, " input"]) -> dict[str, Float[np.ndarray, " input"]]:
    """Measure the distances of each input to the nearest of its label and of others, with what exchanged labels predict.

    Parameters
    ----------
    found
        Codewords of the inputs.
    label
        Class of each input; all are known, shape (input,).
    """
    label = np.ascontiguousarray(label)
    log_factorial = special.gammaln(np.arange(label.size + 1) + 1.0)
    values = np.full((label.size, len(FOUND)), np.nan)
    words = np.ascontiguousarray(found.words)

    def task(first: int, last: int) -> None:
        _measure(words, label, found.n_bits, log_factorial, first, last, values)

    over_units(task, label.size, units_per_task=INPUTS_PER_TASK)
    return dict(zip(FOUND, values.T))


@compiled
def _measure(
    words: np.ndarray,
    label: np.ndarray,
    n_bits: int,
    log_factorial: np.ndarray,
    first: int,
    last: int,
    values: np.ndarray,
) -> None:
    """Measure a range of inputs: a histogram of the distances of each to all others of its label, and of other labels."""
    n_inputs, n_words = words.shape
    m1, m2, m4 = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
    h01, one, two, four, top = (
        np.uint64(0x0101010101010101),
        np.uint64(1),
        np.uint64(2),
        np.uint64(4),
        np.uint64(56),
    )
    # Each codeword is fetched once for all inputs of the range.
    distances = np.zeros((last - first, n_inputs), np.int64)
    for j in range(n_inputs):
        for i in range(first, last):
            distance = np.uint64(0)
            for k in range(n_words):
                x = words[i, k] ^ words[j, k]
                x = x - ((x >> one) & m1)
                x = (x & m2) + ((x >> two) & m2)
                x = (x + (x >> four)) & m4
                distance += (x * h01) >> top
            distances[i - first, j] = np.int64(distance)
    of_same, of_every = np.zeros(n_bits + 1, np.int64), np.zeros(n_bits + 1, np.int64)
    for i in range(first, last):
        of_same[:], of_every[:] = 0, 0
        n_same = 0
        for j in range(n_inputs):
            if j == i:
                continue
            d = distances[i - first, j]
            of_every[d] += 1
            if label[i] == label[j]:
                of_same[d] += 1
                n_same += 1
        n_every = n_inputs - 1
        n_other = n_every - n_same
        nearest, same, other = -1, -1, -1
        for d in range(n_bits + 1):
            if of_every[d] and nearest < 0:
                nearest = d
            if of_same[d] and same < 0:
                same = d
            if of_every[d] > of_same[d] and other < 0:
                other = d
        # The mean of the smallest of some whole numbers is the sum over d of the chance that all of them are above d.
        below, chance_same, chance_other, expected_same, expected_other = 0, 1.0, 1.0, 0.0, 0.0
        for d in range(n_bits + 1):
            if of_every[d]:
                below += of_every[d]
                rest = n_every - below
                chance_same, chance_other = 0.0, 0.0
                if rest >= n_same:
                    chance_same = np.exp(
                        log_factorial[rest]
                        - log_factorial[rest - n_same]
                        - log_factorial[n_every]
                        + log_factorial[n_other]
                    )
                if rest >= n_other:
                    chance_other = np.exp(
                        log_factorial[rest]
                        - log_factorial[rest - n_other]
                        - log_factorial[n_every]
                        + log_factorial[n_same]
                    )
            expected_same += chance_same
            expected_other += chance_other
            if below == n_every:
                break
        if n_same:
            values[i, 0], values[i, 2] = same, expected_same
        if n_other:
            values[i, 1], values[i, 3] = other, expected_other
        if n_same and n_other:
            # By chance the difference is at least as large if all inputs that are nearer than the other label's are of the same one ...
            upto = other if other > same else nearest + same - other + 1
            count = 0
            for d in range(min(upto, n_bits + 1)):
                count += of_every[d]
            if other > same:
                values[i, 4] = np.exp(
                    log_factorial[n_every - count]
                    + log_factorial[n_same]
                    - log_factorial[n_same - count]
                    - log_factorial[n_every]
                )
            elif n_every - count < n_same:
                values[i, 4] = 1.0
            else:
                # ... or, where the other label is nearer, unless none of the same label is so near.
                values[i, 4] = 1.0 - np.exp(
                    log_factorial[n_every - count]
                    + log_factorial[n_other]
                    - log_factorial[n_other - count]
                    - log_factorial[n_every]
                )
