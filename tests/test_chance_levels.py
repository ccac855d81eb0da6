"""The table of type-I errors in `help(ann2neo.chance)` is what its command prints."""

import pytest

from ann2neo import chance
from ann2neo.chance import levels

# One of each kind, and each number of windows; --slow simulates all.
SOME = [
    "3 windows of bins, p 0.2",
    "100 windows of bins, p 0.8",
    "2 windows of time",
    "passes, 2 labels",
    "unequal durations, 2 labels",
]


def written():
    """Rows of the table in the docstring, by name."""
    lines = chance.__doc__.splitlines()
    border = next(levels.table())
    first, last = lines.index(border), len(lines) - 1 - lines[::-1].index(border)
    return {line[: levels.WIDTHS[0]].rstrip(): line for line in lines[first + 3 : last]}


def test_the_table_covers_every_shape():
    """Two to a hundred windows, on bins and in time, passes, steps and ragged steps, segments as trials and unequal durations."""
    assert list(written()) == levels.shapes()
    kinds = {name.split(",")[0] for name in written()}
    assert {"passes", "steps", "ragged steps", "segments as trials", "unequal durations"} < kinds
    assert {f"{n} windows of bins" for n in (2, 3, 4, 5, 6, 10, 100)} < kinds


@pytest.mark.parametrize("shape", SOME)
def test_the_table_is_what_the_command_prints(shape, slow):
    """A row simulated anew has the same figures; with --slow all rows have."""
    for name in levels.shapes() if slow and shape == SOME[0] else [shape]:
        assert levels.row(name) == written()[name]


def test_no_written_level_is_exceeded():
    """No figure of the table is above its level beyond sampling error of 2,000 units."""
    for line in written().values():
        figures = line[levels.WIDTHS[0] :].split()
        for column, (figure, level) in enumerate(zip(figures, (5, 5, 1, 5, 5, 5))):
            if figure != "-":
                assert float(figure) < level + 4 * (level * (100 - level) / 2000) ** 0.5, (line, column)
