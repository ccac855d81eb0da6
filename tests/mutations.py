"""Change one line at a time and see whether a test notices: python tests/mutations.py SEED N [FILE ...]; prints the survivors.

A mutation swaps a comparison, an arithmetic or a logical operator, moves a number by one, or turns a condition round. It is made in a copy of the repository. Which
tests call the function that was changed is observed first, in one run of them all; these run, the quickest first, until one fails. What survives is either equivalent
to the original (`EQUIVALENT` in mutants.py has the reason), or a promise that no test keeps.

Tests are collected once, and run in forks, in which the function has the code of the mutant: importing and collecting take longer than most tests. What no function
holds (constants, defaults, compiled functions) is tested in a process of its own.
"""

import argparse
import ast
import functools
import gc
import importlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import types
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from mutants import EQUIVALENT, mutate, places

ROOT = Path(__file__).parent.parent
STORE = (
    "test_store.py",
    "test_store_lock.py",
    "test_capture_store.py",
    "test_integrity.py",
    "test_ownership.py",
    "test_capture_resume.py",
    "test_capture_store_*.py",
    "test_store_writer.py",
    "test_tables.py",
    "test_formats_hostile.py",
)
CHANCE = (
    "test_chance_inputs.py",
    "test_chance_expectations.py",
    "test_chance_goodness.py",
    "test_chance_dispersion.py",
    "test_analysis_segments.py",
    "test_population_size.py",
)
# Which tests may be about which files.
TESTS = {
    "ann2neo/chance": CHANCE,
    "ann2neo/windows.py": ("test_windows*.py", "test_recording.py", *CHANCE),
    "ann2neo/exchange.py": CHANCE,
    "ann2neo/store": STORE,
    "ann2neo/store/schedule.py": ("test_capture_distributed.py",),
    "ann2neo/atomic.py": STORE,
    "ann2neo/capture/store": STORE,
}
HEAVY = (
    "torch",
    "neo",
    "elephant.statistics",
    "pandas",
    "numba",
    "scipy.stats",
    "h5py",
    "pynwb",
    "hypothesis",
    "jaxtyping",
    "beartype",
    "psutil",
    "zarr",
)
# Tests that take longer are asked about nothing, a mutant for which one test does not end is noticed, and one that many tests let pass survives.
SLOWEST_S, PATIENCE_S, ENOUGH_S = 20.0, 120.0, 90.0


class Observer:
    """Which test calls which function of the package, and how long each passing test takes."""

    def __init__(self, root, file):
        self.root, self.file, self.now, self.calls, self.seconds = f"{root}/ann2neo/", file, None, {}, {}
        self.prepared = "", 0.0

    def called(self, frame, event, argument):
        """Note a call, for `sys.setprofile`."""
        code = frame.f_code
        if event == "call" and self.now and code.co_filename.startswith(self.root):
            name = f"ann2neo/{code.co_filename.removeprefix(self.root)}"
            self.calls.setdefault(f"{name}:{code.co_name}", set()).add(self.now)
            self.calls.setdefault(f"{name}:", set()).add(self.now)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        """Observe one test with its fixtures."""
        self.now = item.nodeid
        threading.setprofile(self.called)
        sys.setprofile(self.called)
        yield
        sys.setprofile(None)
        threading.setprofile(None)
        self.now = None

    def pytest_runtest_logreport(self, report):
        """Keep the time of tests that pass, with what is prepared for them or for other cases of the same test: each fork prepares it again."""
        function = report.nodeid.split("[")[0]
        if report.when == "setup":
            before = self.prepared[1] if self.prepared[0] == function else 0.0
            self.prepared = function, max(report.duration, before)
        if report.when == "call" and report.passed:
            self.seconds[report.nodeid] = report.duration + self.prepared[1]
            calls = {name: sorted(found) for name, found in self.calls.items()}
            self.file.write_text(json.dumps({"calls": calls, "seconds": self.seconds}))


class Collected:
    """Do something with all tests when they are collected, instead of running them."""

    def __init__(self, work):
        self.work = work

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        """Do it."""
        self.work({item.nodeid: item for item in session.items})
        return True


def first_failure(tests, change):
    """Run tests one after another in a fork after a change, and return the first that fails or does not end; None if all pass."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setsid()
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            change()
            os.write(writing, b"c")
            for item, following in zip(tests, [*tests[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                os.write(writing, b"f" if item.session.testsfailed else b".")
                if item.session.testsfailed:
                    break
        finally:
            os._exit(0)
    os.close(writing)
    # Only the time of one test tells whether it ends: how long all take depends on what else this computer does.
    said = b""
    while len(said) <= len(tests) and select.select([reading], [], [], PATIENCE_S)[0]:
        said += (now := os.read(reading, 1))
        if now not in (b"c", b"."):
            break
    n_passed = said.count(b".")
    os.close(reading)
    end(child)
    return tests[n_passed] if n_passed < len(tests) else None


def end(child):
    """End a fork and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)


def exchange(path, tree):
    """Give the functions of a file the code that they have in a changed tree; whether any differs."""
    found = {}
    waiting = [compile(tree, path, "exec", dont_inherit=True)]
    while waiting:
        code = waiting.pop()
        found.setdefault((code.co_qualname, code.co_firstlineno), code)
        waiting += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
    differ = False
    for function in gc.get_objects():
        if isinstance(function, functools._lru_cache_wrapper):
            function.cache_clear()
        if not isinstance(function, types.FunctionType) or function.__code__.co_filename != path:
            continue
        code = found.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
        if code is not None and code != function.__code__:
            function.__code__ = code
            differ = True
    return differ


def observe(copy, file, names):
    """Run every test in a fork, and write which test calls what."""
    child = os.fork()
    if not child:
        try:
            pytest.main(["-q", "-p", "no:cacheprovider", *names], plugins=[Observer(copy, file)])
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def tests_of(known, name, around):
    """List the tests that call a function, or anything of its file where that is not seen (compiled code, module level), the quickest first."""
    found = known["calls"].get(f"{name}:{around}") or known["calls"].get(f"{name}:", [])
    seconds = known["seconds"]
    return sorted((t for t in found if seconds.get(t, np.inf) < SLOWEST_S), key=lambda each: seconds[each])


class Mutants:
    """Ask the tests that are collected about one mutant after another."""

    def __init__(self, copy, known, chosen):
        self.copy, self.known, self.chosen = copy, known, chosen
        self.right, self.survivors, self.alike = {}, [], []

    def ask(self, items):
        """Ask about all of them, and print what became of each."""
        for number, (file, place) in self.chosen:
            source = (self.copy / file).read_text()
            tree, line, around, what = mutate(source, place)
            reason = EQUIVALENT.get((str(file), source.splitlines()[line - 1].strip(), what))
            tests = [items[name] for name in tests_of(self.known, str(file), around) if name in items]
            killer = None if reason else self.killer(file, tree, tests)
            said = "alike" if reason else "killed" if killer else "SURVIVES"
            if said == "SURVIVES":
                self.survivors.append(f"{file} line {line} ({around}, {len(tests)} tests): {what}")
            elif reason:
                self.alike.append(f"{file} line {line}: {what}: {reason}")
            print(number, said, file, f"line {line}: {what}", f"by {killer}" if killer else "", flush=True)

    def killer(self, file, tree, tests):
        """Name a test that fails with a change, and passes without it."""
        path, original = str(self.copy / file), (self.copy / file).read_text()
        (self.copy / file).write_text(ast.unparse(tree))
        try:
            reading, writing = os.pipe()
            first_failure(tests[:0], lambda: os.write(writing, b"1" if exchange(path, tree) else b"0"))
            in_functions = os.read(reading, 1) == b"1"
            os.close(reading)
            os.close(writing)
            tests = self.quick(tests)
            if not in_functions:
                return self.in_process(tests)
            while (failed := first_failure(tests, lambda: exchange(path, tree))) is not None:
                (self.copy / file).write_text(original)
                if self.right.setdefault(failed.nodeid, first_failure([failed], lambda: None) is None):
                    return failed.nodeid
                (self.copy / file).write_text(ast.unparse(tree))
                tests = [item for item in tests if item is not failed]
            return None
        finally:
            (self.copy / file).write_text(original)

    def quick(self, tests):
        """Leave out what comes after many seconds of tests, the quickest first."""
        until = np.cumsum([self.known["seconds"][item.nodeid] for item in tests])
        return [item for item, end in zip(tests, until, strict=True) if end < ENOUGH_S]

    def in_process(self, tests):
        """Run tests in a process that imports what is on the disk."""
        names = [item.nodeid for item in tests]
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *names]
        done = subprocess.run(command, cwd=self.copy, capture_output=True, text=True, check=False)
        return "a process of its own" if names and done.returncode not in (0, 5) else None


def main(seed, n, names, known_file, part):
    rng = np.random.default_rng(seed)
    files = [
        file
        for name in names or TESTS
        for file in ([ROOT / name] if name.endswith("py") else sorted((ROOT / name).rglob("*.py")))
    ]
    every = [(file.relative_to(ROOT), i) for file in files for i in range(len(places(ast.parse(file.read_text()))))]
    chosen = list(enumerate(every[i] for i in rng.permutation(len(every))[:n]))[part[0] :: part[1]]
    about = {str(file) for _, (file, _) in chosen}
    asked = [many for name, many in TESTS.items() if any(f"{file}/".startswith(f"{name}/") for file in about)]
    patterns = dict.fromkeys(pattern for many in asked for pattern in many)
    tests = list(dict.fromkeys(f"tests/{file.name}" for p in patterns for file in sorted((ROOT / "tests").glob(p))))
    for name in HEAVY:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(os.path.realpath(folder)) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", ".hypothesis"))
        known_file = Path(known_file or f"{folder}/calls.json").absolute()
        os.chdir(copy)
        sys.path[:0] = [str(copy), str(copy / "tests")]
        os.environ["PYTHONPATH"] = str(copy)
        if not known_file.exists():
            observe(copy, known_file, tests)
        mutants = Mutants(copy, json.loads(known_file.read_text()), chosen)
        pytest.main(["-q", "-s", "-p", "no:cacheprovider", *tests], plugins=[Collected(mutants.ask)])
        os.chdir("/")
    survivors, alike = mutants.survivors, mutants.alike
    print(
        f"{len(chosen) - len(survivors) - len(alike)} of {len(chosen)} killed, {len(alike)} are alike:",
        *alike,
        sep="\n",
    )
    print(f"{len(survivors)} survivors:", *survivors, sep="\n")


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("seed", type=int)
    given.add_argument("n", type=int)
    given.add_argument("files", nargs="*")
    given.add_argument(
        "--calls", help="where to keep which test calls what, and to read it from next time, for the same files"
    )
    given.add_argument("--part", type=int, nargs=2, default=(0, 1), help="number of this process, and of all of them")
    options = given.parse_args()
    main(options.seed, options.n, options.files, options.calls, options.part)
