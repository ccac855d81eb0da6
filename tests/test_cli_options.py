"""What is written on the command line arrives in the library: thresholds, units, groups of files, seeds."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from unit_tables import network

import ann2neo
from ann2neo.cli import _plain_warnings, commands
from ann2neo.errors import AnalysisError, Ann2NeoError, Ann2NeoWarning, FormatError, LayerNotFound
from ann2neo.results.contrasts import sentences

NETS = """
import torch
from torch import nn

def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.Sigmoid())

inputs = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
others = torch.randn(40, 4, generator=torch.Generator().manual_seed(2))

def reader():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.5), nn.ReLU())

sequences = torch.randn(10, 7, 4, generator=torch.Generator().manual_seed(3))

def texts():
    ones = torch.ones(10, 7, dtype=torch.long)
    for number in range(10):
        ones[number, number % 6 + 1 :] = 0
    return [{"x": sequences, "attention_mask": ones}]

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.act, self.scale = nn.Linear(4, 6), nn.ReLU(), nn.Parameter(torch.ones(6))
        self.lstm = nn.LSTM(6, 3, batch_first=True)
    def forward(self, x, attention_mask):
        self.lstm(x @ torch.ones(4, 6))
        return torch.tanh(self.act(self.fc(x)) * torch.sigmoid(self.scale))

class Noisy(nn.Sequential):
    def forward(self, x):
        return torch.sigmoid(torch.dropout(super().forward(x), 0.5, True))

def noisy():
    torch.manual_seed(0)
    return Noisy(nn.Linear(4, 6), nn.ReLU())

def batches():
    yield from inputs.split(16)

def iterator():
    return iter(list(inputs.split(16)))

def of_size(n):
    return inputs[:n]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "nets_of_options.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, code=0):
    """Call a command in this process; an error of ours is given back."""
    done = CliRunner().invoke(commands, list(arguments))
    if isinstance(done.exception, Ann2NeoError):
        return done.exception
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


def export(*options, name="rec.zarr"):
    run("export", "nets_of_options.py:model", "nets_of_options.py:inputs", "-o", name, "--quiet", *options)
    return ann2neo.load(name)


def activations(x: str) -> dict[str, np.ndarray]:
    import nets_of_options as nets

    model, found = nets.model(), {}
    model[1].register_forward_hook(lambda _m, _i, out: found.update({"1": out.detach().numpy().copy()}))
    model[3].register_forward_hook(lambda _m, _i, out: found.update({"3": out.detach().numpy().copy()}))
    model(getattr(nets, x))
    return found


def test_thresholds_by_pattern(folder):
    """A rule for all layers and another for some: quantiles and means are taken on the inputs, unless others are given to calibrate."""
    recording = export("--threshold", "quantile:0.75", "--threshold", "3=meansd:1:layer")
    seen = activations("inputs")
    expected = np.quantile(seen["1"], 0.75, axis=0, method="inverted_cdf")
    assert np.allclose(recording.layer("1").thresholds, expected)
    assert np.allclose(recording.layer("3").thresholds, seen["3"].mean() + seen["3"].std(), rtol=1e-5)
    other = export("--threshold", "quantile:0.75", "--calibrate", "nets_of_options.py:others", name="o.zarr")
    expected = np.quantile(activations("others")["1"], 0.75, axis=0, method="inverted_cdf")
    assert np.allclose(other.layer("1").thresholds, expected)
    number = export("--threshold", "1=0.25", name="n.zarr")
    assert (number.layer("1").thresholds == 0.25).all()
    assert (number.layer("3").thresholds == 0.5).all()


def test_the_order_of_patterns_counts_as_in_python(folder):
    """The first pattern that fits counts; a rule without a pattern is for all others, wherever it stands; a dead one is refused."""
    for options in (("3=0.25", "0.125"), ("0.125", "3=0.25")):
        recording = export("--threshold", options[0], "--threshold", options[1], name=f"{options[0]}.zarr")
        assert [layer.thresholds[0] for layer in recording.layers] == [0.125, 0.25]
    for option, general, special in (("--threshold", "*=0.125", "3=0.25"), ("--units", "*=0,1", "3=2")):
        where = ("export", "nets_of_options.py:model", "nets_of_options.py:inputs", "-o", "dead.zarr", "--quiet")
        said = run(*where, option, general, option, special)
        assert isinstance(said, LayerNotFound)
        assert "{'3': ..., '*': ...}" in str(said)


@pytest.mark.parametrize("name", ["batches", "iterator"])
def test_functions_of_generators_are_read_as_often_as_needed(folder, name):
    """A function that gives an iterator can be calibrated on, planned with and recorded, as the tensor itself."""
    where = ("nets_of_options.py:model", f"nets_of_options.py:{name}")
    run("export", *where, "-o", "g.zarr", "--quiet", "--threshold", "quantile:0.75")
    expected = export("--threshold", "quantile:0.75", "--batch-size", "16")
    assert all(a.identical(b) for a, b in zip(ann2neo.load("g.zarr").layers, expected.layers))
    assert "11 units" in run("info", "--model", where[0], "--inputs", where[1])
    said = run("info", "--model", where[0], "--inputs", "nets_of_options.py:of_size")
    assert "needs arguments (n)" in str(said)


def test_info_of_a_model_takes_the_options_of_export(folder):
    """Layers, units, steps, thresholds and batches of the plan are those of the export."""
    options = ["--layers", "1", "--units", "sample:2", "--steps", "1", "--threshold", "0.25", "--batch-size", "3"]
    where = ["--model", "nets_of_options.py:model", "--inputs", "nets_of_options.py:sequences"]
    said = run("info", *where, *options)
    assert said.splitlines()[1].split() == ["1", "ReLU", "(6,)", "2", "float32", "0.25", "70", "18"]
    assert "2 units, 18 bytes" in said
    assert "Steps(1)" in str(run("info", *where, "--steps", "0"))


def test_info_says_what_is_not_recorded_and_why(folder):
    """It is listed after the layers that are recorded, which alone make the totals."""
    said = run("info", "--model", "nets_of_options.py:Masked", "--inputs", "nets_of_options.py:texts")
    recorded, left_out = said.split("not recorded\n")
    assert [line.split()[0] for line in recorded.splitlines() if line] == ["layer", "act", "tanh", "84"]
    assert "84 units, 168 bytes" in recorded
    assert [line.split(":")[0].strip() for line in left_out.splitlines()] == ["sigmoid(parameter)", "lstm (LSTM)"]
    assert "same for every input" in left_out
    assert "name it in layers=" in left_out
    excluding = run(
        "info", "--model", "nets_of_options.py:Masked", "--inputs", "nets_of_options.py:texts", "--layers", "!lstm"
    )
    assert excluding == said.rpartition("  lstm")[0]
    assert not {"NaN", "None", "nan", "<NA>"} & set(said.split())
    assert "not recorded" not in run(
        "info", "--model", "nets_of_options.py:model", "--inputs", "nets_of_options.py:inputs"
    )


def test_layers_can_be_left_out(folder):
    """What begins with an exclamation mark is left out of all that would be recorded."""
    assert [layer.name for layer in export("--layers", "!3").layers] == ["1"]
    said = run("info", "--model", "nets_of_options.py:model", "--inputs", "nets_of_options.py:inputs", "--layers", "!1")
    assert [line.split()[0] for line in said.splitlines()] == ["layer", "3", "5"]
    assert isinstance(
        run("export", "nets_of_options.py:model", "nets_of_options.py:inputs", "-o", "n.zarr", "--layers", "!4x"),
        LayerNotFound,
    )


def test_steps_that_a_mask_counts(folder):
    """The key of a mask after the axis: its ones are the bins."""
    where = ("nets_of_options.py:Masked", "nets_of_options.py:texts")
    run("export", *where, "-o", "m.zarr", "--quiet", "--steps", "1:attention_mask")
    import nets_of_options as nets

    mask = nets.texts()[0]["attention_mask"].bool()
    expected = (nets.Masked().fc(nets.sequences) > 0)[mask].numpy().T
    assert np.array_equal(ann2neo.load("m.zarr").raster("act"), expected)
    for wrong in ("1:", ":attention_mask", "mask:1"):
        assert "1:attention_mask" in run("export", *where, "-o", "a.zarr", "--steps", wrong, code=2)
    assert "lengths='other'" in str(run("export", *where, "-o", "a.zarr", "--quiet", "--steps", "1:other"))


@pytest.mark.filterwarnings("ignore::ann2neo.errors.Ann2NeoWarning")
def test_layers_are_verified_unless_told_otherwise(folder):
    """What differs from run to run is left out, and recorded as it comes with --no-verify, by export and info alike."""
    where = ("nets_of_options.py:noisy", "nets_of_options.py:inputs")
    for option, layers in (("--verify", ["1"]), ("--no-verify", ["1", "sigmoid"])):
        run("export", *where, "-o", f"{option}.zarr", "--quiet", option)
        recording = ann2neo.load(f"{option}.zarr")
        assert [layer.name for layer in recording.layers] == layers
        assert ("not asked for" in recording.provenance["verified"]) == (option == "--no-verify")
        said = run("info", "--model", where[0], "--inputs", where[1], option)
        assert ("sigmoid: it differs from run to run" in said) == (option == "--verify")


def test_units_by_pattern(folder):
    """Slices, places and samples, for all layers or for some."""
    recording = export("--units", "1=1:5:2", "--units", "3=0,4")
    assert [layer.units.tolist() for layer in recording.layers] == [[1, 3], [0, 4]]
    drawn = export("--units", "sample:2:7", name="s.zarr")
    expected = ann2neo.Sample(n=2, seed=7)
    assert [layer.units.tolist() for layer in drawn.layers] == [
        expected.draw("1", 6).tolist(),
        expected.draw("3", 5).tolist(),
    ]


BAD = {
    "--threshold quantil:0.9": "not a threshold",
    "--threshold quantile:0.9:network": "not a threshold",
    "--threshold 1=high": "not a threshold",
    "--threshold 0.1 --threshold 0.2": "given twice",
    "--units 1=some": "names no units",
    "--units sample:x": "names no units",
    "--units 1:2:3:4": "names no units",
}


@pytest.mark.parametrize("options", list(BAD))
def test_what_cannot_be_read_is_told(folder, options):
    """A slip of the pen is told before anything is loaded, with what may be written, and nothing is left behind."""
    said = run("export", "none.py:model", "none.py:inputs", "-o", "rec.zarr", *options.split(), code=2)
    assert BAD[options] in said
    assert [path.name for path in folder.iterdir()] == ["nets_of_options.py"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Tables of five networks of each kind and one of mine."""
    place = tmp_path_factory.mktemp("tables")
    for seed in range(5):
        ann2neo.write_table(network(seed, rate=0.25, tuning=0.2), place / f"mem{seed}.csv")
        ann2neo.write_table(network(100 + seed, rate=0.4, tuning=0.5), place / f"gen{seed}.csv")
    ann2neo.write_table(network(77, rate=0.25, tuning=0.2), place / "mine.csv")
    return place


def test_steps_and_passes(folder):
    """Steps of sequences become bins, and passes with dropout active differ, by their seed."""
    found = []
    for number, seed in enumerate(("1", "1", "2")):
        run(
            *("export", "nets_of_options.py:reader", "nets_of_options.py:sequences", "-o", f"{number}.zarr", "--quiet"),
            *("--steps", "1", "--passes", "3", "--seed", seed),
        )
        found.append(ann2neo.load(f"{number}.zarr"))
    assert (found[0].n_bins, found[0].n_passes, len(found[0].trials)) == (3 * 10 * 7, 3, 30)
    same = [np.array_equal(found[0].raster("3"), other.raster("3")) for other in found]
    assert same == [True, True, False]
    assert "not an axis" in run("export", "m.py:m", "m.py:x", "-o", "a.nwb", "--steps", "time", code=2)


def test_compare_two_groups_of_files(tables, tmp_path):
    """The files of each option are a group, in whatever order options stand; verdicts are printed, and the folder holds the library's table."""
    known = [[str(path) for path in sorted(tables.glob(pattern))] for pattern in ("mem*.csv", "gen*.csv")]
    options = ["--names", "memorizing", "generalizing", "-o", str(tmp_path / "out"), "--method", "by", "--seed", "4"]
    said = run("compare", "--against", *known[1], "--mine", str(tables / "mine.csv"), *options, *known[0])
    mem, gen = ([ann2neo.read_table(path) for path in group] for group in known)
    groups = {"memorizing": mem, "generalizing": gen, "mine": ann2neo.read_table(tables / "mine.csv")}
    expected = ann2neo.compare(groups, method="by", seed=4)
    pd.testing.assert_frame_equal(ann2neo.read_table(tmp_path / "out" / "comparison.csv"), expected)
    for sentence in expected.attrs["verdicts"]:
        assert sentence in " ".join(said.split())
    assert max(len(line) for line in said.splitlines() if "report.html" not in line) <= 80
    assert (tmp_path / "out" / "indicators.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Networks: memorizing against generalizing" in page
    assert str(tables / "mem3.csv") in page


def test_layers_without_a_difference_share_a_sentence():
    """It has the smallest p of them; layers with a difference keep sentences of their own."""
    rows = [("a", 0.4), ("a", 0.2), ("b", 0.9), ("c", 0.01)]
    found = pd.DataFrame(rows, columns=["layer", "p_corrected"])
    words = "no indicator tells x from y networks (smallest corrected p"
    found.attrs["verdicts"] = [f"a: {words} 0.2; n).", f"b: {words} 0.9; n).", "c: x networks have a lower rate."]
    assert sentences(found) == ["c: x networks have a lower rate.", f"a, b: {words} 0.2; n)."]
    alike = found.iloc[:3]
    alike.attrs["verdicts"] = found.attrs["verdicts"][:2]
    assert sentences(alike) == [f"in every layer: {words} 0.2; n)."]
    assert sentences(found.iloc[2:]) == found.attrs["verdicts"]


def test_warnings_are_messages_without_lines_of_the_program(capsys):
    """A warning of ours is its words; others keep their place."""
    with warnings.catch_warnings(), _plain_warnings():
        warnings.simplefilter("always")
        warnings.warn(Ann2NeoWarning("units were left out."), stacklevel=1)
        assert capsys.readouterr().err == "Ann2NeoWarning: units were left out.\n"
        with pytest.warns(UserWarning, match="other"):
            warnings.warn("other", stacklevel=1)


def test_compare_recordings(folder):
    """Recordings are analyzed first, with the windows that were asked for."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        ann2neo.save(ann2neo.from_array(rng.random((60, 4)) < 0.4, labels=np.arange(60) % 3), f"{name}.zarr")
    said = run("compare", "a.zarr", "b.zarr", "--against", "c.zarr", "d.zarr", "--windows", "20", "--quiet")
    assert "with 2 v 2 networks no p can be below 0.33" in said
    made = {
        k: [ann2neo.analyze(ann2neo.load(f"{n}.zarr"), windows=20, progress=False) for n in k] for k in ("ab", "cd")
    }
    expected = ann2neo.compare({"first": made["ab"], "second": made["cd"]})
    assert f"{expected['hedges_g'].dropna().iloc[0]:.4g}" in said


def test_compare_refuses(tables, tmp_path):
    """A missing file, a table that was measured otherwise, groups without names of their own: told, and no folder is left."""
    one, two = str(tables / "mem0.csv"), str(tables / "gen0.csv")
    out = ["-o", str(tmp_path / "out")]
    assert isinstance(run("compare", one, "--against", "none.csv", *out), FormatError)
    error = run("compare", one, "--against", two, "--windows", "20", *out)
    assert isinstance(error, AnalysisError)
    assert "already measured; windows" in str(error)
    assert "--names" in run("compare", one, "--against", two, "--names", "a", "a", *out, code=2)
    assert "--against" in run("compare", one, *out, code=2)
    assert not list(tmp_path.iterdir())


def test_analyze_takes_seed_and_method(folder):
    """Seed and correction arrive in the table and its attributes."""
    recording = ann2neo.from_array(np.random.default_rng(0).random((100, 2)) < 0.3)
    ann2neo.save(recording, "rec.zarr")
    run("analyze", "rec.zarr", "-o", "out", "--tests", "--windows", "20", "--seed", "9", "--method", "by", "--quiet")
    expected = ann2neo.analyze(recording, windows=20, tests=True, seed=9, method="by", progress=False)
    made = ann2neo.read_table("out/rec.csv")
    assert (made.attrs["seed"], made.attrs["correction"]) == (9, "by")
    assert np.array_equal(made["isi_law_p"], expected["isi_law_p"])
    assert not np.array_equal(
        made["isi_law_p"], ann2neo.analyze(recording, windows=20, tests=True, progress=False)["isi_law_p"]
    )


@pytest.mark.parametrize("command", ["", "export", "analyze", "compare", "share", "info", "demo"])
def test_help_has_an_example(command):
    """Every command shows how it is called; no line is cut."""
    said = run(*filter(None, [command]), "--help")
    assert "Examples:" in said
    assert f"ann2neo {command}".strip() in said
    assert "..." not in said.split("Commands:")[-1] or command


def test_definitions_fit_a_terminal():
    """The handbook of columns is wrapped, begins with who a unit is and defines each column of a table."""
    said = run("info", "--columns")
    assert max(map(len, said.splitlines())) <= 110
    assert said.startswith("layer\n    Name of the layer")
    table = ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, tests=True, progress=False)
    assert all(str(column) in said for column in table if column != "n_windows")
