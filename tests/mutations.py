"""Change one line at a time and see whether a test notices: python tests/mutations.py SEED N [FILE ...]; prints the survivors.

A mutation swaps a comparison, an arithmetic or a logical operator, moves a number by one, or turns a condition round. It is made in a copy of the repository. Which
tests call the function that was changed is observed first, in one run of them all; these run, the quickest first, until one fails. What survives is either equivalent
to the original (`EQUIVALENT` has the reason), or a promise that no test keeps.

Tests run in forks of a process that has imported torch, neo and Elephant, since importing them takes longer than most tests.
"""

import argparse
import ast
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

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
SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
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
# Tests that take longer are asked about nothing, and a mutant that does not end is noticed.
SLOWEST_S, PATIENCE_S = 20.0, 120.0
# What no test can tell from the original, with the reason; a key is a file and a change.
EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "ann2neo/chance/input_dispersion.py",
        "2 * many.sum(axis=1)  ->  2 // many.sum(axis=1)",
    ): "whichever of two counts is called a spike, the law is the same; the rarer one is faster",
    ("ann2neo/chance/label_rates.py", "2048  ->  2049"): "one draw more is as right",
}


def places(tree):
    """List what can be changed, in the order of the file."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
            found.append(("compare", node))
        elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
            found.append(("operator", node))
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            found.append(("number", node))
        elif isinstance(node, ast.If | ast.IfExp):
            found.append(("condition", node))
    return sorted(found, key=lambda each: (each[1].lineno, each[1].col_offset, each[0]))


def mutate(source, number):
    """Make one change, and say where, in which function and what."""
    tree = ast.parse(source)
    kind, node = places(tree)[number]
    line, around = node.lineno, function_at(tree, node.lineno)
    before = ast.unparse(node).splitlines()[0]
    if kind == "compare":
        node.ops[0] = SWAPS[type(node.ops[0])]()
    elif kind == "operator":
        node.op = SWAPS[type(node.op)]()
    elif kind == "number":
        node.value += 1
    else:
        node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
    after = ast.unparse(ast.fix_missing_locations(node)).splitlines()[0]
    return ast.unparse(tree), line, around, f"{before}  ->  {after}"


def function_at(tree, line):
    """Name the innermost function that holds a line."""
    holding = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.lineno <= line <= n.end_lineno]
    return max(holding, key=lambda each: each.lineno).name if holding else ""


class Observer:
    """Which test calls which function of the package, and how long each passing test takes."""

    def __init__(self, root, file):
        self.root, self.file, self.now, self.calls, self.seconds = f"{root}/ann2neo/", file, None, {}, {}

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
        """Keep the time of tests that pass."""
        if report.when == "call" and report.passed:
            self.seconds[report.nodeid] = report.duration
            calls = {name: sorted(found) for name, found in self.calls.items()}
            self.file.write_text(json.dumps({"calls": calls, "seconds": self.seconds}))


def in_fork(copy, work, patience_s):
    """Run something in a fork within the copy, all of whose processes are ended after a while; whether it ended well."""
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        sys.path.insert(0, str(copy / "tests"))
        os.environ["PYTHONPATH"] = f"{copy}"
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        try:
            os._exit(work())
        finally:
            os._exit(70)
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) in (0, 5)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def observe(copy, file, changed):
    """Run every test that may be asked about the files that are changed, and write which test calls what."""
    asked = [many for about, many in TESTS.items() if any(f"{name}/".startswith(f"{about}/") for name in changed)]
    patterns = dict.fromkeys(pattern for many in asked for pattern in many)
    tests = dict.fromkeys(file.name for pattern in patterns for file in sorted((ROOT / "tests").glob(pattern)))

    def work():
        observer = Observer(copy, file)
        pytest.main(["-q", "-p", "no:cacheprovider", *(f"tests/{name}" for name in tests)], plugins=[observer])
        return 0

    in_fork(copy, work, 7200)
    return json.loads(file.read_text())


def tests_of(known, name, around):
    """List the tests that call a function, or anything of its file where that is not seen (compiled code, module level), the quickest first."""
    found = known["calls"].get(f"{name}:{around}") or known["calls"].get(f"{name}:", [])
    seconds = known["seconds"]
    return sorted((t for t in found if seconds.get(t, np.inf) < SLOWEST_S), key=lambda each: seconds[each])


def is_killed(copy, file, mutant, tests):
    """Whether a test fails with the change."""
    original = (copy / file).read_text()
    (copy / file).write_text(mutant)
    try:
        # A few quick tests first: pytest collects in no time what it need not import.
        return not all(
            in_fork(copy, lambda part=part: int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *part])), PATIENCE_S)
            for part in (tests[:12], tests[12:60], tests[60:])
            if part
        )
    finally:
        (copy / file).write_text(original)


def main(seed, n, names, known_file):
    rng = np.random.default_rng(seed)
    files = [
        file
        for name in names or TESTS
        for file in ([ROOT / name] if name.endswith("py") else sorted((ROOT / name).rglob("*.py")))
    ]
    every = [(file.relative_to(ROOT), i) for file in files for i in range(len(places(ast.parse(file.read_text()))))]
    chosen = [every[i] for i in rng.permutation(len(every))[:n]]
    for name in HEAVY:
        importlib.import_module(name)
    survivors, alike = [], []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", ".hypothesis"))
        known_file = Path(known_file or f"{folder}/calls.json").absolute()
        known = (
            json.loads(known_file.read_text())
            if known_file.exists()
            else observe(copy, known_file, {str(file) for file, _ in chosen})
        )
        for number, (file, place) in enumerate(chosen):
            mutant, line, around, what = mutate((ROOT / file).read_text(), place)
            reason = EQUIVALENT.get((str(file), what))
            tests = tests_of(known, str(file), around)
            said = "alike" if reason else "killed" if is_killed(copy, file, mutant, tests) else "SURVIVES"
            if said == "SURVIVES":
                survivors.append(f"{file} line {line} ({around}, {len(tests)} tests): {what}")
            elif reason:
                alike.append(f"{file} line {line}: {what}: {reason}")
            print(number, said, file, f"line {line}:", what, flush=True)
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
    options = given.parse_args()
    main(options.seed, options.n, options.files, options.calls)
