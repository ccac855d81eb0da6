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


class Small(nn.Module):
    """Does something in training mode where a batch is small."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        return self.change(x) if self.training and len(x) < 10 else x


def flipped(x):
    return x.flip(0)


def minus_mean(x):
    return x - x.mean(0)


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


@pytest.mark.parametrize("form", ["memory", "named", "thresholds", "store"])
def test_what_modules_in_training_mode_do_in_a_smaller_batch_is_verified(form, tmp_path):
    """Rows that lie elsewhere in the rest at the end are refused, a mean of it is told, and dropout beside them hides neither."""
    options = {"named": {"layers": "act"}, "thresholds": {"threshold": ann2neo.Quantile(0.5, on=X)}}.get(form, {})
    for change, drop in [(flipped, nn.Dropout(0.3)), (minus_mean, nn.Dropout(0.3)), (flipped, nn.Identity())]:
        model, passes = Net(dropping, norm=Small(change), drop=drop), ann2neo.Passes(1, active=["norm", "drop"])
        inputs = ann2neo.Inputs(X[:17], batch_size=10)
        store = (
            {"store": tmp_path / f"{change.__name__}{len(list(tmp_path.iterdir()))}.zarr"} if form == "store" else {}
        )
        if change is flipped:
            with pytest.raises(ModelError, match="in batches of 7 inputs, where the first one held 10, row k is not"):
                ann2neo.record(model, inputs, passes=passes, progress=False, **options, **store)
        else:
            with pytest.warns(Ann2NeoWarning, match="depends on the other inputs of its batch: 'act'"):
                recording = ann2neo.record(model, inputs, passes=passes, progress=False, **options, **store)
            assert dependent(recording) == ["act"]


def test_what_modules_do_in_training_mode_is_verified_after_thresholds_were_calibrated_without():
    """The first batch that is recorded shows it; dropout alone takes no further run."""

    class Turned(nn.Module):
        def forward(self, x):
            return x.flip(0) if self.training else x

    def model(norm):
        return Net(dropping, norm=norm, drop=nn.Dropout(0.3))

    options = {"threshold": ann2neo.Quantile(0.5, on=X), "passes": ann2neo.Passes(1, active=["norm", "drop"])}
    with pytest.raises(ActivationError, match="or in eval mode, could not:\n  act: row k is not input k"):
        record(model(Turned()), **options)
    with pytest.warns(Ann2NeoWarning, match="depends on the other inputs of its batch: 'act'"):
        record(model(Mean()), **options)
    rows = []
    dropped = model(nn.Identity())
    dropped.register_forward_pre_hook(lambda _module, args: rows.append(len(args[0])))
    assert record(dropped, **options | {"passes": ann2neo.Passes(1)}).provenance["verified"] == ALL_IS_WELL
    # Calibrating, verifying, the first batch once more, and the same after recording.
    assert sum(rows) == 20 + 10 + 5 + 10 + 20 + 10


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
