"""Every example that help texts, README and the guide print is run, in a copy of one folder that holds what they name."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import neo
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from nwb_sources import session, spikes, written
from PIL import Image
from population_sources import brain

import ann2neo
from ann2neo.cli import commands
from ann2neo.tables import write_table

ROOT = Path(__file__).resolve().parents[1]
NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU())
        self.fc1, self.head = nn.Sequential(nn.Linear(5, 5), nn.Tanh()), nn.Sequential(nn.Linear(5, 3), nn.Sigmoid())
    def forward(self, x, attention_mask=None):
        return self.head(self.fc1(self.features(x)))

class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.act = nn.LSTM(4, 6, batch_first=True), nn.ReLU()
        self.head = nn.Sequential(nn.Linear(6, 3), nn.Sigmoid())
    def forward(self, x, attention_mask):
        return self.head(self.act(self.lstm(x)[0]))

def sentences():
    x = torch.randn(24, 5, 4, generator=torch.Generator().manual_seed(2))
    return [{"x": x, "attention_mask": (torch.arange(5) < 2 + torch.arange(24)[:, None] % 4).long()}]

model, lstm = Net, Reader
inputs = torch.utils.data.TensorDataset(torch.randn(40, 4, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 3)
"""
METADATA = "title: Random units\nauthors: [{name: 'Curie, Marie'}]\nlicense: CC-BY-4.0\n"
# What is not run here, and why.
EXCLUDED = {
    r"ann2neo demo\b": "trains networks for a minute; tests/test_demo.py runs it",
    r"ann2neo browse (?!.*-o )": "serves until Ctrl-C; tests/test_viewer.py asks such a server",
    r"srun torchrun": "needs Slurm and four cards; the same command without Slurm is run",
    r".*python3 -m venv": "installs the package",
}


def of_help() -> list[str]:
    """The lines under "Examples:" of every command, as a terminal shows them."""
    every = {"ann2neo": commands, **commands.commands}
    texts = [command.get_help(click.Context(command, info_name=name)) for name, command in every.items()]
    return [line for text in texts for line in re.search(r"Examples:\n((?: {4}.*\n)+)", text)[1].splitlines()]


def of_pages() -> list[str]:
    """The commands in blocks and in sentences of README and the guide; one that is cut short by an ellipsis is none."""
    pages = [ROOT / "README.md", *sorted((ROOT / "tutorials" / "guide").rglob("*.md"))]
    texts = [path.read_text(encoding="utf-8") for path in pages if "generated" not in path.parts]
    blocks = [
        line
        for text in texts
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    inline = [call for text in texts for call in re.findall(r"`(ann2neo [a-z]+ [^`\n]+)`", text) if "..." not in call]
    return [line for line in blocks + inline if "ann2neo" in line and not line.startswith("#")]


def command_of(line: str) -> str:
    """A line without what is said of it, and without Slurm where this is one task."""
    return re.split(r"\s{3,}|\s+#", line.strip())[0].removeprefix("srun --ntasks=1 ")


EXAMPLES = sorted({command_of(line) for line in of_help() + of_pages()})
RUN = [line for line in EXAMPLES if not any(re.match(pattern, line) for pattern in EXCLUDED)]


def of_network(seed: int, *, tuned: float = 0.0, n_inputs: int = 60) -> ann2neo.Recording:
    """Units of a layer that networks of every kind share."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_inputs) % 3
    dense = rng.random((n_inputs, 8)) < 0.3 + tuned * (labels == 0)[:, None]
    return ann2neo.from_array(dense, labels=labels, layer="fc1", provenance={"notes_seed": seed})


def call(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a line as a shell would: commands of ours in this process, everything else in bash."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SCRATCH", ".")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    if not line.startswith("ann2neo "):
        environment = f'PATH="{Path(sys.executable).parent}:$PATH"'
        done = subprocess.run(["bash", "-c", f"{environment}; {line}"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout
    words = f"{shlex.quote(sys.executable)} -c 'import json, sys; print(json.dumps(sys.argv[1:]))' {line.removeprefix('ann2neo ')}"
    arguments = json.loads(subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=True).stdout)
    sys.modules.pop("nets", None)
    done = CliRunner().invoke(commands, arguments)
    assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"
    return done.output


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with everything that examples name, each as small as it may be."""
    folder = tmp_path_factory.mktemp("examples")
    _networks(folder)
    _models(folder)
    _cells(folder)
    (folder / "meta.yaml").write_text(METADATA)
    with pytest.MonkeyPatch.context() as patch:
        for line in (
            "ann2neo analyze rec.nwb -o results",
            "ann2neo fit rec.nwb -o models",
            "ann2neo share rec.nwb -o bundle",
        ):
            call(f"{line} --quiet", folder, patch)
    return folder


def _networks(folder: Path) -> None:
    """Recordings of two kinds of networks, and their tables."""
    for name in ("mem", "gen", "sweep"):
        (folder / name).mkdir()
    for name, tuned in (("mem", 0.0), ("gen", 0.4)):
        for seed in range(2):
            network = of_network(seed, tuned=tuned)
            ann2neo.save(network, folder / f"{name}{seed}.nwb")
            ann2neo.save(network, folder / "sweep" / f"{name}{seed}.zarr")
            write_table(ann2neo.analyze(network, progress=False), folder / name / f"{name}{seed}.csv")
    recording = of_network(7, n_inputs=1000)
    for name in ("rec.nwb", "rec.zarr"):
        ann2neo.save(recording, folder / name)
    write_table(ann2neo.analyze(of_network(8), progress=False), folder / "rec.csv")


def _models(folder: Path) -> None:
    """A module with models and inputs, weights, a file of arrays and a folder of pictures."""
    (folder / "nets.py").write_text(NETS)
    space: dict = {"__name__": "nets"}
    exec(NETS, space)
    for name in ("runs", "pictures/cat", "pictures/dog"):
        (folder / name).mkdir(parents=True)
    for name in ("trained.pt", "ck1.pt", "ck2.pt", "runs/0.pt"):
        torch.save(space["model"]().state_dict(), folder / name)
    for number in range(4):
        pixels = np.full((32, 32, 3), 60 * number, np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / ("cat", "dog")[number % 2] / f"{number}.png")
    if importlib.util.find_spec("timm"):
        import timm
        from safetensors.torch import save_file

        save_file(timm.create_model("resnet18").state_dict(), folder / "model.safetensors")
    x = np.random.default_rng(0).random((30, 4), np.float32)
    np.savez(folder / "digits.npz", x=x, y=np.arange(30) % 3)


def _cells(folder: Path) -> None:
    """Cells with conditions and onsets, in another format, and as a text."""
    file = session()
    for name in ("orientation", "stimulus_onset"):
        file.add_trial_column(name=name, description=name)
    for k in range(24):
        onset = 2.0 * k + 0.5
        file.add_trial(start_time=2.0 * k, stop_time=onset + 1, orientation=45 * (k % 3), stimulus_onset=onset)
    for times in spikes():
        file.add_unit(spike_times=times, obs_intervals=[[0.0, 100.0]])
    written(file, folder / "cells.nwb")
    with neo.NixIO(str(folder / "cells.nix"), "ow") as io:
        io.write_block(brain())
    lines = [f"{unit},{1000 * time:.3f}" for unit, times in enumerate(spikes()) for time in times]
    (folder / "spikes.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("line", RUN)
def test_an_example_runs(line, source, tmp_path, monkeypatch):
    """As it stands there; what it says that it writes lies there afterwards and is read."""
    if "timm:" in line and importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    folder = tmp_path / "copy"
    shutil.copytree(source, folder)
    target = re.search(r"-o (\S+)", line)
    written = (
        folder / target[1].strip('"').replace("$SCRATCH/", "").replace("$SLURM_ARRAY_TASK_ID", "0") if target else None
    )
    if written is not None and "--overwrite" not in line:
        shutil.rmtree(written) if written.is_dir() else written.unlink(missing_ok=True)
    printed = call(line, folder, monkeypatch)
    if written is None:
        assert printed.strip()
    elif "ck*.pt" in line:
        names = [f"{written.stem}-ck{number}{written.suffix}" for number in (1, 2)]
        assert [ann2neo.load(folder / name).provenance["notes_weights"] for name in names] == ["ck1", "ck2"]
    elif written.suffix in (".nwb", ".zarr"):
        assert ann2neo.load(written).n_units
    elif written.suffix == ".csv":
        assert len(ann2neo.read_table(written))
    else:
        page = written if written.is_file() else next(written.rglob("*.html"))
        assert "</html>" in page.read_text(encoding="utf-8")


def test_examples_are_found_and_exclusions_are_needed():
    """Every command shows one; none is left out without a line that would be."""
    assert {line.split()[1] for line in EXAMPLES if line.startswith("ann2neo ")} >= set(commands.commands)
    assert all(any(re.match(pattern, line) for line in EXAMPLES) for pattern in EXCLUDED)
