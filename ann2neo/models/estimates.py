"""Parameters, standard errors, likelihoods and criteria of each model, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.special import logit
from scipy.stats import chi2

from ann2neo.chance.margins import ratio
from ann2neo.models.evidence import ENOUGH_EXPECTED, Evidence, log_likelihood
from ann2neo.models.transitions import Transitions, log_likelihood_of

if TYPE_CHECKING:
    from ann2neo.models.intervals import Intervals
    from ann2neo.models.renewal import Gaps

UNDEFINED = "undefined"
"""Stands for the best model of a unit that has none. It is a word, because every file format keeps words."""

PerUnit = Float[np.ndarray, " unit"]
Columns = dict[str, Any]


def is_degenerate(evidence: Evidence) -> Bool[np.ndarray, " unit"]:
    """Return whether a unit has no spike in the counted bins, or one in every bin: its likelihood is then 1 under every model, shape (unit,)."""
    return (evidence.n == 0) | (evidence.lattice & (evidence.n == evidence.total))


def rate_columns(evidence: Evidence) -> Columns:
    """Return the columns of one rate: estimate, standard error over inputs, and those that all models have, see `ann2neo.models.fit`."""
    rate = evidence.n / evidence.total
    error = np.sqrt(evidence.spread_of_all) / evidence.total
    found = log_likelihood(evidence.n, np.array(evidence.total), lattice=evidence.lattice)
    name = f"rate_{_unit(evidence)}"
    own: Columns = {name: rate, f"{name}_se": _given(~is_degenerate(evidence), error)}
    return own | _criteria("rate", evidence, found, 1, evidence.rate_cv)


def _unit(evidence: Evidence) -> str:
    """Return the suffix of rates: ``p`` for a probability per bin or ``hz``, so that they are not confused."""
    return "p" if evidence.lattice else "hz"


def label_columns(evidence: Evidence, conditions: Sequence[Any]) -> Columns:
    """Return the columns of one rate for each condition, see `ann2neo.models.fit`."""
    known = evidence.size > 0
    size = np.where(known, evidence.size, np.nan)
    rates = evidence.counts / size
    inside = (evidence.counts > 0) & ((evidence.counts < size) if evidence.lattice else known)
    errors = np.where(inside, np.sqrt(evidence.spread) / size, np.nan)
    each = log_likelihood(evidence.counts, evidence.size, lattice=evidence.lattice).sum(axis=1)
    unit = _unit(evidence)
    own = {f"label_{unit}[{name}]": rates[:, place] for place, name in enumerate(conditions)}
    own |= {f"label_{unit}_se[{name}]": errors[:, place] for place, name in enumerate(conditions)}
    n_known = int(known.sum())
    common = _criteria("label", evidence, each, n_known, evidence.label_cv)
    gain = _gain(evidence, each)
    bias = (n_known - 1) * evidence.inflation / (2 * evidence.total * np.log(2))
    bits = common["label_bits"]
    common |= {"label_bits_se": _bits_error(evidence, rates, inside), "label_bits_corrected": bits - bias}
    p = np.where(evidence.enough, chi2.sf(ratio(2 * gain, evidence.inflation), n_known - 1), evidence.permutation_p)
    return own | common | {"label_lr_p": _given(~is_degenerate(evidence), p)}


def _bits_error(evidence: Evidence, rates: np.ndarray, inside: np.ndarray) -> PerUnit:
    """Propagate the spread of counts to first order; a condition without spikes, or with one in every bin, contributes its limit, 0."""
    rate = (evidence.n / evidence.total)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = logit(rates) - logit(rate) if evidence.lattice else np.log(rates / rate)
        terms = np.where(inside, evidence.spread * slope**2, 0.0)
    return _given(~is_degenerate(evidence), np.sqrt(terms.sum(axis=1)) / (evidence.total * np.log(2)))


def markov_columns(evidence: Evidence, transitions: Transitions, order: int) -> Columns:
    """Return the columns of a Markov chain, whose spikes depend on the preceding bins, see `ann2neo.models.fit`."""
    p = ratio(transitions.spikes, transitions.size)
    defined = (transitions.size > 0).all(axis=1) & ~is_degenerate(evidence)
    inside = (p > 0) & (p < 1) & defined[:, None]
    errors = np.where(inside, np.sqrt(ratio(p * (1 - p), transitions.size.astype(np.float64))), np.nan)
    own: Columns = {}
    for context in range(2**order):
        name = f"markov_p{context:0{order}b}1"
        own |= {name: _given(defined, p[:, context]), f"{name}_se": errors[:, context]}
    if order == 1:
        own |= {
            "markov_memory": _given(defined, p[:, 1] - p[:, 0]),
            "markov_memory_se": np.sqrt((errors**2).sum(axis=1)),
        }
    found = log_likelihood_of(transitions, evidence.n, evidence.total)
    common = _criteria("markov", evidence, found, 2**order, transitions.cv)
    common = {name: values if name == "markov_k" else _given(defined, values) for name, values in common.items()}
    return own | common | {"markov_lr_p": _given(defined, _memory_p(transitions))}


def _memory_p(transitions: Transitions) -> PerUnit:
    """Test the chain against one rate in the bins that have a context; NaN where the expected count of a context is too small."""
    spikes, size = transitions.spikes.sum(axis=1), transitions.size.sum(axis=1)
    apart = log_likelihood(transitions.spikes, transitions.size, lattice=True).sum(axis=1)
    statistic = 2 * (apart - log_likelihood(spikes, size, lattice=True))
    fewer = ratio(np.minimum(spikes, size - spikes), size)
    enough = transitions.size.min(axis=1) * fewer >= ENOUGH_EXPECTED
    return _given(enough, chi2.sf(np.maximum(statistic, 0.0), transitions.size.shape[1] - 1))


def gain_model_columns(evidence: Evidence, counts: tuple[np.ndarray, np.ndarray] | None) -> Columns:
    """Return the columns of counts in windows whose probabilities vary, see `ann2neo.models.fit`; NaN without windows of several bins."""
    # numba is loaded only where it is needed.
    from ann2neo.models.gain import gain_columns

    nothing = np.zeros((len(evidence.n), 0), np.int64), np.zeros(0, np.int64)
    own = gain_columns(*(nothing if counts is None else counts))
    return (
        own | {"gain_bic": _bic(evidence, 2, own["gain_loglik"])} | _information("gain", evidence, own["gain_loglik"])
    )


def label_gain_model_columns(evidence: Evidence, inputs: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Columns:
    """Return the columns of one rate for each condition and a gain of each input, see `ann2neo.models.fit`."""
    # numba is loaded only where it is needed.
    from ann2neo.models.label_gain import label_gain_columns

    own = label_gain_columns(*inputs, lattice=evidence.lattice)
    found, k = own["label_gain_loglik"], int(own["label_gain_k"].max(initial=1))
    return own | {"label_gain_bic": _bic(evidence, k, found)} | _information("label_gain", evidence, found)


def renewal_model_columns(evidence: Evidence, gaps: Gaps) -> Columns:
    """Return the columns of a renewal process, whose intervals are more or less regular than those of one rate, see `ann2neo.models.fit`."""
    from ann2neo.models.renewal import renewal_columns

    own = renewal_columns(gaps, evidence.n.astype(np.int64), int(evidence.total))
    found = own["renewal_loglik"]
    return own | {"renewal_bic": _bic(evidence, 2, found)} | _information("renewal", evidence, found)


def interval_model_columns(evidence: Evidence, intervals: Intervals, law: str) -> Columns:
    """Return the columns of a law of intervals of cells, see `ann2neo.models.fit`."""
    from ann2neo.models.intervals import interval_columns

    own = interval_columns(intervals, evidence.n.astype(np.float64), float(evidence.total), law)
    return own | {f"{law}_bic": _bic(evidence, 2, own[f"{law}_loglik"])}


def _criteria(model: str, evidence: Evidence, found: PerUnit, k: int, cv: PerUnit) -> Columns:
    """Return the columns that every model of bins has: likelihood, criteria, explained deviance, information per bin and per spike."""
    defined = ~is_degenerate(evidence)
    columns = {
        f"{model}_loglik": _given(defined, found),
        f"{model}_k": np.full(len(found), k),
        f"{model}_aic": _given(defined, 2 * k - 2 * found),
        f"{model}_bic": _given(defined, _bic(evidence, k, found)),
        f"{model}_loglik_cv": _given(defined, cv),
    }
    if model == "rate":
        return columns
    left_out = ratio(_given(defined, cv - evidence.rate_cv), evidence.n * np.log(2))
    return columns | _information(model, evidence, found) | {f"{model}_bits_per_spike_cv": left_out}


def _bic(evidence: Evidence, k: int, found: PerUnit) -> PerUnit:
    """Compute k ln N - 2 loglik, where N is the same for all models: the number of bins, or in time of the unit's spikes; NaN with fewer than two spikes."""
    n = np.full(len(found), evidence.total) if evidence.lattice else evidence.n.astype(np.float64)
    return k * np.log(_given(n >= 2, n)) - 2 * found


def _information(model: str, evidence: Evidence, found: PerUnit) -> Columns:
    """Compare the likelihood with that of one rate: as a share of the largest possible gain, per bin, and per spike."""
    single = log_likelihood(evidence.n, np.array(evidence.total), lattice=evidence.lattice)
    gain = _given(~is_degenerate(evidence), _gain(evidence, found))
    return {
        f"{model}_explained": ratio(gain, evidence.saturated - single),
        f"{model}_bits": gain / (evidence.total * np.log(2)),
        f"{model}_bits_per_spike": ratio(gain, evidence.n * np.log(2)),
    }


def _gain(evidence: Evidence, found: PerUnit) -> PerUnit:
    """Return the log-likelihood above that of one rate; rounding never makes it negative."""
    single = log_likelihood(evidence.n, np.array(evidence.total), lattice=evidence.lattice)
    return np.maximum(found - single, 0.0)


def _given(condition: Bool[np.ndarray, " unit"], values: np.ndarray) -> PerUnit:
    return np.where(condition, values, np.nan)


CRITERIA = {"best_aic": ("aic", 1), "best_bic": ("bic", 1), "best_cv": ("loglik_cv", -1)}
"""Column of each criterion, and the sign that makes the smallest value the best."""


def best_columns(table: pd.DataFrame, models: Sequence[str]) -> Columns:
    """Return the names of the models with the smallest AIC, the smallest BIC and the largest left-out likelihood; ties go to the first.

    A model that is not defined for a unit (its log-likelihood is NaN) is left out. The result is "undefined" where no model is defined, and where a defined model lacks the criterion.

    Examples
    --------
    >>> table = pd.DataFrame({"rate_loglik": [-9.0], "rate_aic": [20.0], "rate_bic": [21.0], "rate_loglik_cv": [-9.5]})
    >>> best_columns(table.assign(gain_loglik=-5.0, gain_aic=14.0, gain_bic=16.0), ["rate", "gain"])
    {'best_aic': ['gain'], 'best_bic': ['gain'], 'best_cv': ['undefined']}
    """
    columns: Columns = {}
    defined = table[[f"{model}_loglik" for model in models]].notna().to_numpy()
    for name, (suffix, sign) in CRITERIA.items():
        values = sign * table.reindex(columns=[f"{model}_{suffix}" for model in models]).to_numpy(np.float64)
        undefined = np.atleast_1d(~defined.any(axis=1) | (defined & np.isnan(values)).any(axis=1))
        first = np.argmin(np.where(defined, values, np.inf), axis=1)
        columns[name] = [UNDEFINED if no else models[place] for no, place in zip(undefined.tolist(), first.tolist())]
    return columns


def without_criterion(table: pd.DataFrame, models: Sequence[str]) -> list[str]:
    """List for each criterion the models that are defined for a unit but lack it, which leaves the best model undefined.

    Examples
    --------
    >>> without_criterion(pd.DataFrame({"gain_loglik": [-5.0], "gain_aic": [14.0], "gain_bic": [16.0]}), ["gain"])
    ['best_cv: no left-out likelihood of gain is known; fit other models to compare them by it']
    """
    words = {"best_aic": "AIC", "best_bic": "BIC", "best_cv": "left-out likelihood"}
    defined = [model for model in models if table[f"{model}_loglik"].notna().any()]
    lacking = {
        name: [model for model in defined if f"{model}_{suffix}" not in table] for name, (suffix, _) in CRITERIA.items()
    }
    return [
        f"{name}: no {words[name]} of {', '.join(found)} is known; fit other models to compare them by it"
        for name, found in lacking.items()
        if found
    ]
