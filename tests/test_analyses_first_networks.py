"""The data, networks and training that the analyses rest on."""

import gzip
import importlib
import struct

import numpy as np
import pytest
import torch
from torch import nn

import ann2neo
from analyses.first.networks import states
from analyses.first.networks.cell import PRIMARY, STATES, Cell
from analyses.first.networks.plan import cells, missing, seconds
from analyses.networks.architectures import make
from analyses.networks.data import load, read_idx
from analyses.networks.training import accuracy, settle_batch_norm, train


@pytest.fixture
def idx_pair(tmp_path):
    """A tiny data set of 700 images of 6 x 6 pixels as IDX files, the images gzipped."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (700, 6, 6), dtype=np.uint8), rng.integers(0, 10, 700, dtype=np.uint8)
    paths = tmp_path / "images.gz", tmp_path / "labels"
    paths[0].write_bytes(gzip.compress(b"\x00\x00\x08\x03" + struct.pack(">3i", 700, 6, 6) + images.tobytes()))
    paths[1].write_bytes(b"\x00\x00\x08\x01" + struct.pack(">i", 700) + labels.tobytes())
    return images, labels, (str(paths[0]), str(paths[1]))


def test_idx_files_are_read_as_they_were_written(idx_pair):
    """Gzipped or not, with any number of axes."""
    images, labels, (image_file, label_file) = idx_pair
    np.testing.assert_array_equal(read_idx(image_file), images)
    np.testing.assert_array_equal(read_idx(label_file), labels)


@pytest.mark.parametrize(
    "content", [b"", b"PNG", b"\x00\x00\x0d\x01\x00\x00\x00\x00", b"\x00\x00\x08\x01\x00\x00\x00\x05ab"]
)
def test_what_is_no_idx_file_is_refused(tmp_path, content):
    """Empty, foreign, of another type, or shorter than it announces."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="file"):
        read_idx(tmp_path / "file")


def test_a_split_is_disjoint_and_the_same_every_time(idx_pair):
    """Held-out images never train; the images keep the order of their file."""
    images, labels, files = idx_pair
    data = load("mine", False, idx=files)
    again = load("mine", False, idx=files)
    assert (len(data.labels), len(data.held_out_labels)) == (200, 500)
    kept, held = _places(data.images, images), _places(data.held_out_images, images)
    assert kept == sorted(kept)
    assert not set(kept) & set(held)
    np.testing.assert_array_equal(data.labels, labels[kept])
    np.testing.assert_array_equal(data.held_out_labels, labels[held])
    assert torch.equal(data.images, again.images)
    assert len(load("mine", False, n_train=50, idx=files).labels) == 50


def test_unknown_data_and_architectures_are_refused():
    """With the names that are known."""
    with pytest.raises(ValueError, match="digits"):
        load("cifar", True)
    with pytest.raises(ValueError, match="resnet"):
        make("transformer", 8)


@pytest.mark.parametrize(("architecture", "n_layers"), [("mlp", 3), ("cnn", 3), ("resnet", 7), ("vit", 2), ("gru", 1)])
@pytest.mark.parametrize("size", [8, 28])
def test_every_architecture_is_recorded_whole(architecture, n_layers, size):
    """Ten outputs per image, and every hidden activation function is a layer of the recording."""
    torch.manual_seed(0)
    model = make(architecture, size).eval()
    images = torch.rand(5, 1, size, size)
    assert model(images).shape == (5, 10)
    options = {"steps": ann2neo.Steps(1), "layers": ["gru"]} if architecture == "gru" else {}
    assert len(ann2neo.record(model, images, progress=False, **options).layers) == n_layers


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_stops_when_the_labels_are_right_or_the_time_is_over(optimizer):
    """It gives the epochs it took, calls after each, and the same seed gives the same weights."""
    data, seen, trained = load("digits", True), [], []
    for _ in range(2):
        torch.manual_seed(3)
        model = make("mlp", 8)
        epochs = train(model, data.images, data.labels, seed=3, epochs=None, optimizer=optimizer)
        assert accuracy(model, data.images, data.labels) >= 0.999
        trained.append(model)
    assert all(torch.equal(a, b) for a, b in zip(trained[0].parameters(), trained[1].parameters()))
    torch.manual_seed(3)
    short = make("mlp", 8)
    steps = {"optimizer": optimizer, "seed": 3, "after_epoch": lambda epoch, _: seen.append(epoch)}
    assert train(short, data.images, data.labels, epochs=None, max_epochs=epochs - 1, **steps) == epochs - 1
    assert accuracy(short, data.images, data.labels) < 0.999
    assert seen == list(range(1, epochs))


def test_settled_batch_norm_sees_its_input_centred_and_scaled():
    """In evaluation mode an untrained network then normalizes as in training; no weight moves; modes and momentum are left."""
    torch.manual_seed(0)
    model = make("resnet", 8)
    images = load("digits", True).images
    before = {name: value.clone() for name, value in model.named_parameters()}
    settle_batch_norm(model, images, seed=0)
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
    assert model.training
    assert model.norm.momentum == 0.1
    with torch.no_grad():
        normal = model.eval().norm(model.stem(images))
    assert float(normal.mean(dim=(0, 2, 3)).abs().max()) < 0.05
    torch.testing.assert_close(normal.var(dim=(0, 2, 3)), torch.ones(8), rtol=0.05, atol=0)


def test_accuracy_leaves_the_network_as_it_was():
    """Neither its mode nor its statistics change."""
    torch.manual_seed(0)
    model, images = make("resnet", 8), torch.rand(20, 1, 8, 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    accuracy(model, images, np.zeros(20, np.int64))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_plan_names_every_network_once_and_the_primary_part_as_fixed():
    """2 x 2 settings x 5 seeds x 4 states are primary; controls come after the networks whose epochs they take."""
    wanted = cells(False)
    assert len({cell.name for cell in wanted}) == len(wanted)
    primary = [c for c in wanted if c.study == "states" and (c.data, c.architecture, c.optimizer) in PRIMARY]
    assert len(primary) == 80
    assert [cell.state for cell in primary[:4]] == list(STATES)
    assert STATES.index("memorizing") < STATES.index("generalizing-long")
    assert all(cell.name == f"{cell.data}-{cell.architecture}-{cell.state}-{cell.seed}" for cell in primary)
    assert all(seconds(cell) > 0 for cell in wanted)


def test_networks_without_a_row_are_missing(tmp_path):
    """A file of another network does not count."""
    a, b = (Cell(data="digits", architecture="mlp", state="random", seed=seed) for seed in (0, 1))
    (tmp_path / f"{a.name}.csv").write_text("x\n")
    assert missing([a, b], tmp_path) == [b]


def test_data_given_by_path_are_trained_and_exported(idx_pair, tmp_path):
    """Their images, classes and names arrive in the files, and what is said of the network fits it."""
    cell = next(cell for cell in states.given({"mine": idx_pair[2]}, True) if cell.state == "random")
    row = states.run(cell, tmp_path, 0, True)
    recording = ann2neo.load(tmp_path / f"{cell.name}-train.nwb")
    assert recording.provenance["dataset"] == "mine"
    data = load("mine", True, idx=idx_pair[2])
    np.testing.assert_array_equal(recording.trials["label"], data.labels)
    assert row["exploratory"] is True
    assert row["distance_from_initial"] == 0


def test_memorizing_networks_learn_a_permutation_that_depends_on_the_seed():
    """The same labels in the same numbers, on other images; the other states keep the classes."""
    data = load("digits", True)
    memorizing, long = (
        Cell(data="digits", architecture="mlp", state=state, seed=0) for state in ("memorizing", "generalizing-long")
    )
    one, other = states.targets(memorizing, data, 0), states.targets(memorizing, data, 1)
    np.testing.assert_array_equal(np.sort(one), np.sort(data.labels))
    assert (one != data.labels).mean() > 0.5
    assert (one != other).any()
    np.testing.assert_array_equal(states.targets(long, data, 0), data.labels)


def test_idx_options_are_checked():
    """A name, an equals sign and two files."""
    main = importlib.import_module("analyses.first.__main__")
    assert main._idx("mine=a,b") == ("mine", ("a", "b"))
    for wrong in ("mine", "mine=a", "a-b=c,d"):
        with pytest.raises(SystemExit, match="NAME=IMAGES,LABELS"):
            main._idx(wrong)


def _places(images: torch.Tensor, pixels: np.ndarray) -> list[int]:
    """Where in the file each image lies."""
    known = {image.tobytes(): place for place, image in enumerate(pixels)}
    return [known[np.round(image.numpy() * 255).astype(np.uint8).tobytes()] for image in images[:, 0]]


def test_residual_networks_have_batch_norm_and_transformers_do_not():
    """Only those have statistics that must be settled."""
    kinds = {name: [type(part) for part in make(name, 8).modules()] for name in ("resnet", "vit")}
    assert nn.BatchNorm2d in kinds["resnet"]
    assert nn.BatchNorm2d not in kinds["vit"]
