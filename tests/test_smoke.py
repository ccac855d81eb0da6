"""The script that tries a new installation works in this one."""

import lowest
import smoke
from packaging.requirements import Requirement


def test_a_new_installation_does_what_it_has_to(tmp_path):
    """Every verb runs, from recording to sharing, and each says so."""
    done = list(smoke.main(tmp_path))
    assert len(done) == 7
    assert done[0].startswith("recorded 3")
    assert "numpy" in smoke.versions()


def test_the_lowest_versions_are_what_the_bounds_allow():
    """Each is a dependency of a user's, of which one version less is not allowed; CI installs them."""
    pins = [Requirement(line) for line in lowest.lowest()]
    assert {"numpy", "neo", "elephant", "nixio", "dask", "torch"} <= {pin.name for pin in pins}
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    assert "tests/lowest.py" in (lowest.ROOT / ".ci" / "run").read_text(encoding="utf-8")
