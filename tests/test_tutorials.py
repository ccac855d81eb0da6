"""Every tutorial runs as it stands, in an empty folder."""

import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parent.parent / "tutorials").glob("[0-9]*.py"))


@pytest.mark.slow("the site's build runs every tutorial")
@pytest.mark.parametrize("script", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial_runs(script, tmp_path):
    """A script that stops is worse than none."""
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert any(tmp_path.iterdir()), "it wrote nothing"


def test_the_first_tutorial_draws_a_raster_in_ten_lines():
    """The promise of the README: ten lines of code from a model to a raster."""
    code = [
        line for line in TUTORIALS[0].read_text().split("# %%")[0].splitlines() if line and not line.startswith('"""')
    ]
    assert len(code) <= 10
    assert "raster" in code[-1]


@pytest.mark.parametrize("script", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_has_cells_and_shows_a_picture(script):
    """Editors and the site open it cell by cell, each cell begins with what it is about, and at least one shows a figure."""
    first, *cells = script.read_text().split("\n# %%\n")
    assert len(cells) >= 3
    assert first.startswith('"""')
    assert all(cell.startswith("# ") for cell in cells)
    assert "figures." in script.read_text() or "plt." in script.read_text()
