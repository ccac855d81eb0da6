"""What each column of the table is, so that two people would compute the same number."""

from __future__ import annotations

import textwrap

from ann2neo.errors import AnalysisError, suggestion
from ann2neo.measures.indicators import DISTRIBUTION
from ann2neo.measures.measure import Measure
from ann2neo.measures.registry import MEASURES
from ann2neo.trains.matching import IDENTITY

_OTHERS = (
    Measure(name="layer", unit="", definition="Name of the layer; of foreign trains, what stands before the brackets of the name, else 'units'."),
    Measure(name="unit", unit="", definition="Place of the unit in the flattened activation; of foreign trains, its number within its layer."),
    Measure(name="channel", unit="", definition="Place along the first axis of the activation; -1 where there is none."),
    Measure(name="row", unit="", definition="Place along the second axis of the activation; -1 where there is none."),
    Measure(name="col", unit="", definition="Place along the third axis of the activation; -1 where there is none."),
    Measure(
        name="dispersion_p",
        unit="1",
        definition=(
            "p value of the counts in windows, two-sided, given the unit's number of spikes (hypergeometric; multinomial without bins). Over label windows "
            "inputs are permuted with all their bins and passes; over labels of steps they exchange whole sequences of labels; in the first pass only where inputs change their class from pass to pass. NaN for silent and saturated units, over one-bin windows and over repeats."
        ),
        doi="10.2307/3001616",
    ),
    Measure(
        name="overdispersion_p",
        unit="1",
        definition=(
            "p value of counts that vary more over windows than by chance, one-sided, mid-p; else as dispersion_p. Over label windows a small one is what "
            "'tuned to the label' means."
        ),
        doi="10.2307/3001616",
    ),
    Measure(
        name="runs_p",
        unit="1",
        definition="p value of the number of runs of spikes, two-sided, mid-p, given the number of spikes. NaN without bins. First pass only.",
        doi="10.1214/aoms/1177731909",
    ),
    Measure(
        name="isi_law_p",
        unit="1",
        definition=(
            "p value of the Kolmogorov-Smirnov distance of the intervals from their law by chance given the number of spikes (nearly geometric; nearly "
            "exponential without bins), by a probability integral transform that is randomized within bins, and calibrated by simulation. First pass only."
        ),
        doi="10.1162/NECO_a_00015",
    ),
    Measure(
        name="stationarity_p",
        unit="1",
        definition="p value of the rank sum of bins with a spike against empty bins, two-sided. Where inputs (trials) have several bins, and without bins: of the correlation of the spikes of inputs or trials (windows where there are no trials), less what the rate gives, with their order in time, over all orders. NaN where trials overlap. First pass only of a recording.",
        doi="10.2307/3001968",
    ),
    Measure(name="n_windows_empty", unit="1", definition="With over='passes': windows left out because the unit is silent there in every pass."),
    Measure(
        name="quality",
        unit="",
        definition="silent: no spike; saturated: one in every bin; too_few: fewer than min_spikes (attrs, 10) spikes or empty bins; else good.",
    ),
)  # fmt: skip

_DEALT = (
    " Over labels of inputs (trials) that have several bins, or last in time, inputs are dealt to labels with all their spikes instead; where no label of a pass has "
    "two, that is NaN on bins, and in time spikes are thrown into the windows."
)

COLUMNS = {measure.name: measure for measure in (*MEASURES.values(), *_OTHERS)}


def define(column: str) -> Measure:
    """Describe a column of the table, or of a summary: its unit of measure, its definition with edge cases, its source.

    Raises
    ------
    AnalysisError
        If the table has no such column.

    Examples
    --------
    >>> define("lv").doi
    '10.1162/089976603322518759'
    >>> define("lv_expected").definition
    "Expectation of lv for the unit's number of spikes in each stretch in uniformly random arrangement."
    """
    name, _, ending = column.rpartition("_")
    known = {**COLUMNS, **DISTRIBUTION}
    if column in known:
        return known[column]
    if ending == "expected" and name in COLUMNS:
        text = f"Expectation of {name} for the unit's number of spikes in each stretch in uniformly random arrangement."
        if COLUMNS[name].of in ("windows", "labels"):
            text += _DEALT
        return Measure(name=column, unit=COLUMNS[name].unit, definition=text)
    if ending == "corrected" and name in COLUMNS:
        text = f"{name}, adjusted such that a threshold on it bounds the false discovery rate over the good units of the layer."
        return Measure(name=column, unit="1", definition=text, doi="10.1111/j.2517-6161.1995.tb02031.x")
    raise AnalysisError(
        f"no column is called {column!r}.{suggestion(column, known)}", "", f"Columns are {', '.join(known)}."
    )


def handbook(width: int = 88) -> str:
    """Write all definitions in the order of the table, then those of a summary, a paragraph each, in lines of limited length.

    Examples
    --------
    >>> print(handbook(60).split("\\n\\n")[5])
    n_spikes
        Number of spikes over all stretches.
    """
    expected = [f"{name}_expected" for name, found in COLUMNS.items() if found.has_expected]
    corrected = [f"{name}_corrected" for name in COLUMNS if name.endswith("_p")]
    identity = [name for name in IDENTITY if name in COLUMNS]
    singly = [*identity, *(name for name in COLUMNS if name not in (*identity, "quality"))]
    counted = [name for name in expected if COLUMNS[name.removesuffix("_expected")].of in ("windows", "labels")]
    others = [name for name in expected if name not in counted]
    rules = [(others, define(others[0]), "its measure"), (counted, define(counted[0]), "its measure")]
    rules.append((corrected, define(corrected[0]), "The p value"))
    parts = [_paragraph(define(name), width) for name in singly]
    parts += [_rule(names, found, what, width) for names, found, what in rules]
    parts += [_paragraph(define("quality"), width), "Of a summary, over the units of a layer"]
    return "\n\n".join([*parts, *(_paragraph(measure, width) for measure in DISTRIBUTION.values())])


def _rule(names: list[str], measure: Measure, what: str, width: int) -> str:
    """Define columns that are made alike from others in one paragraph."""
    own = measure.name.rpartition("_")[0]
    alike = Measure(name=", ".join(names), unit="", definition=measure.definition.replace(own, what), doi=measure.doi)
    return _paragraph(alike, width)


def _paragraph(measure: Measure, width: int) -> str:
    unit = f" ({measure.unit})" if measure.unit not in ("", "1") else ""
    lines = textwrap.wrap(measure.name + unit, width)
    for text in (measure.definition, f"doi:{measure.doi}" if measure.doi else ""):
        lines += textwrap.wrap(
            text, width, initial_indent="    ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)
