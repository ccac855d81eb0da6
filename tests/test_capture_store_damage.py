"""A recording that goes on trusts nothing that it did not read, and loses no more than a while of work."""

import multiprocessing
import random
import time

import numpy as np
import pytest
import torch
from store_sources import Batches, data, inputs, interrupted, model, record, same

import ann2neo
from ann2neo.errors import Ann2NeoWarning
from ann2neo.store import check, layout
from ann2neo.store.begun import read_begun
from ann2neo.store.growing import open_growing
from ann2neo.store.log import read_log

torch.set_num_threads(1)


def cut(file):
    file.write_bytes(file.read_bytes()[: len(file.read_bytes()) // 2])


def flip(file):
    content = bytearray(file.read_bytes())
    place = random.Random(file.name).randrange(len(content))
    content[place] ^= 1 << 3
    file.write_bytes(content)


def zeroed(file):
    file.write_bytes(bytes(len(file.read_bytes())))


def other(file):
    file.write_bytes(
        next(one for one in file.parent.glob("0.0.[0-9]*") if one.name not in (file.name, "0.0.0")).read_bytes()
    )


DAMAGE = {
    "flipped": flip,
    "cut": cut,
    "empty": lambda file: file.write_bytes(b""),
    "zeroed": zeroed,
    "missing": lambda file: file.unlink(),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "another chunk": other,
}


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("made", [inputs, lambda: Batches(data(), [7] * 42 + [6])], ids=["known", "unknown"])
def test_damaged_columns_are_recorded_again(tmp_path, monkeypatch, what, made):
    """In the first column, in the middle and at the end, of any layer: told, and then the same as if nothing had been."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 16)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 16)
    whole = record(model(), made())
    for number, (layer, column) in enumerate([(0, 0), (1, 3), (0, 7)]):
        path = tmp_path / f"{number}.zarr"
        interrupted(path, 20, made())
        assert max(read_log(path)) >= (0, 7)
        file = path / f"layers/{layer}/bits/0.0.{column}"
        DAMAGE[what](file)
        if file.is_dir():
            # What nobody can replace by a file has to be taken away by hand.
            file.rmdir()
        with pytest.warns(
            Ann2NeoWarning, match=f"1 columns of .* such as column {column} of pass 0: they are recorded again"
        ):
            resumed = record(model(), made(), store=path)
        assert same(resumed, whole)
        check(path)


def slowly(path, known, seconds):
    """Record in a process of its own, in columns that never fill, and put down what there is every so often."""
    from ann2neo.store import writer

    torch.set_num_threads(1)
    writer.SECONDS_BETWEEN_COMMITS = 0.2
    x = inputs() if known else Batches(data(), [7] * 42 + [6])
    ann2neo.record(model(seconds=seconds), x, store=path, passes=ann2neo.Passes(2), verify=False, progress=False)


@pytest.mark.slow("a process of torch is started, and killed after a while")
@pytest.mark.parametrize("known", [True, False])
def test_no_more_is_lost_than_the_work_of_a_while(tmp_path, monkeypatch, known):
    """Columns of 1,024 bins never fill with 300 inputs; killed again and again, the recording still comes to its end, and is the same."""
    processes = multiprocessing.get_context("forkserver")
    path, made = tmp_path / "a.zarr", (inputs if known else lambda: Batches(data(), [7] * 42 + [6]))
    n_before, n_killed = 0, 0
    for _ in range(3):
        process = processes.Process(target=slowly, args=(path, known, 0.04))
        process.start()
        deadline = time.monotonic() + 60
        while inputs_there(path) < n_before + 20 and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.join()
        assert inputs_there(path) >= n_before
        n_killed += inputs_there(path) > n_before
        n_before = inputs_there(path)
    assert n_killed >= 2
    with pytest.warns(Ann2NeoWarning, match="was interrupted"):
        shown = ann2neo.load(path)
    whole = record(model(), made(), passes=ann2neo.Passes(2))
    first = whole.layers[0].raster.bits()[:1] if shown.layers[0].raster.n_passes == 1 else whole.layers[0].raster.bits()
    there = np.unpackbits(shown.layers[0].raster.bits(), axis=-1, count=shown.layers[0].raster.n_bins)
    assert there.any()
    assert np.array_equal(there, np.unpackbits(first, axis=-1, count=300)[..., : there.shape[-1]])
    network = model()
    resumed = record(network, made(), passes=ann2neo.Passes(2), store=path)
    assert same(resumed, whole)
    assert network[0].n_calls < 86 - n_before // 7 + 4
    check(path)


def inputs_there(path):
    """Inputs in all columns of a store, those that are not full included."""
    if not path.exists():
        return 0
    growing, log = open_growing(path), read_log(path)
    columns = [*log.values(), *(one.column for one in read_begun(growing, log).values())]
    return sum(column.n_bins for column in columns)


def test_sequences_that_go_on_in_the_middle_of_a_column(tmp_path, monkeypatch):
    """Inputs of several lengths, columns begun at any batch: every moment at which a process may end gives the same recording."""
    from ann2neo.store import writer

    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 64)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 64)
    monkeypatch.setattr(writer, "SECONDS_BETWEEN_COMMITS", 0.0)
    lengths = np.arange(90) % 7 + 1
    x = torch.randn(90, 7, 6, generator=torch.Generator().manual_seed(0))
    for steps in (ann2neo.Steps(1, lengths), ann2neo.Steps(1, lambda x: lengths[: len(x)])):
        given = ann2neo.Inputs(x, batch_size=7, labels=np.arange(90) % 7)
        whole = record(model()[:3], given, steps=steps)
        for at in (1, 3, 4, 8, 12):
            path = tmp_path / f"{at}{callable(steps.lengths)}.zarr"
            network = model(at)[:3]
            with pytest.raises(Exception, match="call"):
                record(network, given, steps=steps, store=path)
            assert inputs_there(path) >= lengths[: 7 * (at - 2)].sum() or at < 3
            assert same(record(model()[:3], given, steps=steps, store=path), whole)
            check(path)
