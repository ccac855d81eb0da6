"""The head of the page of fitted models: what was fitted, which model describes units best, key numbers, their limits and what the columns are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ann2neo.recording import Recording
from ann2neo.report import Fact
from ann2neo.report.numbers import counted
from ann2neo.results.opening import definitions
from ann2neo.summary import NETWORK
from ann2neo.windows import order_words

BEST, LEFT_OUT = "best_bic_share", "_bits_per_spike_cv"
LIMITS = "The best model is the best of those that were fitted, by the smallest BIC: it is not shown to be right. `ann2neo.models.rescaled` tests it."
OF_NETWORKS = (
    "`ann2neo simulate` draws spikes from a model that can be analyzed like the recorded ones. Units of one network see the same inputs and are not independent: compare networks, each of which is one replicate. A spike of an artificial unit is an activation above its "
    "threshold, and pseudo-time is the order of inputs, not time; the models markov and renewal depend on this order."
)
OF_CELLS = (
    "Only time in which a unit was observed counts; trials that were not wholly observed are left out for that unit."
)
MEANINGS = {
    "rate_p_mean": "Mean over units: probability of a spike in a bin (model rate).",
    "rate_hz_mean": "Mean over units: spikes per second of observed time (model rate).",
    "label_bits_per_spike_cv_mean": "Mean over units: bits per spike that a rate for each condition adds to one rate, for inputs that were left out of the fit; below 0 it predicts them worse.",
    "markov_memory_mean": "Mean over units: probability of a spike after a spike, minus that after an empty bin.",
    "gain_rho_mean": "Mean over units: how far the probability varies from window to window, rho; its variance is rho times mean times (1 - mean).",
    "renewal_cv_mean": "Mean over units: coefficient of variation of the intervals, in bins.",
    "gamma_cv_mean": "Mean over units: coefficient of variation of the intervals, by the gamma law.",
    "inverse_gaussian_cv_mean": "Mean over units: coefficient of variation of the intervals, by the inverse Gaussian law.",
    "n_saturated": "Units with a spike in every bin.",
    "silent_share": "Share of units that are always silent, beyond those that are silent by chance.",
    "saturated_share": "Share of units that always spike, beyond those that do by chance.",
    "p_mean": "Mean activation probability of the other units, a / (a + b).",
    "p_rho": "Their spread, 1 / (a + b + 1): the variance over p_mean (1 - p_mean).",
    "p_sd": "Standard deviation of their activation probabilities.",
    "p_a": "Parameter a of their beta law; below 1 most units are rarely active.",
    "p_b": "Parameter b of their beta law.",
}


def meanings(columns: Sequence[Any]) -> dict[str, str]:
    """Return the definition of each column of a table of the page.

    Examples
    --------
    >>> meanings(["n_units", "p_rho_se", "best_bic_share[label]"])["p_rho_se"]
    'Standard error of p_rho.'
    """
    known = definitions(columns)
    for name in map(str, columns):
        if name in MEANINGS:
            known[name] = MEANINGS[name]
        elif name.removesuffix("_se") in MEANINGS and name.endswith("_se"):
            known[name] = f"Standard error of {name.removesuffix('_se')}."
        elif name.startswith(BEST):
            known[name] = f"Share of units that the model {_model(name)} describes best (smallest BIC)."
    return {str(name): known[str(name)] for name in columns if str(name) in known}


def one_layer_once(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the rows of all layers together where there is only one layer."""
    return table[table["layer"] != NETWORK] if table["layer"].nunique() == 2 else table


def fitted_words(name: str, fitted: pd.DataFrame, spikes: Any) -> str:
    """Describe in a sentence what was fitted."""
    attrs, n_layers = fitted.attrs, fitted["layer"].nunique()
    layers = (
        f"{n_layers} layer{'s' * (n_layers != 1)}" if isinstance(spikes, Recording) or n_layers > 1 else "one group"
    )
    where = f" over {counted(attrs['n_inputs'], 'input')}" if "n_inputs" in attrs else ""
    order = f", in {order_words(spikes.trials, spikes.provenance)} order" if isinstance(spikes, Recording) else ""
    by = f" by {attrs['by']}" if attrs.get("by") else ""
    return f"{name}: {counted(len(fitted), 'unit')} in {layers}{where}{order}; models {', '.join(attrs['models'])}{by}."


def found_words(summary: pd.DataFrame) -> str:
    """Describe in a sentence which model describes units best, and what models predict of inputs that were left out."""
    shares = _shares(summary)
    if not shares:
        return "No unit has enough spikes for its models to be compared."
    listed = ", ".join(f"{model} {share:.0%}" for model, share in shares.items())
    end, whole = f"{LEFT_OUT}_mean", _whole(summary)
    bits = [(name.removesuffix(end), float(whole[name])) for name in map(str, summary) if name.endswith(end)]
    told = [f"{model} {value:.3g}" for model, value in bits if pd.notna(value)]
    left_out = f" Of inputs that were left out of the fit, models add to one rate, in bits per spike: {', '.join(told)}." if told else ""  # fmt: skip
    return f"Best model of the good units by BIC: {listed}.{left_out}"


def fit_facts(fitted: pd.DataFrame, summary: pd.DataFrame) -> list[Fact]:
    """Count units and inputs, and give the share of good units that each model describes best."""
    good = int((fitted["quality"] == "good").sum())
    made = [Fact(value=f"{len(fitted):,}", name="units"), Fact(value=f"{good:,}", name="good units")]
    if "n_inputs" in fitted.attrs:
        made.append(Fact(value=f"{fitted.attrs['n_inputs']:,}", name="inputs"))
    return made + [Fact(value=f"{share:.0%}", name=f"best: {model}") for model, share in _shares(summary).items()]


def fit_limits(spikes: Any) -> list[str]:
    """Explain what fitted models of a network, or of cells, do not show."""
    return [LIMITS, OF_NETWORKS if isinstance(spikes, Recording) else OF_CELLS]


def _whole(summary: pd.DataFrame) -> pd.Series:
    """Return the row of the good units of all layers."""
    rows = summary[(summary["layer"] == NETWORK) & (summary["population"] == "good")]
    return rows.iloc[0] if len(rows) else pd.Series(dtype=float)


def _shares(summary: pd.DataFrame) -> dict[str, float]:
    whole = _whole(summary)
    shares = {_model(str(name)): value for name, value in whole.items() if str(name).startswith(BEST)}
    return {model: float(share) for model, share in shares.items() if pd.notna(share)}


def _model(column: str) -> str:
    return column.removeprefix(f"{BEST}[").removesuffix("]")
