"""Change one line at a time and see whether a test notices: python tests/mutations.py SEED N [FILE ...]; prints the survivors.

A mutation swaps a comparison, an arithmetic or a logical operator, moves a number by one, or turns a condition round. It is made in a copy of the repository, where
the tests of that file run until one fails. What survives is either equivalent to the original, or a promise that no test keeps.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
STORE = (
    "test_store.py",
    "test_integrity.py",
    "test_store_lock.py",
    "test_store_writer.py",
    "test_capture_store.py",
    "test_formats.py",
)
# Which tests are about which files, the quickest first.
TESTS = {
    "ann2neo/chance": ("test_chance_expectations.py", "test_chance_goodness.py", "test_chance_type_one_error.py"),
    "ann2neo/windows.py": (
        "test_windows.py",
        "test_promises.py",
        "test_population_size.py",
        "test_measures_engines.py",
    ),
    "ann2neo/store": STORE,
    "ann2neo/integrity.py": ("test_integrity.py",),
    "ann2neo/atomic.py": ("test_ownership.py", "test_formats_hostile.py"),
    "ann2neo/ownership.py": ("test_ownership.py",),
    "ann2neo/capture/store": ("test_capture_store.py", "test_capture_resume.py", "test_capture_store_refusals.py"),
}
SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
SECONDS = 900


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
    """Make one change, and say where and what."""
    tree = ast.parse(source)
    kind, node = places(tree)[number]
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
    return ast.unparse(tree), f"line {node.lineno}: {before}  ->  {after}"


def tests_of(file):
    return next(tests for folder, tests in TESTS.items() if file.is_relative_to(folder))


def is_killed(copy, file, mutant):
    """Whether a test fails with the change."""
    original = (copy / file).read_text()
    (copy / file).write_text(mutant)
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        for test in tests_of(file):
            command = [sys.executable, "-m", "pytest", "-q", "-x", f"tests/{test}"]
            try:
                done = subprocess.run(
                    command, cwd=copy, env=environment, capture_output=True, timeout=SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                return True
            if done.returncode not in (0, 5):
                return True
        return False
    finally:
        (copy / file).write_text(original)


def main(seed, n, names):
    rng = np.random.default_rng(seed)
    files = [
        file
        for name in names or TESTS
        for file in ([ROOT / name] if name.endswith("py") else sorted((ROOT / name).rglob("*.py")))
    ]
    every = [(file.relative_to(ROOT), i) for file in files for i in range(len(places(ast.parse(file.read_text()))))]
    chosen = [every[i] for i in rng.permutation(len(every))[:n]]
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__"))
        for number, (file, place) in enumerate(chosen):
            mutant, what = mutate((ROOT / file).read_text(), place)
            killed = is_killed(copy, file, mutant)
            survivors += [] if killed else [f"{file}, {what}"]
            print(number, "killed" if killed else "SURVIVES", file, what, flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} killed; survivors:", *survivors, sep="\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
