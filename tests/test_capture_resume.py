"""What a store holds is not recorded or calibrated again, and what is not the same is noticed before it is mixed."""

import pytest
import torch
from store_sources import Counting, Stop, data, inputs, model, same
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

import ann2neo
from ann2neo.errors import OutputExists, StoreError
from ann2neo.store import check, layout

torch.set_num_threads(1)
ON = data(90, seed=5)


@pytest.fixture(autouse=True)
def small_columns(monkeypatch):
    """Columns of 16 bins, so that little data fills many."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 16)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 16)


def record(network, x, **options):
    return ann2neo.record(network, x, progress=False, **{"verify": False, **options})


def export(network, x, path, **options):
    return ann2neo.export(network, x, path, overwrite=True, progress=False, **{"verify": False, **options})


def interrupted(path, at=20, x=None, **options):
    """Record until the model fails at a call."""
    with pytest.raises(Stop):
        record(model(at), inputs() if x is None else x, store=path, **options)
    n_columns = len(list((path / "log").glob("*.*.json")))
    assert 0 < n_columns < 19
    return n_columns


# Calibrated thresholds


def rules(on):
    return {
        "2": ann2neo.Quantile(0.7, on=on),
        "5": ann2neo.MeanPlusSd(0.5, on=ann2neo.Inputs(on, batch_size=9), per="layer"),
    }


def test_a_complete_store_is_opened_without_calibrating_again(tmp_path):
    """Of the inputs only the first batch is run, which shows whether the model still does the same; the recording is the same."""
    path, network = tmp_path / "a.zarr", model()
    first = record(network, inputs(), store=path, threshold=rules(ON))
    assert network[0].n_calls > 43
    again = model()
    assert record(again, inputs(), store=path, threshold=rules(ON.clone())).identical(first)
    assert again[0].n_calls == 1
    assert same(first, record(model(), inputs(), threshold=rules(ON)))


def test_a_resumed_store_keeps_its_thresholds(tmp_path):
    """After an interruption only missing batches are run, and two again, but none of the calibrating inputs."""
    path = tmp_path / "a.zarr"
    n_calibrating = 13 + 10
    n_columns = interrupted(path, n_calibrating + 20, threshold=rules(ON))
    network = model()
    resumed = record(network, inputs(), store=path, threshold=rules(ON))
    assert same(resumed, record(model(), inputs(), threshold=rules(ON)))
    assert network[0].n_calls == 2 + 43 - n_columns * 16 // 7
    check(path)


def test_calibrating_inputs_may_come_in_another_order(tmp_path):
    """A shuffling loader draws another order in each process; the thresholds of the store stay."""
    path, dataset = tmp_path / "a.zarr", TensorDataset(ON)
    torch.manual_seed(1)
    first = record(
        model(), inputs(), store=path, threshold=ann2neo.Quantile(0.7, on=DataLoader(dataset, 8, shuffle=True))
    )
    torch.manual_seed(2)
    network = model()
    rule = ann2neo.Quantile(0.7, on=DataLoader(dataset, 8, shuffle=True))
    state = torch.get_rng_state()
    assert record(network, inputs(), store=path, threshold=rule).identical(first)
    assert network[0].n_calls == 1
    assert torch.equal(torch.get_rng_state(), state)


def changed(x, row):
    x = x.clone()
    x[row, 0] += 1
    return x


@pytest.mark.parametrize("complete", [False, True])
def test_other_calibrations_are_refused(tmp_path, complete):
    """Another rule, other calibrating inputs, fewer of them or other batches of them are another recording, also where the thresholds come out the same."""
    path, rule = tmp_path / "a.zarr", ann2neo.Quantile(0.7, on=ON)
    if complete:
        record(model(), inputs(), store=path, threshold=rule)
    else:
        interrupted(path, 33, threshold=rule)
    others = [
        ann2neo.Quantile(0.71, on=ON),
        ann2neo.Quantile(0.7, on=changed(ON, 50)),
        ann2neo.Quantile(0.7, on=ON[:-1]),
        ann2neo.Quantile(0.7, on=ann2neo.Inputs(ON, batch_size=11)),
        ann2neo.MeanPlusSd(0.7, on=ON),
    ]
    for other in others:
        with pytest.raises(StoreError, match="threshold rule"):
            record(model(), inputs(), store=path, threshold=other)


def test_a_generator_still_calibrates(tmp_path):
    """It can be read only once, so it is read with the model; the store is the same one."""
    path = tmp_path / "a.zarr"
    first = record(model(), inputs(), store=path, threshold=ann2neo.Quantile(0.7, on=iter(ON.split(7))))
    network = model()
    again = record(network, inputs(), store=path, threshold=ann2neo.Quantile(0.7, on=iter(ON.split(7))))
    assert again.identical(first)
    assert network[0].n_calls == 13 + 1


# Data that changed


@pytest.mark.parametrize("kind", ["tensor", "array", "list", "tensors", "loader", "shuffling"])
@pytest.mark.parametrize("complete", [False, True])
def test_inputs_in_memory_that_changed_anywhere_are_noticed(tmp_path, kind, complete):
    """All batches that were recorded are compared, not only the first, before anything is run; others that are still to come may change."""
    made = {
        "tensor": lambda x: ann2neo.Inputs(x, batch_size=7),
        "array": lambda x: ann2neo.Inputs(x.numpy(), batch_size=7),
        "list": lambda x: list(x.split(7)),
        "tensors": lambda x: ann2neo.Inputs(TensorDataset(x), batch_size=7),
        "loader": lambda x: DataLoader(
            ConcatDataset([TensorDataset(x[:50]), Subset(TensorDataset(x), range(50, 300))]), 7
        ),
        "shuffling": lambda x: DataLoader(TensorDataset(x), 7, sampler=torch.arange(299, -1, -1)),
    }[kind]
    path, x = tmp_path / "a.zarr", data()
    if complete:
        record(model(), made(x), store=path)
    else:
        interrupted(path, 20, made(x))
    network = model()
    turned = kind == "shuffling"
    with pytest.raises(StoreError, match="batch 10 is not the one"):
        record(network, made(changed(x, 299 - 72 if turned else 72)), store=path)
    assert network[0].n_calls == 0
    if not complete and not turned:
        record(network, made(changed(x, 280)), store=path)
        check(path)


class Read(Counting):
    """Items of a data set of the user's, some of them changed; at random if asked for."""

    def __init__(self, x, *, noise=0.0):
        super().__init__(x)
        self.noise = noise

    def __getitem__(self, index):
        x, label = super().__getitem__(index)
        return x + self.noise * torch.randn(6), label


@pytest.mark.parametrize("complete", [False, True])
def test_of_a_loader_batches_that_are_spread_over_all_are_compared(tmp_path, complete):
    """No more than nine of its batches are read; others in their middle are noticed before anything is run."""
    path, x = tmp_path / "a.zarr", data()

    def made(x):
        return DataLoader(Read(x), 7, shuffle=True, generator=torch.Generator().manual_seed(2))

    if complete:
        record(model(), made(x), store=path)
    else:
        interrupted(path, 40, made(x))
    order = list(made(x).sampler)
    other = x.clone()
    other[order[15 * 7 : 25 * 7]] += 1
    network, loader = model(), made(other)
    with pytest.raises(StoreError, match=r"batch (1[5-9]|2[0-4]) is not the one"):
        record(network, loader, store=path)
    assert network[0].n_calls == 0
    assert len(loader.dataset.read) <= 9 * 7
    loader = made(x)
    record(model(), loader, store=path)
    assert not complete or loader.dataset.read == [
        i for k in (0, 5, 10, 16, 21, 26, 32, 37, 42) for i in order[7 * k : 7 * k + 7]
    ]


def test_batches_that_are_changed_at_random_tell_nothing(tmp_path):
    """A script that seeds torch gives the first batch again, and others only if all before them are read."""
    path = tmp_path / "a.zarr"
    for _ in range(2):
        torch.manual_seed(0)
        recording = record(model(), DataLoader(Read(data(), noise=0.1), 7), store=path)
    assert recording.n_bins == 300


# Overwriting


def test_overwriting_resumes_the_same_recording(tmp_path):
    """What was recorded is not run again only because it might be replaced."""
    path = tmp_path / "a.zarr"
    n_columns = interrupted(path)
    network = model()
    assert same(export(network, inputs(), path), record(model(), inputs()))
    assert network[0].n_calls == 2 + 43 - n_columns * 16 // 7
    again = model()
    assert same(export(again, inputs(), path), record(model(), inputs()))
    assert again[0].n_calls == 1, "the first batch shows whether the model still does the same"


def test_overwriting_replaces_what_other_code_recorded(tmp_path):
    """A model whose weights and names are the same and whose forward is another gives other spikes."""
    path = tmp_path / "a.zarr"
    export(model(), inputs(), path)
    network = model()
    network[0].forward = lambda x: -x
    assert same(export(network, inputs(), path), record(network, inputs()))


@pytest.mark.parametrize("complete", [False, True])
def test_overwriting_replaces_another_recording(tmp_path, complete):
    """Other weights, other options, other data: of whatever kind the inputs are, and wherever they differ."""
    path, x = tmp_path / "a.zarr", data()

    def loader(values):
        return DataLoader(TensorDataset(values), 7)

    for network, options, before, now in [
        (model(seed=2), {}, inputs(), inputs()),
        (model(), {"bin_size_ms": 2.0}, inputs(), inputs()),
        (model(), {}, loader(x), loader(changed(x, 72))),
        (model(), {}, inputs(), inputs(299)),
    ]:
        if complete:
            export(model(), before, path)
        else:
            ann2neo.save(record(model(seed=7), data(20)), path, overwrite=True)
            with pytest.raises(Stop):
                export(model(20), before, path)
        assert same(export(network, now, path, **options), record(network, now, **options))
        check(path)


def test_overwriting_with_a_generator_records_anew(tmp_path):
    """To compare it would use it up."""
    path = tmp_path / "a.zarr"
    first = export(model(), iter(data().split(7)), path)
    network = model()
    assert same(export(network, iter(data().split(7)), path), first)
    assert network[0].n_calls == 43


def test_overwriting_spares_what_is_no_store(tmp_path):
    """A folder of other things is never replaced; a store that was saved as a whole, or is damaged, may be."""
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists):
        export(model(), inputs(), path)
    saved = tmp_path / "saved.zarr"
    whole = record(model(), inputs())
    ann2neo.save(whole, saved)
    assert same(export(model(seed=3), inputs(), saved), record(model(seed=3), inputs()))
    (saved / "log/recording.json").write_text("{")
    assert same(export(model(seed=3), inputs(), saved), record(model(seed=3), inputs()))
