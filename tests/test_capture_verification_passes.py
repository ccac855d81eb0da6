"""With passes, only what draws is switched off while rows are verified: what else modules do in training mode, such as batch statistics, is seen and told."""

import json
import warnings

import pytest
import torch
import torch.nn.functional as F
from capture_sources import names
from torch import nn
from verified_models import Net, X

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning, ModelError
from ann2neo.verification.verdict import ALL_IS_WELL


def record(model, **options):
    return ann2neo.record(model, ann2neo.Inputs(X, batch_size=10), progress=False, **options)


def dependent(recording):
    return list(json.loads(recording.provenance.get("verified_json", "{}")).get("dependent", {}))


def dropping(self, x):
    return self.act(self.norm(self.drop(self.fc(x))))


class OwnNorm(nn.BatchNorm1d):
    """A batch norm of other code, which looks at its mode."""

    def forward(self, x):
        return super().forward(x) if self.training else x


class Mean(nn.Module):
    """Subtracts the mean of its batch in training mode, and draws nothing."""

    def forward(self, x):
        return x - x.mean(0) if self.training else x


class DropPath(nn.Module):
    """Drops whole inputs, in a way that is none of torch's modules."""

    def forward(self, x):
        return x * (torch.rand(len(x), 1) > 0.2) if self.training else x


class DropAndNorm(nn.Module):
    """Draws, and normalizes by its batch, both as functions."""

    def forward(self, x):
        return F.batch_norm(F.dropout(x, 0.3, self.training), None, None, training=True) if self.training else x


NORMS = {
    "batch norm": lambda: nn.BatchNorm1d(8),
    "without running statistics": lambda: nn.BatchNorm1d(8, track_running_stats=False),
    "of other code": lambda: OwnNorm(8),
    "a mean": Mean,
}
DROPS = {"dropout": lambda: nn.Dropout(0.3), "alpha": lambda: nn.AlphaDropout(0.3), "paths": DropPath}


@pytest.mark.filterwarnings("ignore:Net changed its own")
@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("norm", NORMS)
def test_batch_statistics_among_active_modules_are_told(norm, drop):
    """Beside whatever draws; what of other code cannot be told from a draw is said not to be verified."""
    model = Net(dropping, norm=NORMS[norm](), drop=DROPS[drop]())
    hidden = norm == "a mean" and drop == "paths"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        recording = record(model, passes=ann2neo.Passes(2, active=["norm", "drop"]))
    said = [str(one.message) for one in told if "depends on the other inputs of its batch: 'act'" in str(one.message)]
    assert len(said) == (0 if hidden else 1)
    assert dependent(recording) == ([] if hidden else ["act"])
    unseen = [name for name, one in [("'norm'", norm == "a mean"), ("'drop'", True)] if one] if drop == "paths" else []
    expected = f"beside drawing, such as batch statistics of their own, was not verified: {', '.join(unseen)}"
    assert (
        (expected in recording.provenance["verified"]) if unseen else (recording.provenance["verified"] == ALL_IS_WELL)
    )
    assert model.norm.training
    assert model.drop.training


def test_what_only_drops_is_verified_as_before():
    """Without a warning, and with nothing left open."""
    for norm in (nn.Identity(), nn.BatchNorm1d(8)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            recording = record(Net(dropping, norm=norm, drop=nn.Dropout(0.3)), passes=ann2neo.Passes(2))
        assert recording.provenance["verified"] == ALL_IS_WELL
        assert names(recording) == ["act"]


def test_functions_that_draw_and_normalize_in_one_forward_are_said_not_to_be_verified():
    """Nothing tells one from the other."""
    model = Net(dropping, norm=nn.Identity(), drop=DropAndNorm())
    recording = record(model, passes=ann2neo.Passes(2, active=["drop"]))
    assert "was not verified: 'drop'" in recording.provenance["verified"]


def test_rows_that_are_no_inputs_are_refused_in_passes_too():
    """Whatever is active."""
    model = Net(
        lambda self, x: self.act(self.norm(self.drop(self.fc(x.flip(0))))), norm=nn.BatchNorm1d(8), drop=DropPath()
    )
    with pytest.raises(ActivationError, match="row k is not input k"):
        record(model, passes=ann2neo.Passes(2, active=["norm", "drop"]))


def test_running_statistics_that_passes_change_are_told_as_such():
    """The model did not change itself in eval mode: it was asked to stay in training mode."""
    model = Net(dropping, norm=nn.BatchNorm1d(8), drop=nn.Dropout(0.3))
    with (
        pytest.warns(Ann2NeoWarning, match="in eval mode, but for what the passes keep in training mode"),
        pytest.warns(Ann2NeoWarning, match="depends on the other inputs"),
    ):
        record(model, passes=ann2neo.Passes(2, active=["norm", "drop"]))


@pytest.mark.parametrize("changes", [True, False])
@pytest.mark.parametrize("form", ["memory", "store"])
def test_a_refusal_says_that_the_model_changed_itself(changes, form, tmp_path):
    """Buffers that a forward pass wrote before the model was refused are left as they are: the error says it."""

    def forward(self, x):
        if changes:
            self.seen += len(x)
        return self.act(self.fc(x) + torch.randn(len(x), 8))

    model = Net(forward)
    model.register_buffer("seen", torch.zeros(()))
    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    with pytest.raises(ModelError, match="from run to run") as caught:
        record(model, **options)
    said = [one for one in getattr(caught.value, "__notes__", []) if "Net changed its own parameters or buffers" in one]
    assert bool(said) == changes
    assert bool(model.seen) == changes
