"""The registry owns what is known of a measure: an entry is complete, and no other file lists measures."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_chance_expectations import EXPECTED as ENUMERATED

import ann2neo
from ann2neo import chance, summarize, surrogates
from ann2neo.analysis.columns import COLUMNS, define, handbook
from ann2neo.chance.expectations import ARGUMENTS
from ann2neo.comparison.comparability import reason_against
from ann2neo.comparison.verdicts import WORDS
from ann2neo.figures.canvas import NAMES
from ann2neo.measures.bulk import kernels
from ann2neo.measures.indicators import DISTRIBUTION, INDICATORS, PAPER, PERMUTED, measure_of
from ann2neo.measures.registry import MEASURES

ROOT = Path(__file__).parent.parent
OF_INTERVALS = [entry for entry in MEASURES.values() if entry.of == "intervals"]
# Where measures are computed, and not listed.
OWNERS = {"measures/reference.py", "measures/bulk/measures.py"}


@pytest.mark.parametrize("entry", MEASURES.values(), ids=lambda entry: entry.name)
def test_an_entry_is_complete(entry):
    """A measure has a definition, a source, words, functions that exist, and facts that make it comparable."""
    assert entry.definition.endswith(".")
    assert entry.doi or entry.name in ("n_spikes", "p_spike", "n_conditions", "n_trials_min")
    assert entry.words or entry.needs == "repeats"
    if entry.elephant:
        module, _, name = entry.elephant.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
    if entry.summarised or entry.permuted or entry.over_expected:
        assert entry.alike, "two networks are compared by it: what must agree?"
    assert entry.has_expected or not entry.over_expected
    assert all(function is None or callable(function) for function in (entry.chance_on_bins, entry.chance_in_time))
    assert entry.plural or "var" not in entry.summarised


@pytest.mark.parametrize("entry", OF_INTERVALS, ids=lambda entry: entry.name)
def test_a_measure_of_intervals_has_its_twin_and_its_chance(entry):
    """It has a column of the kernels of its own, and expectations on bins and in time that ask for what there is."""
    assert 0 <= getattr(kernels, entry.kernel) < kernels.N_COLUMNS
    assert len({getattr(kernels, other.kernel) for other in OF_INTERVALS}) == len(OF_INTERVALS)
    for function, prefix in ((entry.chance_on_bins, "expected"), (entry.chance_in_time, "poisson_expected")):
        assert function is getattr(chance, f"{prefix}_{entry.name}")
        assert set(inspect.signature(function).parameters) <= set(ARGUMENTS)
    assert entry.name in ENUMERATED, "tests/test_chance_expectations.py enumerates arrangements for every measure"


def test_nothing_is_computed_that_no_entry_owns():
    """Every column of the kernels, and every expectation of intervals, belongs to an entry: it cannot be forgotten."""
    owned = {getattr(kernels, entry.kernel) for entry in MEASURES.values() if entry.kernel}
    assert owned | {kernels.N_EMPTY} == set(range(kernels.N_COLUMNS))
    of_intervals = {f"poisson_expected_{entry.name}" for entry in OF_INTERVALS}
    assert {name for name in chance.__all__ if name.startswith("poisson_expected_")} == of_intervals


def recording_and_table(seed=0):
    """Units of several rates, and their table."""
    rng = np.random.default_rng(seed)
    recording = ann2neo.from_array(rng.random((400, 30)) < rng.random(30), labels=rng.integers(0, 4, 400))
    return recording, ann2neo.analyze(recording, refractoriness=2, tests=True, progress=False)


def test_every_room_reads_the_registry():
    """Table, handbook, summary, surrogates, comparison and figures have what the entries say, and in their order."""
    recording, table = recording_and_table()
    there = [name for name, entry in MEASURES.items() if entry.needs != "repeats"]
    assert [name for name in table if name in MEASURES] == there
    assert {f"{name}_expected" for name in there if MEASURES[name].has_expected} <= set(table)
    assert [name for name in COLUMNS if name in MEASURES] == list(MEASURES)
    assert all(re.search(rf"^{name}\b", handbook(), re.MULTILINE) for name in MEASURES)
    summary = summarize(table)
    assert [name for name in summary if name in INDICATORS] == list(INDICATORS)
    assert {f"{name}_over_expected_mean" for name, entry in MEASURES.items() if entry.over_expected} == {
        name for name in summary if "_over_expected_" in name
    }
    bands = surrogates.jackknife(recording, windows=20, n_groups=4, progress=False)
    assert bands["indicator"].drop_duplicates().tolist() == list(PERMUTED)
    compared = ann2neo.compare({"a": [table], "b": [recording_and_table(1)[1]]}, indicators=list(INDICATORS))
    assert set(compared["indicator"]) == set(INDICATORS)
    assert set(INDICATORS) <= set(WORDS)
    assert set(INDICATORS) <= set(NAMES)
    panels = ann2neo.figures.beside_chance({"mine": table}).axes
    assert [ax.get_xlabel() for ax in panels] == [entry.words for entry in MEASURES.values() if "chance" in entry.shown]


def test_columns_of_the_distribution_are_defined():
    """Each column of a summary about the distribution of p_spike has a definition, in the handbook too, and no other has."""
    summary = summarize(recording_and_table()[1])
    ours = [name for name in summary if re.match(r"p_spike_(q\d|rare|gini)", name)]
    assert set(ours) == set(DISTRIBUTION)
    for name in ours:
        assert define(name).definition.endswith(".")
        assert re.search(rf"^{name}$", handbook(), re.MULTILINE)
    assert all(define(name).doi for name in ours if not name.endswith("_expected"))


def test_conditions_of_a_comparison_are_those_of_the_entry():
    """An indicator is not comparable where tables differ in a fact that its measure names, and is where they agree."""
    bins = {"n_bins": 10, "reference": "Bernoulli"}
    for name, indicator in INDICATORS.items():
        for fact in indicator.measure.alike:
            tables = [pd.DataFrame(), pd.DataFrame()]
            tables[0].attrs, tables[1].attrs = {**bins, fact: 3}, {**bins, fact: 4}
            if fact in ("clock", "bins"):
                tables[1].attrs = {"reference": "Poisson"}
            if fact == "place":
                tables[0].attrs, tables[1].attrs = ({**bins, "windows": "5 bins", "order": one} for one in "ab")
            assert reason_against(name, "all", {"a": tables[:1], "b": tables[1:]}), (name, fact)
            assert not reason_against(name, "all", {"a": tables[:1], "b": tables[:1]})


def test_the_four_indicators_of_the_paper():
    """They are mean and variance of rates and of Fano factors (doi:10.1016/j.neucom.2024.128473)."""
    assert PAPER == ("firing_rate_mean", "firing_rate_var", "fano_mean", "fano_var")


def texts_of(node):
    """The texts that a collection holds itself or in rows of texts; a row that calls something is no list."""
    for part in node.keys if isinstance(node, ast.Dict) else node.elts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
        elif isinstance(part, ast.Tuple | ast.List) and all(isinstance(one, ast.Constant) for one in part.elts):
            yield from (one.value for one in part.elts if isinstance(one.value, str))


def base_of(text):
    """The measure of which a text names a column or an indicator; what is derived from one counts as this one."""
    entry = measure_of(text)
    return entry and next(name for name in MEASURES if f"{entry.name}_".startswith(f"{name}_"))


def lists_of_measures(tree):
    """Collections written by hand that name two measures or more, and their lines; ``__all__`` names functions."""
    named = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict) and id(node) not in named:
            found = {base_of(text) for text in texts_of(node)} - {None}
            if len(found) > 1:
                yield node.lineno, sorted(found)


def test_no_list_of_measures_is_written_by_hand():
    """Whoever adds a measure writes its entry, and finds no list that would forget it."""
    found = {}
    for path in sorted((ROOT / "ann2neo").rglob("*.py")):
        where = path.relative_to(ROOT / "ann2neo").as_posix()
        for line, names in lists_of_measures(ast.parse(path.read_text())):
            if where not in OWNERS:
                found[f"{where}:{line}"] = names
    assert found == {}
