"""Every tutorial runs as it stands, in an empty folder."""

import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parent.parent / "tutorials").glob("[0-9]*.py"))


@pytest.mark.parametrize("script", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial_runs(script, tmp_path):
    """A script that stops is worse than none."""
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert any(tmp_path.iterdir()), "it wrote nothing"


def test_the_first_tutorial_draws_a_raster_in_ten_lines():
    """The promise of the README: ten lines of code from a model to a raster."""
    code = [
        line
        for line in TUTORIALS[0].read_text().split("# That was it.")[0].splitlines()
        if line and not line.startswith('"""')
    ]
    assert len(code) <= 10
    assert "raster" in code[-1]
