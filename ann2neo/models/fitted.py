"""fit: models of every unit's spikes, estimated and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.analysis.source import Chunk, Source
from ann2neo.errors import AnalysisError, WindowError, suggestion
from ann2neo.models.checks import check_whole
from ann2neo.models.estimates import (
    best_columns,
    gain_model_columns,
    interval_model_columns,
    label_columns,
    label_gain_model_columns,
    markov_columns,
    rate_columns,
    renewal_model_columns,
    without_criterion,
)
from ann2neo.models.observed import Bins, Given, gain_windows, given, observe
from ann2neo.progress import progress_bar
from ann2neo.versions import software

MODELS_SCHEMA = "ann2neo-models/1"
MODELS = ("rate", "label", "markov", "gain", "label_gain", "renewal", "gamma", "inverse_gaussian")
USUAL = ("rate", "label", "markov")
NO_REPEATS = "{}: every input is one bin, so that nothing can vary from window to window; use windows of several bins"
OF_THE_SOURCE = ("order", "order_sha256", "order_seed", "n_passes", "bin_size_ms")
MOST_CONDITIONS = 1000
HIGHEST_ORDER = 8
OF_LABELS = ("label", "label_gain")
OF_BINS, OF_TIME = ("markov", "gain", "renewal"), ("gamma", "inverse_gaussian")


def fit(
    spikes: Any,
    models: Sequence[str] | None = None,
    *,
    by: str | None = "label",
    order: int = 1,
    windows: int | None = None,
    min_spikes: int = 10,
    scheduler: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    r"""Fit models of arrival processes to every unit by maximum likelihood, and compare them.

    All models are scored on the same L bins: those whose condition ``by`` is known. A unit has n spikes in them, condition c has
    :math:`n_c` spikes in :math:`w_c` bins. Inputs are exchangeable, bins of one input are not. An input (a stimulus, in one condition) has
    S spikes in m bins, over all its steps and passes; there are M inputs.

    ``rate``
        One probability, :math:`p = n / L`; :math:`\ln \mathcal{L} = n \ln p + (L - n) \ln(1 - p)`, k = 1.
    ``label``
        One probability for each condition, ``label_p[c]`` = :math:`p_c = n_c / w_c`; k is the number of conditions.
    ``markov``
        One probability for each context of the ``order`` preceding bins of its stretch (a pass; a trial where trials have several bins), k = 2 ** order:
        ``markov_p01`` after an empty bin, ``markov_p11`` after a spike (``markov_p101`` after a spike and then an empty bin). Each is the share of
        bins after that context that have a spike; ``markov_memory`` = p11 - p01. The first ``order`` bins of a stretch, which have no context, are
        scored by p = n / L, so that it never fits worse than ``rate``. The result depends on the order of the inputs.
    ``gain``
        A separate probability for each window, drawn from a beta law with mean ``gain_mu`` = :math:`\mu` and variance :math:`\rho \mu (1 - \mu)`: the W counts
        :math:`S_i` in :math:`m_i` bins are beta-binomial, k = 2. Windows are inputs, with all their steps and passes, or ``windows`` consecutive bins of a stretch (the
        last window of a stretch may be shorter). :math:`\ln \mathcal{L} = \sum_i \sum_{j < S_i} \ln(\mu + j \theta) + \sum_{j < m_i - S_i} \ln(1 - \mu + j \theta) - \sum_{j < m_i}
        \ln(1 + j \theta)`, :math:`\theta = \rho / (1 - \rho)`, is that of the bins, so that rho = 0 is ``rate``. Its maximum is found by Newton's method in the logits of mu and rho.
        ``gain_rho`` is 0 where the likelihood falls as rho leaves 0. ``gain_var`` = :math:`\rho (1 - \mu) / \mu` is the variance of the gain, whose mean is 1. With
        windows of w bins the Fano factor is :math:`(1 - \mu)(1 + (w - 1) \rho)`.
    ``label_gain``
        A separate probability for each condition, and around it one for each input, as for ``gain``: the counts of the inputs of condition c are beta-binomial with mean :math:`\mu_c` and
        one rho for all conditions, ``label_gain_rho``; k is the number of conditions + 1. For cells the rate of a trial is that of its condition times a gain from a gamma law with mean 1 and
        variance :math:`\sigma^2` = ``label_gain_var`` (Goris et al. 2014), so that S spikes in T seconds have :math:`\ln \mathcal{L} = \sum_i \sum_{j < S_i} \ln(1 + j \sigma^2) + S_i \ln
        \lambda_c - (S_i + \sigma^{-2}) \ln(1 + \sigma^2 \lambda_c T_i)`. Unlike ``gain``, the estimate does not include tuning. The maximum is found by Newton's method in the logarithm of
        :math:`\rho / (1 - \rho)` or :math:`\sigma^2`, with the best rate of each condition; the standard error is that of the profile likelihood, and there is none at 0 and 1 (an input has all of its spikes or none). The estimate is too low, by 3 % with 4
        conditions of 60 inputs, where 93 % of intervals cover, and less with more inputs. ``label_gain_lr_p``: twice the log-likelihood above ``label``, half of the tail of chi-squared
        with 1 degree of freedom (Self & Liang 1987); 3.5 % instead of 5 % with 4 conditions of 60 inputs.
    ``renewal``
        Independent intervals I between spikes: I - 1 is negative binomial with shape ``renewal_r`` = r and mean m - 1, ``renewal_mean`` = m, so that
        :math:`P(I) = \binom{I - 2 + r}{I - 1} \pi^r (1 - \pi)^{I - 1}`, :math:`\pi = r / (r + m - 1)`, k = 2. ``renewal_cv`` = :math:`\sqrt{(m - 1) + (m - 1)^2 / r} / m`. r = 1 is ``rate``;
        above 1 intervals are more regular, below 1 spikes come in bursts. A stretch starts at an arbitrary moment of the process: the first spike comes in bin f with probability
        :math:`P(I \ge f) / m`, the g bins after the last one are empty with :math:`P(I > g)`, a stretch of l bins with :math:`\sum_{f > l} P(I \ge f) / m`. Bins that are not
        counted also separate stretches. The maximum is found by Newton's method in log r and log (m - 1); from 900 on r is inf, where I - 1
        has Poisson's law, and r is 0 where every stretch is full or empty: both without a standard error of r, with the likelihood and the mean of the limit. The result depends on the order of the inputs. Two intervals are needed.

    Standard errors: with inputs of one bin :math:`\sqrt{p(1-p)/L}` and :math:`\sqrt{p_c(1-p_c)/w_c}`; else over inputs,
    :math:`\sqrt{\tfrac{M_c}{M_c - 1} \sum_{i \in c} (S_i - p_c m_i)^2} / w_c`, and for ``rate`` the same over all M. A share of 0 or 1 has none, nor
    has a condition with one input of several bins. Those of ``markov`` are binomial in each context, and that of the memory is the root of the sum of squares;
    they hold if the chain does. Those of ``gain`` and ``renewal`` come from the observed information; at rho = 0 the standard error is :math:`\sqrt{2 / \sum_i m_i (m_i - 1)}`. The coverage of 1.96 standard errors of a share follows the binomial law and is not 95 %: 93 % at p = 0.15 and 100 bins.

    Each model has ``_loglik`` (in nats), ``_k``, ``_aic`` = 2 k - 2 loglik, ``_bic`` = k ln L - 2 loglik, with one L for all models. ``_loglik_cv`` is the log-likelihood of
    every input at the parameters of the others, where s spikes in m bins give (s + 1/2) / (m + 1); with inputs of one bin, of every bin. For
    ``markov`` the transitions into the bins of the input are left out; ``gain``, ``label_gain`` and ``renewal`` have no ``_loglik_cv``, so that ``best_cv`` is "undefined" where one of them is fitted. With G the log-likelihood above that of ``rate``: ``_bits`` = G / (L ln 2) per bin (for
    ``label``, the plug-in mutual information of bin and condition), ``_bits_per_spike`` = G / (n ln 2), ``_bits_per_spike_cv`` the same for left-out inputs,
    ``_explained`` = 1 - loglik / loglik of ``rate``.

    ``label_bits_se`` = :math:`\sqrt{\sum_c V_c (\operatorname{logit} p_c - \operatorname{logit} p)^2} / (L \ln 2)`, where :math:`V_c = w_c^2
    \mathrm{se}_c^2`, and a term with :math:`p_c` of 0 or 1 is 0. It is of first order: use it where the bits exceed four standard errors; the bits of an untuned unit are a
    multiple of chi-squared instead. ``label_bits_corrected`` is ``label_bits`` minus the bias (C - 1) D / (2 L ln 2), with :math:`D = \tfrac{L-1}{M-1} \tfrac{M}{L} \sum_i (S_i - p m_i)^2 /
    (L p (1-p))`, which is 1 with inputs of one bin; this is
    the bias where at least 5 spikes are expected in each condition (at one spike each it is a fifth larger). ``label_lr_p`` compares 2 G / D with chi-squared of C - 1 degrees of freedom where at least 5 max(D, 1) spikes,
    and empty bins, are expected in every condition; otherwise it is the test that assigns inputs to conditions at random (`ann2neo.chance.overdispersion_test`,
    `ann2neo.chance.input_dispersion_tests`, one-sided). Where the condition of a stimulus changes from pass to pass, as predictions do, the stimulus counts as one input in each of its conditions, and the test
    is conservative (60 stimuli in 4 passes: 4 % instead of 5 % where a tenth of the conditions is drawn at random, 1 % where all are); `ann2neo.analyze` tests the first pass. ``markov_lr_p``: twice the log-likelihood above one rate in the bins that have a context,
    chi-squared with 2 ** order - 1 degrees of freedom; NaN where fewer than 5 spikes, or empty bins, are expected in a context. The test also rejects where trials
    differ in rate: the preceding bins then tell of the rate. ``gain_p``: Tarone's score test of rho = 0, one-sided, corrected for skewness (`ann2neo.models.gain.tarone_p`). ``renewal_lr_p``: twice the log-likelihood
    above r = 1 and m = L / n, chi-squared with 1 degree of freedom.

    Spike trains of cells have no bins. There ``rate`` and ``label`` are Poisson in the observed time T of trials (inputs), in Hz (``rate_hz``, ``label_hz[c]``): loglik is
    the density of spike times in seconds, :math:`\sum_c n_c \ln(n_c / T_c) - n_c`. BIC uses the number n of the unit's spikes in place of L, because the information about logarithms of rates and shapes grows with it (Volinsky & Raftery 2000); it is NaN with fewer than two spikes. Bits are per second. Standard errors
    are as above, with logarithms in place of logits; :math:`D = \tfrac{M}{M-1} \sum_i (S_i - n m_i / T)^2 / n`; a left-out trial is scored at the rate (s + 1/2) / m of
    the others; ``_explained`` = G over the G of a separate rate for each trial. Models of bins are left out, see ``attrs``.

    ``gamma`` and ``inverse_gaussian``, for cells with ``by=None``: intervals between spikes are independent, with mean m (``_mean_ms``) and shape :math:`\kappa = 1 / CV^2` (``_shape``, ``_cv``), k = 2;
    densities :math:`(\kappa / m)^\kappa x^{\kappa - 1} e^{-\kappa x / m} / \Gamma(\kappa)` and :math:`\sqrt{\kappa m / (2 \pi x^3)} e^{-\kappa (x - m)^2 / (2 m x)}`. Each contiguous segment of observed time starts at an
    arbitrary moment of the process, as for ``renewal``: with S the share of intervals that are longer, :math:`S(t) / m` for its first spike, S of the time after the last one, :math:`\int_T^\infty S / m` without a spike. Gamma
    with shape 1 is ``rate``, which ``gamma_lr_p`` tests with 1 degree of freedom. Standard errors come from the observed information in logarithms; from 900,000 on (a CV below 0.001) intervals count as equal: the shape and the likelihood are inf, without standard errors. Two intervals are needed, and no two
    spikes may share a time. These models have neither ``_explained`` nor ``_loglik_cv``: where one of them is fitted ``best_cv`` is "undefined".

    Parameters
    ----------
    spikes
        A `Recording`, or spike trains in any container that `ann2neo.analyze` takes.
    models
        Any of "rate", "label", "markov", "gain", "label_gain", "renewal", and for cells "gamma", "inverse_gaussian"; "rate" is always fitted. None: "rate", "markov", and "label" where ``by`` names a column.
    by
        Column of trials that holds the conditions; trials whose condition is unknown (missing, or a negative number in a recording) are left out of all models. None: all bins of a recording, or all
        observed time of cells, without the model "label".
    order
        Number of preceding bins of ``markov``, 1 to 8.
    windows
        Number of bins of a window of ``gain``; None: each input, with all its steps and passes, is one window.
    min_spikes
        Units with fewer spikes, or fewer empty bins, are marked with the quality "too_few".
    scheduler
        Address of a Dask scheduler (``tcp://...``) whose workers fit the chunks; None fits them here, one after another. The table is the same.
    progress
        Whether to show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row per unit: identity, ``n_spikes`` in counted bins, the columns above, ``best_aic``, ``best_bic``, ``best_cv`` (ties go to the first; models that are not defined for a unit are left out; "undefined" where no model is defined, and where a defined model lacks the
        criterion, as ``label`` lacks the left-out likelihood with one trial of a condition), ``quality``.
        Silent and saturated units have a rate (0 or 1) and conditional rates, and NaN elsewhere. ``markov`` is NaN where a context never
        occurred, ``gain`` where every window is one bin, or where there is one window, and ``label_gain`` where every input is one bin, or no condition has two. ``attrs`` holds the conditions with their type, the number of bins, the unit of measure,
        and in ``undefined`` which best models cannot be determined, and why.

    Raises
    ------
    AnalysisError
        If a model, an order or a condition is unknown, or there are more than 1,000 conditions.
    WindowError
        If the trials have no such column, or it belongs to bins (labels of steps).

    See Also
    --------
    ann2neo.models.fit_population, ann2neo.models.simulate, ann2neo.models.rescaled, ann2neo.figures.best_models

    References
    ----------
    Truccolo 2005, doi:10.1152/jn.00697.2004; Pillow 2008, doi:10.1038/nature07140; Panzeri 2007, doi:10.1152/jn.00559.2007; Akaike 1974,
    doi:10.1109/TAC.1974.1100705; Schwarz 1978, doi:10.1214/aos/1176344136; Volinsky & Raftery 2000, doi:10.1111/j.0006-341X.2000.00256.x (events in BIC); Krichevsky & Trofimov 1981, doi:10.1109/TIT.1981.1056331;
    Tarone 1979, doi:10.1093/biomet/66.3.585; Goris 2014, doi:10.1038/nn.3711 (gain); Self & Liang 1987, doi:10.1080/01621459.1987.10478472 (its test); Liang & Zeger 1986, doi:10.1093/biomet/73.1.13 (standard errors over inputs); Wilks 1938, doi:10.1214/aoms/1177732360.

    Examples
    --------
    >>> import numpy as np, ann2neo
    >>> spikes = np.array([[1, 1, 1, 0, 0, 0, 0, 1], [1, 0, 1, 0, 1, 0, 1, 0]], bool).T
    >>> recording = ann2neo.from_array(spikes, labels=[0, 0, 0, 0, 1, 1, 1, 1])
    >>> fitted = fit(recording, progress=False)
    >>> fitted[["rate_p", "label_p[0]", "label_p[1]", "label_bits", "markov_p01", "markov_p11", "best_aic"]].round(3)
       rate_p  label_p[0]  label_p[1]  label_bits  markov_p01  markov_p11 best_aic
    0     0.5        0.75        0.25       0.189        0.25       0.667    label
    1     0.5        0.50        0.50       0.000        1.00       0.000   markov
    """
    models = tuple(name for name in USUAL if by is not None or name != "label") if models is None else models
    _check(models, by, order, windows, min_spikes)
    try:
        found = given(spikes, by)
    except WindowError as error:
        if by is None:
            raise
        raise WindowError(f"{error} Or use by=None (--by none), which fits the models without conditions.") from error
    in_bins = found.bins is not None
    fitted = tuple(name for name in MODELS if name in ("rate", *models) and _suits(name, in_bins=in_bins))
    if by is not None and set(fitted) & set(OF_TIME):
        raise AnalysisError(
            f"by={by!r} was given together with a model of intervals in time.",
            "Trials would cut intervals that were observed whole, and models are compared over the same time.",
            "Use by=None, which fits all observed time, or leave these models out.",
        )
    if set(OF_LABELS) & set(fitted):
        _check_conditions(found.conditions, by)
    plan = Plan(
        models=fitted,
        bins=found.bins,
        conditions=found.conditions,
        order=order,
        windows=_windows(found, windows) if "gain" in fitted else None,
        window_bins="inputs" if windows is None else int(windows),
        min_spikes=min_spikes,
    )
    parts: dict[int, pd.DataFrame] = {}
    with progress_bar(shown=progress, desc="fitting", unit="unit", total=found.source.n_units) as bar:
        for place, rows in _results(found.source, plan, scheduler):
            parts[place] = rows
            bar.update(len(rows))
    table = pd.concat([parts[place] for place in sorted(parts)], ignore_index=True)
    table = table if found.rows is None else table.iloc[found.rows].reset_index(drop=True)
    table.attrs = {**_attributes(found, models, plan, by), "undefined": _undefined(table, plan)}
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Models and options that are fitted to every chunk of units; see `fit`."""

    models: tuple[str, ...]
    bins: Bins | None
    conditions: tuple[Any, ...]
    order: int
    windows: np.ndarray | None
    window_bins: int | str
    min_spikes: int


def _suits(model: str, *, in_bins: bool) -> bool:
    return model not in (OF_TIME if in_bins else OF_BINS)


def _windows(found: Given, length: int | None) -> np.ndarray | None:
    if found.recording is None or found.bins is None:
        return None
    windows = gain_windows(found.bins, found.recording.stretches, length)
    return windows if np.bincount(windows[windows >= 0]).max(initial=0) > 1 else None


def _results(source: Source, plan: Plan, scheduler: str | None) -> Iterator[tuple[int, pd.DataFrame]]:
    """Fit all chunks, locally one after another, or on a cluster in the order in which they finish."""
    if scheduler is None:
        for place, read in enumerate(source.chunks):
            yield place, fit_chunk(read, plan)
        return
    # Dask takes more than a second to load.
    from ann2neo.analysis.cluster import map_on_cluster

    yield from map_on_cluster(fit_chunk, source.chunks, scheduler, plan)


def fit_chunk(read: Callable[[], Chunk], plan: Plan) -> pd.DataFrame:
    """Read a chunk of units and fit every model to each of them."""
    order = plan.order if "markov" in plan.models else None
    observed = observe(
        read,
        plan.bins,
        plan.conditions,
        order=order,
        windows=plan.windows,
        intervals=bool({"renewal", *OF_TIME} & set(plan.models)),
        inputs="label_gain" in plan.models,
        min_spikes=plan.min_spikes,
    )
    columns = {"n_spikes": observed.evidence.n.astype("int64")} | rate_columns(observed.evidence)
    if "label" in plan.models:
        columns |= label_columns(observed.evidence, plan.conditions)
    if observed.transitions is not None:
        columns |= markov_columns(observed.evidence, observed.transitions, plan.order)
    if "gain" in plan.models:
        columns |= gain_model_columns(observed.evidence, observed.counts)
    if observed.inputs is not None:
        columns |= label_gain_model_columns(observed.evidence, observed.inputs)
    if observed.gaps is not None:
        columns |= renewal_model_columns(observed.evidence, observed.gaps)
    if observed.intervals is not None:
        for law in [name for name in OF_TIME if name in plan.models]:
            columns |= interval_model_columns(observed.evidence, observed.intervals, law)
    rows = pd.concat([observed.units, pd.DataFrame(columns)], axis=1)
    return rows.assign(**best_columns(rows, plan.models), quality=observed.quality)


def _attributes(found: Given, models: Sequence[str], plan: Plan, by: str | None) -> dict[Any, Any]:
    left_out = [name for name in models if name not in plan.models]
    sizes = None if plan.windows is None else np.bincount(plan.windows[plan.windows >= 0])
    bins = None if found.bins is None else int(found.bins.size.sum())
    return {
        "schema": MODELS_SCHEMA,
        "models": list(plan.models),
        "left_out": f"{', '.join(left_out)}: {'no time is known within bins' if found.bins is not None else 'these trains have no bins'}"
        if left_out
        else None,
        "by": by,
        "conditions": list(found.conditions) if by is not None else None,
        "markov_order": plan.order if "markov" in plan.models else None,
        **({"gain_windows": plan.window_bins} if "gain" in plan.models else {}),
        "n_windows": None if sizes is None else int(sizes.size),
        **({} if found.bins is None else {"n_bins": bins, "n_inputs": int(found.bins.size.size)}),
        **{name: found.source.facts[name] for name in OF_THE_SOURCE if found.source.facts.get(name) is not None},
        "min_spikes": plan.min_spikes,
        "per": "bin" if bins is not None else "s",
        "software": software("numpy", "scipy"),
    }


def _undefined(table: pd.DataFrame, plan: Plan) -> str | None:
    """Return why a model or a criterion is undefined for every unit."""
    lacking = ("gain", plan.windows is None), ("label_gain", plan.bins is not None and plan.bins.one_each)
    no_gain = [NO_REPEATS.format(name) for name, no in lacking if no and name in plan.models]
    return "; ".join(no_gain + without_criterion(table, plan.models)) or None


def _check(models: Sequence[str], by: str | None, order: Any, windows: Any, min_spikes: Any) -> None:
    if not isinstance(models, Sequence) or not models or len(set(models)) < len(models):
        raise AnalysisError(
            f"`models` must be a list of different models, got {models!r}.",
            "Nothing was fitted.",
            "Use a list of 'rate', 'label' and 'markov'.",
        )
    names = [models] if isinstance(models, str) else list(models)
    for name in names:
        if isinstance(models, str) or name not in MODELS:
            raise AnalysisError(
                f"models={models!r} is not a list of known models, see {name!r}." + suggestion(name, MODELS),
                "Nothing was fitted.",
                f"Use a list of {', '.join(map(repr, MODELS))}.",
            )
    of_labels = [name for name in names if name in OF_LABELS]
    if by is None and of_labels:
        raise AnalysisError(
            f"by=None was given together with the model {of_labels[0]!r}.",
            "It has one rate for each condition, and without `by` there is no condition.",
            "Name a column of the trials, or use models=('rate', 'markov').",
        )
    check_whole("order", order, 1, HIGHEST_ORDER)
    check_whole("windows", 1 if windows is None else windows, 1, usual=100)
    check_whole("min_spikes", min_spikes, 0, usual=10)


def _check_conditions(conditions: Sequence[Any], by: str | None) -> None:
    if len(conditions) > MOST_CONDITIONS:
        raise AnalysisError(
            f"{by!r} has {len(conditions)} conditions, more than {MOST_CONDITIONS}.",
            "The table would have two columns for each condition.",
            "Use a column with fewer values, or leave the model 'label' out.",
        )
