"""Correlation between units, split into what the label explains (signal) and what it does not (noise)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ann2neo.arguments import check_whole
from ann2neo.cards import card
from ann2neo.errors import AnalysisError
from ann2neo.population.ensemble import Choice, Ensemble, choose, unit_index
from ann2neo.population.parts import deviations, label_means, noise_null_sd, pearson, sorted_by_label
from ann2neo.population.sizes import MAX_BYTES, fewer_units, say_size
from ann2neo.population.trials import LabelledTrials, common_trials, labelled_trials, trial_counts

# Six results and two that the permutations add up in.
MATRICES = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Correlations:
    """Correlations between two sets of units (often twice the same), with what chance predicts.

    Parameters
    ----------
    rows, columns
        Who the units are: layer, unit, channel, row, col.
    signal
        Correlation over labels between mean rates, shape (row_unit, column_unit); NaN for a unit whose mean is the same for all labels.
    noise
        Correlation over trials between deviations from the mean of the label; NaN for a unit without any.
    raw
        Correlation over trials between rates, a mixture of both; NaN for a unit without variance.
    signal_null_mean, signal_null_sd
        Mean and standard deviation of ``signal`` when labels are permuted over trials, jointly for all units; NaN without permutations.
    noise_null_sd
        Standard deviation of ``noise`` for independent units (its mean is 0): trials permuted within labels, one unit against the other; exact.
    signal_null
        Mean of ``signal`` over pairs of different units in each permutation, shape (permutation,).
    labels
        The labels.
    n_trials
        Number of trials of each label, shape (label,).
    by
        What the labels are.

    See Also
    --------
    ann2neo.population.correlations, ann2neo.population.correlation_blocks, ann2neo.figures.correlation_matrix
    """

    rows: pd.DataFrame
    columns: pd.DataFrame
    signal: Float[np.ndarray, "row_unit column_unit"]
    noise: Float[np.ndarray, "row_unit column_unit"]
    raw: Float[np.ndarray, "row_unit column_unit"]
    signal_null_mean: Float[np.ndarray, "row_unit column_unit"]
    signal_null_sd: Float[np.ndarray, "row_unit column_unit"]
    noise_null_sd: Float[np.ndarray, "row_unit column_unit"]
    signal_null: Float[np.ndarray, " permutation"]
    labels: tuple[Any, ...]
    n_trials: Int[np.ndarray, " label"]
    by: str

    def __repr__(self) -> str:
        return f"Correlations({len(self.rows)} x {len(self.columns)} units, {len(self.labels)} values of {self.by!r})"

    def _repr_html_(self) -> str:
        facts = {"units": f"{len(self.rows):,} x {len(self.columns):,}", "by": self.by, "values": len(self.labels)}
        means = self.summary().round(4).to_dict("records")
        return card("Correlations", facts | {"trials": int(self.n_trials.sum())}, means)

    @property
    def different(self) -> np.ndarray:
        """Whether row and column are different units, each pair once where rows and columns are the same units."""
        names, others = unit_index(self.rows), unit_index(self.columns)
        if names.equals(others):
            return np.triu(np.ones(self.signal.shape, bool), k=1)
        return np.asarray(names)[:, None] != np.asarray(others)[None, :]

    def pairs(self) -> pd.DataFrame:
        """List the pairs of different units, a row each: who they are, and every matrix as a column."""
        i, j = np.nonzero(self.different)
        who = {
            f"{name}_{side}": table[name].to_numpy()[at]
            for side, table, at in (("a", self.rows, i), ("b", self.columns, j))
            for name in ("layer", "unit")
        }
        kinds = ("signal", "signal_null_mean", "signal_null_sd", "noise", "noise_null_sd", "raw")
        return pd.DataFrame(who | {kind: getattr(self, kind)[i, j] for kind in kinds})

    def summary(self) -> pd.DataFrame:
        """Average over pairs: kind, number of pairs that are defined, mean, and mean and sd of this mean under chance (of ``signal`` only)."""
        different = self.different
        kept = [
            (kind, values[different & np.isfinite(values)])
            for kind, values in (("signal", self.signal), ("noise", self.noise), ("raw", self.raw))
        ]
        table = pd.DataFrame([{"kind": kind, "n_pairs": values.size, "mean": _mean(values)} for kind, values in kept])
        null = self.signal_null
        return table.assign(
            null_mean=[_mean(null), np.nan, np.nan],
            null_sd=[float(null.std()) if null.size else np.nan, np.nan, np.nan],
        )


def correlations(
    spikes: Any,
    *,
    by: str = "label",
    n_permutations: int = 100,
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
) -> Correlations:
    """Correlate every pair of units, apart for what the label explains and what it does not.

    Let a unit's rate in a trial be its spikes there (divided by the trial's duration where durations differ). **Signal correlation** is Pearson's
    over labels between the mean rates of two units; **noise correlation** is Pearson's over all trials between deviations from the mean of the
    trial's label. The correlation over trials mixes both, weighted by how much of the variance labels explain; it is given as ``raw`` and never
    alone. In trials of one bin it is Elephant's `correlation_coefficient`.

    *Bias.* Means over few trials still hold noise: with ``m`` trials of each label, a signal correlation is drawn towards the noise correlation.
    Permuting labels over trials, jointly for all units, keeps this: ``signal_null_mean`` is near ``raw``, not 0, and ``signal_null_sd`` near ``1 /
    sqrt(K - 1)`` for ``K`` labels, so that with 10 labels a pair needs 0.6 to stand out. With two labels a signal correlation is always 1 or -1.
    Noise correlation has no such bias; a label with one trial tells nothing of it, and its chance standard deviation is near ``1 / sqrt(M - K)`` in
    ``M`` trials.

    *What is noise in a network?* A deterministic network gives the same answer to the same input: deviations within a class are differences between
    its inputs, not noise of the network. For a stochastic one, recorded over several passes, ``by="stimulus_id"`` makes every input its own label,
    and the noise is the network's.

    Parameters
    ----------
    spikes
        A `Recording`, a neo.Block, a neo.Segment or a list of neo.SpikeTrain. In neo objects of others a trial is an interval of an Epoch, else a
        segment that carries its label as an annotation.
    by
        Column of the trials table (also "stimulus_id"), name of an Epoch or of an array annotation, or annotation of segments.
    n_permutations
        How often labels are permuted for the null of the signal correlation; 0 for none.
    layer
        Name of a layer; None for all.
    units
        How many units to draw at random, or their positions; None for all.
    seed
        Seed of the draw, and of the permutations.
    max_bytes
        Memory that may be used; more is refused, and the message says how many units would fit. `correlation_blocks` goes through all of them.

    Raises
    ------
    AnalysisError
        If there are fewer than two labels, no label has two trials, or more memory is needed than allowed.
    WindowError
        If there are no such labels.

    See Also
    --------
    ann2neo.population.correlation_blocks, ann2neo.population.covariance, ann2neo.figures.correlation_matrix

    References
    ----------
    Averbeck, Latham, Pouget (2006), doi:10.1038/nrn1888. Cohen, Kohn (2011), doi:10.1038/nn.2842.

    Examples
    --------
    >>> import ann2neo
    >>> spikes = np.array([[1, 1], [0, 1], [1, 0], [0, 0], [0, 0], [0, 0]], bool)
    >>> found = correlations(ann2neo.from_array(spikes, labels=[0, 0, 0, 0, 1, 1]), n_permutations=0)
    >>> found.signal.round(2).tolist(), found.noise.round(2).tolist()
    ([[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]])
    >>> found.summary()[["kind", "mean"]].round(2)
         kind  mean
    0  signal  1.00
    1   noise  0.00
    2     raw  0.25
    """
    n_permutations = check_whole(n_permutations, "n_permutations", low=0, such_as=100)
    chosen = choose(spikes, layer, units, seed)
    trials = _enough(_common(chosen, by), by)
    _say_matrices(chosen.n_units, len(trials.table), chosen, max_bytes)
    rates = _rates(chosen, trials)
    return _correlate(chosen, rates, chosen, rates, trials, by, n_permutations, seed)


def correlation_blocks(
    spikes: Any,
    *,
    block: int = 1000,
    by: str = "label",
    n_permutations: int = 0,
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
) -> Iterator[Correlations]:
    """Go through the correlations of all pairs of units block by block, where the whole matrix would not fit into memory.

    The blocks, each of at most ``block`` by ``block`` units, cover the upper half of the matrix with its diagonal, and agree with `correlations`,
    which tells the definitions, up to rounding. Add up what is needed and let each block go.

    Parameters
    ----------
    spikes
        A `Recording`, a neo.Block, a neo.Segment or a list of neo.SpikeTrain.
    block
        Number of units along one side.
    by
        What the labels are; see `correlations`.
    n_permutations
        How often labels are permuted for the null of the signal correlation; all blocks share the permutations.
    layer
        Name of a layer; None for all.
    units
        How many units to draw at random, or their positions; None for all.
    seed
        Seed of the draw, and of the permutations.
    max_bytes
        Memory that a block may use.

    Raises
    ------
    AnalysisError
        If there are fewer than two labels, no label has two trials, or a block needs more memory than allowed.

    See Also
    --------
    ann2neo.population.correlations

    Examples
    --------
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.random.default_rng(0).random((40, 5)) < 0.5, labels=[0, 1, 2, 3] * 10)
    >>> [found.noise.shape for found in correlation_blocks(recording, block=3)]
    [(3, 3), (3, 2), (2, 2)]
    """
    block = check_whole(block, "block", such_as=1000)
    n_permutations = check_whole(n_permutations, "n_permutations", low=0)
    chosen = choose(spikes, layer, units, seed)
    trials = _enough(_common(chosen, by), by)
    _say_matrices(min(2 * block, chosen.n_units), len(trials.table), chosen, max_bytes)
    return _blocks(chosen, trials, block, by, n_permutations, seed)


def _blocks(
    chosen: Ensemble, trials: LabelledTrials, block: int, by: str, n_permutations: int, seed: int
) -> Iterator[Correlations]:
    first = range(0, chosen.n_units, max(block, 1))
    for i in first:
        rows = chosen.take(np.arange(i, min(i + block, chosen.n_units)))
        rates = _rates(rows, trials)
        for j in first[i // block :]:
            columns = rows if i == j else chosen.take(np.arange(j, min(j + block, chosen.n_units)))
            others = rates if i == j else _rates(columns, trials)
            yield _correlate(rows, rates, columns, others, trials, by, n_permutations, seed)


def _common(chosen: Ensemble, by: str) -> LabelledTrials:
    """Find the trials that all units share; labels that none of them has are left out."""
    trials = common_trials(labelled_trials(chosen, by), chosen.n_units, by)
    present = np.flatnonzero(trials.n_trials)
    place = np.cumsum(trials.n_trials > 0) - 1
    return replace(
        trials, names=tuple(trials.names[label] for label in present), codes=place[trials.codes].astype(np.int64)
    )


def _enough(trials: LabelledTrials, by: str) -> LabelledTrials:
    if len(trials.names) < 2 or trials.n_trials.max() < 2:
        raise AnalysisError(
            f"{len(trials.table)} trials have {len(trials.names)} labels of kind {by!r}, of which the largest has {trials.n_trials.max()} trials.",
            "Signal needs two labels, noise a label with two trials.",
            "Name other labels with `by`, or take `covariance`, which needs none.",
        )
    return trials


def _say_matrices(n_units: int, n_trials: int, chosen: Ensemble, max_bytes: int) -> None:
    per_pair, per_unit = 8 * MATRICES, 8 * 5 * n_trials + 5 * chosen.duration_ms / (chosen.bin_size_ms or np.inf)
    what = f"correlations of {n_units:,} x {n_units:,} units over {n_trials:,} trials"
    cure = fewer_units(max_bytes, per_pair, per_unit) + " `correlation_blocks` goes through all units."
    say_size(n_units**2 * per_pair + n_units * per_unit, max_bytes, what, cure)


def _rates(part: Ensemble, trials: LabelledTrials) -> Float[np.ndarray, "unit trial"]:
    """Count the spikes of each trial, divided by its duration where durations differ."""
    counts, durations = trial_counts(part, trials).astype(np.float64), trials.durations_ms
    return counts if np.allclose(durations, durations[0], rtol=1e-9, atol=0) else counts / durations * 1000


def _correlate(
    rows: Ensemble,
    rates: Float[np.ndarray, "row_unit trial"],
    columns: Ensemble,
    others: Float[np.ndarray, "column_unit trial"],
    trials: LabelledTrials,
    by: str,
    n_permutations: int,
    seed: int,
) -> Correlations:
    order, first = sorted_by_label(trials)
    rest, other_rest = deviations(rates, trials), deviations(others, trials)
    found = Correlations(
        rows=rows.units.reset_index(drop=True),
        columns=columns.units.reset_index(drop=True),
        signal=pearson(label_means(rates[:, order], first, trials), label_means(others[:, order], first, trials)),
        noise=pearson(rest, other_rest, centred=True),
        raw=pearson(rates, others),
        signal_null_mean=np.full((len(rates), len(others)), np.nan),
        signal_null_sd=np.full((len(rates), len(others)), np.nan),
        noise_null_sd=noise_null_sd(rest[:, order], other_rest[:, order], first, trials),
        signal_null=np.empty(0),
        labels=trials.names,
        n_trials=trials.n_trials,
        by=by,
    )
    return _with_null(found, rates, others, trials, n_permutations, seed) if n_permutations else found


def _with_null(
    found: Correlations,
    rates: Float[np.ndarray, "row_unit trial"],
    others: Float[np.ndarray, "column_unit trial"],
    trials: LabelledTrials,
    n_permutations: int,
    seed: int,
) -> Correlations:
    """Permute labels over trials, the same way for all units, and correlate the means again."""
    rng, (_, first) = np.random.default_rng(seed), sorted_by_label(trials)
    total, squares, n_known = (np.zeros(found.signal.shape) for _ in range(3))
    means, different = [], found.different
    for _ in range(n_permutations):
        order = rng.permutation(trials.codes.size)
        r = pearson(label_means(rates[:, order], first, trials), label_means(others[:, order], first, trials))
        known = np.isfinite(r)
        means.append(_mean(r[different & known]))
        r[~known] = 0
        total += r
        squares += r**2
        n_known += known
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n_known
        sd = np.sqrt(np.maximum(squares / n_known - mean**2, 0))
    return replace(found, signal_null_mean=mean, signal_null_sd=sd, signal_null=np.array(means))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
