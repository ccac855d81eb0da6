"""Weights of a file: as they are, from a wrapper or a checkpoint, and what is said where they are those of another model."""

import pytest
import torch
from torch import nn

from ann2neo.cli.weights import with_weights
from ann2neo.errors import FormatError, ModelError


def net(*, n_hidden=6):
    return nn.Sequential(nn.Linear(4, n_hidden), nn.ReLU(), nn.BatchNorm1d(n_hidden), nn.Linear(n_hidden, 3))


def renamed(state, before="", keys=None):
    return {before + key: value for key, value in state.items() if keys is None or key in keys}


FORMS = {
    "alone": lambda state: state,
    "data-parallel": lambda state: renamed(state, "module."),
    "compiled": lambda state: renamed(state, "_orig_mod."),
    "both": lambda state: renamed(state, "_orig_mod.module."),
    "both, the other way round": lambda state: renamed(state, "module._orig_mod."),
    "checkpoint": lambda state: {"epoch": 3, "model_state_dict": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
    "checkpoint of a wrapper": lambda state: {"state_dict": renamed(state, "module.")},
}  # fmt: skip


@pytest.mark.parametrize("form", list(FORMS))
def test_weights_are_found_in_their_usual_forms(form, tmp_path):
    """What comes out are the weights that were saved, bit for bit."""
    state, path = net().state_dict(), tmp_path / "weights.pt"
    torch.save(FORMS[form](state), path)
    loaded = with_weights(net(), path).state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_a_module_of_that_name_is_no_wrapper(tmp_path):
    """A model whose own names begin like those of a wrapper is taken as it is."""
    model, path = nn.ModuleDict({"module": net()}), tmp_path / "weights.pt"
    torch.save(model.state_dict(), path)
    assert torch.equal(
        with_weights(nn.ModuleDict({"module": net()}), path)["module"][0].weight, model["module"][0].weight
    )


STATE = net().state_dict()
BAD = {
    "missing": (renamed(STATE, keys=["0.weight", "0.bias"]), "missing: 2.weight, 2.bias, .*3.bias"),
    "unexpected": (STATE | {"4.weight": torch.ones(2)}, r"\(unexpected: 4.weight\)"),
    "shapes": (net(n_hidden=7).state_dict(), r"shapes: 0.weight is \(7, 4\) instead of \(6, 4\)"),
    "part": (renamed(STATE, "encoder."), r"differ by 'encoder\.' before those of the file: give --prefix encoder\.$"),
    "partial wrapper": (renamed(STATE, "module.", ["0.weight"]) | renamed(STATE, keys=["0.bias"]), "unexpected: module.0.weight"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD))
def test_what_does_not_fit_is_named(case, tmp_path):
    """Missing and unexpected names and other shapes, in three lines."""
    state, match = BAD[case]
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match=match) as caught:
        with_weights(net(), tmp_path / "weights.pt")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("found", "match"),
    [
        (
            {"model": STATE, "ema": STATE, "epoch": 1},
            "dictionary of model, ema, epoch; several of them hold tensors: model, ema",
        ),
        ({"epoch": 1}, "dictionary of epoch"),
        (torch.ones(3), "a Tensor"),
    ],
)
def test_a_file_that_does_not_say_which_weights(found, match, tmp_path):
    """Two sets of weights, none, or a tensor: the entries are named."""
    torch.save(found, tmp_path / "weights.pt")
    with pytest.raises(FormatError, match=match):
        with_weights(net(), tmp_path / "weights.pt")
