"""Batches and models that do not fit are told with a cure that works; models that need gradients leave none behind."""

import numpy as np
import pytest
import torch
from capture_sources import X, record
from torch import nn
from torch.utils.data import DataLoader, Dataset

import ann2neo
from ann2neo.errors import InputsError

N = len(X)


@pytest.fixture
def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU())


def expected(model, x=X):
    with torch.no_grad():
        return (model(x) > 0).numpy().T


def forces(module, x):
    x = x.requires_grad_(True)
    energy = module.act(module.fc(x))
    return -torch.autograd.grad(energy.sum(), x)[0]


def backward(module, x):
    x = x.detach().requires_grad_(True)
    module.act(module.fc(x)).sum().backward()
    return x.grad


class Forces(nn.Module):
    """Forces as gradients of an energy."""

    def __init__(self, how):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.act, self.how = nn.Linear(6, 4), nn.Softplus(), how

    def forward(self, x):
        return self.how(self, x)


@pytest.mark.parametrize("how", [forces, backward])
@pytest.mark.parametrize("form", ["memory", "store"])
def test_a_model_that_needs_gradients_says_so_and_leaves_none_behind(how, form, tmp_path):
    """The error names the option; with it the bits are those of a plain call, and inputs, parameters and the mode of gradients are as before."""
    model, x = Forces(how), X.clone()
    model.fc.weight.grad = torch.ones(4, 6)
    held = model.fc.weight.grad
    with pytest.raises(InputsError, match=r"needs gradients[\s\S]*gradients=True"):
        record(model, x)
    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    for inputs in (ann2neo.Inputs(x, batch_size=5, gradients=True), ann2neo.Inputs([x], gradients=True)):
        recording = record(model, inputs, threshold=ann2neo.Quantile(0.5, on=x), **options)
        energies = model.act(model.fc(X)).detach().numpy()
        limits = np.quantile(energies, 0.5, axis=0, method="inverted_cdf")
        assert (recording.raster("act") == (energies > limits).T).all()
        options = {}
    ann2neo.plan(model, ann2neo.Inputs(x, gradients=True))
    assert not x.requires_grad
    assert torch.equal(x, X)
    assert model.fc.weight.grad is held
    assert torch.equal(held, torch.ones(4, 6))
    assert model.fc.bias.grad is None
    assert torch.is_grad_enabled()


def test_inputs_are_not_asked_for_gradients_by_a_model_that_is_without(mlp):
    """A model that switches gradients of its inputs on, in a call without any, leaves the user's tensors as they were."""

    class Asking(nn.Sequential):
        def forward(self, x):
            return super().forward(x.requires_grad_(True))

    x = X.clone()
    batches = list(x.split(5))
    recording = record(Asking(*mlp), ann2neo.Inputs(batches))
    assert (recording.raster("1") == expected(mlp)).all()
    assert not any(batch.requires_grad for batch in [x, *batches])


@pytest.mark.parametrize("dtype", [torch.float64, torch.uint8, torch.float16, torch.int64])
def test_numbers_of_another_type_are_told_with_a_cure(mlp, dtype):
    """The message names both types; what it advises records the inputs."""
    x = (X * 10).to(dtype)
    with pytest.raises(InputsError, match=rf"{str(dtype)[6:]}[\s\S]*x\.to\(torch\.float32\)") as caught:
        record(mlp, x)
    assert isinstance(caught.value.__cause__, RuntimeError)
    for cured in (x.to(torch.float32), ann2neo.Inputs(x, forward=lambda model, x: model(x.to(torch.float32)))):
        assert (record(mlp, cured).raster("1") == expected(mlp, x.float())).all()


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (lambda: nn.Linear(6, 6), (6,)),
        (lambda: nn.Conv2d(3, 3, 3), (3, 8, 8)),
        (lambda: nn.Conv1d(4, 4, 3), (4, 9)),
        (lambda: nn.Conv3d(2, 2, 3), (2, 5, 5, 5)),
    ],
)
def test_one_input_without_an_axis_of_inputs_is_told(model, shape):
    """Its features or channels would be taken for inputs, and what they give for one unit each."""
    network, x = nn.Sequential(model(), nn.ReLU()), torch.randn(shape)
    for run in (record, ann2neo.plan):
        with pytest.raises(InputsError, match=r"(single input|no axis of inputs)[\s\S]*unsqueeze\(0\)"):
            run(network, x)
    assert record(network, x.unsqueeze(0)).n_bins == 1
    assert record(network, torch.randn(shape).expand(shape[0], *shape).clone()).n_bins == shape[0]


def test_inputs_of_one_number_each_are_left_alone():
    """A vector of numbers may be inputs, where the model makes a feature of each."""

    class Scalar(nn.Sequential):
        def forward(self, x):
            return super().forward(x[:, None])

    model = Scalar(nn.Linear(1, 4), nn.ReLU())
    assert record(model, X[:, 0]).n_bins == N


class Table(Dataset):
    """Rows of lists and numbers, and a format that can be changed, as Hugging Face's data sets have it."""

    def __init__(self, kind=lambda value: value):
        self.kind = kind

    def with_format(self, name):
        return Table({"torch": torch.tensor}[name])

    def __len__(self):
        return N

    def __getitem__(self, i):
        return {"input": self.kind(X[i].tolist()), "label": self.kind(i % 3)}


@pytest.mark.parametrize(
    "wrap", [lambda data: data, lambda data: DataLoader(data, batch_size=5)], ids=["rows", "loader"]
)
def test_rows_of_lists_are_told_with_a_cure(mlp, wrap):
    """The advice, tensors as format, records every input with its label."""
    with pytest.raises(InputsError, match=r"lists of numbers[\s\S]*with_format\('torch'\)"):
        record(mlp, ann2neo.Inputs(wrap(Table())))
    recording = record(mlp, ann2neo.Inputs(wrap(Table().with_format("torch")), batch_size=5))
    assert (recording.raster("1") == expected(mlp)).all()
    assert recording.trials["label"].tolist() == [i % 3 for i in range(N)]


def test_batches_of_lists_are_told(mlp):
    """Also where they come from a list, or a loader of a data set that has no format."""
    batch = {"input": X.tolist(), "label": [0] * N}
    with pytest.raises(InputsError, match=r"mapping of lists[\s\S]*with_format"):
        record(mlp, ann2neo.Inputs([batch]))
    rows = [{"input": X[i].tolist(), "label": i % 3} for i in range(N)]
    with pytest.raises(InputsError, match=r"lists[\s\S]*with_format"):
        record(mlp, ann2neo.Inputs(DataLoader(rows, batch_size=5)))


def test_an_iterator_that_is_empty_is_told_as_what_it_is(mlp):
    """It was read to its end, most likely by an earlier call."""
    batches = (x for x in X.split(5))
    record(mlp, ann2neo.Inputs(batches))
    for used in (batches, iter([]), zip()):
        with pytest.raises(InputsError, match=r"holds no batch[\s\S]*read once[\s\S]*function"):
            record(mlp, ann2neo.Inputs(used))
    assert record(mlp, ann2neo.Inputs(lambda: (x for x in X.split(5)))).n_bins == N


def test_vmap_is_told_with_a_cure(mlp):
    """Over inputs, the batch as a whole gives the same; of an ensemble each member is recorded by itself."""
    with pytest.raises(InputsError, match=r"vmap[\s\S]*forward=lambda model, x: model\(x\)"):
        record(mlp, ann2neo.Inputs(X, forward=lambda m, x: torch.func.vmap(m)(x)))
    assert (record(mlp, ann2neo.Inputs(X, forward=lambda m, x: m(x))).raster("1") == expected(mlp)).all()
    members = [nn.Sequential(nn.Linear(6, 4), nn.ReLU()) for _ in range(3)]
    weights, _ = torch.func.stack_module_state(members)

    def ensemble(model, x):
        return torch.func.vmap(lambda w: torch.func.functional_call(model, w, x))(weights)

    with pytest.raises(InputsError, match=r"vmap[\s\S]*load_state_dict"):
        record(mlp, ann2neo.Inputs(X, forward=ensemble))
    for number, member in enumerate(members):
        mlp.load_state_dict({name: value[number] for name, value in weights.items()})
        assert (record(mlp, X).raster("1") == expected(member)).all()


class Batch:
    """Anything that a library may call a batch."""

    def __init__(self, x, n):
        self.x, self.batch_size = x, n


def test_objects_are_recorded_with_forward_and_told_without(mlp):
    """What the model takes of an object only the user knows."""
    batches = [Batch(x, len(x)) for x in X.split(5)]
    recording = record(mlp, ann2neo.Inputs(batches, forward=lambda model, batch: model(batch.x)))
    assert (recording.raster("1") == expected(mlp)).all()
    with pytest.raises(InputsError, match=r"type Batch[\s\S]*batch\.x"):
        record(mlp, ann2neo.Inputs(batches))
    with pytest.raises(InputsError, match=r"holds no tensor[\s\S]*n_inputs=lambda batch"):
        record(mlp, ann2neo.Inputs([object()], forward=lambda model, batch: model(X)))


def test_nested_tensors_are_told_with_a_cure(mlp):
    """Padded and with their lengths, the same inputs give the bits of each alone."""
    parts = [torch.randn(n, 6) for n in (3, 1, 5)]
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
    for inputs in ([nested], nested, [(nested, torch.arange(3))], [{"input": nested}]):
        with pytest.raises(InputsError, match=r"3 inputs of several lengths[\s\S]*to_padded_tensor"):
            record(mlp, ann2neo.Inputs(inputs))
    steps = ann2neo.Steps(1, lengths=[len(one) for one in nested.unbind()])
    recording = record(mlp, nested.to_padded_tensor(0.0), steps=steps)
    assert (recording.raster("1") == expected(mlp, torch.cat(parts))).all()


def test_what_fails_after_the_first_module_is_not_laid_to_the_inputs():
    """A mistake in the model's own lines is told as it is, whatever shape the inputs have; inputs that the first module refuses are told."""

    class Flat(nn.Module):
        def __init__(self, given):
            super().__init__()
            self.fc, self.act, self.given = nn.Linear(6, 4), nn.ReLU(), given

        def forward(self, x):
            return self.act(self.fc(x.reshape(-1, self.given))) @ torch.ones(3, 3)

    x = torch.randn(20, 2, 3)
    with pytest.raises(RuntimeError, match="x4 and 3x3"):
        record(Flat(6), x)
    with pytest.raises(InputsError, match="with 3 features, but Linear, the first module with weights, takes 6"):
        record(Flat(2), x)


class Translator(nn.Module):
    """Encodes a text, and decodes another one, which it makes of labels or, without any, of the text itself."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.encoder, self.decoder, self.act = nn.Embedding(9, 4), nn.GRU(4, 6), nn.GRU(4, 6), nn.ReLU()

    def prepare_decoder_input_ids_from_labels(self, labels):
        return torch.cat([torch.zeros_like(labels[:, :1]), labels[:, :-1]], 1)

    def forward(self, input_ids, decoder_input_ids=None, labels=None):
        read = input_ids if decoder_input_ids is None else decoder_input_ids
        read = read if labels is None else self.prepare_decoder_input_ids_from_labels(labels)
        state = self.encoder(self.words(input_ids).transpose(0, 1))[1]
        return self.act(self.decoder(self.words(read).transpose(0, 1), state)[0][-1])


@pytest.mark.filterwarnings("ignore:beside the inputs")
@pytest.mark.parametrize("steps", [None, ann2neo.Steps(1)])
def test_labels_that_a_decoder_reads_are_asked_for_by_their_name(steps):
    """Without them it would read what the encoder does; the cure gives what the model gives with its labels."""
    model, generator = Translator().eval(), torch.Generator().manual_seed(1)
    batch = {name: torch.randint(9, (5, 7), generator=generator) for name in ("input_ids", "labels")}
    with pytest.raises(InputsError, match="prepare_decoder_input_ids_from_labels") as error:
        ann2neo.record(model, [batch], steps=steps, progress=False)
    assert "never given to a model" in str(error.value)
    cured = {
        "input_ids": batch["input_ids"],
        "decoder_input_ids": model.prepare_decoder_input_ids_from_labels(batch["labels"]),
    }
    recording = ann2neo.record(model, [cured], progress=False)
    with torch.no_grad():
        assert (recording.raster("act") == (model(**batch) > 0).numpy().T).all()
    of_classes = {"input_ids": batch["input_ids"], "labels": torch.arange(5) % 2}
    assert ann2neo.record(model, [of_classes], progress=False).trials["label"].tolist() == [0, 1, 0, 1, 0]
