"""The rules of the house: names, light import, order of imports, where each library may be used."""

import ast
import doctest
import inspect
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import ann2neo
from ann2neo.errors import kind_of

ROOT = Path(__file__).parent.parent


def test_all_equals_the_namespace():
    """What `__all__` promises is there, and every public name is promised."""
    for name in ann2neo.__all__:
        assert getattr(ann2neo, name) is not None
    assert set(ann2neo.__all__) == set(dir(ann2neo)) - {"__version__"}
    assert list(ann2neo.__all__) == sorted(ann2neo.__all__)


def test_public_functions_are_never_hidden_by_modules():
    """Importing a module does not replace a public function of the same name."""
    code = (
        "import ann2neo.analysis, ann2neo.comparison, ann2neo.sharing, ann2neo.capture.recorder, ann2neo.cli, ann2neo\n"
    )
    code += "assert all(callable(getattr(ann2neo, n)) for n in ann2neo.__all__ if n not in ('chance', 'figures', 'models', 'population', 'surrogates'))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_strict_type_checker_sees_every_public_name():
    """The file that pyright checks strictly for CI lists all of them, also those of rooms."""
    rooms = [name for name in ann2neo.__all__ if inspect.ismodule(getattr(ann2neo, name))]
    inside = {f"ann2neo.{room}.{name}" for room in rooms for name in getattr(ann2neo, room).__all__}
    text = (ROOT / "tests" / "public_names.py").read_text()
    listed = set(re.findall(r"^    (ann2neo[\w.]+),$", text, re.MULTILINE))
    wanted = inside | {f"ann2neo.{name}" for name in ann2neo.__all__ if name not in rooms}
    assert listed == wanted, f"tests/public_names.py: {sorted(listed ^ wanted)}"
    assert "# pyright: strict" in text
    assert (ROOT / "ann2neo" / "py.typed").exists()


def test_the_same_linters_run_before_a_commit_and_in_ci():
    """What pre-commit calls is what `.ci/run` calls."""
    ci = (ROOT / ".ci" / "run").read_text()
    entries = re.findall(r"entry: (\S+ ?(?:check|format)?)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert len(entries) == 4
    assert all(entry in ci for entry in entries)


def test_import_is_light():
    """`import ann2neo` and the command line load none of the heavy libraries."""
    heavy = ["torch", "elephant", "neo", "matplotlib", "pynwb", "zarr", "numba", "pandas", "dask"]
    code = f"import sys, ann2neo, ann2neo.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_analysis_needs_no_torch():
    """A neuroscientist's half of the house runs without torch."""
    code = "import sys, numpy, ann2neo\nr = ann2neo.from_array(numpy.eye(20, dtype=bool), labels=[0, 1] * 10)\n"
    code += "ann2neo.summarize(ann2neo.analyze(r, engine='elephant', progress=False)); ann2neo.figures.raster(r)\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_elephant_leaves_the_warning_filters_alone():
    """Elephant changes the process-wide warning filters when it is imported; a user of ours does not notice."""
    code = "import warnings, numpy, scipy.sparse, scipy.special, numba, neo, ann2neo\nbefore = list(warnings.filters)\nr = ann2neo.from_array(numpy.eye(20, dtype=bool))\n"
    code += "ann2neo.analyze(r, windows=5, engine='elephant', progress=False)\nassert [f for f in warnings.filters if f not in before] == []"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version_is_the_one_of_the_package():
    """One version: the package has it, the installation takes it from there, the citation says the same."""
    assert 'version = { attr = "ann2neo.__version__" }' in (ROOT / "pyproject.toml").read_text()
    assert f"version: {ann2neo.__version__}" in (ROOT / "CITATION.cff").read_text()
    released = re.findall(r"^## (\d\S+) - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0][0] == ann2neo.__version__
    assert f"date-released: {released[0][1]}" in (ROOT / "CITATION.cff").read_text()


def test_nothing_lies_beside_the_top_level_names():
    """A newcomer sees the whole house at a glance."""
    allowed = {"pyproject.toml", "README.md", "ann2neo", "analyses", "tests", "tutorials"}
    allowed |= {
        "LICENSE",
        "CITATION.cff",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "MANIFEST.in",
        "constraints.txt",
    }
    allowed |= {".gitignore", ".ci", ".pre-commit-config.yaml"}
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        assert {line.split("/")[0] for line in done.stdout.splitlines()} <= allowed


def test_the_plan_of_the_study_imports_no_study():
    """The plan lists cells, and each study knows cells only, so that imports run one way, and the cost is printed without torch."""
    plan = (ROOT / "analyses" / "plan.py").read_text()
    assert re.findall(r"^(?:from|import) (\S+)", plan, re.M) == ["__future__", "dataclasses", "itertools", "pathlib"]
    assert len(list((ROOT / "analyses" / "networks").glob("*.py"))) > 3


def test_no_file_is_a_corridor():
    """A file that outgrows 300 lines of code becomes a folder of the same name (docstrings make some slack)."""
    long = {
        str(path): n for path in (ROOT / "ann2neo").rglob("*.py") if (n := len(path.read_text().splitlines())) > 450
    }
    assert not long


@pytest.mark.parametrize("room", ["capture", "device", "packing", "probe", "verification"])
def test_no_file_of_capture_is_a_corridor(room):
    """Where models are recorded a file has 350 lines at most, docstrings included; one subject each, found by its name."""
    sizes = {str(path): len(path.read_text().splitlines()) for path in (ROOT / "ann2neo" / room).rglob("*.py")}
    assert {path: n for path, n in sizes.items() if n > 350} == {}


def test_the_type_of_a_value_is_named_with_its_article_in_one_place():
    """No message writes "a" before the name of a type, which may be "int"; `errors.kind_of` knows what is spoken."""
    written = re.compile(r"\ban? \{type\(")
    assert [str(path) for path in (ROOT / "ann2neo").rglob("*.py") if written.search(path.read_text())] == []
    spoken = {
        "int": "an",
        "list": "a",
        "ndarray": "an",
        "LSTM": "an",
        "GELU": "a",
        "UInt8": "a",
        "Union": "a",
        "_Own": "an",
    }
    assert {name: kind_of(type(name, (), {})()) for name in spoken} == {k: f"{v} {k}" for k, v in spoken.items()}


def test_the_map_names_every_room():
    """The map in CONTRIBUTING names each folder of the package and of capture, and none that is not there."""
    text = (ROOT / "CONTRIBUTING.md").read_text().split("## Where things are")[1].split("```")[1]
    listed = {part for line in text.splitlines()[2:] for part in re.findall(r"(?:^|  )(\w+)/(?=  )", line)}
    package = ROOT / "ann2neo"
    rooms = {path.parent.name for folder in (package, package / "capture") for path in folder.glob("*/__init__.py")}
    assert listed - {"analyses", "tutorials", "tests"} == rooms


def test_every_module_says_what_it_is():
    """The first line of each file tells a newcomer whether they are right here."""
    for path in (ROOT / "ann2neo").rglob("*.py"):
        assert re.match(r'(r)?"""\S', path.read_text()), path


def test_every_public_function_has_a_docstring_with_its_sources():
    """Public names explain themselves; what does science cites it."""
    for name in ann2neo.__all__:
        assert getattr(ann2neo, name).__doc__, name
    for name in ("analyze", "record", "summarize", "compare"):
        assert "doi:" in getattr(ann2neo, name).__doc__, name


@pytest.mark.parametrize("name", [name for name in ann2neo.__all__ if not inspect.ismodule(getattr(ann2neo, name))])
def test_examples_import_what_they_use(name, tmp_path, monkeypatch):
    """An example in a docstring runs where nothing is known but the thing itself and the package."""
    monkeypatch.chdir(tmp_path)
    thing = getattr(ann2neo, name)
    known = {"ann2neo": ann2neo, name: thing}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    said = []
    for test in doctest.DocTestFinder(recurse=False).find(inspect.unwrap(thing), name, globs=known):
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_a_name_that_is_not_there_is_answered_with_the_nearest():
    """As the command line does; names that Python itself asks for are not."""
    with pytest.raises(AttributeError, match="Did you mean 'analyze'"):
        _ = ann2neo.analyse
    assert not hasattr(ann2neo, "__analyze__")


TRANSLATED = re.compile(
    r"\b(amid|lest|anew|whoever|nobody|beforehand|be it|behind|so many)\b|(?<!here )\b(is|are) no\b(?! longer)"
)


def prose(path: Path) -> list[tuple[int, str]]:
    """Docstrings, messages and comments of a file, each with its line."""
    kinds = (tokenize.STRING, tokenize.COMMENT)
    with path.open("rb") as file:
        return [(token.start[0], token.string) for token in tokenize.tokenize(file.readline) if token.type in kinds]


def docstrings(path: Path) -> list[str]:
    """Docstrings of a file and of all that it defines."""
    nodes = ast.walk(ast.parse(path.read_text()))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [ast.get_docstring(node) or "" for node in nodes if isinstance(node, kinds)]


def test_the_prose_is_plain_english():
    """Words that give a translation away are in no docstring, message or comment: 'is not an axis' instead of 'is no axis', 'after' instead of 'behind'."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match.group(0)}"
        for path in sorted((ROOT / "ann2neo").rglob("*.py"))
        for line, text in prose(path)
        for match in TRANSLATED.finditer(text.replace("--no-ahead-behind", ""))
    ]
    assert found == []


def test_docstrings_say_what_is_returned():
    """'Return', 'Describe' or 'Raise' instead of 'Give' and 'Say', which hide whether something is printed, returned or raised."""
    opened = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for path in sorted((ROOT / "ann2neo").rglob("*.py"))
        for text in docstrings(path)
        if re.match(r"(Give|Say)\b", text)
    ]
    assert opened == []


def reference() -> dict[str, object]:
    """Everything that the reference describes, by its name within the package."""
    tops = {name: getattr(ann2neo, name) for name in ann2neo.__all__}
    rooms = {name: room for name, room in tops.items() if inspect.ismodule(room)}
    inside = {f"{name}.{each}": getattr(room, each) for name, room in rooms.items() for each in room.__all__}
    return {name: thing for name, thing in (tops | inside).items() if callable(thing)}


def neighbours(thing: object) -> list[str]:
    """Names under "See Also" in a docstring; descriptions follow a colon."""
    section = re.search(r"^See Also\n-+\n(.*?)(?:\n\n|\Z)", inspect.getdoc(thing) or "", re.MULTILINE | re.DOTALL)
    lines = section.group(1).splitlines() if section else []
    return [name for line in lines for name in re.split(r",\s*", line.partition(" : ")[0]) if not line[0].isspace()]


@pytest.mark.parametrize(("name", "thing"), list(reference().items()))
def test_every_public_name_names_its_neighbours(name, thing):
    """Under "See Also" stand names that exist, by their full path, and never the thing itself."""
    named = neighbours(thing)
    assert named, f"ann2neo.{name} names no neighbours"
    for full in named:
        found = ann2neo
        assert full.startswith("ann2neo."), full
        for part in full.split(".")[1:]:
            found = getattr(found, part)
        assert found is not thing, full


def test_dear_tests_are_there():
    """The list of tests that are slow for their processor time names functions of this tree."""
    lines = (ROOT / "tests/dear.txt").read_text(encoding="utf-8").splitlines()
    for name in [line.partition("\t")[2] for line in lines if not line.startswith("#")]:
        file, _, function = name.partition("::")
        assert f"def {function.rpartition('::')[2].partition('[')[0]}(" in (ROOT / file).read_text(encoding="utf-8"), (
            name
        )
