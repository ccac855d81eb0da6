"""What shows only in later batches: after the last one the first is run once more, in memory, into a store and when thresholds are calibrated."""

import warnings

import numpy as np
import pytest
import torch
from capture_sources import names
from verified_models import Net

import ann2neo
from ann2neo.capture.job import Job
from ann2neo.errors import Ann2NeoWarning, DeviceError, ModelError

X = torch.randn(30, 5, generator=torch.Generator().manual_seed(5))
LATER = "run once more after the last, gave other values"


def counting(self, x):
    """Changes after three calls."""
    self.n += 1
    return self.act(self.fc(x) + (self.n > 3))


def drifting(self, x):
    self.n += 1
    return self.act(self.fc(x) + 1e-4 * max(self.n - 4, 0))


def noisy(self, x):
    """Noise that begins after three calls."""
    self.n += 1
    return self.act(self.fc(x) + (torch.randn(len(x), 8) if self.n > 3 else 0))


def remembering(self, x):
    """A bank of earlier batches, used from the sixth one on."""
    h = self.fc(x)
    h = h - torch.stack(self.bank).mean(0) if len(self.bank) > 4 else h
    self.bank.append(h.detach().mean(0))
    return self.act(h)


def in_place(self, x):
    """A sum of earlier inputs that is written in place, and used later."""
    self.total += x.detach().abs().sum()
    return self.act(self.fc(x) + (self.total > 60))


LATE = [counting, drifting, noisy, remembering, in_place]


def late(forward):
    model = Net(forward)
    model.n, model.bank = 0, []
    model.register_buffer("total", torch.zeros(()))
    return model


def record(model, x=X, batch_size=5, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ann2NeoWarning)
        return ann2neo.record(model, ann2neo.Inputs(x, batch_size=batch_size), progress=False, **options)


@pytest.mark.parametrize("forward", LATE)
def test_what_changes_from_call_to_call_is_refused_after_the_last_batch(forward, tmp_path):
    """In memory, by name, for thresholds, and by a store, which is not complete then; not asked for, it is recorded."""
    for options in ({}, {"layers": "act"}, {"threshold": ann2neo.Quantile(0.5, on=X)}, {"store": tmp_path / "a.zarr"}):
        with pytest.raises(ModelError, match=f"'act': the first batch, {LATER}"):
            record(late(forward), **options)
    with pytest.warns(Ann2NeoWarning, match="was interrupted"):
        assert LATER in ann2neo.load(tmp_path / "a.zarr").provenance["verified"]
    assert names(record(late(forward), verify=False)) == ["act"]


def test_a_cache_that_grows_shows_with_one_input_a_batch():
    """The same input again leaves a mean as it was; the first one after all others does not."""

    def attending(self, x):
        self.bank.append(self.fc(x).detach())
        return self.act(torch.stack(self.bank).mean(0))

    with pytest.raises(ModelError, match=LATER):
        record(late(attending), batch_size=1)


def half_late(self, x):
    self.n += 1
    return self.tanh(self.act(self.fc(x)) + (self.n > 3))


def test_in_memory_only_the_layers_concerned_are_left_out(tmp_path):
    """With one warning, and in the provenance; what was named is refused, and so is a store, whose bits are written."""
    inputs = ann2neo.Inputs(X, batch_size=5)
    with pytest.warns(Ann2NeoWarning, match=f"'tanh': the first batch, {LATER}") as told:
        recording = ann2neo.record(late(half_late), inputs, progress=False)
    assert len(told) == 1
    model = late(half_late)
    with torch.no_grad():
        assert (recording.raster("act") == (model.fc(X) > 0).numpy().T).all()
    assert names(recording) == ["act"]
    assert "tanh" in recording.provenance["verified_json"]
    for options in ({"layers": ["act", "tanh"]}, {"store": tmp_path / "a.zarr"}):
        with pytest.raises(ModelError, match=f"'tanh': the first batch, {LATER}"):
            record(late(half_late), **options)


def test_predictions_that_change_later_are_left_out():
    """Of the bits nothing is wrong."""

    def forward(self, x):
        self.n += 1
        return self.out(self.act(self.fc(x))).roll(int(self.n > 3), 1)

    inputs = ann2neo.Inputs(X, labels=torch.arange(30) % 8, batch_size=5)
    with pytest.warns(Ann2NeoWarning, match=f"the model predicts are not recorded: the first batch, {LATER}"):
        recording = ann2neo.record(late(forward), inputs, progress=False)
    assert "predicted_label" not in recording.trials
    assert names(recording) == ["act"]


@pytest.mark.parametrize("batch_size", [30, 10, 3])
def test_the_first_batch_is_run_once_more_and_no_other(batch_size):
    """One forward pass for a whole recording, none where there is one batch; random states are put back."""
    rows = []
    model = Net(lambda self, x: self.act(self.fc(x)))
    model.register_forward_pre_hook(lambda _module, args: rows.append(len(args[0])))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    record(model, batch_size=batch_size)
    assert sum(rows) == 30 + batch_size + batch_size // 2 + (batch_size if batch_size < 30 else 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_passes_are_run_with_the_seed_of_the_first_batch():
    """Their noise is the same again; a count beside it is seen."""

    def forward(self, x):
        self.n += 1
        return self.act(torch.dropout(self.fc(x), 0.5, self.training) + (self.n > self.limit))

    for limit, batch_size in ((100, 5), (3, 5), (1, 30)):
        model = late(forward)
        model.limit = limit
        passes = ann2neo.Passes(2, active="Net")
        if limit == 100:
            assert names(record(model, passes=passes)) == ["act"]
        else:
            with pytest.raises(ModelError, match=LATER):
                record(model, passes=passes, batch_size=batch_size)


def test_a_batch_that_is_written_over_is_said():
    """A stream may fill one tensor again and again; then nothing is alarmed, and the provenance says that nothing was seen."""
    room = torch.empty(5, 5)

    def batches():
        for x in X.split(5):
            yield room.copy_(x)

    model = Net(lambda self, x: self.act(self.fc(x)))
    recording = ann2neo.record(model, batches, progress=False)
    with torch.no_grad():
        assert np.array_equal(recording.raster("act"), (model.fc(X) > 0).numpy().T)
    assert "written over" in recording.provenance["verified"]


def test_a_stream_that_is_read_once_is_verified_by_what_it_gave():
    """Its first batch is kept, not read again."""
    with pytest.raises(ModelError, match=LATER):
        ann2neo.record(late(counting), iter(X.split(5)), progress=False)


def test_thresholds_are_calibrated_without_the_noise_with_which_is_recorded():
    """The first batch is one of calibrating, which is run once more as it was, in eval mode."""

    def dropping(self, x):
        return self.act(self.drop(self.fc(x)))

    model = Net(dropping)
    model.drop = torch.nn.Dropout(0.5)
    inputs = ann2neo.Inputs(X, batch_size=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = ann2neo.record(
            model, inputs, passes=ann2neo.Passes(3), threshold=ann2neo.Quantile(0.9, on=X), progress=False
        )
    assert names(recording) == ["act"]


def test_the_same_call_again_does_not_complete_what_was_refused(tmp_path):
    """First and last batch come out as they are stored by then; those between them are not run again."""

    def between(self, x):
        self.n += 1
        last = (x[0] == X[25]).all()
        return self.act(self.fc(x) + (self.n > 3 and not last))

    model = late(between)
    with pytest.raises(ModelError, match="the first batch"):
        record(model, store=tmp_path / "a.zarr")
    model.n = -100
    with pytest.raises(ModelError, match=r"not complete, because of what an earlier call found(?s:.*)overwrite=True"):
        record(model, store=tmp_path / "a.zarr")


@pytest.mark.parametrize("form", ["memory", "store"])
def test_a_device_that_is_lost_by_then_is_told_as_such(form, tmp_path):
    """It is not a batch that could not be run once more: nothing that was read of the device since can be trusted."""

    def losing(self, x):
        self.n += 1
        if self.n > 6:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return self.act(self.fc(x))

    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    with pytest.raises(DeviceError, match="a device failed"):
        record(late(losing), **options)


@pytest.mark.parametrize("when", [3, 5, 100])
def test_what_is_kept_of_the_first_batch_is_freed_whatever_happens(when):
    """An error keeps the frames in which it came about, and with them whatever these hold."""

    def failing(self, x):
        self.n += 1
        if self.n > when:
            raise ValueError("stop")
        return self.act(self.fc(x) + (self.n > 6))

    with pytest.raises((ValueError, ModelError)) as caught:
        record(late(failing))
    frames, trace = [], caught.value.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    jobs = [one for frame in frames for one in frame.f_locals.values() if isinstance(one, Job)]
    assert jobs
    assert all(job.checks.first is None and job.checks.differing is None for job in jobs)
