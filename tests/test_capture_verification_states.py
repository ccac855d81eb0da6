"""States that return to what they were by the end, and noise in few batches: what the first batch gives in several runs after the last one."""

import itertools
import random
import warnings
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from capture_sources import names
from verified_models import Net

import ann2neo
from ann2neo.capture.last_batch import DRAWS
from ann2neo.errors import Ann2NeoError, Ann2NeoWarning, ModelError
from ann2neo.probe.attributes import Attributes
from ann2neo.verification.verdict import ALL_IS_WELL

X = torch.randn(50, 5, generator=torch.Generator().manual_seed(5))
LATER = "run once more after the last, gave other values"


def record(model, **options):
    return ann2neo.record(model, ann2neo.Inputs(X, batch_size=5), progress=False, **options)


def seen_rows(model):
    rows = []
    model.register_forward_pre_hook(lambda _module, args: rows.append(len(args[0])))
    return rows


def periodic(period, phase):
    """Turn every batch of a certain number round."""

    def forward(self, x):
        self.n += 1
        return self.act(self.fc(x.flip(0) if self.n % period == phase else x))

    model = Net(forward)
    model.n = 0
    return model


@pytest.mark.parametrize(("period", "phase"), [(period, phase) for period in range(2, 9) for phase in range(period)])
def test_a_state_that_returns_is_seen_in_one_of_its_phases(period, phase):
    """Whichever it is in at the end; in the first batch three calls are seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ann2NeoWarning)
        with pytest.raises(Ann2NeoError, match=f"{LATER}|differs from run to run|row k is not"):
            record(periodic(period, phase))
    assert names(record(periodic(period, phase), verify=False)) == ["act"]


def test_a_state_in_which_nothing_changes_takes_one_run_more():
    """The potentials of the last batch are others than those of the first, but the first one leaves its own twice; a count takes all eight."""

    def reset(self, x):
        self.potential = torch.zeros(len(x), 8)
        for _ in range(3):
            self.potential = self.potential + self.fc(x)
        return self.act(self.potential)

    def counted(self, x):
        self.n += 1
        return self.act(self.fc(x))

    for forward, n_again in ((reset, 2), (counted, 8), (lambda self, x: self.act(self.fc(x)), 1)):
        model = Net(forward)
        model.n = 0
        rows = seen_rows(model)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert record(model).provenance["verified"] == ALL_IS_WELL
        # Twice more for what the first batch leaves in the model.
        assert sum(rows) == 50 + 5 + 2 + 5 * n_again + 10 * (n_again > 1)
        # What reruns count is put back.
        assert model.n == (10 if forward is counted else 0)


DRAWN = {"torch": lambda: float(torch.rand(())), "Python": random.random, "NumPy": lambda: np.random.rand()}  # noqa: NPY002


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("share", [0.01, 0.99])
def test_noise_in_few_batches_is_seen(kind, share):
    """In one of a hundred, or in which it is missing in one of a hundred; whatever the random states are."""

    def forward(self, x):
        h = self.fc(x)
        noisy = DRAWN[kind]() < 0.01 if share < 0.5 else DRAWN[kind]() > 0.99
        return self.act(h + noisy * torch.linspace(-3, 3, 8))

    model = Net(forward)
    for seed in range(3):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]  # noqa: NPY002
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Ann2NeoWarning)
            with pytest.raises(ModelError, match=f"{LATER}|differs from run to run"):
                record(model)
        after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]  # noqa: NPY002
        assert torch.equal(before[0], after[0])
        assert before[1] == after[1]
        assert (before[2] == after[2]).all()


def test_what_is_drawn_to_no_effect_stands_in_the_provenance():
    """Networks that draw which layers to skip skip none in eval mode: no warning, two runs more."""

    def forward(self, x):
        skipped = self.training and torch.rand(()) < 0.1
        drawn = torch.rand(())
        return self.act(self.fc(x)) * (1 if drawn >= 0 or skipped else 0)

    model = Net(forward)
    rows = seen_rows(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = record(model)
    assert recording.provenance["verified"] == DRAWS
    assert sum(rows) == 50 + 5 + 2 + 3 * 5


def test_noise_that_is_told_is_not_told_again():
    """Of layers before the noise nothing is said."""

    def forward(self, x):
        h = self.act(self.fc(x))
        return self.tanh(h + torch.randn(len(x), 8))

    with pytest.warns(Ann2NeoWarning, match="differs from run to run") as told:
        recording = record(Net(forward))
    assert len(told) == 1
    assert names(recording) == ["act"]
    assert recording.provenance["verified"] == ALL_IS_WELL


def test_passes_draw_by_their_seed():
    """Nothing is said of it."""
    model = Net(lambda self, x: self.act(self.drop(self.fc(x))), drop=torch.nn.Dropout(0.5))
    rows = seen_rows(model)
    assert record(model, passes=ann2neo.Passes(2)).provenance["verified"] == ALL_IS_WELL
    assert sum(rows) == 2 * 50 + 5 + 5 + 2 + 5


@pytest.mark.parametrize("value", [1, "a", torch.ones(3), np.ones(3), [1, torch.ones(2)], {"a": (1, 2)}, None], ids=str)
def test_equal_values_have_not_moved(value):
    """Bound anew they are the same; another number, or a tensor that was written to, is not."""
    model = Net(lambda self, x: x)
    model.value, model.written = value, torch.zeros(2)
    held = Attributes(model)
    model.value = (
        {"a": (1, 2)} if isinstance(value, dict) else value.copy() if isinstance(value, (np.ndarray, list)) else value
    )
    model.value = value.clone() if isinstance(value, torch.Tensor) else model.value
    model.written.zero_()
    assert not held.moved()
    model.written.add_(1)
    assert held.moved()
    model.written.zero_()
    for other in (2, "b", torch.zeros(3), np.zeros(3), [1], {"b": 1}, object(), torch.ones(3, dtype=torch.float64)):
        model.value = other
        assert held.moved()


def parent_and_child():
    parent = {"child": {}}
    parent["child"]["parent"] = parent
    return parent


def endless():
    found = []
    found.append(found)
    return found


@pytest.mark.parametrize("kind", ["list", "dictionary", "its own", "bound anew", "object", "chain"])
def test_attributes_that_hold_themselves_are_walked_once(kind):
    """Lists, dictionaries with a link to their parent, the attributes of the module itself, objects, and a chain of all batches."""

    def forward(self, x):
        self.n += 1
        if kind == "bound anew":
            self.held = endless()
        elif kind == "chain":
            for _ in range(400):
                self.held = (x, self.held)
        return self.act(self.fc(x))

    model = Net(forward)
    model.n, model.held = 0, None
    if kind == "object":
        model.held = Counter()
        model.held.inner = model.held
    elif kind != "chain":
        model.held = {"dictionary": parent_and_child, "its own": lambda: vars(model)}.get(kind, endless)()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert record(model).provenance["verified"] == ALL_IS_WELL
    assert model.n == 10


class Counter:
    """A state that is no module."""

    def __init__(self):
        self.n = 0
        self.inner = None

    def __next__(self):
        self.n += 1
        return self.n - 1


class Slotted:
    __slots__ = ("_box",)

    def __init__(self):
        self._box = [0]

    def __next__(self):
        self._box[0] += 1
        return self._box[0] - 1


def within():
    outer = Counter()
    outer.inner = {"a": deque([Slotted()])}
    return outer


STATES = {
    "object": (Counter, next),
    "slots": (Slotted, next),
    "within": (within, lambda held: next(held.inner["a"][0])),
    "namespace": (lambda: SimpleNamespace(n=0), lambda held: setattr(held, "n", held.n + 1) or held.n),
    "count": (itertools.count, next),
    "cycle": (lambda: itertools.cycle(range(4)), next),
    "deque": (lambda: deque(range(4)), lambda held: held.rotate() or held[0]),
    "Python": (lambda: random.Random(0), lambda held: 3 if held.random() < 0.3 else 0),
    "NumPy": (lambda: np.random.default_rng(0), lambda held: 3 if held.random() < 0.3 else 0),
    "of old": (lambda: np.random.RandomState(0), lambda held: 3 if held.rand() < 0.3 else 0),
    "torch": (torch.Generator, lambda held: 3 if torch.rand((), generator=held) < 0.3 else 0),
}


@pytest.mark.parametrize("kind", STATES)
def test_states_in_objects_generators_and_iterators_are_seen(kind):
    """A fourth of the batches is turned round; where the state is not used all is recorded, and what can be is put back."""
    make, number = STATES[kind]

    def forward(self, x):
        turn = number(self.held) % 4 == 3
        return self.act(self.fc(x.flip(0) if turn and self.used else x))

    model = Net(forward)
    model.used, model.held = True, make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ann2NeoWarning)
        with pytest.raises(Ann2NeoError, match=f"{LATER}|differs from run to run|row k is not"):
            record(model)
    model.used, model.held = False, make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert record(model).provenance["verified"] == ALL_IS_WELL
    if kind not in ("count", "cycle"):
        expected = make()
        for _ in range(10):
            number(expected)
        assert number(model.held) == number(expected)


def test_what_did_not_change_is_not_copied_again():
    """Of a million entries and many tensors one copy is made, however often the first batch is run."""
    model = Net(lambda self, x: x)
    model.held, model.tensors = {str(n): n for n in range(1000)}, [torch.zeros(2) for _ in range(10)]
    first = Attributes(model)
    model.n = 1
    model.tensors[3] += 1
    second = Attributes(model, first)
    assert first.moved()
    assert second._held[0][1] is first._held[0][1]
    same = [a[2] is b[2] for a, b in zip(first._contents, second._contents)]
    assert same.count(False) == 1
    first.put_back()
    assert not hasattr(model, "n")
    assert not any(one.any() for one in model.tensors)


def held_by(model):
    """Bind a bit of everything."""
    model.n, model.tensors = 0, [torch.zeros(2) for _ in range(3)]
    model.held = {"a": [torch.zeros(1), 1], "b": (torch.zeros(1), deque([1, 2]))}
    model.object, model.generator = SimpleNamespace(n=0, inner=SimpleNamespace(x=torch.zeros(1))), random.Random(0)


CHANGES = {
    "count": lambda model, rng: setattr(model, "n", rng.random()),
    "within": lambda model, rng: setattr(model.object, "n", rng.random()),
    "write": lambda model, rng: rng.choice(model.tensors).add_(rng.random()),
    "write deep": lambda model, rng: model.object.inner.x.add_(1),
    "append": lambda model, rng: model.tensors.append(torch.full((2,), rng.random())),
    "replace": lambda model, rng: model.held["a"].__setitem__(0, torch.full((1,), rng.random())),
    "number": lambda model, rng: model.held["a"].__setitem__(1, rng.random()),
    "rotate": lambda model, rng: model.held["b"][1].rotate(1),
    "bind": lambda model, rng: setattr(model, f"new{rng.random()}", [torch.zeros(1)]),
    "bind within": lambda model, rng: setattr(model.object, "inner", SimpleNamespace(x=torch.full((1,), rng.random()))),
    "draw": lambda model, rng: model.generator.random(),
    "nothing": lambda model, rng: None,
}


@pytest.mark.parametrize("last", CHANGES)
def test_what_is_seen_since_an_earlier_moment_is_what_is_seen_anew(last):
    """After any changes one notices the same, and puts the same back."""
    for seed in range(20):
        rng, model = random.Random(seed), Net(lambda self, x: x)
        held_by(model)
        later = Attributes(model)
        for _ in range(rng.randrange(4)):
            rng.choice(list(CHANGES.values()))(model, rng)
            later = Attributes(model, later)
        anew = Attributes(model)
        assert not later.moved()
        CHANGES[last](model, rng)
        assert later.moved() == anew.moved() == (last != "nothing")
        assert later.changed() == anew.changed() == (last != "nothing")
        later.put_back()
        assert not anew.moved()


def test_many_tensors_beside_a_count_are_looked_for_once():
    """What is kept of them is the very same, not to be found and copied in every run."""
    model = Net(lambda self, x: x)
    model.n, model.tensors = 0, [torch.zeros(2) for _ in range(1000)]
    first = Attributes(model)
    model.n += 1
    second = Attributes(model, first)
    assert all(a is b for a, b in zip(first._contents, second._contents))
    assert first.moved()
    assert not second.moved()
