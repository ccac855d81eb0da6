"""Codewords: the pattern of all units of a layer that one input leaves, how many there are, and how near inputs of one label lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from ann2neo.errors import AnalysisError, WindowError
from ann2neo.population.ensemble import Choice, choose, facts
from ann2neo.population.patterns import FOUND, Codewords, codewords_of, expected_pairs, neighbours, occurrences
from ann2neo.population.recorded import RecordedUnits
from ann2neo.population.sizes import MAX_BYTES, say_size
from ann2neo.recording import Layer
from ann2neo.windows import STIMULUS, codes_of_column

CODEWORD = "all units in all bins of an input, in one pass; of a stimulus that is shown again in a pass, the first presentation"


def codewords(
    spikes: Any, *, layer: str | None = None, units: Choice = None, seed: int = 0, max_bytes: int = MAX_BYTES
) -> pd.DataFrame:
    r"""Count the distinct patterns that inputs leave in each layer, and the entropy of their distribution over inputs.

    The codeword of an input is the bits of all units in all of its bins, in one pass: with `Steps` it is one word, the steps in their order, and words of inputs of unequal length differ.
    With `Passes` each pass has a row of its own. Of a stimulus that is shown again in a pass, the first presentation counts.

    With K patterns, of which pattern k is that of c_k of M inputs, ``entropy`` is :math:`-\sum_k (c_k / M) \log_2 (c_k / M)`, the plug-in estimate. *Bias.* It is too low by about
    (number of possible patterns - 1) / (2 M ln 2) bits; ``entropy_corrected`` adds this with K for the possible patterns (Miller-Madow), which is still too low where many patterns were never seen. No estimate
    from M inputs can be above ``entropy_max`` = log2 M by much. ``singleton_share``, the share of inputs whose pattern no other input has, estimates the probability that the next input brings a new pattern (Good-Turing):
    above 0.5 the row is "undersampled" in ``quality``. Where all patterns are distinct the plug-in entropy is log2 M whatever the network does: both entropies are then NaN and ``quality`` is
    "all_distinct"; with fewer than two inputs it is "too_few".

    *Chance.* ``equal_pairs`` is the number of pairs of inputs with one pattern, :math:`\sum_k c_k (c_k - 1) / 2` (its share of all pairs is an unbiased estimate of :math:`\sum_k \pi_k^2`, which entropy has not);
    ``equal_pairs_expected`` is its exact mean if each unit's words were dealt to inputs (of the same length) independently of all other units: the product over units of the share of pairs that agree in this unit. More equal
    pairs than that are what units share; for M >> 1 a silent layer has all of them, also by chance.

    Parameters
    ----------
    spikes
        A `Recording`, in memory or in a store.
    layer
        Name of a layer; None for all, a row each.
    units
        How many units to draw at random, or their positions; None for all. Fewer units have fewer patterns.
    seed
        Seed of the draw.
    max_bytes
        Memory that may be used.

    Returns
    -------
    pandas.DataFrame
        A row per layer and pass: ``layer``, ``pass``, ``n_units``, ``n_inputs``, ``n_patterns``, ``singleton_share``, ``entropy``, ``entropy_corrected``, ``entropy_max`` (bits), ``equal_pairs``,
        ``equal_pairs_expected``, ``quality``.

    Raises
    ------
    AnalysisError
        If the source has no bins, or more memory is needed than allowed.

    See Also
    --------
    ann2neo.population.nearest_inputs, ann2neo.population.dimensionality

    References
    ----------
    Miller (1955), Note on the bias of information estimates. Paninski (2003), doi:10.1162/089976603321780272 (bias). Good (1953), doi:10.1093/biomet/40.3-4.237 (unseen patterns).
    Osborne, Palmer, Lisberger, Bialek (2008), doi:10.1523/JNEUROSCI.4390-08.2008 (codewords of neurons).

    Examples
    --------
    >>> import ann2neo
    >>> spikes = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], bool)
    >>> found = codewords(ann2neo.from_array(spikes))
    >>> found[["n_inputs", "n_patterns", "entropy", "equal_pairs", "equal_pairs_expected"]].round(3)
       n_inputs  n_patterns  entropy  equal_pairs  equal_pairs_expected
    0         4           3      1.5            1                   0.5
    """
    chosen = _recorded(spikes, layer, units, seed)
    recording = chosen.recording
    rows = []
    for each in recording.layers:
        _say(each, max_bytes)
        for number in range(recording.n_passes):
            found = list(codewords_of(each.raster, recording.trials, number))
            rows.append({"layer": each.name, "pass": number} | _counted(each, found, number, recording.trials))
    table = pd.DataFrame(rows)
    measured_in = dict.fromkeys(("entropy", "entropy_corrected", "entropy_max"), "bit")
    masked = "entropies are NaN where all patterns are distinct: they would be log2 of the number of inputs, whatever the network does"
    table.attrs = facts(
        chosen,
        units=measured_in,
        codeword=CODEWORD,
        chance="words of each unit dealt to inputs independently",
        masked=masked,
    )
    return table


def nearest_inputs(
    spikes: Any,
    *,
    by: str = "label",
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
) -> pd.DataFrame:
    r"""Find, for each input, how near the nearest input of its label and the nearest of other labels are, in the codewords of a layer: memorization, input by input.

    A distance is Hamming's: the number of bits (units, in each bin of the input) in which two codewords differ; see `codewords` for what a codeword is. ``difference`` is ``nearest_other`` less ``nearest_same`` (bits), ``ratio`` is
    ``nearest_same`` over ``nearest_other``: an input that a layer represents together with its class has a large difference and a ratio below 1; one that is kept by itself, as a memorized exception
    is, has no more of this than chance gives. Only inputs of the same number of bins are compared, each pass by itself; inputs without a label are left out, as are repeated presentations of a stimulus in a pass.

    *Chance.* Distances are kept, and the labels of all other inputs (of this length) are exchanged among them. That the nearest of m inputs of a label is further than d is then the probability that m of M - 1 inputs, drawn
    without replacement, are all further; so ``nearest_same_expected``, ``nearest_other_expected`` and ``difference_expected``, their difference, are exact, and so is ``p``: the probability of a difference at least as
    large. A ratio has no such mean. The rarer label is further by chance: compare differences with what is expected, not with 0. Where distances tie p is conservative. p values of inputs are not independent of each other, because a distance belongs to two of them.

    A distance is NaN where no other input of this length has the label, or all have; then so are what rests on it and p. ``ratio`` is NaN where the nearest other input has the same codeword.

    Parameters
    ----------
    spikes
        A `Recording`, in memory or in a store.
    by
        Column of the trials table.
    layer
        Name of a layer; None for all.
    units
        How many units to draw at random, or their positions; None for all.
    seed
        Seed of the draw.
    max_bytes
        Memory that may be used. Every input is compared with every other: time grows with the square of their number.

    Returns
    -------
    pandas.DataFrame
        A row per layer, pass and labelled input: ``layer``, ``pass``, ``trial``, ``stimulus_id``, ``label``, ``n_bits``, ``nearest_same``, ``nearest_same_expected``, ``nearest_other``, ``nearest_other_expected``, ``difference``,
        ``difference_expected``, ``p``, ``ratio``.

    Raises
    ------
    AnalysisError
        If the source has no bins, or more memory is needed than allowed.
    WindowError
        If there are no such labels, or they belong to the steps of inputs.

    See Also
    --------
    ann2neo.population.codewords

    References
    ----------
    Cover, Hart (1967), doi:10.1109/TIT.1967.1053964 (the nearest neighbour). Pitman (1937), doi:10.2307/2984124 (exchange of labels).

    Examples
    --------
    >>> import ann2neo
    >>> spikes = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1], [0, 0, 1, 1]], bool)
    >>> found = nearest_inputs(ann2neo.from_array(spikes, labels=[0, 0, 1, 1]))
    >>> found[["label", "nearest_same", "nearest_other", "difference", "p", "ratio"]].round(2)
       label  nearest_same  nearest_other  difference     p  ratio
    0      0           1.0            3.0         2.0  0.33   0.33
    1      0           1.0            3.0         2.0  0.33   0.33
    2      1           1.0            3.0         2.0  0.33   0.33
    3      1           1.0            3.0         2.0  0.33   0.33
    """
    chosen = _recorded(spikes, layer, units, seed)
    recording = chosen.recording
    label, codes = _labels(chosen, by)
    tables = []
    for each in recording.layers:
        _say(each, max_bytes)
        for number in range(recording.n_passes):
            parts = [_nearest(found, codes, label) for found in codewords_of(each.raster, recording.trials, number)]
            if not parts:
                continue
            one = pd.concat(parts).sort_values("row", kind="stable")
            known = recording.trials[["pass", "trial", STIMULUS]].iloc[one["row"].to_numpy()].reset_index(drop=True)
            tables.append(
                pd.concat([known, one.drop(columns="row").reset_index(drop=True)], axis=1).assign(layer=each.name)
            )
    table = pd.concat(tables, ignore_index=True)
    table = table[["layer", *(name for name in table.columns if name != "layer")]]
    bits = (
        "nearest_same",
        "nearest_same_expected",
        "nearest_other",
        "nearest_other_expected",
        "difference",
        "difference_expected",
    )
    table.attrs = facts(
        chosen,
        by=by,
        units=dict.fromkeys(bits, "bit"),
        codeword=CODEWORD,
        chance="labels of the other inputs exchanged",
    )
    return table


def _nearest(found: Codewords, codes: Int[np.ndarray, " trial"], label: np.ndarray) -> pd.DataFrame:
    """Measure the labelled inputs of one length."""
    known = np.flatnonzero(codes[found.rows] >= 0)
    own = Codewords(rows=found.rows[known], length=found.length, n_bits=found.n_bits, words=found.words[known])
    values = neighbours(own, codes[own.rows])
    same, other, of_same, of_other, p = (values[name] for name in FOUND)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(other > 0, same / other, np.nan)
    return pd.DataFrame(
        {
            "row": own.rows,
            "label": label[own.rows],
            "n_bits": found.n_bits,
            "nearest_same": same,
            "nearest_same_expected": of_same,
            "nearest_other": other,
            "nearest_other_expected": of_other,
            "difference": other - same,
            "difference_expected": of_other - of_same,
            "p": p,
            "ratio": ratio,
        }
    )


def _counted(layer: Layer, found: list[Codewords], number: int, trials: pd.DataFrame) -> dict[str, Any]:
    counts = np.concatenate([occurrences(each.words) for each in found]) if found else np.zeros(0, np.int64)
    n_inputs = int(counts.sum())
    row: dict[str, Any] = {"n_units": layer.n_units, "n_inputs": n_inputs, "n_patterns": counts.size}
    if n_inputs < 2:
        undefined = ("singleton_share", "entropy", "entropy_corrected", "entropy_max")
        nothing = {"equal_pairs": 0, "equal_pairs_expected": np.nan, "quality": "too_few"}
        return row | dict.fromkeys(undefined, np.nan) | nothing
    share, alone = counts / n_inputs, float((counts == 1).sum() / n_inputs)
    distinct = counts.size == n_inputs
    entropy = np.nan if distinct else max(0.0, float(-(share @ np.log2(share))))
    return row | {
        "singleton_share": alone,
        "entropy": entropy,
        "entropy_corrected": entropy + (counts.size - 1) / (2 * n_inputs * np.log(2)),
        "entropy_max": float(np.log2(n_inputs)),
        "equal_pairs": int((counts * (counts - 1) // 2).sum()),
        "equal_pairs_expected": float(sum(expected_pairs(layer.raster, each, number, trials) for each in found)),
        "quality": "all_distinct" if distinct else "undersampled" if alone > 0.5 else "good",
    }


def _recorded(spikes: Any, layer: str | None, units: Choice, seed: int) -> RecordedUnits:
    chosen = choose(spikes, layer, units, seed)
    if not isinstance(chosen, RecordedUnits):
        raise AnalysisError(
            "these spike trains are in continuous time.",
            "They have no bins, so that inputs leave no codewords.",
            "Give a recording of a network (`ann2neo.record`, `ann2neo.load`, `ann2neo.from_array`).",
        )
    return chosen


def _labels(chosen: RecordedUnits, by: str) -> tuple[np.ndarray, Int[np.ndarray, " trial"]]:
    """Take the label of each trial, and a code of it, negative where it is unknown."""
    if chosen.has_steps(by):
        raise WindowError(
            f"{by!r} belongs to the steps of inputs.",
            "A codeword belongs to an input, which then has several labels.",
            "Use a column of the trials.",
        )
    codes, _ = codes_of_column(chosen.recording.trials, by)
    return chosen.recording.trials[by].to_numpy(), codes


def _say(layer: Layer, max_bytes: int) -> None:
    n_bytes = 2.5 * layer.n_units * layer.raster.total_bins / 8
    what = f"codewords of {layer.n_units:,} units of layer {layer.name!r} in {layer.raster.total_bins:,} bins"
    say_size(n_bytes, max_bytes, what, "Use fewer units (units=), or allow more with max_bytes.")
