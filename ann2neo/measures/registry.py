"""Every measure by name: what it is, who computes it, what chance predicts, and where it is shown and compared."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ann2neo.measures.measure import Measure, Place

# Facts of a table in which it is said what counts were taken in.
WINDOWS = (
    *("windows", "n_windows", "window_min_bins", "window_max_bins", "window_min_ms", "window_max_ms"),
    *("over", "n_passes", "within"),
)
PAIRS = "computed per stretch and averaged over stretches, each weighted by its number of pairs."
THREE_SPIKES = "NaN with fewer than three spikes in every stretch."

_ALL = (
    Measure(
        name="n_spikes",
        unit="1",
        definition="Number of spikes over all stretches.",
        words="spikes",
        of="spikes",
    ),
    Measure(
        name="p_spike",
        unit="1",
        definition="Spikes per bin over all stretches: the share of bins with a spike. NaN for sources without bins.",
        words="spikes per bin",
        plural="spikes per bin",
        of="spikes",
        summarised=("mean", "var"),
        shown=("layers",),
        permuted=True,
        alike=("bins",),
    ),
    Measure(
        name="firing_rate",
        unit="Hz",
        definition="Number of spikes divided by the total duration of all stretches. 0 for silent units.",
        doi="10.1016/S0006-3495(67)86596-2",
        words="firing rate",
        plural="firing rates",
        of="spikes",
        elephant="elephant.statistics.mean_firing_rate",
        summarised=("mean", "var"),
        shown=("layers", "page", "cells"),
        permuted=True,
        alike=("clock", "bin_size_ms"),
    ),
    Measure(
        name="isi_mean",
        unit="ms",
        definition=(
            "Mean of the inter-spike intervals, pooled over stretches; no interval crosses the border of a stretch. "
            "NaN without intervals, that is with fewer than two spikes in every stretch."
        ),
        doi="10.1016/S0006-3495(67)86596-2",
        words="mean ISI",
        of="intervals",
        elephant="elephant.statistics.isi",
        kernel="ISI_MEAN",
        on_bins="expected_isi_mean",
        in_time="poisson_expected_isi_mean",
    ),
    Measure(
        name="isi_var",
        unit="ms^2",
        definition=(
            "Population variance (ddof 0) of the inter-spike intervals, pooled over stretches. NaN without intervals, "
            "0 with one."
        ),
        doi="10.1016/S0006-3495(67)86596-2",
        words="variance of ISIs",
        of="intervals",
        elephant="elephant.statistics.isi",
        kernel="ISI_VAR",
        on_bins="expected_isi_var",
        in_time="poisson_expected_isi_var",
    ),
    Measure(
        name="cv",
        unit="1",
        definition=(
            "Standard deviation (ddof 0) of the inter-spike intervals, pooled over stretches, divided by their mean. "
            "NaN without intervals, 0 with one."
        ),
        doi="10.1016/S0006-3495(67)86596-2",
        words="CV of ISIs",
        of="intervals",
        elephant="elephant.statistics.cv",
        kernel="CV",
        on_bins="expected_cv",
        in_time="poisson_expected_cv",
        summarised=("mean",),
        over_expected=True,
        shown=("chance", "layers", "sentence", "cells"),
        permuted=True,
        alike=("order",),
    ),
    Measure(
        name="cv2",
        unit="1",
        definition=f"Mean of 2 |I2 - I1| / (I1 + I2) over pairs of successive intervals: {PAIRS} {THREE_SPIKES}",
        doi="10.1152/jn.1996.75.5.1806",
        words="CV2",
        of="intervals",
        elephant="elephant.statistics.cv2",
        kernel="CV2",
        on_bins="expected_cv2",
        in_time="poisson_expected_cv2",
        summarised=("mean",),
        over_expected=True,
        shown=("chance",),
        permuted=True,
        alike=("order",),
    ),
    Measure(
        name="lv",
        unit="1",
        definition=f"Mean of 3 ((I2 - I1) / (I1 + I2))^2 over pairs of successive intervals: {PAIRS} {THREE_SPIKES}",
        doi="10.1162/089976603322518759",
        words="Lv",
        of="intervals",
        elephant="elephant.statistics.lv",
        kernel="LV",
        on_bins="expected_lv",
        in_time="poisson_expected_lv",
        summarised=("mean",),
        over_expected=True,
        shown=("chance", "layers", "cells"),
        permuted=True,
        alike=("order",),
    ),
    Measure(
        name="lvr",
        unit="1",
        definition=(
            "Lv corrected for a refractory period R: mean of 3 (1 - 4 I1 I2 / (I1 + I2)^2) (1 + 4 R / (I1 + I2)) over "
            "pairs of successive intervals, averaged over stretches as Lv is. Only computed where R is given."
        ),
        doi="10.1371/journal.pcbi.1000433",
        words="LvR",
        of="intervals",
        elephant="elephant.statistics.lvr",
        kernel="LVR",
        on_bins="expected_lvr",
        in_time="poisson_expected_lvr",
        needs="refractoriness",
    ),
    Measure(
        name="ir",
        unit="1",
        definition=(
            f"Log-ISI variation IR: mean of |log(I2 / I1)| (natural logarithm) over pairs of successive intervals: {PAIRS} {THREE_SPIKES[:-1]}, and where two "
            "spikes have one time. A change of the rate moves it little; for a Poisson process it is 2 log 2 = 1.386."
        ),
        doi="10.1152/jn.01030.2005",
        words="log-ISI variation IR",
        of="intervals",
        elephant="elephant.statistics.isi",
        kernel="IR",
        on_bins="expected_ir",
        in_time="poisson_expected_ir",
        summarised=("mean",),
        over_expected=True,
        since="0.3.0",
        permuted=True,
        alike=("order",),
    ),
    Measure(
        name="fano",
        unit="1",
        definition=(
            "Population variance (ddof 0) of spike counts over windows divided by their mean: computed over the "
            "windows of each pass and averaged over passes with spikes, or over the passes of each window and "
            "averaged over windows with spikes, or over the repeats of each condition at each position in the trial "
            "and averaged over positions, then over conditions with spikes. Windows of unequal size enter with their "
            "raw counts; windows without duration are ignored; a single window has no Fano factor. NaN without spikes "
            "in windows, and over the windows of a pass if none has more than one bin (it is then 1 - p_spike "
            "by construction)."
        ),
        doi="10.1103/PhysRev.72.26",
        words="Fano factor",
        plural="Fano factors",
        of="windows",
        elephant="elephant.statistics.fanofactor",
        kernel="FANO",
        on_bins="expected_fano_of_groups",
        in_time="expected_fano_of_groups",
        summarised=("mean", "var", "n"),
        over_expected=True,
        shown=("chance", "layers", "page", "sentence", "cells"),
        permuted=True,
        alike=(*WINDOWS, "clock", "place"),
        alike_over_expected=(*WINDOWS, "place"),
    ),
    Measure(
        name="fano_normalized",
        unit="1",
        definition=(
            "Mean over the groups of windows of fano of the factor divided by 1 - p, its limit by chance, p being the share of the bins of the group's windows "
            "with a spike; groups with a p of 0 or 1 are left out. Over equal label windows of w bins it is w times the label share. NaN without bins."
        ),
        doi="10.1016/j.neucom.2024.128473",
        words="normalized Fano factor",
        of="windows",
        derived=True,
        on_bins="expected_fano_of_groups",
        summarised=("mean",),
        since="0.2.0",
        alike=(*WINDOWS, "clock", "place"),
    ),
    Measure(
        name="n_conditions",
        unit="1",
        definition="Over repeats: conditions (stimuli) with a spike and with two trials or more, over which fano is averaged.",
        of="windows",
        derived=True,
        needs="repeats",
    ),
    Measure(
        name="n_trials_min",
        unit="1",
        definition="Over repeats: the fewest trials of such a condition; 0 where there is none.",
        of="windows",
        derived=True,
        needs="repeats",
    ),
    Measure(
        name="label_share",
        unit="1",
        definition=(
            "Share of the unit's variance over bins that the label of the input, or of its steps, explains (eta squared). NaN without labels, and "
            "for units that are silent or saturated in the labelled bins."
        ),
        doi="10.1037/1082-989X.8.4.434",
        words="label share",
        of="labels",
        on_bins="expected_label_share",
        summarised=("mean",),
        shown=("layers", "page", "sentence"),
        permuted=True,
        alike=("label_share_by", "bins", "n_bins", "n_passes"),
    ),
    Measure(
        name="label_share_adjusted",
        unit="1",
        definition="(label_share - e) / (1 - e) with e its expectation: 0 at chance, 1 where the label explains everything.",
        doi="10.1073/pnas.21.9.554",
        words="adjusted label share",
        of="labels",
        derived=True,
        summarised=("mean",),
        permuted=True,
        alike=("label_share_by", "bins"),
    ),
    Measure(
        name="label_share_trials",
        unit="1",
        definition=(
            "Share of the variance over inputs (trials) of spikes per bin or time, weighted by bins or time, that the label explains (eta squared). With inputs of "
            "one bin it is label_share. NaN below two labels, where all inputs have one rate, and where labels belong to steps, not to inputs. By chance it is larger with "
            "fewer inputs: between recordings of unequal length compare label_share_trials_adjusted."
        ),
        doi="10.1037/1082-989X.8.4.434",
        words="label share of trials",
        of="labels",
        derived=True,
        on_bins="expected_label_shares_of_inputs",
        in_time="expected_label_shares_of_inputs",
        summarised=("mean",),
        since="0.2.0",
        alike=("label_share_by", "n_labelled"),
    ),
    Measure(
        name="label_share_trials_adjusted",
        unit="1",
        definition="(label_share_trials - e) / (1 - e) with e its expectation: 0 at chance for any number of inputs (trials), 1 where the label explains everything.",
        doi="10.1073/pnas.21.9.554",
        words="adjusted label share of trials",
        of="labels",
        derived=True,
        summarised=("mean",),
        since="0.3.0",
        shown=("cells",),
        alike=("label_share_by",),
    ),
)  # fmt: skip

MEASURES: Mapping[str, Measure] = MappingProxyType({measure.name: measure for measure in _ALL})
"""Every measure by name, in the order of the table."""


def computed(*, refractoriness: bool) -> tuple[Measure, ...]:
    """List the measures that an engine computes, in the order of the table.

    Examples
    --------
    >>> [len(computed(refractoriness=given)) for given in (True, False)]
    [12, 11]
    """
    return tuple(one for one in _ALL if not one.derived and (refractoriness or one.needs != "refractoriness"))


def shown_in(place: Place) -> tuple[Measure, ...]:
    """List the measures that a place shows unasked.

    Examples
    --------
    >>> [measure.words for measure in shown_in("chance")]
    ['CV of ISIs', 'CV2', 'Lv', 'Fano factor']
    """
    return tuple(measure for measure in _ALL if place in measure.shown)
