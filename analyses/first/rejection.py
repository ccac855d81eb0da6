"""Which models of chance a unit's train rejects, and how surely it would if it were of a named other kind.

Two models. "Bernoulli": given its number of spikes a unit fires in any bins with equal chance; tested by the dispersion of counts, the number of runs and the law of intervals, all
given that number. "Poisson", as the literature tests it: counts against Poisson's dispersion, intervals against the exponential law. A model is rejected by the smallest p of its
tests times their number (Bonferroni).

References: Eden & Kramer 2010, doi:10.1016/j.jneumeth.2010.04.012; Haslinger, Pipa & Brown 2010, doi:10.1162/NECO_a_00015; Benjamini & Hochberg 1995,
doi:10.1111/j.2517-6161.1995.tb02031.x.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

import ann2neo
from ann2neo import chance
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording
from ann2neo.windows import make_windows, stretch_edges

SOUND = ("dispersion_p", "runs_p", "isi_law_p")
NAIVE = ("naive_dispersion_p", "naive_isi_p")
CLASSES = ("both", "only_poisson", "only_bernoulli", "neither")
MASKED = ("silent", "saturated", "too_few")
LEVEL = 0.05
RATES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98)


def arranged(recording: Recording, order: str, seed: int) -> Recording:
    """View the bins in an order: "presented", "label", "shuffled" (all bins), or "shuffled within trials".

    Of a recording with several bins per trial "shuffled" permutes all bins, whichever trial they are of, and "shuffled within trials" those of each trial.

    Parameters
    ----------
    recording
        A recording of one pass.
    order
        Name of the order.
    seed
        Seed of the permutation, where there is one.
    """
    if order in ("presented", "label"):
        return recording.arrange(order)
    rng = np.random.default_rng(seed)
    edges = np.array([0, recording.n_bins]) if order == "shuffled" else stretch_edges(recording.trials)
    bins = np.concatenate([rng.permutation(np.arange(start, stop)) for start, stop in pairwise(edges)])
    return replace(recording, layers=tuple(replace(one, raster=one.raster.arrange(bins)) for one in recording.layers))


def unit_p_values(recording: Recording, windows: int | str, seed: int) -> pd.DataFrame:
    """Test every unit: the p values of all tests, and of both models; NaN for silent and saturated units and those with less than 10 spikes.

    Parameters
    ----------
    recording
        A recording of one pass, in the order that is asked about.
    windows
        Windows in which spikes are counted for the tests of dispersion.
    seed
        Seed of the randomness in the law of intervals on bins.

    Returns
    -------
    pandas.DataFrame
        One row per unit: ``layer``, ``unit``, ``p_spike``, ``quality``, a column for each test, ``bernoulli_p``, ``poisson_p``.

    Examples
    --------
    >>> spikes = np.random.default_rng(0).random((500, 40)) < 0.5
    >>> units = unit_p_values(ann2neo.from_array(spikes), 50, 0)
    >>> float((units["bernoulli_p"] <= 0.05).mean()), float((units["poisson_p"] <= 0.05).mean())
    (0.15, 1.0)
    """
    with warnings.catch_warnings():
        # A shuffled order is the control here.
        warnings.simplefilter("ignore", ann2neo.Ann2NeoWarning)
        table = ann2neo.analyze(recording, windows=windows, tests=True, seed=seed, progress=False)
    naive = pd.concat([_naive(layer, recording.trials, windows) for layer in recording.layers], ignore_index=True)
    units = table[["layer", "unit", "p_spike", "quality", *SOUND]].join(naive)
    units.loc[units["quality"] != "good", [*SOUND, *NAIVE]] = np.nan
    return units.assign(bernoulli_p=_smallest(units[[*SOUND]]), poisson_p=_smallest(units[[*NAIVE]]))


def classes(units: pd.DataFrame, *, corrected: bool = False) -> pd.Series:
    """Name what each unit rejects: "both" models, "only_poisson", "only_bernoulli" or "neither"; else why it has no test.

    Parameters
    ----------
    units
        What `unit_p_values` gave, of one layer.
    corrected
        Whether the false discovery rate over the units is held at 5 %, for each model by itself, instead of each unit's error.

    Examples
    --------
    >>> units = pd.DataFrame({"quality": ["good", "good", "silent"], "bernoulli_p": [0.04, 0.5, np.nan], "poisson_p": [0.01, 0.01, np.nan]})
    >>> classes(units).tolist(), classes(units, corrected=True).tolist()
    (['both', 'only_poisson', 'silent'], ['only_poisson', 'only_poisson', 'silent'])
    """
    p = {model: units[f"{model}_p"].to_numpy(np.float64) for model in ("bernoulli", "poisson")}
    if corrected:
        p = {model: chance.false_discovery(values) for model, values in p.items()}
    bernoulli, poisson = p["bernoulli"] <= LEVEL, p["poisson"] <= LEVEL
    named = np.select([bernoulli & poisson, poisson, bernoulli], CLASSES[:3], CLASSES[3])
    return units["quality"].where(units["quality"] != "good", pd.Series(named, index=units.index))


def cut_off(p: Float[np.ndarray, " unit"]) -> float:
    """Give the largest p that is rejected when the false discovery rate is held at 5 %; where none is, the largest that would be alone.

    Examples
    --------
    >>> cut_off(np.array([0.01, 0.03, 0.9])), cut_off(np.array([0.5, 0.9]))
    (0.03, 0.025)
    """
    found = p[chance.false_discovery(p) <= LEVEL]
    return float(found.max()) if found.size else LEVEL / max(int((~np.isnan(p)).sum()), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """P values of the Bernoulli model for simulated units of a named kind.

    Parameters
    ----------
    rates
        Spikes per bin that were asked for, ascending, shape (rate,).
    p
        P values, shape (rate, unit).
    """

    rates: Float[np.ndarray, " rate"]
    p: Float[np.ndarray, "rate unit"]

    def at(self, p_spike: Float[np.ndarray, " unit"], level: float) -> Float[np.ndarray, " unit"]:
        """Give the chance that a unit of this kind with so many spikes per bin is rejected at a level; between the simulated rates by straight lines."""
        return np.interp(p_spike, self.rates, np.mean(self.p <= level, axis=1))


def power(recording: Recording, order: str, windows: int | str, *, share: float, n_units: int, seed: int) -> Power:
    """Simulate units whose chance of a spike depends on the label of the input, or on the position in its sequence, and test them.

    The chances of the labels (positions) are drawn, unit by unit, from the beta distribution in which they explain the given share of the unit's variance.

    Parameters
    ----------
    recording
        A recording in presented order, for its trials.
    order
        Order in which the simulated units are looked at.
    windows
        As for `unit_p_values`.
    share
        Share of the variance that label or position explains.
    n_units
        How many units to simulate for each of `RATES`.
    seed
        Seed of the simulation and of the order.

    References
    ----------
    Skellam 1948, doi:10.1111/j.2517-6161.1948.tb00014.x (binomial counts with beta-distributed chances)
    """
    rng = np.random.default_rng((seed, round(1e6 * share)))
    groups = groups_of_bins(recording.trials)
    spikes = [modulated(groups, rate, share, n_units, rng) for rate in RATES]
    layer = Layer(
        name="simulated",
        shape=(n_units * len(RATES),),
        dtype="float64",
        units=np.arange(n_units * len(RATES)),
        thresholds=np.zeros(n_units * len(RATES)),
        raster=Raster.from_dense(np.concatenate(spikes)),
    )
    units = unit_p_values(arranged(replace(recording, layers=(layer,)), order, seed), windows, seed)
    p = units["bernoulli_p"].to_numpy(np.float64).reshape(len(RATES), n_units)
    return Power(rates=np.array(RATES), p=np.where(np.isnan(p), 1.0, p))


def modulated(
    groups: Int[np.ndarray, " bin"], rate: float, share: float, n_units: int, rng: np.random.Generator
) -> Bool[np.ndarray, "unit bin"]:
    """Draw units that spike with one chance in all bins of a group; the groups explain the given share of a unit's variance.

    Examples
    --------
    >>> spikes = modulated(np.arange(40_000) % 10, 0.3, 0.05, 400, np.random.default_rng(0))
    >>> by_group = spikes.reshape(400, -1, 10).mean(axis=1)
    >>> round(float(by_group.var(axis=1).mean() / (0.3 * 0.7)), 3)
    0.049
    """
    n_groups = int(groups.max()) + 1
    # A few chances vary less among themselves than the law that they are drawn from.
    both = (n_groups - 1) / n_groups / share - 1
    chances = rng.beta(rate * both, (1 - rate) * both, (n_units, n_groups))
    return rng.random((n_units, groups.size)) < chances[:, groups]


def groups_of_bins(trials: pd.DataFrame) -> Int[np.ndarray, " bin"]:
    """Give what may modulate a bin: the position in its trial where trials have several bins, else the label's number.

    Examples
    --------
    >>> groups_of_bins(pd.DataFrame({"label": [7, 3], "start_bin": [0, 1], "stop_bin": [1, 2]}))
    array([1, 0])
    >>> groups_of_bins(pd.DataFrame({"label": [7, 3], "start_bin": [0, 2], "stop_bin": [2, 4]}))
    array([0, 1, 0, 1])
    """
    length = (trials["stop_bin"] - trials["start_bin"]).to_numpy(np.int64)
    if (length > 1).any():
        return np.arange(length.sum()) - np.repeat(trials["start_bin"].to_numpy(np.int64), length)
    return np.unique(trials["label"].to_numpy(), return_inverse=True)[1].astype(np.int64)


def _smallest(p: pd.DataFrame) -> Float[np.ndarray, " unit"]:
    """Smallest p of the tests that are defined, times their number."""
    values = p.to_numpy(np.float64)
    defined = (~np.isnan(values)).sum(axis=1)
    smallest = np.min(np.where(np.isnan(values), 1.0, values), axis=1)
    return np.where(defined > 0, np.minimum(smallest * defined, 1.0), np.nan)


def _naive(layer: Layer, trials: pd.DataFrame, windows: int | str) -> pd.DataFrame:
    """Test counts and intervals of a layer's units as the literature does; no interval crosses the border of a stretch."""
    made, edges, dense = make_windows(trials, windows), stretch_edges(trials), layer.raster.dense()
    counts = np.stack([np.bincount(made.ids[row & (made.ids >= 0)], minlength=made.n_bins.size) for row in dense])
    unit, place = np.nonzero(dense)
    stretch = np.searchsorted(edges, place, side="right")
    inside = (np.diff(unit) == 0) & (np.diff(stretch) == 0)
    per_unit = np.bincount(unit[1:][inside], minlength=len(dense))
    offsets = np.concatenate([[0], np.cumsum(per_unit)]).astype(np.int64)
    return pd.DataFrame(
        {
            "naive_dispersion_p": chance.dispersion_test_naive(counts.astype(np.int64), made.n_bins),
            "naive_isi_p": chance.isi_law_test_exponential_naive(np.diff(place)[inside], offsets),
        }
    )
