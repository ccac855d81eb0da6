"""Change one line at a time and see whether a test notices: python tests/mutations.py SEED N [FILE ...]; prints the survivors.

A mutation swaps a comparison, an arithmetic or a logical operator, moves a number by one, or turns a condition round. It is made in a copy of the repository. Which
tests run the line that is changed is observed first, in one run of them all (`callers.py`); these run, the quickest first, until one fails. What survives is either
equivalent to the original (`EQUIVALENT` in mutants.py has the reason), or a promise that no test keeps.

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
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import types
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from callers import observe, tests_of
from mutants import EQUIVALENT, mutate, places
from numba.core.dispatcher import Dispatcher

ROOT = Path(__file__).parent.parent
STORE = (
    "tests/test_store*.py",
    "tests/test_capture_store*.py",
    "tests/test_capture_resume.py",
    "tests/test_capture_checksums.py",
    "tests/test_integrity.py",
    "tests/test_ownership.py",
    "tests/test_files.py",
    "tests/test_tables.py",
    "tests/test_formats_hostile.py",
    "tests/test_neoio.py",
    "ann2neo/store/*.py",
    "ann2neo/atomic.py",
    "ann2neo/capture/store/*.py",
)
CHANCE = (
    "tests/test_chance_*.py",
    "tests/test_analysis_segments.py",
    "tests/test_population_size.py",
    "ann2neo/chance/*.py",
    "ann2neo/exchange.py",
)
CAPTURE = ("tests/test_capture*.py", "ann2neo/capture/*.py", "ann2neo/verification/*.py")
# Which tests, examples of docstrings among them, may be about which files; the first ones are changed if none is named.
TESTS = {
    "ann2neo/chance": CHANCE,
    "ann2neo/windows.py": ("tests/test_windows*.py", "tests/test_recording.py", "ann2neo/windows.py", *CHANCE),
    "ann2neo/exchange.py": CHANCE,
    "ann2neo/store": (*STORE, "tests/test_capture_distributed.py"),
    "ann2neo/atomic.py": STORE,
    "ann2neo/capture/store": (*STORE, "tests/test_capture_distributed.py"),
    "ann2neo/capture": CAPTURE,
    "ann2neo/verification": CAPTURE,
}
ROOMS = tuple(TESTS)[:6]
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
# A mutant for which one test does not end, in that time and ten times its own, is noticed; one that many tests let pass survives.
PATIENCE_S, ENOUGH_S = 30.0, 30.0


class Collected:
    """Do something with all tests when they are collected, instead of running them."""

    def __init__(self, work):
        self.work = work

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        """Do it."""
        self.work({item.nodeid: item for item in session.items})
        return True


def first_failure(tests, change, seconds):
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
    n_passed = -1
    for patience in [PATIENCE_S, *(PATIENCE_S + 10 * seconds[item.nodeid] for item in tests)]:
        if not select.select([reading], [], [], patience)[0] or os.read(reading, 1) not in (b"c", b"."):
            break
        n_passed += 1
    os.close(reading)
    end(child)
    return tests[max(n_passed, 0)] if n_passed < len(tests) and tests else None


def end(child):
    """End a fork and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)


class Functions:
    """The functions of the package as they are imported, by file, and what they remember."""

    def __init__(self, root):
        every = gc.get_objects()
        compiled = {id(each.py_func) for each in every if issubclass(type(each), Dispatcher)}
        self.caches = [each for each in every if type(each) is functools._lru_cache_wrapper]
        self.of_file = defaultdict(list)
        # Of a compiled function nothing but the machine code would run.
        for each in (one for one in every if type(one) is types.FunctionType and id(one) not in compiled):
            if each.__code__.co_filename.startswith(root):
                self.of_file[each.__code__.co_filename].append(each)

    def exchanged(self, path, tree):
        """List the functions of a file whose code differs in a changed tree, with that code."""
        found = defaultdict(list)
        waiting = [compile(tree, path, "exec", dont_inherit=True)]
        while waiting:
            code = waiting.pop()
            found[code.co_qualname, code.co_firstlineno].append(code)
            waiting += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
        pairs = [(one, found[one.__code__.co_qualname, one.__code__.co_firstlineno]) for one in self.of_file[path]]
        return [(one, codes[0]) for one, codes in pairs if len(codes) == 1 and codes[0] != one.__code__]

    def exchange(self, pairs):
        """Give functions another code, and forget what was computed."""
        for cache in self.caches:
            cache.cache_clear()
        for function, code in pairs:
            function.__code__ = code


class Mutants:
    """Ask the tests that are collected about one mutant after another."""

    def __init__(self, copy, known, chosen):
        self.copy, self.known, self.chosen = copy, known, chosen
        self.right, self.survivors, self.alike = {}, [], []

    def ask(self, items):
        """Ask about all of them, and print what became of each."""
        self.functions = Functions(str(self.copy))
        gc.freeze()
        for number, (file, place) in self.chosen:
            source = (self.copy / file).read_text()
            tree, line, around, what = mutate(source, place)
            reason = EQUIVALENT.get((str(file), source.splitlines()[line - 1].strip(), what))
            tests = [items[name] for name in tests_of(self.known, str(file), line, around) if name in items]
            killer = None if reason else self.killer(file, tree, tests)
            said = "alike" if reason else "killed" if killer else "SURVIVES"
            if said == "SURVIVES":
                self.survivors.append(f"{file} line {line} ({around}, {len(tests)} tests): {what}")
            elif reason:
                self.alike.append(f"{file} line {line}: {what}: {reason}")
            print(number, said, file, f"line {line}: {what}", f"by {killer}" if killer else "", flush=True)

    def killer(self, file, tree, tests):
        """Name a test that fails with a change, and passes without it."""
        path, original, time = (
            str(self.copy / file),
            (self.copy / file).read_text(),
            os.stat(self.copy / file).st_mtime_ns,
        )
        pairs = self.functions.exchanged(path, tree)
        change = functools.partial(self.functions.exchange, pairs)
        tests = self.quick(tests)
        try:
            while tests:
                (self.copy / file).write_text(ast.unparse(tree))
                failed = self.failure(tests, change) if pairs else self.in_process(tests)
                (self.copy / file).write_text(original)
                os.utime(path, ns=(time, time))
                if failed is None:
                    return None
                if self.right.setdefault(failed.nodeid, self.failure([failed], lambda: None) is None):
                    return failed.nodeid
                tests = [item for item in tests if item is not failed]
            return None
        finally:
            (self.copy / file).write_text(original)
            os.utime(path, ns=(time, time))

    def failure(self, tests, change):
        """Run tests in a fork after a change, and return the first that fails."""
        return first_failure(tests, change, self.known["seconds"])

    def quick(self, tests):
        """Leave out what comes after many seconds of tests, the quickest first."""
        until = np.cumsum([self.known["seconds"][item.nodeid] for item in tests])
        return [item for item, end in zip(tests, until, strict=True) if end < ENOUGH_S]

    def in_process(self, tests):
        """Run tests in a process that imports what is on the disk, and return the first that fails."""
        names = [item.nodeid for item in tests]
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-rfE", "-p", "no:cacheprovider", *names]
        done = subprocess.run(command, cwd=self.copy, capture_output=True, text=True, check=False)
        if done.returncode in (0, 5):
            return None
        # Where nothing can be collected, every test fails.
        failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
        return next((item for item in tests if item.nodeid in failed), tests[0])


def sampled(seed, n, names):
    """Draw mutants from files and folders."""
    found = [each for name in names for each in sorted((ROOT / name).rglob("*.py")) or [ROOT / name]]
    files = dict.fromkeys(file.relative_to(ROOT) for file in found)
    every = [(file, i) for file in files for i in range(len(places(ast.parse((ROOT / file).read_text()))))]
    return list(enumerate(every[i] for i in np.random.default_rng(seed).permutation(len(every))[:n]))


def tests_about(files):
    """List the files of tests that may be about some files."""
    asked = [many for name, many in TESTS.items() if any(f"{file}/".startswith(f"{name}/") for file in files)]
    patterns = dict.fromkeys(pattern for many in asked for pattern in many)
    return list(dict.fromkeys(str(file.relative_to(ROOT)) for each in patterns for file in sorted(ROOT.glob(each))))


def main(chosen, asked, tests, known_file):
    """Observe the tests, ask them about the mutants that are asked for, and print what became of them."""
    for name in HEAVY:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(os.path.realpath(folder)) / "copy"
        # Compiled functions that are cached stay valid: times of files are copied.
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "*.pyc", ".hypothesis"))
        known_file = Path(known_file or f"{folder}/calls.json").absolute()
        os.chdir(copy)
        sys.path[:0] = [str(copy), str(copy / "tests")]
        os.environ["PYTHONPATH"] = str(copy)
        if not known_file.exists():
            observe(copy, known_file, tests)
        mutants = Mutants(copy, json.loads(known_file.read_text()), [chosen[i] for i in asked])
        pytest.main(["-q", "-s", "-p", "no:cacheprovider", *tests], plugins=[Collected(mutants.ask)])
        os.chdir("/")
    survivors, alike = mutants.survivors, mutants.alike
    print(
        f"{len(asked) - len(survivors) - len(alike)} of {len(asked)} killed, {len(alike)} are alike:",
        *alike,
        sep="\n",
    )
    print(f"{len(survivors)} survivors:", *survivors, sep="\n")


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("seed", type=int)
    given.add_argument("n", type=int)
    given.add_argument("files", nargs="*", default=ROOMS)
    given.add_argument(
        "--calls", help="where to keep which test runs what, and to read it from next time, for the same files"
    )
    given.add_argument("--part", type=int, nargs=2, default=(0, 1), help="number of this process, and of all of them")
    given.add_argument("--only", type=int, nargs="+", help="the numbers of these mutants, as they are printed")
    given.add_argument("--tests", nargs="+", help="files of tests that are asked, instead of all that may be about it")
    options = given.parse_args()
    drawn = sampled(options.seed, options.n, options.files)
    wanted = options.only or range(options.n)[options.part[0] :: options.part[1]]
    main(drawn, wanted, options.tests or tests_about({str(file) for _, (file, _) in drawn}), options.calls)
