"""Files of inputs and weights that are damaged, or hold what a conversion would change: an error of ours, or the same numbers, never others."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ann2neo.cli.data_arrays import as_columns
from ann2neo.cli.data_files import _named, read_data
from ann2neo.cli.weights import with_weights
from ann2neo.errors import Ann2NeoError, FormatError, InputsError

X, Y = np.arange(24, dtype=np.float32).reshape(8, 3) / 7, np.arange(8) % 3


class Opened:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("opened",))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(reference):
    data = read_data(reference, batch_size=3)
    return data.data, None if data.labels is None else data.labels["label"]


def damaged(content, rng):
    """Flip a bit, zero 8 bytes, or cut the end off."""
    changed, at = bytearray(content), int(rng.integers(len(content)))
    how = rng.integers(3)
    if how == 0:
        changed[at] ^= 1 << int(rng.integers(8))
    elif how == 1:
        changed[at : at + 8] = bytes(len(changed[at : at + 8]))
    else:
        del changed[at:]
    return bytes(changed)


def write(kind):
    if kind == "d.npz":
        np.savez(kind, x=X, y=Y)
    elif kind == "d.csv":
        rows = [f"{a},{b},{y}" for a, b, y in zip(X[:, 0], X[:, 1], Y)]
        Path(kind).write_text("\n".join(["a,b,label", *rows]))
    elif kind == "w.pt":
        torch.manual_seed(0)
        torch.save(torch.nn.Linear(3, 2).state_dict(), kind)
    else:
        os.mkdir("pics")
        Image.fromarray((X * 50).astype(np.uint8)).save(kind)


def weights(path):
    return with_weights(torch.nn.Linear(3, 2), Path(path)).weight.detach().numpy(), None


@pytest.mark.parametrize("kind", ["d.npz", "d.csv", "w.pt", "pics/a.png"])
def test_damage_is_told_in_our_words(kind):
    """No error of another library; where the file has check sums, no other number either."""
    write(kind)
    read = weights if kind == "w.pt" else lambda path: found(path.partition("/")[0])
    content, right, rng, refused = Path(kind).read_bytes(), read(kind), np.random.default_rng(0), 0
    for _ in range(150):
        Path(kind).write_bytes(damaged(content, rng))
        try:
            got = read(kind)
        except Ann2NeoError:
            refused += 1
        else:
            # A table of text has no check sum, and a picture has one of its pixels alone.
            assert kind in ("d.csv", "pics/a.png") or np.array_equal(got[0], right[0])
    assert refused > 60


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.array([0, np.nan, 2]), "1 of 3 labels are not whole numbers, such as nan"),
        (np.array([0, 1, np.inf]), "such as inf"),
        (np.array([0, 1.5, 2]), "such as 1.5"),
        (np.array([0, 1, 2**64 - 1], np.uint64), "2\\*\\*63"),
        (np.eye(3, dtype=int), "one-hot vectors"),
        (np.array([0, 1, 2j]), "complex128"),
        (np.array(["2020-01-01"] * 3, "M8[D]"), "datetime64"),
        (np.array(7), r"shape \(\)"),
        (np.array([0, 1, Opened()], object), "allow_pickle"),
    ],
)
def test_labels_are_never_rounded_or_unpickled(y, words):
    """A label that is no integer is no class; in an .npy and in an .npz."""
    np.save("x.npy", X[:3])
    np.save("y.npy", y, allow_pickle=True)
    np.savez("d.npz", x=X[:3], y=y)
    for reference in ("x.npy,y.npy", "d.npz"):
        with pytest.raises(InputsError, match=words):
            found(reference)
    assert not os.path.exists("opened")


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.ones((2, 2), complex), "complex128"),
        (np.array([["a", "b"]]), "not real numbers"),
        (np.array([["2020-01-01"]], "M8[D]"), "datetime64"),
        (np.zeros(2, [("a", "f4")]), "not real numbers"),
        (np.full((2, 2), 2**64 - 1, np.uint64), "beyond those of int64"),
        (np.full((2, 2), 1e300), "beyond those of float32"),
        (np.array([[Opened()]], object), "allow_pickle"),
    ],
)
def test_inputs_are_never_other_numbers(x, words):
    """An imaginary part is not dropped, a date is no number of days, and what is too large is no infinity."""
    np.save("x.npy", x, allow_pickle=True)
    np.savez("d.npz", x=x)
    for reference in ("x.npy", "d.npz"):
        with pytest.raises(InputsError, match=words):
            found(reference)
    assert not os.path.exists("opened")


def test_classes_of_any_type_stay_those_classes():
    """Whole numbers, truth values and names, also as a column of an array."""
    for y in (np.array([2.0, -1.0, 0.0]), np.array([[2], [-1], [0]], np.int8), np.array([2, -1, 0], ">i4")):
        np.savez("d.npz", x=X[:3], y=y)
        assert np.ravel(found("d.npz")[1]).tolist() == [2, -1, 0]
    assert as_columns(np.array(["b", "a", "b"]))["label"].tolist() == [1, 0, 1]
    assert _named(np.array([1, -1, 0]), ["ant", "bee"]).tolist() == ["bee", "", "ant"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n0,1,2\n1,3,4\n", "cannot be read as a table"),
        ("a,b\n7,1,2\n9,3,4\n", "cannot be read as a table"),
        ("a,b\n1,2\n3,4,5\n", "cannot be read as a table"),
        ("a,label\n1,0\n2,\n", "1 of 2 labels of d.csv are missing"),
        ("a,label\n1,NA\n2,cat\n", "1 of 2 labels of d.csv are missing"),
        ("a,label\n1,0\n2,0.5\n", "such as 0.5"),
        ("a,label,y\n1,0,1\n", "unclear which are the labels"),
        ("a,label,label\n1,0,1\n", "unclear which are the labels"),
        ("a,label\n1e300,0\n", "beyond those of float32"),
        ("a,label\n1,2,3,4\n\n5\n", "cannot be read as a table"),
        ("", "cannot be read as a table"),
    ],
)
def test_columns_of_a_table_are_never_shifted_or_guessed(text, words):
    """A first column without a name is not dropped, and a class that is not there is not one."""
    Path("d.csv").write_text(text)
    with pytest.raises(InputsError, match=words):
        found("d.csv")


def test_classes_of_a_table():
    """Floating-point whole numbers are integers, names are numbered."""
    Path("d.csv").write_text("a,label\n1,2.0,\n2,0.0,\n")
    assert found("d.csv")[1].tolist() == [2, 0]
    Path("d.csv").write_text("a,label\n1,dog\n2,ant\n")
    assert found("d.csv")[1].tolist() == [1, 0]


def test_files_of_another_kind_than_their_name():
    """An .npz called .npy, an .npy called .npz, a pickle, an entry that is no array, one that declares terabytes."""
    np.save("x.npy", X)
    os.rename("x.npy", "x.npz")
    np.savez("y.npz", x=X)
    os.rename("y.npz", "y.npy")
    Path("p.npz").write_bytes(pickle.dumps(Opened()))
    with zipfile.ZipFile("e.npz", "w") as file:
        file.writestr("../x", b"text")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile("t.npz", "w") as file:
        file.writestr("x.npy", header.getvalue())
    for name in ("x.npz", "y.npy", "p.npz", "e.npz", "t.npz"):
        with pytest.raises(InputsError):
            found(name)
    assert not os.path.exists("opened")


def test_a_pipe_among_pictures_is_not_waited_for():
    os.mkdir("pics")
    os.mkfifo("pics/a.png")
    with pytest.raises(FormatError, match="a pipe or a device"):
        found("pics")


def test_a_name_with_a_comma_is_one_file():
    np.save("x,1.npy", X)
    assert np.array_equal(found("x,1.npy")[0], X)


def test_every_byte_of_weights_of_torch_has_a_check_sum():
    """`torch.load` does not verify them: a changed weight would be another network."""
    write("w.pt")
    right, content = weights("w.pt")[0], Path("w.pt").read_bytes()
    at = content.index(right.tobytes())
    for where in range(at, at + right.nbytes):
        changed = bytearray(content)
        changed[where] ^= 1
        Path("w.pt").write_bytes(changed)
        with pytest.raises(FormatError, match=r"does not have the check sum|is not a file of weights"):
            weights("w.pt")
