"""Batches that hold a number for each pair of their inputs, as graphs given by an adjacency matrix do."""

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import ann2neo
from ann2neo.errors import Ann2NeoError, Ann2NeoWarning

N = 9
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(1))
LINKS = (torch.rand(N, N, generator=torch.Generator().manual_seed(2)) < 0.3).float() + torch.eye(N)


class Graph(nn.Module):
    """Sums over neighbours."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.own, self.fc, self.act = nn.ReLU(), nn.Linear(4, 6), nn.ReLU()
        self.ids = nn.Embedding(N, 4)

    def forward(self, x, links):
        return self.act(links @ self.own(self.fc(self.ids(x) if x.ndim == 1 else x)))


class Distances(Graph):
    """Attends by an array of shape (input, input, number) that is added to what inputs have in common."""

    def forward(self, x, links):
        h = self.fc(x)
        return self.act(torch.softmax(h @ h.T + links.sum(2), 1) @ h)


def recorded(model, batch, **options):
    """Record; what is said of dependence comes second."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        recording = ann2neo.record(model, [batch], progress=False, **options)
    said = [str(one.message) for one in told if one.category is Ann2NeoWarning]
    return recording, [one for one in said if "depends on the other inputs" in one]


@pytest.mark.parametrize("form", ["dense", "truth values", "coo", "csr", "array"])
@pytest.mark.parametrize("first", ["x", "links"])
def test_a_graph_by_its_adjacency_matrix_is_recorded_and_its_dependence_told(form, first):
    """Whatever comes first in the batch, and however the matrix is written; what comes before neighbours are summed depends on nothing else."""
    links = {
        "dense": LINKS,
        "truth values": LINKS > 0,
        "coo": LINKS.to_sparse(),
        "csr": LINKS.to_sparse_csr(),
        "array": LINKS.numpy(),
    }[form]

    class Model(Graph):
        def forward(self, x, links):
            links = torch.as_tensor(links)
            return super().forward(x, links if links.layout != torch.strided else links.float())

    model = Model()
    batch = {"x": X, "links": links} if first == "x" else {"links": links, "x": X}
    recording, told = recorded(model, batch)
    assert len(told) == 1
    assert "'act'" in told[0]
    assert "'own'" not in told[0]
    assert list(json.loads(recording.provenance["verified_json"])["dependent"]) == ["act"]
    dense = (LINKS > 0).float() if form == "truth values" else LINKS
    neighbours = [[j for j in range(N) if dense[i, j]] for i in range(N)]
    with torch.no_grad():
        h = model.own(model.fc(X))
        expected = np.array([(sum(dense[i, j] * h[j] for j in some) > 0).numpy() for i, some in enumerate(neighbours)])
    assert (recording.raster("act") == expected.T).all()


def test_pairs_may_hold_several_numbers_and_inputs_one():
    """Edge features, and nodes that are numbers."""
    model = Distances()
    links = LINKS[..., None] * torch.tensor([0.5, 1.0])
    recording, told = recorded(model, {"x": X, "links": links})
    assert len(told) == 1
    assert (recording.raster("act") == (model(X, links) > 0).T.numpy()).all()
    model, ids = Graph(), torch.arange(N).flip(0)
    for batch in ({"x": ids, "links": LINKS}, {"links": LINKS, "x": ids}):
        recording, told = recorded(model, batch)
        assert len(told) == 1
        assert (recording.raster("act") == (model(ids, LINKS) > 0).T.numpy()).all()


def test_a_graph_without_edges_depends_on_nothing_else():
    """Half of the inputs give the same."""
    assert not recorded(Graph(), {"x": X, "links": torch.eye(N)})[1]


def test_squares_that_are_not_of_pairs_are_not_recorded_as_such():
    """Rows that are turned round, or those of steps, are not their inputs whatever else has as many entries along both axes."""

    class Turned(Graph):
        def forward(self, x, links):
            return self.act(self.fc((links @ x).flip(0)))

    class Steps(Graph):
        def forward(self, x, links):
            return self.act((links.T + x[:, 0]).cumsum(1) + x.sum() * 0)

    for model in (Turned(), Steps()):
        with pytest.raises(Ann2NeoError, match="cannot be recorded") as failure:
            recorded(model, {"x": X, "links": torch.rand(N, N)}, layers="act")
        assert "7 inputs or more" not in str(failure.value)


@pytest.mark.parametrize("first", ["x", "links"])
def test_two_squares_are_not_taken_for_inputs(first):
    """Nothing tells which of them is the matrix: no row is said to follow its input where it does not."""

    class Square(Graph):
        def forward(self, x, links):
            return self.act(links @ x)

    batch = {"x": torch.randn(N, N), "links": LINKS}
    batch = batch if first == "x" else dict(reversed(batch.items()))
    with pytest.raises(Ann2NeoError, match="cannot be recorded"):
        recorded(Square(), batch)
