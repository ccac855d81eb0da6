"""The lowest versions that pyproject.toml allows, as constraints for pip: python tests/lowest.py > lowest.txt; torch is that of constraints.txt.

`.ci/run` installs them and runs `tests/smoke.py`, so that a bound that became untrue is noticed.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXTRAS = ("cluster", "gpfa", "nix", "share")


def lowest(root=ROOT):
    """List ``name==version`` for everything a user installs, but test, lint and documentation tools."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(one for extra in EXTRAS for one in project["optional-dependencies"][extra])]
    pinned = [
        line
        for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith("torch==")
    ]
    return [*(re.fullmatch(r"([\w-]+)>=([\d.]+)", one).expand(r"\1==\2") for one in asked), *pinned]


if __name__ == "__main__":
    print("\n".join(lowest()))
