"""Arrays in files are arrays: their first axis counts inputs, and they are read batch by batch."""

import h5py
import numpy as np
import pytest
import torch
import zarr
from torch import nn

import ann2neo
from ann2neo.errors import InputsError

torch.set_num_threads(1)

X = torch.randn(11, 3, 4, generator=torch.Generator().manual_seed(2)).numpy()


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU())


def record(x, **options):
    return ann2neo.record(network(), x, progress=False, **options)


class Slices:
    """An array of another library, which lies elsewhere; notes how much is read at once."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.ndim = values, values.shape, values.dtype, values.ndim
        self.read = []

    def __len__(self):
        return len(self.values)

    def __getitem__(self, places):
        assert isinstance(places, slice)
        self.read.append(len(self.values[places]))
        return self.values[places].copy()

    def __array__(self, dtype=None, copy=None):
        raise MemoryError("the array is too large")


@pytest.fixture(params=["h5py", "zarr", "another library"])
def array(request, tmp_path):
    if request.param == "zarr":
        yield zarr.array(X)
    elif request.param == "h5py":
        with h5py.File(tmp_path / "x.h5", "w") as file:
            yield file.create_dataset("x", data=X)
    else:
        yield Slices(X)


@pytest.mark.parametrize("batch_size", [None, 4, 3])
def test_inputs_lie_along_the_first_axis(array, batch_size):
    """It is the recording of the same array in memory, and of a slow loop over inputs."""
    wrap = (lambda x: x) if batch_size is None else (lambda x: ann2neo.Inputs(x, batch_size=batch_size))
    found = record(wrap(array))
    with torch.no_grad():
        expected = torch.stack([network()(torch.from_numpy(x)[None])[0].flatten() > 0 for x in X], dim=1)
    assert np.array_equal(found.raster("1"), expected.numpy())
    assert found.trials["stimulus_id"].tolist() == list(range(11))
    assert found.provenance["batch_size"] == record(wrap(X)).provenance["batch_size"]


def test_labels_steps_plans_and_thresholds(array):
    """Everything that takes inputs takes them from a file."""
    assert record(ann2neo.Inputs(array, labels=range(11))).trials["label"].tolist() == list(range(11))
    in_steps = record(array, steps=ann2neo.Steps(1))
    assert np.array_equal(in_steps.raster("1"), record(X, steps=ann2neo.Steps(1)).raster("1"))
    assert ann2neo.plan(network(), array)["bins"].tolist() == [11]
    for rule in (ann2neo.Quantile(0.7, on=array), ann2neo.MeanPlusSd(1, on=ann2neo.Inputs(array, batch_size=5))):
        values = network()(torch.from_numpy(X)).detach().flatten(1).numpy()
        quantile = np.quantile(values, 0.7, axis=0, method="inverted_cdf")
        expected = quantile if isinstance(rule, ann2neo.Quantile) else values.mean(0) + values.std(0)
        np.testing.assert_allclose(record(X, threshold=rule).layers[0].thresholds, expected, rtol=1e-6)


def test_no_more_than_a_batch_is_read_at_once():
    """The array may be larger than memory."""
    array = Slices(X)
    record(ann2neo.Inputs(array, batch_size=2), passes=None)
    assert max(array.read) == 2


def test_a_store_of_a_file_is_opened_again_and_no_other(tmp_path):
    """What the file holds is compared."""
    path = tmp_path / "a.zarr"
    first = record(ann2neo.Inputs(zarr.array(X), batch_size=4), store=path)
    assert record(ann2neo.Inputs(zarr.array(X), batch_size=4), store=path).identical(first)
    with pytest.raises(ann2neo.errors.StoreError, match="batch 2 is not the one"):
        record(ann2neo.Inputs(zarr.array(np.concatenate([X[:10], X[:1]])), batch_size=4), store=path)


def test_an_empty_array_in_a_file_is_told(tmp_path):
    """As one in memory."""
    with h5py.File(tmp_path / "x.h5", "w") as file, pytest.raises(InputsError, match=r"empty \(shape \(0, 4\)\)"):
        record(file.create_dataset("x", shape=(0, 4), dtype="f4"))


def test_a_list_of_arrays_stays_a_list_of_batches():
    """Each entry is a batch, as of arrays in memory."""
    assert record([X[:5, 0], X[5:, 0]]).n_bins == 11
    assert record(list(X)).layers[0].shape == (5,)
