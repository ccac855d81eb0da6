"""What only some work needs is installed by extras: all else runs without, and what is missing is named with its command."""

import ast
import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest

import ann2neo
from ann2neo.errors import MissingPackage
from ann2neo.extras import EXTRAS, require

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# In a process where none of them can be imported, as where they are not installed.
WITHOUT = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {absent} else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import numpy as np
import ann2neo
rng = np.random.default_rng(0)
recording = ann2neo.from_array(rng.random((60, 6)) < 0.4, labels=np.arange(60) % 3)
"""
ABSENT = ["dask", "distributed", "nixio", "nwbinspector", "pyarrow", "sklearn", "torch", "xarray", "yaml"]


def without(code, cwd):
    setting = WITHOUT.format(absent=ABSENT)
    return subprocess.run([sys.executable, "-c", setting + code], cwd=cwd, capture_output=True, text=True)


def test_reading_analyzing_and_drawing_need_no_extra(tmp_path):
    """All of a neuroscientist's work runs without torch, dask, nixio and nwbinspector."""
    code = """
import quantities as pq
for suffix in ("nwb", "zarr", "mat"):
    ann2neo.save(recording, f"rec.{suffix}")
    assert ann2neo.load(f"rec.{suffix}").identical(recording)
    assert ann2neo.check(f"rec.{suffix}")
table = ann2neo.analyze(ann2neo.to_block(recording), windows="label", tests=True, progress=False)
ann2neo.write_table(table, "table.csv")
summary = ann2neo.summarize(ann2neo.read_table("table.csv"))
ann2neo.models.fit(recording)
ann2neo.population.correlations(recording)
ann2neo.surrogates.null_bands(recording, windows="label", n_permutations=39, progress=False)
ann2neo.figures.png(ann2neo.figures.raster(recording))
from ann2neo.cli import commands
commands(["analyze", "rec.nwb", "-o", "results", "--quiet"], standalone_mode=False)
commands(["info", "rec.zarr"], standalone_mode=False)
"""
    done = without(code, tmp_path)
    assert done.returncode == 0, done.stderr


MISSING = [
    ("ann2neo.record", "torch", "torch"),
    ("from ann2neo import Quantile, export", "torch", "torch"),
    ("ann2neo.share('rec.nwb', 'bundle')", "nwbinspector", "share"),
    ("ann2neo.save(recording, 'rec.nix')", "nixio", "nix"),
    ("ann2neo.load('old.nix')", "nixio", "nix"),
    ("ann2neo.check('old.nix')", "nixio", "nix"),
    ("ann2neo.read_block('old.nix')", "nixio", "nix"),
    ("ann2neo.analyze(recording, scheduler='tcp://127.0.0.1:1', progress=False)", "dask", "cluster"),
    ("ann2neo.to_xarray(recording)", "xarray", "xarray"),
    ("ann2neo.write_table(ann2neo.analyze(recording, progress=False), 'table.parquet')", "pyarrow", "parquet"),
    (
        "import quantities as pq; ann2neo.population.gpfa_trajectories(recording, n_dims=1, bin_size=2 * pq.ms)",
        "sklearn",
        "gpfa",
    ),
    ("import ann2neo.demo", "torch", "demo"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each call says in a process without extras, in a folder with one file."""
    pytest.importorskip("nixio")
    place = tmp_path_factory.mktemp("without")
    ann2neo.save(ann2neo.from_array(np.eye(4, dtype=bool)), place / "old.nix")
    code = f"""
import json, os
said = {{}}
for call in {[call for call, _, _ in MISSING]!r}:
    try:
        exec(call)
    except ann2neo.Ann2NeoError as error:
        assert isinstance(error, ImportError)
        said[call] = [type(error).__name__, str(error), os.listdir()]
print(json.dumps(said))
"""
    done = without(code, place)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("call", "package", "extra"), MISSING)
def test_what_is_missing_is_named_with_the_command(told, call, package, extra):
    """The message has the package and the command, is of our tree and of ImportError, and calls no file damaged."""
    name, message, files = told[call]
    assert name == "MissingPackage"
    assert f"needs {package}, which is not installed" in message
    assert f"python -m pip install 'ann2neo[{extra}]'" in message
    assert "damaged" not in message
    assert files == ["old.nix"]


def test_the_command_line_says_the_same_in_three_lines(tmp_path):
    """Exit code 2 and no traceback."""
    code = "sys.argv = ['ann2neo', 'export', 'nets.py:model', 'nets.py:x', '-o', 'rec.nwb']\nfrom ann2neo.cli import main; main()"
    done = without(code, tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "MissingPackage: Recording a model needs torch, which is not installed."
    assert len(done.stderr.splitlines()) == 3


def test_help_of_the_package_runs_without_extras(tmp_path):
    """`help(ann2neo)` and `dir(ann2neo)` list what can be had."""
    done = without("import pydoc; pydoc.render_doc(ann2neo); print(dir(ann2neo))", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "'analyze'" in done.stdout
    assert "'record'" not in done.stdout


def distributions(requirements):
    names = [one.split(">=")[0].split("[")[0] for one in requirements]
    return {name.lower().replace("_", "-") for name in names}


def test_every_extra_is_one_of_the_project_and_brings_its_package():
    """A command that a message names installs what the message says is missing."""
    known = packages_distributions()
    for package, extra in EXTRAS.items():
        found = {name.lower() for name in known.get(package.split(".")[0], [])}
        assert not found or found & distributions(PROJECT["optional-dependencies"][extra]), package


def test_rooms_that_need_no_extra_import_what_every_installation_has():
    """Whatever is imported outside of capture, the rooms that it is made of, demo and sharing is required of everybody; the rest is of an extra."""
    known = packages_distributions()
    base = distributions(PROJECT["dependencies"]) | {"ann2neo", "llvmlite"}  # numba is made of llvmlite
    of_extras = distributions(one for extra in PROJECT["optional-dependencies"].values() for one in extra)
    special = (
        "capture/",
        "device/",
        "packing/",
        "probe/",
        "verification/",
        "demo",
        "sharing",
        "cli/objects.py",
        "cli/weights.py",
        "cli/architectures.py",
        "cli/placement.py",
    )
    for path in (ROOT / "ann2neo").rglob("*.py"):
        inside = path.relative_to(ROOT / "ann2neo").as_posix()
        allowed = base | (of_extras if inside.startswith(special) else set())
        for module in imported(path) - set(sys.stdlib_module_names):
            assert {name.lower() for name in known.get(module, [module])} & allowed, f"{inside} imports {module}"


def imported(path):
    """Roots of all modules that a file imports outside of `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    every = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias.name for node in every if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in every if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("import no_such_package", "needs no_such_package (for half), which is not installed"),
        (
            "raise RuntimeError('operator nms\\n does not exist')",
            "fails to import (RuntimeError: operator nms does not exist)",
        ),
        ("from os import no_such_name", "fails to import (ImportError: cannot import name 'no_such_name'"),
    ],
)
def test_packages_that_do_not_fit_are_named(content, expected, tmp_path, monkeypatch):
    """What is installed and fails to import is told as that, with the reason; it is not code of the user."""
    (tmp_path / "half.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackage) as found:
        require("half", to="half:resnet")
    assert expected in str(found.value)
    assert "half" not in sys.modules
