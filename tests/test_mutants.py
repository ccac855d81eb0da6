"""Mutants are what they are said to be: those that count as equivalent still exist, and each is one change of one line."""

import ast
from pathlib import Path

import pytest
from mutants import EQUIVALENT, mutate, places

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("file", sorted({file for file, _, _ in EQUIVALENT}))
def test_what_counts_as_equivalent_can_still_be_changed(file):
    """A reason is given for a line that stands in the file, and for a change that `mutations.py` makes there."""
    source = (ROOT / file).read_text(encoding="utf-8")
    entries = {(line, what) for name, line, what in EQUIVALENT if name == file}
    lines, asked = [line.strip() for line in source.splitlines()], {line for line, _ in entries}
    numbers = [i for i, (_, node) in enumerate(places(ast.parse(source))) if lines[node.lineno - 1] in asked]
    made = [mutate(source, number) for number in numbers]
    assert entries <= {(lines[line - 1], what) for _, line, _, what in made}


def test_a_mutant_differs_by_one_operation():
    """Lines, functions and changes of a file that can be read by eye."""
    source = "def larger(a, b):\n    return a + 1 if a > b else b\n"
    made = [mutate(source, number) for number in range(len(places(ast.parse(source))))]
    assert [what for _, _, _, what in made] == [
        "a + 1 if a > b else b  ->  a + 1 if not a > b else b",
        "a + 1  ->  a - 1",
        "1  ->  2",
        "a > b  ->  a >= b",
    ]
    assert {(line, around) for _, line, around, _ in made} == {(2, "larger")}
    assert len({ast.unparse(tree) for tree, *_ in made} | {ast.unparse(ast.parse(source))}) == 5
