"""fit_population: the distribution of activation probabilities over the units of a layer, and of a network."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import betaln, expit, logit

from ann2neo.errors import AnalysisError, kind_of
from ann2neo.models.maximum import maximize
from ann2neo.summary import NETWORK
from ann2neo.versions import software

POPULATION_SCHEMA = "ann2neo-population/1"
FEWEST = 10
"""Smallest number of units that are neither silent nor saturated for a distribution to be fitted."""

_NUMBERS = (
    *("silent_share", "silent_share_se", "saturated_share", "saturated_share_se", "p_mean", "p_mean_se", "p_rho", "p_rho_se"),
    *("p_sd", "p_a", "p_b", "loglik", "k", "aic", "bic"),
)  # fmt: skip


def fit_population(fitted: pd.DataFrame) -> pd.DataFrame:
    r"""Fit the distribution of activation probabilities over units: some always silent, some saturated, the others from a beta law.

    A unit with n spikes in L bins is always silent with probability :math:`\pi_0` and always saturated with probability :math:`\pi_1`; otherwise its activation probability is drawn from a beta law with
    parameters a and b, and its count is beta-binomial: :math:`n \sim \pi_0 \delta_0 + \pi_1 \delta_L + (1 - \pi_0 - \pi_1) \mathrm{BetaBin}(L, a, b)`, k = 4. The model thus separates units that
    were silent by chance from units that always are, as far as the other units allow. ``silent_share`` and ``saturated_share`` are :math:`\pi_0` and :math:`\pi_1`, ``p_mean`` =
    a / (a + b) the mean of the beta law, ``p_rho`` = 1 / (a + b + 1) its variance over p_mean (1 - p_mean), ``p_sd`` its standard deviation, ``p_a`` and ``p_b`` its parameters.
    ``p_a`` below 1 means that most of these units are rarely active.

    Estimates are by maximum likelihood. Where :math:`\pi_0` is free, a truncated beta-binomial law is fitted to the counts above 0, and :math:`\pi_0` makes up the remaining share of silent
    units; where it would become negative it is 0. The same is done at L. ``loglik`` is that of the counts as sequences of bins (without the number of ways to arrange
    spikes). ``p_rho`` is 0, and ``p_a`` and ``p_b`` are inf, where counts vary no more than binomial ones. Standard errors come from the observed information; a share at 0 has none, nor
    has ``p_rho`` at 0. They assume that units are independent. Units of one network are not, because they see the
    same inputs: compare networks, each of which is one replicate. Bins are assumed independent given a unit's probability; with
    steps or passes they are not, which raises ``p_rho`` a little.

    Parameters
    ----------
    fitted
        Table that `fit` returned for a recording, or a table of `ann2neo.analyze`.

    Returns
    -------
    pandas.DataFrame
        One row per layer, then ``network`` for all layers together; ``population`` is "all", as in `ann2neo.summarize`, so that `ann2neo.compare` takes this table in place of
        one of units. Columns are ``n_units``, ``n_silent``, ``n_saturated`` and the parameters. Parameters are NaN (and ``quality`` is "too_few") with fewer than 10 units in between, or where these all have the same count.

    Raises
    ------
    AnalysisError
        If this is not a table of units with spikes in bins.

    See Also
    --------
    ann2neo.models.fit, ann2neo.compare, ann2neo.figures.p_spike

    References
    ----------
    Skellam 1948, doi:10.1111/j.2517-6161.1948.tb00014.x (beta-binomial); Lambert 1992, doi:10.2307/1269547 (inflated zeros).

    Examples
    --------
    >>> import numpy as np, ann2neo
    >>> rng = np.random.default_rng(0)
    >>> p = np.concatenate([np.zeros(100), rng.beta(2, 6, 300)])
    >>> recording = ann2neo.from_array(rng.random((500, 400)) < p)
    >>> found = fit_population(ann2neo.models.fit(recording, by=None, progress=False))
    >>> found[["layer", "n_silent", "silent_share", "p_mean", "p_a", "p_b"]].round(2)
         layer  n_silent  silent_share  p_mean   p_a   p_b
    0    array       100          0.25    0.25  2.45  7.25
    1  network       100          0.25    0.25  2.45  7.25
    """
    layers, n, total = _counts(fitted)
    groups = [(str(layer), layers == layer) for layer in dict.fromkeys(layers.tolist())]
    rows = [{"layer": name} | _row(n[own], total) for name, own in (*groups, (NETWORK, np.ones(n.size, np.bool_)))]
    table = pd.DataFrame(rows)
    kept = ("by", "n_inputs", "order", "order_sha256", "order_seed")
    table.attrs = {
        "schema": POPULATION_SCHEMA,
        "n_bins": total,
        **{key: fitted.attrs[key] for key in kept if fitted.attrs.get(key) is not None},
        "software": software("numpy", "scipy"),
    }
    return table


def _counts(fitted: Any) -> tuple[np.ndarray, Int[np.ndarray, " unit"], int]:
    """Read the layer and the number of spikes of each unit, and derive the number of bins from a unit that spiked."""
    rate = next((name for name in ("rate_p", "p_spike") if isinstance(fitted, pd.DataFrame) and name in fitted), None)
    if rate is None or not {"layer", "n_spikes"} <= set(fitted.columns) or fitted[rate].isna().all():
        raise AnalysisError(
            f"a table of units with spikes in bins is needed, and {kind_of(fitted)} was given"
            + (" without them." if isinstance(fitted, pd.DataFrame) else "."),
            "There is no activation probability.",
            "Pass the table that `ann2neo.models.fit` or `ann2neo.analyze` returned for a recording.",
        )
    lacking = int(fitted["n_spikes"].isna().sum())
    if lacking:
        raise AnalysisError(
            f"{lacking} of {len(fitted)} units have no number of spikes (NaN).",
            "Their layers would be described without them.",
            "Remove these rows, or pass the table that `ann2neo.models.fit` returned.",
        )
    n, p = fitted["n_spikes"].to_numpy(np.int64), fitted[rate].to_numpy(np.float64)
    spiked = np.flatnonzero(n > 0)
    known = fitted.attrs.get("n_bins")
    total = int(known) if known is not None else int(np.rint(n[spiked[0]] / p[spiked[0]])) if spiked.size else 0
    if spiked.size and not np.allclose(n[spiked] / total, p[spiked], rtol=1e-9):
        raise AnalysisError(
            f"numbers of spikes and probabilities do not belong to the same number of bins ({total}).",
            "It is unclear in how many bins the units were observed.",
            "Pass the table of one recording.",
        )
    return fitted["layer"].astype(str).to_numpy(), n, total


def _row(n: Int[np.ndarray, " unit"], total: int) -> dict[str, Any]:
    silent, saturated = int(np.count_nonzero(n == 0)), int(np.count_nonzero(n == total))
    row: dict[str, Any] = {"population": "all", "n_units": n.size, "n_silent": silent, "n_saturated": saturated}
    between = n[(n > 0) & (n < total)]
    if between.size < FEWEST or np.unique(between).size < 2:
        return row | dict.fromkeys(_NUMBERS, np.nan) | {"quality": "too_few"}
    return row | _fitted(Counts(*np.unique(n, return_counts=True), total)) | {"quality": "good"}


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of spikes, the number of units with each, and the number of bins."""

    n: Int[np.ndarray, " count"]
    units: Int[np.ndarray, " count"]
    total: int

    def at(self, n: int) -> int:
        """Return the number of units with n spikes."""
        return int(self.units[self.n == n].sum())


def _log_chances(counts: Counts, mu: float, theta: float) -> tuple[Float[np.ndarray, " count"], float, float]:
    """Return the log-probability of a sequence of bins with each count, with no spike, and with one in every bin."""
    n = np.concatenate([counts.n, [0, counts.total]])
    if theta == 0:
        found = n * np.log(mu) + (counts.total - n) * np.log1p(-mu)
        return found[:-2], float(found[-2]), float(found[-1])
    a, b = mu / theta, (1 - mu) / theta
    found = betaln(a + n, b + counts.total - n) - betaln(a, b)
    return found[:-2], float(found[-2]), float(found[-1])


def _log_likelihood(counts: Counts, silent: float, saturated: float, mu: float, theta: float) -> float:
    """Return the log-likelihood of all units."""
    each, _, _ = _log_chances(counts, mu, theta)
    chance = (1 - silent - saturated) * np.exp(each - each.max())
    chance = chance + np.exp(-each.max()) * (silent * (counts.n == 0) + saturated * (counts.n == counts.total))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float((counts.units * (np.log(chance) + each.max())).sum())


def _truncated(counts: Counts, mu: float, theta: float, left_out: np.ndarray, zero: bool, full: bool) -> float:
    """Return the log-likelihood of units that are neither silent nor saturated, under a beta-binomial law truncated at these counts."""
    each, none, every = _log_chances(counts, mu, theta)
    rest = -np.expm1(none) if zero else 1.0
    rest = rest - np.exp(every) if full else rest
    return float((counts.units * np.where(left_out, 0.0, each)).sum()) - counts.units[~left_out].sum() * np.log(
        max(rest, 1e-300)
    )


def _fitted(counts: Counts) -> dict[str, float]:
    """Fit with each share free or 0, and keep the most likely fit that is possible."""
    best = (-np.inf, (0.0, 0.0, 0.5, 1.0))
    for zero, full in product((False, True), repeat=2):
        if (zero and not counts.at(0)) or (full and not counts.at(counts.total)):
            continue
        found = _with_shares(counts, zero, full)
        value = _log_likelihood(counts, *found) if min(found[:2]) >= 0 else -np.inf
        best = max(best, (value, found))
    silent, saturated, mu, theta = best[1]
    errors = _errors(counts, silent, saturated, mu, theta)
    rho = theta / (1 + theta)
    return {
        "silent_share": silent,
        "silent_share_se": errors[0],
        "saturated_share": saturated,
        "saturated_share_se": errors[1],
        "p_mean": mu,
        "p_mean_se": mu * (1 - mu) * errors[2],
        "p_rho": rho,
        "p_rho_se": rho * (1 - rho) * errors[3],
        "p_sd": float(np.sqrt(rho * mu * (1 - mu))),
        "p_a": mu / theta if theta else np.inf,
        "p_b": (1 - mu) / theta if theta else np.inf,
        "loglik": best[0],
        "k": 4,
        "aic": 8 - 2 * best[0],
        "bic": 4 * np.log(counts.units.sum()) - 2 * best[0],
    }


def _with_shares(counts: Counts, zero: bool, full: bool) -> tuple[float, float, float, float]:
    """Fit the beta law to the counts without a free share, and compute the free shares from the rest."""
    left_out = (zero & (counts.n == 0)) | (full & (counts.n == counts.total))
    weight = counts.units * ~left_out
    p = counts.n / counts.total
    mean = float(np.clip((weight * p).sum() / weight.sum(), 1e-3, 1 - 1e-3))
    spread = float((weight * (p - mean) ** 2).sum() / weight.sum())
    rho = float(np.clip(spread / (mean * (1 - mean)), 1e-3, 0.9))

    def likelihood(units: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.array([_truncated(counts, expit(x), np.exp(y), left_out, zero, full) for x, y in at])

    def alike(units: np.ndarray, at: np.ndarray) -> np.ndarray:
        # The second parameter has no meaning: its maximum is 0.
        return np.array([_truncated(counts, expit(x), 0.0, left_out, zero, full) - y**2 / 2 for x, y in at])

    best = maximize(likelihood, np.array([[logit(mean), np.log(rho / (1 - rho))]]))
    binomial = maximize(alike, np.array([[logit(mean), 0.0]]))
    one_p = binomial.value[0] >= best.value[0]
    mu = float(expit((binomial if one_p else best).point[0, 0]))
    theta = 0.0 if one_p else float(np.exp(best.point[0, 1]))
    _, none, every = _log_chances(counts, mu, theta)
    chance = (np.exp(none) if zero else 0.0, np.exp(every) if full else 0.0)
    n_units = counts.units.sum()
    others = weight.sum() / n_units / (1 - sum(chance))
    silent = counts.at(0) / n_units - others * chance[0] if zero else 0.0
    saturated = counts.at(counts.total) / n_units - others * chance[1] if full else 0.0
    return float(silent), float(saturated), mu, theta


def _errors(
    counts: Counts, silent: float, saturated: float, mu: float, theta: float
) -> Float[np.ndarray, " parameter"]:
    """Compute the standard errors of the shares, of logit p_mean and of logit p_rho, by second differences; NaN for a share or p_rho at 0."""
    free = np.array([silent > 0, saturated > 0, True, theta > 0])
    step = np.array([min(1e-3, silent / 10), min(1e-3, saturated / 10), 1e-3, 1e-3])
    point = np.array([silent, saturated, logit(mu), np.log(theta) if theta else -np.inf])

    def at(move: np.ndarray) -> float:
        a, b, x, y = point + move
        return _log_likelihood(counts, a, b, expit(x), np.exp(y))

    names = np.flatnonzero(free)
    information = np.empty((names.size, names.size))
    for i, first in enumerate(names):
        for j, second in enumerate(names):
            one, other = np.eye(4)[first] * step[first], np.eye(4)[second] * step[second]
            mixed = at(one + other) - at(one - other) - at(other - one) + at(-one - other)
            information[i, j] = -mixed / (4 * step[first] * step[second])
    errors = np.full(4, np.nan)
    with np.errstate(invalid="ignore"):
        try:
            errors[names] = np.sqrt(np.diag(np.linalg.inv(information)))
        except np.linalg.LinAlgError:
            return errors
    return errors
