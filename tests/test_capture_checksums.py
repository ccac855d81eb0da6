"""A batch of inputs is known again by its check sum."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ann2neo
from ann2neo.capture.fingerprints import Fingerprint, batch_checksum, input_checksums
from ann2neo.errors import Ann2NeoWarning, StoreError


@given(st.integers(1, 40), st.integers(1, 90), st.data())
@settings(max_examples=40, deadline=None)
def test_check_sums_notice_every_change(n_inputs, n_bytes, drawn):
    """One bit changes the check sum of the batch and of its input, of no other input, wherever the bytes lie in memory."""
    content = np.random.default_rng(n_bytes).integers(0, 256, (n_inputs, n_bytes)).astype(np.uint8)
    whole, each = batch_checksum(content), input_checksums(content, n_inputs)
    elsewhere = np.empty(content.size + 1, np.uint8)
    elsewhere[1:] = content.reshape(-1)
    moved = elsewhere[1:].reshape(content.shape)
    assert batch_checksum(moved) == whole
    assert (input_checksums(moved, n_inputs) == each).all()
    other, row = content.copy(), drawn.draw(st.integers(0, n_inputs - 1))
    other[row, drawn.draw(st.integers(0, n_bytes - 1))] ^= 1 << drawn.draw(st.integers(0, 7))
    assert batch_checksum(other) != whole
    assert np.flatnonzero(input_checksums(other, n_inputs) != each).tolist() == [row]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_check_sum_tells_rows_and_signs(dtype):
    """Batches whose rows are exchanged or whose values are negated are others."""
    x = np.random.default_rng(0).standard_normal((64, 128)).astype(dtype)
    others = [x, -x, x[::-1], x.T, np.roll(x, 1, axis=0), np.abs(x), x.astype(np.float16), x.reshape(32, 256)]
    assert len({batch_checksum(other) for other in others}) == len(others)
    assert batch_checksum(torch.from_numpy(x)) == batch_checksum(torch.from_numpy(x.copy()))


class Graphs:
    """A batch with keys and items that is no mapping, as graph libraries have it."""

    def __init__(self, **parts):
        self._parts = parts

    def keys(self):
        return list(self._parts)

    def __getitem__(self, key):
        return self._parts[key]

    def __setitem__(self, key, value):
        self._parts[key] = value


class Pair:
    """An object with attributes."""

    def __init__(self, x, y):
        self.x, self.y, self.name = x, y, "pair"


FORMS = {
    "mapping": lambda a, b: {"a": a, "b": b},
    "tuple": lambda a, b: (a, b),
    "nested": lambda a, b: [a, {"b": [b]}],
    "graphs": lambda a, b: Graphs(a=a, b=b),
    "object": Pair,
}


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_of_batch_is_known_again_and_by_its_inputs(form):
    """Content decides, not the object: of each input, over all parts; exchanged parts and names are other batches."""
    a, b, make = torch.randn(4, 3), torch.randn(4, 2), FORMS[form]
    assert batch_checksum(make(a, b)) == batch_checksum(make(a.clone(), b.numpy()))
    assert batch_checksum(make(a, b)) != batch_checksum(make(b, a))
    assert batch_checksum(make(a, b)) != batch_checksum(make(a, b), np.arange(4))
    order = [2, 0, 0, 1]
    each = input_checksums(make(a, b), 4)
    assert (input_checksums(make(a[order], b[order]), 4) == each[order]).all()
    assert len(set(each.tolist())) == 4
    half = input_checksums(make(a[[0, 0, 1, 1]], b), 4)
    assert len(set(half.tolist())) == 4


def test_inputs_that_are_more_than_their_rows_have_no_check_sums():
    """An array along another axis, such as the edges of a graph, may belong to any input; a single number belongs to all."""
    x = torch.randn(4, 3)
    assert input_checksums({"x": x, "edges": torch.zeros(2, 7)}, 4) is None
    assert input_checksums({"x": x, "scale": torch.tensor(2.0)}, 4) is not None
    assert input_checksums(torch.nested.nested_tensor([x, x[:2]]), 2) is None


@pytest.mark.parametrize("kind", ["steps first", "edges"])
def test_what_is_no_row_of_an_input_counts_in_any_order(kind):
    """Steps before inputs and edges of a graph are other data where they differ, though no input has a row of them; batches may come in any order."""

    def made(seed):
        other = torch.randn(7, 4, 3, generator=torch.Generator().manual_seed(seed))
        return other if kind == "steps first" else {"x": torch.ones(4, 3), "edges": other[:2, 0]}

    def hashed(*batches):
        found = Fingerprint()
        for batch in batches:
            found.add(batch, 4)
        return found.in_any_order()

    assert hashed(made(1), made(2)) == hashed(made(2), made(1)) != hashed(made(1), made(3))


def test_other_calibrating_inputs_with_steps_first_are_refused(tmp_path):
    """A store that holds thresholds of other data is not taken for the one that is asked for."""
    model, x = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU()), torch.randn(7, 4, 3)

    def recorded(on):
        inputs = [ann2neo.Inputs([one], n_inputs=lambda batch: batch.shape[1]) for one in (x, on)]
        rule = ann2neo.Quantile(0.5, on=inputs[1])
        return ann2neo.record(model, inputs[0], threshold=rule, store=tmp_path / "a.zarr", progress=False)

    first = recorded(x)
    assert recorded(x.clone()).identical(first)
    with pytest.raises(StoreError, match="calibration"):
        recorded(x * 3 + 1)


def test_irregular_tensors_are_known_again():
    """Nested, sparse and quantized tensors, and arrays of objects, by their content."""
    x = torch.randn(4, 3).relu()
    for make in (
        lambda x: torch.nested.nested_tensor([x[:1], x[1:]], layout=torch.jagged),
        lambda x: x.to_sparse(),
        lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8),
        lambda x: np.array([str(x.tolist()), None], object),
    ):
        assert batch_checksum(make(x)) == batch_checksum(make(x.clone())) != batch_checksum(make(x + 1))


@pytest.mark.parametrize("stored", [False, True])
def test_inputs_that_come_again_are_counted_and_told(stored, tmp_path):
    """By their content, whatever their labels; the provenance has those of the first batch, and some few are no matter."""
    model, options = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU()), {"progress": False}
    torch.manual_seed(0)
    x = torch.randn(100, 3)
    twice = torch.cat([x, x[:20]])
    if stored:
        options["store"] = tmp_path / "a.zarr"
    with pytest.warns(Ann2NeoWarning, match=r"20 of the first 120 inputs hold the same as an earlier one"):
        recording = ann2neo.record(model, ann2neo.Inputs(twice, batch_size=110, labels=np.arange(120) % 7), **options)
    assert recording.provenance["identical_inputs_in_first_batch"] == 10
    few = ann2neo.record(model, torch.cat([x, x[:3]]), progress=False)
    assert "identical_inputs_in_first_batch" not in few.provenance
    ann2neo.record(model, torch.zeros(30, 3), progress=False)
    many = [torch.randn(512, 3), torch.randn(600, 3), x, x]
    ann2neo.record(model, many, progress=False)


def test_batches_whose_inputs_are_more_than_rows_are_not_read():
    """Whether there are check sums of inputs follows from shapes alone: a tensor without content, which cannot be read, is as good."""
    graph = {"x": torch.zeros(3, 2, device="meta"), "edges": torch.zeros(2, 5)}
    assert input_checksums(graph, 3) is None
    with pytest.raises(NotImplementedError):
        input_checksums({"x": graph["x"]}, 3)


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
def test_a_sparse_matrix_is_never_made_dense(layout):
    """As a whole it would take 4 TB; what it holds, and where, counts, and not in how many parts it was added up."""
    n = 1_000_000
    at, values = torch.tensor([[0, 5, 5], [3, 2, 7]]), torch.tensor([1.0, 2.0, 3.0])

    def made(at, values):
        whole = torch.sparse_coo_tensor(at, values, (n, n))
        return whole if layout == torch.sparse_coo else whole.to_sparse(layout=layout)

    known = batch_checksum(made(at, values))
    assert known == batch_checksum(made(at.flip(1), values.flip(0)))
    assert known == batch_checksum(made(torch.cat([at, at], 1), torch.cat([values, 0 * values])))
    for other in (made(at, 2 * values), made(at.flip(0), values)):
        assert batch_checksum(other) != known
