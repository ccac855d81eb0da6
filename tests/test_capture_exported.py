"""Graphs of torch.export and torch.fx: recorded like the module that they were made from, or refused with the cure."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from capture_sources import X, make, names, record
from torch import fx, nn

import ann2neo
from ann2neo.errors import ModelError

ATTEND = F.scaled_dot_product_attention


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def network():
    return nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, 4), nn.Tanh())


def exported(model):
    batch = torch.export.Dim("batch", min=1, max=64)
    return torch.export.export(model, (X,), dynamic_shapes=({0: batch},))


FORMS = {
    "module": lambda program: program.module(),
    "within another": lambda program: nn.Sequential(nn.Sequential(program.module()), nn.Dropout(0.9)),
    "unflattened": torch.export.unflatten,
}


@pytest.mark.parametrize("form", FORMS)
def test_exported_modules_are_recorded(form):
    """They are in the form of inference already; what is around them is put in eval mode, and each flag is found as before."""
    model = network().eval()
    inputs = ann2neo.Inputs(X, batch_size=5, labels=np.arange(13) % 4)
    expected = record(model, inputs)
    whole = FORMS[form](exported(model))
    flags = [module.training for module in whole.modules()]
    recording = record(whole, inputs)
    assert [layer.shape for layer in recording.layers] == [(9,), (4,)]
    for here, there in zip(recording.layers, expected.layers, strict=True):
        assert (recording.raster(here.name) == expected.raster(there.name)).all()
        assert (here.thresholds == there.thresholds).all()
    # With dropout active the last outputs would be others.
    assert recording.trials["predicted_label"].tolist() == expected.trials["predicted_label"].tolist()
    assert [module.training for module in whole.modules()] == flags


def decomposed():
    """Normalization, ELU and SELU as plain operators."""
    model = nn.Sequential(nn.Linear(6, 9), nn.ELU(0.5), nn.Linear(9, 5), nn.SELU(), nn.LeakyReLU(0.2)).eval()
    return model, exported(model).run_decompositions().module()


def test_decomposed_programs_are_recorded():
    """Of SELU the operator elu with a scale is left: its value at 0 is the threshold, and what it does is unchanged."""
    model, graph = decomposed()
    recording, expected = record(graph, X), record(model, X)
    assert len(recording.layers) == 3
    for here, there in zip(recording.layers, expected.layers, strict=True):
        assert (recording.raster(here.name) == expected.raster(there.name)).all()


@pytest.mark.parametrize(
    "model",
    [
        lambda: exported(network().train()).module(),
        lambda: nn.Sequential(exported(network().train()).module()),
        lambda: torch.export.unflatten(exported(network().train())),
        lambda: fx.symbolic_trace(make(lambda self, x: F.dropout(x.relu(), training=self.training)).train()),
        lambda: fx.symbolic_trace(make(lambda self, x: torch.dropout(x.relu(), 0.5, True))),
        lambda: fx.symbolic_trace(make(lambda self, x: ATTEND(x, x, x, dropout_p=0.5).relu() + F.dropout(x, 0.0))),
        lambda: fx.symbolic_trace(make(lambda self, x: F.rrelu(x, training=True) + F.dropout(x, 0.5, True))),
    ],
)
def test_graphs_that_were_made_in_training_mode_are_refused(model):
    """Dropout and batch statistics are written into them: eval mode cannot be had."""
    with pytest.raises(ModelError, match=r"(?s)training mode.*dropout.*model\.eval\(\)") as caught:
        record(model(), X)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "model",
    [
        lambda: exported(nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.0), nn.ReLU()).train()).module(),
        lambda: fx.symbolic_trace(make(lambda self, x: F.dropout(x.relu(), training=self.training)).eval()),
        lambda: fx.symbolic_trace(network().train()),
    ],
)
def test_graphs_that_do_not_train_are_taken(model):
    """Also where the truth value says training, and nothing follows from it, and where modules within have modes of their own."""
    assert names(record(model(), X))


@pytest.mark.parametrize(
    "model",
    [
        lambda: exported(nn.Sequential(nn.BatchNorm1d(6, track_running_stats=False), nn.ReLU()).eval()).module(),
        lambda: fx.symbolic_trace(make(lambda self, x: ATTEND(x, x, x, dropout_p=0.0).relu())),
    ],
)
def test_graphs_that_mix_the_inputs_of_a_batch_are_taken_with_a_warning(model):
    """Without running statistics, and with attention along the batch, an input's spikes depend on the others."""
    with pytest.warns(ann2neo.Ann2NeoWarning, match="depends on the other inputs of its batch: 'relu'"):
        assert names(record(model(), X)) == ["relu"]
