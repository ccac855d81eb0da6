"""What the command line takes for a model, its weights and its inputs beside Python files."""

import gzip
import json
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

import ann2neo
from ann2neo.cli import commands
from ann2neo.cli.architectures import load_model
from ann2neo.cli.data_files import read_data
from ann2neo.cli.options import read_inputs
from ann2neo.cli.weights import with_weights
from ann2neo.errors import FormatError, InputsError, ModelError
from ann2neo.tables import write_table

NETS = """
import torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU())
def wrong():
    return nn.Sequential(nn.Linear(7, 5), nn.ReLU())
def fails():
    return 1 / 0
class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()
    def forward(self, x):
        return self.act(x @ torch.zeros(99, 2))
"""


def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU())


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    return tmp_path


def run(*args):
    done = CliRunner().invoke(commands, [str(arg) for arg in args], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def expected(model, x):
    """What a forward pass by hand gives."""
    with torch.no_grad():
        return (model(torch.as_tensor(x)) > 0).numpy().T


def pixels():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (20, 3, 4)).astype(np.uint8), rng.integers(0, 3, 20)


def idx(path, values):
    header = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def test_arrays_idx_and_tables_are_the_same_inputs(place):
    """Each file gives the spikes of a forward pass by hand, with its labels."""
    x, y = pixels()
    np.save(place / "x.npy", x)
    np.save(place / "y.npy", y)
    np.savez(place / "d.npz", images=x, labels=y)
    idx(place / "x-idx3-ubyte.gz", x)
    idx(place / "y-idx1-ubyte.gz", y)
    rows = np.column_stack([y, x.reshape(20, -1) / np.float32(255)])
    names = ["label", *(f"p{i}" for i in range(12))]
    lines = [",".join(names)] + [
        ",".join([str(int(row[0])), *(repr(float(np.float32(v))) for v in row[1:])]) for row in rows
    ]
    (place / "d.csv").write_text("\n".join(lines))
    network = net()
    torch.save(network.state_dict(), place / "w.pt")
    for given in ("x.npy,y.npy", "d.npz", "x-idx3-ubyte.gz,y-idx1-ubyte.gz", "d.csv"):
        run("export", "nets.py:model", given, "-o", "rec.zarr", "--weights", "w.pt", "--overwrite", "-q")
        recording = ann2neo.load(place / "rec.zarr")
        assert np.array_equal(recording.raster("2"), expected(network, (x / np.float32(255)).astype(np.float32))), given
        assert recording.trials["label"].tolist() == y.tolist()
        shutil.rmtree(place / "rec.zarr")
    run("export", "nets.py:model", "x.npy", "-o", "rec.nwb", "--images", "-q")
    import pynwb

    with pynwb.NWBHDF5IO(str(place / "rec.nwb"), "r") as io:
        file = io.read()
        assert file.stimulus_template["images"][file.trials["image"][3]].data.shape == (3, 4)


def test_pictures_lie_in_folders_of_their_classes(place):
    """Channel first, from 0 to 1, classes in alphabetical order; two sizes are refused."""
    from PIL import Image

    x, _ = pixels()
    for number, kind in enumerate(["cat", "dog", "ant"]):
        (place / "pics" / kind).mkdir(parents=True)
        for copy in (1, 2):
            Image.fromarray(x[number]).save(place / "pics" / kind / f"{copy}.png")
    data = read_data(str(place / "pics"), batch_size=2)
    assert np.array_equal(data.data[:, 0], x[[2, 2, 0, 0, 1, 1]] / np.float32(255))
    assert data.labels["label"].tolist() == [0, 0, 1, 1, 2, 2]
    run("export", "nets.py:model", "pics", "-o", "rec.nwb", "-q")
    recording = ann2neo.load(place / "rec.nwb")
    names = ["ant", "ant", "cat", "cat", "dog", "dog"]
    assert recording.trials["label_name"].tolist() == names
    table = ann2neo.analyze(recording, windows="label", progress=False)
    ann2neo.write_table(table, place / "t.csv")
    assert ann2neo.read_table(place / "t.csv").attrs["class_names"] == {"0": "ant", "1": "cat", "2": "dog"}
    import pynwb

    with pynwb.NWBHDF5IO(str(place / "rec.nwb"), "r") as io:
        assert list(io.read().trials["label_name"][:]) == names
    Image.new("RGBA", (4, 3)).save(place / "pics" / "ant" / "3.png")
    with pytest.raises(InputsError, match="of mode RGBA"):
        read_data(str(place / "pics"), batch_size=2)
    (place / "pics" / "ant" / "3.png").unlink()
    Image.fromarray(x[0][:2]).save(place / "pics" / "dog" / "3.png")
    with pytest.raises(InputsError, match="several sizes"):
        read_data(str(place / "pics"), batch_size=2)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.npz", {"a": 1, "b": 2}, "unclear which are the inputs"),
        ("a.npy", b"nothing", "cannot be read as an array"),
        ("a.csv", b"name,label\nada,1\n", "not numbers"),
        ("a.csv", b"p,label\n,1\n2,0\n", "missing values"),
        ("a.txt", b"a line\n", "--tokenizer"),
    ],
)
def test_data_that_are_unclear_are_refused(place, name, content, words):
    """With what was found there."""
    if isinstance(content, dict):
        np.savez(place / name, **content)
    else:
        (place / name).write_bytes(content)
    with pytest.raises(InputsError, match=words):
        read_data(str(place / name), batch_size=2)


def test_pickles_in_arrays_stay_closed(place):
    """An array of objects would run code."""
    np.save(place / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputsError, match="cannot be read"):
        read_data(str(place / "x.npy"), batch_size=2)


def test_weights_of_safetensors_shards_and_lightning(tmp_path):
    """All give the same model; an index that leaves its folder and a prefix that is not there are refused."""
    state = net().state_dict()
    save_file(state, tmp_path / "w.safetensors")
    folder = tmp_path / "sharded"
    folder.mkdir()
    for key in state:
        save_file({key: state[key]}, folder / f"{key}.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {key: f"{key}.safetensors" for key in state}}))
    lightning = {
        "epoch": 3,
        "state_dict": {f"net.{key}": value for key, value in state.items()} | {"loss.weight": torch.ones(2)},
    }
    torch.save(lightning, tmp_path / "last.ckpt")
    for path, prefix in (("w.safetensors", ""), ("sharded", ""), ("last.ckpt", "net.")):
        found = with_weights(net(), tmp_path / path, prefix=prefix).state_dict()
        assert all(torch.equal(found[key], state[key]) for key in state), path
    with pytest.raises(ModelError, match=r"begins with 'nat\.' \(they begin with 'loss\.', 'net\.'\)"):
        with_weights(net(), tmp_path / "last.ckpt", prefix="nat.")
    index.write_text(json.dumps({"weight_map": dict.fromkeys(state, "../w.safetensors")}))
    with pytest.raises(FormatError, match="lies elsewhere"):
        with_weights(net(), folder)


def test_a_pattern_of_weights_is_a_sweep(place):
    """One recording for each file, named after it, with a note that `collect` makes a column."""
    np.save(place / "x.npy", pixels()[0])
    networks = {name: net() for name in ("ck1", "ck2")}
    for name, network in networks.items():
        torch.save(network.state_dict(), place / f"{name}.pt")
    run("export", "nets.py:model", "x.npy", "-o", "rec.zarr", "--weights", "ck*.pt", "-q")
    x = (pixels()[0] / np.float32(255)).astype(np.float32)
    for name, network in networks.items():
        assert np.array_equal(ann2neo.load(place / f"rec-{name}.zarr").raster("2"), expected(network, x))
    table = ann2neo.collect(sorted(place.glob("rec-*.zarr")), windows=5, progress=False)
    assert table["notes_weights"].unique().tolist() == ["ck1", "ck2"]
    write_table(table, place / "sweep.csv")
    said = run("info", "sweep.csv").splitlines()
    heads = [said.index(f"rec-{name}, weights={name}") for name in networks]
    assert heads == sorted(heads)
    assert all(said[head + 1].split()[:2] == ["layer", "population"] for head in heads)
    with pytest.raises(FormatError, match="no file fits"):
        run("export", "nets.py:model", "x.npy", "-o", "rec.zarr", "--weights", "no*.pt", "-q")


def test_type_and_device_of_a_model(place):
    """Weights and inputs are cast together; a device that is not there is said."""
    np.save(place / "x.npy", pixels()[0])
    run("export", "nets.py:model", "x.npy", "-o", "rec.nwb", "--dtype", "float64", "--device", "cpu", "-q")
    assert ann2neo.load(place / "rec.nwb").layers[0].dtype == "float64"
    with pytest.raises(ModelError, match="cannot be moved"):
        run("export", "nets.py:model", "x.npy", "-o", "rec2.nwb", "--device", "mps", "-q")


def test_a_folder_of_hugging_face_is_a_model_and_a_text_its_inputs(place):
    """What save_pretrained wrote gives its own weights; a configuration alone gives random ones of the seed, with a warning."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(place / "bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "sat"]
    (place / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(str(place / "vocab.txt")).save_pretrained(place / "tok")
    (place / "lines.txt").write_text("a cat\na cat sat\ncat\n")
    run(
        "export",
        "hf:bert",
        "lines.txt",
        "-o",
        "rec.zarr",
        "--tokenizer",
        "tok",
        "--steps",
        "1:attention_mask",
        "--layers",
        "encoder*",
        "-q",
    )
    recording = ann2neo.load(place / "rec.zarr")
    assert [layer.n_units for layer in recording.layers] == [16]
    assert recording.n_bins == sum(len(line.split()) + 2 for line in ("a cat", "a cat sat", "cat"))
    (place / "bert" / "model.safetensors").unlink()
    with pytest.warns(ann2neo.Ann2NeoWarning, match="random weights"):
        first = load_model("hf:bert", seed=3)
    assert torch.equal(
        first.state_dict()["pooler.dense.weight"],
        load_model("hf:bert", seed=3, weighted=True).state_dict()["pooler.dense.weight"],
    )
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_model("hf:nowhere")


def test_a_name_that_is_neither_a_file_nor_of_python_is_told(place):
    """A folder that is misspelt is not there; a file of Python that is there lacks a name after it."""
    for what, load in (("inputs", lambda name: read_inputs(name, 64)), ("model", load_model)):
        with pytest.raises(InputsError, match=rf"{what} 'pictures' is not of the form .*:name, and no file or folder"):
            load("pictures")
        with pytest.raises(InputsError, match=rf"{what} 'nets\.py' is not of the form .*:name\."):
            load("nets.py")


@pytest.mark.parametrize(("package", "name"), [("timm", "resnet10t"), ("torchvision", "resnet18")])
def test_architectures_by_name(package, name):
    """From what is installed, never from the net."""
    pytest.importorskip(package, exc_type=Exception)
    first, second = (load_model(f"{package}:{name}", seed=1, weighted=True).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    with pytest.raises(ModelError, match="cannot be made"):
        load_model(f"{package}:no_such_network")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("wrong", "mat1 and mat2"),
        ("fails", "nets.py, line 9, in fails: return 1 / 0"),
        ("Odd", "in forward: return self.act(x @"),
    ],
)
def test_errors_of_user_code_end_in_its_last_lines(place, model, words):
    """No traceback through the libraries; exit code 1 where the code is the user's."""
    np.save(place / "x.npy", np.zeros((4, 12), np.float32))
    command = [sys.executable, "-m", "ann2neo", "export", f"nets.py:{model}", "x.npy", "-o", "rec.zarr", "-q"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 10
