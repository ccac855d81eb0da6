"""What is written down of how a recording was made is true, and every format keeps it."""

import hashlib
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from capture_sources import X, make, record
from threshold_sources import calibrated
from torch import nn

import ann2neo
from ann2neo.errors import ActivationError

SUFFIXES = (".zarr", ".nwb", ".nix", ".mat")


def linear(*, dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 3, dtype=dtype), nn.ReLU())


# Code


def git(folder, *command):
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *command],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with a commit, in which the process works."""
    folder = tmp_path / "thesis"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "notes.txt").write_text("one")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    monkeypatch.chdir(folder)
    return folder


def code_of(model):
    found = record(model, X).provenance
    return {key: value for key, value in found.items() if key.startswith("git")}


def test_a_commit_with_changes_is_marked(repository):
    """As `git describe --dirty` does: changed tracked files make the commit untrue, new ones do not; a later commit is clean again."""
    head = git(repository, "rev-parse", "HEAD")
    assert code_of(nn.ReLU()) == {"git_commit": head, "git_commit_of": "working directory"}
    (repository / "new.txt").write_text("new")
    assert code_of(nn.ReLU())["git_commit"] == head == git(repository, "describe", "--always", "--dirty", "--abbrev=40")
    (repository / "notes.txt").write_text("two")
    marked = f"{head}-dirty"
    assert code_of(nn.ReLU())["git_commit"] == marked
    assert git(repository, "describe", "--always", "--dirty", "--abbrev=40") == marked
    git(repository, "add", "notes.txt")
    assert code_of(nn.ReLU())["git_commit"] == marked, "what is staged is not committed"
    git(repository, "commit", "-qm", "two")
    assert code_of(nn.ReLU())["git_commit"] == git(repository, "rev-parse", "HEAD") != head


def test_the_code_of_a_part_comes_before_the_working_directory(repository, tmp_path, monkeypatch):
    """A Sequential of own modules has the commit of their file, wherever the process works; a file that git does not track is in no commit."""
    other = tmp_path / "nets"
    (other / "deep").mkdir(parents=True)
    (other / "deep/blocks_of_h6.py").write_text("from torch import nn\nclass Block(nn.ReLU): pass\n")
    monkeypatch.syspath_prepend(other / "deep")
    from blocks_of_h6 import Block

    here = git(repository, "rev-parse", "HEAD")
    assert code_of(nn.Sequential(Block()))["git_commit"] == here
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "empty")
    assert code_of(nn.Sequential(Block())) == {"git_commit": here, "git_commit_of": "working directory"}
    monkeypatch.chdir(other)
    empty = git(other, "rev-parse", "HEAD")
    assert code_of(nn.Sequential(Block())) == {"git_commit": f"{empty}-dirty", "git_commit_of": "working directory"}
    git(other, "add", ".")
    git(other, "commit", "-qm", "blocks")
    monkeypatch.chdir(repository)
    head = git(other, "rev-parse", "HEAD")
    assert code_of(nn.Sequential(Block())) == {"git_commit": head, "git_commit_of": "deep/blocks_of_h6.py"}


def test_outside_of_repositories_there_is_no_commit(tmp_path, monkeypatch):
    """Nor before the first commit."""
    monkeypatch.chdir(tmp_path)
    assert code_of(nn.ReLU()) == {}
    git(tmp_path, "init", "-q")
    assert code_of(nn.ReLU()) == {}


def test_the_repository_is_the_one_around_the_code(repository, tmp_path, monkeypatch):
    """Whatever a hook of git, which runs a script in another repository, has set."""
    head, other = git(repository, "rev-parse", "HEAD"), tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "empty")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    assert code_of(nn.ReLU())["git_commit"] == head


SCRIPT = """
import os, sys, subprocess, torch, ann2neo
def said():
    recording = ann2neo.record(torch.nn.Sequential(torch.nn.ReLU()), torch.ones(3, 2), progress=False)
    return [recording.provenance["git_commit"], recording.provenance["git_commit_of"]]
print(*said())
git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
for command in (["add", "."], ["commit", "-qm", "script"]):
    subprocess.run([*git, *command], check=True)
os.chdir(sys.argv[1])
print(*said())
"""


@pytest.mark.slow("a script is run twice by a process of its own")
def test_the_script_tells_where_a_sequential_was_built(repository, tmp_path):
    """A script that git tracks gives its commit, wherever the process works; one that is not tracked marks the commit."""
    (repository / "run.py").write_text(SCRIPT)
    head = git(repository, "rev-parse", "HEAD")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(repository / "run.py"), str(tmp_path)]
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"{head}-dirty working directory",
        f"{git(repository, 'rev-parse', 'HEAD')} run.py",
    ]


# Numbers


def test_each_type_of_activations_is_listed():
    """A model of several types names them all, in the order of its layers."""
    model = make(
        lambda self, x: self.late(self.early(x.half()).double()),
        early=nn.ReLU(),
        late=nn.Tanh(),
    )
    assert record(model).provenance["dtype"] == "float16, float64"
    assert record(linear()).provenance["dtype"] == "float32"


def within(dtype):
    def forward(self, x):
        with torch.autocast("cpu", dtype=dtype):
            x = self.early(x)
        return self.late(x.float())

    return make(forward, early=linear(), late=nn.Tanh())


def test_autocast_is_noticed_wherever_it_is_entered():
    """Around the call or within forward, with its type; and not where it is off."""
    plain = record(linear()).provenance
    assert plain["autocast"] is False
    assert "autocast_dtype" not in plain
    with torch.autocast("cpu", dtype=torch.bfloat16):
        around = record(linear()).provenance
    assert (around["autocast"], around["autocast_dtype"], around["dtype"]) == (True, "bfloat16", "bfloat16")
    for dtype in (torch.bfloat16, torch.float16):
        name = str(dtype).removeprefix("torch.")
        inside = record(within(dtype)).provenance
        assert (inside["autocast"], inside["autocast_dtype"]) == (True, name)
        assert inside["dtype"] == f"{name}, float32"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_number_of_threads_is_the_one_that_computed(n):
    """As many as torch was told, not one always."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n)
        assert record(linear()).provenance["torch_threads"] == n
    finally:
        torch.set_num_threads(before)


def test_software_and_device_are_named():
    """Python is software too; the device is that of the activations, also of a model without weights."""
    known = record(nn.ReLU()).provenance
    assert f"Python {platform.python_version()}" in known["software"].split(", ")
    assert f"torch {torch.__version__.split('+')[0]}" in known["software"].split("+")[0]
    assert known["device"] == "cpu"


def noisy():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 20), nn.Dropout(0.5), nn.ReLU())


@pytest.mark.parametrize("seed", [0, 7])
def test_passes_are_written_down(seed):
    """The seed from which the passes follow, what was stochastic, and neither of it where nothing was."""
    known = record(noisy(), passes=ann2neo.Passes(2, seed=seed)).provenance
    assert (known["seed"], known["passes_active"]) == (seed, "dropout")
    assert known["module_mode"] == "eval, some modules stochastic"
    assert record(noisy(), passes=ann2neo.Passes(2, ["1"])).provenance["passes_active"] == ["1"]
    plain = record(noisy()).provenance
    assert plain["module_mode"] == "eval"
    assert not {"seed", "passes_active"} & set(plain)


# Rules


def test_a_threshold_says_how_many_inputs_reached_its_layer():
    """Of 600 calibrating inputs 250 may reach a layer, in batches or within them: its threshold comes from these."""

    def forward(self, x):
        x = self.act(x)
        late = x[x[:, 0] > 0] if self.part else x
        return self.late(late) if len(late) and (self.part or x[0, 0] > 0) else x

    on = torch.rand(600, 6) - 2
    on[:250, 0] += 3
    rule = ann2neo.Quantile(0.9, on=ann2neo.Inputs(on, batch_size=50))
    text = "Quantile(q=0.9, per='unit') on 600 inputs"
    for part in (False, True):
        model = make(forward, act=nn.ReLU(), late=nn.Tanh())
        model.part = part
        known = record(model, torch.rand(10, 6) + 1, threshold=rule).provenance
        assert known["threshold_rule"] == f"{text}; layer 'late' was reached by 250 inputs"
        assert known["calibration_n_inputs"] == 600
    assert record(nn.ReLU(), X, threshold=rule).provenance["threshold_rule"] == text


def test_inputs_that_are_read_again_are_counted_once():
    """Several readings for little memory reach a layer with the same inputs; positions are no inputs."""

    def forward(self, x):
        x = self.act(x)
        return self.late(x) if x[0].sum() > 0 else x

    on = torch.randn(40, 3, 5, generator=torch.Generator().manual_seed(0))
    on[:10], on[10:] = on[:10].abs(), -on[10:].abs()
    rule = ann2neo.Quantile(0.5, on=ann2neo.Inputs(on, batch_size=10))
    for steps in (None, ann2neo.Steps(1), ann2neo.Steps("calls")):
        for max_bytes in (1 << 20, 600):
            model = make(forward, act=nn.Tanh(), late=nn.Sigmoid())
            found = calibrated(model, rule, inputs=on, steps=steps, max_bytes=max_bytes)
            assert found.provenance["threshold_rule"].endswith("on 40 inputs; layer 'late' was reached by 10 inputs")


def test_a_store_keeps_which_inputs_reached_a_layer(tmp_path):
    """It is not forgotten where the store is replaced by the same calibration, which is not run again."""

    def forward(self, x):
        x = self.act(x)
        return self.late(x) if x[0, 0] > 0 else x

    on = torch.cat([torch.ones(8, 6), -torch.ones(24, 6)])
    options = {"threshold": ann2neo.Quantile(0.5, on=ann2neo.Inputs(on, batch_size=8)), "overwrite": True}
    path, model = tmp_path / "a.zarr", make(forward, act=nn.ReLU(), late=nn.Tanh())
    for x in (torch.rand(40, 6) + 1, torch.rand(40, 6) + 2):
        known = ann2neo.export(model, x, path, progress=False, **options).provenance
        assert known["threshold_rule"].endswith("on 32 inputs; layer 'late' was reached by 8 inputs")


@pytest.mark.parametrize("form", ["list", "array", "truth values"])
def test_listed_units_are_known_by_their_hash(form):
    """Whoever has the list, or the recording, can check that it is the one that the rule names; other units in the same range are others."""
    places = np.sort(np.random.default_rng(0).permutation(40)[:15])
    truth = np.isin(np.arange(40), places)
    units = {"list": places.tolist(), "array": places.astype(np.int16), "truth values": truth}[form]
    recording = record(nn.ReLU(), torch.randn(5, 40), units=units)
    digest = hashlib.sha256(recording.layers[0].units.astype("<i8").tobytes()).hexdigest()[:12]
    rule = recording.provenance["units_rule"]
    assert rule.endswith(f"15 units from {places[0]} to {places[-1]}, sha256 {digest}")
    others = np.setdiff1d(np.arange(places[0], places[-1]), places)[:13]
    changed = record(
        nn.ReLU(), torch.randn(5, 40), units=[int(places[0]), *others.tolist(), int(places[-1])]
    ).provenance["units_rule"]
    assert changed.startswith(f"15 units from {places[0]} to {places[-1]}, sha256 ")
    assert not changed.endswith(digest)


@pytest.mark.parametrize("units", [np.zeros(12, bool), np.ones(13, bool), np.full(11, 0.5), np.array(["a"] * 11)])
def test_long_choices_that_are_none_are_refused(units):
    """They are told as what they are, whatever they are."""
    with pytest.raises(ActivationError, match="layer 'ReLU' has 12 units, but"):
        record(nn.ReLU(), torch.randn(3, 12), units=units)


# Files


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_fact_survives_every_format(suffix, tmp_path, repository):
    """Whatever is written down of a recording comes back from a file, in its type."""
    (repository / "notes.txt").write_text("changed")
    model = within(torch.bfloat16)
    model.drop = nn.Dropout()
    recording = record(
        model,
        ann2neo.Inputs(X, dataset="noise", dataset_split="test", batch_size=4),
        passes=ann2neo.Passes(2, ["drop"], seed=3),
        threshold={"late": ann2neo.Quantile(0.5, on=X), "*": 0.1},
        units={"late": np.arange(2), "*": None},
    )
    facts = {
        "git_commit",
        "git_commit_of",
        "autocast",
        "autocast_dtype",
        "dtype",
        "units_rule",
        "seed",
        "passes_active",
    }
    assert facts < set(recording.provenance)
    ann2neo.save(recording, tmp_path / f"a{suffix}")
    back = ann2neo.load(tmp_path / f"a{suffix}")
    assert dict(back.provenance) == dict(recording.provenance)
    assert all(type(back.provenance[key]) is type(value) for key, value in recording.provenance.items())
