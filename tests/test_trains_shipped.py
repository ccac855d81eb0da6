"""What neo and Elephant test of their own lists of spike trains holds for lazy ones: their shipped tests, run with lazy lists."""

import functools
import importlib
import inspect
import types
import unittest
import warnings
from copy import deepcopy

import neo
import numpy as np
import pytest
import quantities as pq
from neo.core.spiketrainlist import SpikeTrainList
from neo.test.coretest import test_spiketrainlist as neos_tests
from neo.test.tools import assert_neo_object_is_compliant, assert_same_sub_schema
from strategies import small_recording

import ann2neo
from ann2neo.trains.lazy import LazySpikeTrainList
from ann2neo.trains.unit_trains import UnitTrains

pytestmark = pytest.mark.filterwarnings("ignore")
# All tests, or those classes that give lists to functions and take little time.
ELEPHANTS = {
    "conversion": None,
    "spike_train_synchrony": None,
    "trials": None,
    "statistics": ("FanoFactorTestCase", "TimeHistogramTestCase", "ComplexityTestCase"),
}


class Given(UnitTrains):
    """One train, in the place of the trains of a layer."""

    def __init__(self, train):
        self._train, self.segment = train, train.segment

    def __len__(self):
        return 1

    def __deepcopy__(self, memo):
        return Given(deepcopy(self._train, memo))

    def train(self, unit):
        return self._train

    def made(self):
        return [self._train]


def lazy(trains):
    return LazySpikeTrainList([(Given(train), range(1)) for train in trains])


def ordinary(trains):
    return SpikeTrainList(items=list(trains))


class Swap:
    """Put one kind of list in the place of every list of trains, and of every Segment's, and count them."""

    def __init__(self, make):
        self.make, self.count = make, 0

    def __call__(self, value):
        if isinstance(value, neo.Block):
            for segment in value.segments:
                if len(segment.spiketrains):
                    segment.spiketrains = self(list(segment.spiketrains))
            return value
        if isinstance(value, (list, tuple)) and len(value) and all(type(train) is neo.SpikeTrain for train in value):
            self.count += 1
            return self.make(value)
        return value

    def around(self, function):
        @functools.wraps(function)
        def swapped(*args, **named):
            return function(*map(self, args), **{name: self(value) for name, value in named.items()})

        return swapped


def of_elephant(name, swap, monkeypatch):
    """Run Elephant's tests of a module with the lists swapped at the border of its functions and classes; name those that fail."""
    with warnings.catch_warnings():
        module, tests = (importlib.import_module(f"elephant.{place}{name}") for place in ("", "test.test_"))
    with monkeypatch.context() as patched:
        for place in (module, tests):
            for attribute, found in list(vars(place).items()):
                if isinstance(found, types.FunctionType) and found.__module__ == module.__name__:
                    patched.setattr(place, attribute, swap.around(found))
        for found in vars(module).values():
            if inspect.isclass(found) and found.__module__ == module.__name__ and "__init__" in vars(found):
                patched.setattr(found, "__init__", swap.around(found.__init__))
        cases = [getattr(tests, case) for case in ELEPHANTS[name]] if ELEPHANTS[name] else None
        return run(tests, cases)


def run(module, cases=None):
    load, result = unittest.defaultTestLoader, unittest.TestResult()
    suite = load.loadTestsFromModule(module) if cases is None else unittest.TestSuite()
    suite.addTests(load.loadTestsFromTestCase(case) for case in cases or ())
    suite.run(result)
    assert result.testsRun > 0
    return {test.id() for test, _ in result.failures + result.errors}, result.testsRun


@pytest.mark.parametrize("name", ELEPHANTS)
def test_elephant_takes_lazy_lists_where_it_takes_neos(name, monkeypatch):
    """Of Elephant's shipped tests those and only those fail with lazy lists that fail with neo's own SpikeTrainList (Elephant asks for a `list` here and there)."""
    swaps = Swap(lazy), Swap(ordinary)
    ours, neos = (of_elephant(name, swap, monkeypatch) for swap in swaps)
    assert ours == neos
    assert swaps[0].count == swaps[1].count > 0
    assert len(ours[0]) < ours[1]


def test_neos_own_tests_of_the_list_pass():
    """All that neo tests of a SpikeTrainList holds for a lazy one, but for the words of its `str` and what is inside the one that is made of an array."""
    with_own_lists = neos_tests.TestSpikeTrainList

    class WithLazyLists(with_own_lists):
        def setUp(self):
            super().setUp()
            for name in ("stl_from_array", "stl_from_obj_list", "stl_from_obj_list_incl_proxy"):
                setattr(self, name, lazy(list(getattr(self, name))))

    failed, n_tests = run(neos_tests, [WithLazyLists])
    about_other_lists = {"test_str", "test_create_from_spiketrain_array", "test_multiplexed"}
    assert {name.rsplit(".", 1)[1] for name in failed} == about_other_lists
    assert n_tests > 10


def test_neo_finds_a_lazy_block_compliant_and_equal():
    """neo's checks of its schema find nothing, and nothing but the kind of list differs from a Block of ordinary lists."""
    recording = small_recording(4, 12)
    block, plain = ann2neo.to_block(recording), ann2neo.to_block(recording)
    for holder in (*plain.segments, *plain.groups):
        holder.spiketrains = ordinary(holder.spiketrains)
    assert_neo_object_is_compliant(block)
    assert_same_sub_schema(block, plain, equal_almost=False)
    assert all(segment.spiketrains.lazy for segment in block.segments)


def test_gpfa_is_the_same_on_lazy_lists():
    """Elephant's GPFA of trials by label has the trajectories of plain lists of plain trains."""
    with warnings.catch_warnings():
        from elephant.gpfa import GPFA
    rng = np.random.default_rng(0)
    recording = ann2neo.from_array(rng.random((200, 6)) < 0.4, labels=np.arange(200) % 4)
    segments = ann2neo.to_block(recording, segment_by="label").segments
    plain = [[train.copy() for train in segment.spiketrains] for segment in segments]
    found, expected = (
        GPFA(bin_size=2 * pq.ms, x_dim=2, em_max_iters=3).fit_transform(trials)
        for trials in ([segment.spiketrains for segment in segments], plain)
    )
    assert np.array_equal(np.stack(list(found)), np.stack(list(expected)))
