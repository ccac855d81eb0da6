"""Batches whose inputs have other shapes than those of the first one, longer sequences or larger images: rows are inputs there too, or it is told."""

import json
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from capture_sources import names
from test_capture_lists import Detector, images
from torch import nn
from verified_models import DEPENDENT, Net, packed, trimmed

import ann2neo
from ann2neo.errors import Ann2NeoWarning, ModelError
from ann2neo.verification import shapes
from ann2neo.verification.verdict import ALL_IS_WELL

# Inputs and steps of each batch.
BATCHES = [(8, 6), (8, 9), (8, 8), (8, 3), (8, 12), (4, 7), (8, 6)]
ROW_K = r"in batches of inputs of shape \({}, 5\), where those of the first one had \(6, 5\), (row k is not input k|it is the same whatever)"


def sequences(sizes=BATCHES):
    generator = torch.Generator().manual_seed(6)
    return [torch.randn(n, n_steps, 5, generator=generator) for n, n_steps in sizes]


def record(model, data=None, **options):
    options = {"steps": ann2neo.Steps(1), "progress": False} | options
    data = sequences() if data is None else data
    if isinstance(data, list) and not isinstance(data[0], list):
        data = ann2neo.Inputs(data, n_inputs=number)
    return ann2neo.record(model.eval(), data, **options)


def number(batch):
    return len(next(iter(batch.values())) if isinstance(batch, dict) else batch)


def square(self, x):
    """Takes the steps for the inputs where there are as many."""
    return self.act(self.fc(x.transpose(0, 1) if len(x) == x.shape[1] else x))


def chunked(self, x):
    """Fills one buffer with all steps from its end on, once they are many."""
    h = x.flatten(0, 1)
    h = h.unflatten(0, x.shape[:2]).flip(0) if len(h) > 80 else h.unflatten(0, x.shape[:2])
    return self.act(self.fc(h))


def in_pairs(self, x):
    """Steps two by two; an odd one is paired with that of the next input."""
    n, n_steps, n_values = x.shape
    h = x.reshape(-1, n_values)
    h = h.roll(n_steps, 0) if n_steps % 2 else h
    return self.act(self.fc(h.reshape(n, n_steps, n_values)))


def short(self, x):
    """Sorts inputs that are short."""
    return self.act(self.fc(x[x[:, 0, 0].argsort()] if x.shape[1] < 6 else x))


FAULTS = {"square": (square, 8), "chunked": (chunked, 12), "in pairs": (in_pairs, 3), "short": (short, 3)}


@pytest.mark.parametrize("name", FAULTS)
def test_rows_that_lie_elsewhere_where_inputs_have_another_shape_are_refused(name, tmp_path):
    """In memory, by name, for thresholds, and by a store, which is not complete then, at the second call either; where no input has such a shape, nothing is said."""
    forward, n_steps = FAULTS[name]
    rule = ann2neo.Quantile(0.5, on=sequences())
    for options in ({}, {"layers": "act"}, {"threshold": rule}, *[{"store": tmp_path / "a.zarr"}] * 2):
        with pytest.raises(ModelError, match=ROW_K.format(n_steps)):
            record(Net(forward), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(record(Net(forward), sequences([(8, 6), (3, 10), (8, 6)]))) == ["act"]
    assert names(record(Net(forward), verify=False)) == ["act"]


@pytest.mark.parametrize("n", [3, 4, 5, 8])
def test_one_row_for_all_inputs_that_are_long_is_refused(n):
    """Also in a small batch, which shows less."""

    def forward(self, x):
        return self.act(self.fc(x[:1].expand_as(x) if x.shape[1] > 10 else x))

    with pytest.raises(ModelError, match=r"(row k is not input k|it is the same whatever)"):
        record(Net(forward), sequences([(8, 6), (n, 12), (8, 6)]))


def test_in_memory_only_the_layers_concerned_are_left_out():
    """With one warning; in the provenance stands why, and in which shapes rows were verified."""

    def forward(self, x):
        h = self.act(self.fc(x))
        return self.tanh(h.flip(0) if x.shape[1] > 10 else h)

    with pytest.warns(Ann2NeoWarning, match=f"not recorded: 'tanh': {ROW_K.format(12)}") as told:
        recording = record(Net(forward))
    assert len(told) == 1
    with torch.no_grad():
        seen = [(Net(forward).fc(x) > 0).flatten(0, 1) for x in sequences()]
    assert names(recording) == ["act"]
    assert np.array_equal(recording.raster("act"), torch.cat(seen).numpy().T)
    known = json.loads(recording.provenance["verified_json"])
    assert "of shape (12, 5)" in known["left_out"]["tanh"]
    assert known["n_shapes"] == 6
    assert known["shapes"] == ["(12, 5)", "(3, 5)", "(8, 5)"]
    assert recording.provenance["verified"].endswith("that of the first batch, (12, 5), (3, 5), (8, 5)")


def test_what_depends_on_the_other_inputs_where_these_are_large_is_told():
    """Large images share a pool; they are recorded, with a warning."""

    def forward(self, x):
        h = self.act(self.conv(x)).mean((2, 3))
        return self.tanh(self.head(h - h.mean(0) if x.shape[3] > 12 else h))

    def pictures(*sizes):
        generator = torch.Generator().manual_seed(7)
        return [torch.randn(6, 3, height, width, generator=generator) for height, width in sizes]

    def model():
        return Net(forward, conv=nn.Conv2d(3, 4, 3, padding=1), head=nn.Linear(4, 6))

    options = {"steps": None, "layers": "tanh"}
    with pytest.warns(Ann2NeoWarning, match="depends on the other inputs of its batch: 'tanh'"):
        recording = record(model(), pictures((8, 8), (9, 16), (8, 8)), **options)
    assert "tanh" in json.loads(recording.provenance["verified_json"])["dependent"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = record(model(), pictures((8, 8), (7, 12), (4, 4), (1, 1), (16, 9)), **options)
    assert recording.provenance["verified"].startswith(ALL_IS_WELL)


def test_noise_where_inputs_are_long_is_refused_unless_passes_seed_it():
    """A dropout as a function that is used there only."""

    def forward(self, x):
        h = self.fc(x)
        return self.act(F.dropout(h, 0.5) if x.shape[1] > 10 else h)

    with pytest.raises(ModelError, match="it differs from run to run"):
        record(Net(forward))

    def dropping(self, x):
        return self.act(self.drop(self.fc(x)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = record(Net(dropping, drop=nn.Dropout(0.5)), passes=ann2neo.Passes(2))
    assert recording.provenance["verified"].startswith(ALL_IS_WELL)
    for faulty in (chunked, square):

        def both(self, x, faulty=faulty):
            return self.drop(faulty(self, x))

        with pytest.raises(ModelError, match="row k is not input k"):
            record(Net(both, drop=nn.Dropout(0.5)), passes=ann2neo.Passes(2))


def masked(n, n_steps):
    generator = torch.Generator().manual_seed(n_steps)
    lengths = torch.randint(1, n_steps + 1, (n,), generator=generator).sort(descending=True).values
    lengths[0] = n_steps
    mask = torch.arange(n_steps) < lengths[:, None]
    return {"x": torch.randn(n, n_steps, 5, generator=generator) * mask[..., None], "mask": mask.long()}


def packed_by_mask(self, x, mask):
    return self.act(self.fc(packed(self, x, mask.sum(1))[:, :, :5]))


def padded_attention(self, x, mask):
    return self.act(self.fc(self.attention(x, x, x, key_padding_mask=mask == 0)[0]))


def flattened(self, x):
    return self.act(self.fc(x.flatten(0, 1)))


RIGHT = {
    "linear": (Net(lambda self, x: self.act(self.fc(x))), sequences()),
    "half": (Net(lambda self, x: self.act(self.fc(x))).bfloat16(), [x.bfloat16() for x in sequences()]),
    "flattened": (Net(flattened), sequences()),
    "inner steps first": (Net(lambda self, x: self.act(self.fc(x.transpose(0, 1)))), sequences()),
    "recurrent": (
        Net(lambda self, x: self.tanh(self.out(self.gru(x)[0])), gru=nn.GRU(5, 8, batch_first=True)),
        sequences(),
    ),
    "packed": (
        Net(packed_by_mask, gru=nn.GRU(5, 8, batch_first=True), enforce=False),
        [masked(*one) for one in BATCHES],
    ),
    "packed, longest first": (
        Net(packed_by_mask, gru=nn.GRU(5, 8, batch_first=True), enforce=True),
        [masked(*one) for one in BATCHES if one[0] == 8],
    ),
    "trimmed": (Net(trimmed), [masked(*one) for one in BATCHES]),
    "masked attention": (
        Net(padded_attention, attention=nn.MultiheadAttention(5, 1, batch_first=True)),
        [masked(*one) for one in BATCHES],
    ),
    "batch normalization": (
        Net(lambda self, x: self.act(self.norm(self.fc(x).transpose(1, 2)).transpose(1, 2)), norm=nn.BatchNorm1d(8)),
        sequences(),
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_other_shapes_are_no_alarm(case):
    """For architectures whose rows are inputs, in every shape."""
    model, data = RIGHT[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = record(
            model, data, steps=ann2neo.Steps(1, lengths="mask") if isinstance(data[0], dict) else ann2neo.Steps(1)
        )
    assert "could not" not in recording.provenance["verified"]
    known = json.loads(recording.provenance["verified_json"])
    assert len(known["shapes"]) >= 3
    assert not {"left_out", "dependent"} & set(known)
    assert len(recording.trials) == sum(map(number, data))


def test_steps_before_inputs_are_no_alarm():
    """Also where there are as many of them."""
    data = [x.transpose(0, 1).contiguous() for x in sequences()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = record(
            Net(lambda self, x: self.act(self.fc(x))), ann2neo.Inputs(data, n_inputs=lambda batch: batch.shape[1])
        )
    assert "(12, 5), (3, 5), (8, 5)" in recording.provenance["verified"]


@pytest.mark.parametrize("case", ["no running statistics", "over the largest", "a little of the mean"])
def test_what_depends_on_its_batch_is_told_once(case):
    """Not again where inputs have another shape."""
    model, _ = DEPENDENT[case]()
    if case == "no running statistics":
        norm = nn.BatchNorm1d(8, track_running_stats=False)
        model = Net(lambda self, x: self.act(self.norm(self.fc(x).transpose(1, 2)).transpose(1, 2)), norm=norm)
    with pytest.warns(Ann2NeoWarning) as told:
        recording = record(model, sequences([*BATCHES, (4, 15), (2, 20)]))
    assert len(told) == 1
    assert names(recording) == ["act"]


def test_lists_of_images_that_are_larger_later_are_verified():
    """Entries of the first batch are of one size."""

    def arrange(some):
        return some[::-1] if len({one.shape for one in some}) > 1 else some

    small, large = images(7, same=True), images(7)
    with pytest.raises(
        ModelError, match=r"of shape entries up to \(3, 11, 9\), where those of the first one had entries, row k"
    ):
        record(Detector(arrange), [small, large], steps=None, layers="out")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = record(Detector(), [small, large, large[:5]], steps=None, layers="out")
    assert recording.provenance["verified"].startswith(ALL_IS_WELL)


@pytest.mark.parametrize("architecture", ["BertModel", "GPT2Model", "LlamaModel", "OPTModel"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_texts_are_no_alarm(architecture, side, slow):
    """Of transformers with a mask, on either side."""
    if not slow and (architecture, side) != ("BertModel", "right"):
        pytest.skip("needs --slow")
    transformers = pytest.importorskip("transformers")
    kind = getattr(transformers, architecture)
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "pad_token_id": 0}
    if architecture == "OPTModel":
        sizes |= {"ffn_dim": 24, "word_embed_proj_dim": 16}
    else:
        sizes |= {"n_inner": 24} if architecture == "GPT2Model" else {"intermediate_size": 24}
    torch.manual_seed(0)
    options = {"add_pooling_layer": False} if architecture == "BertModel" else {}
    model, data = kind(kind.config_class(**sizes), **options), []
    for n, n_steps in BATCHES:
        mask = masked(n, n_steps)["mask"]
        mask = mask.flip(1) if side == "left" else mask
        data.append({"input_ids": mask * torch.randint(3, 40, mask.shape), "attention_mask": mask})
    with warnings.catch_warnings():
        warnings.simplefilter("error", Ann2NeoWarning)
        recording = record(model, data, steps=ann2neo.Steps(1, lengths="attention_mask"))
    assert recording.provenance["verified"].startswith(ALL_IS_WELL)


def test_two_and_a_half_runs_of_few_batches_and_none_where_all_have_one_shape():
    """However many shapes there are; random states are put back."""
    rows = []
    model = Net(lambda self, x: self.act(self.fc(x)))
    model.register_forward_pre_hook(lambda _module, args: rows.append(len(args[0])))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    steps = [12, *range(5, 31)]
    record(model, sequences([(8, n_steps) for n_steps in steps]))
    # Two inputs and eight verify steps.
    assert sum(rows) == len(steps) * 8 + 8 * 1.5 + 8 + 10 + 8 * 2.5 * 3
    assert torch.equal(torch.get_rng_state(), state)
    rows.clear()
    record(model, sequences([(8, 6)] * 5))
    assert sum(rows) == 5 * 8 + 8 * 1.5 + 8 + 10


def test_large_batches_are_not_kept_and_that_is_said(monkeypatch):
    """Nothing is known of their rows then."""
    monkeypatch.setattr(shapes, "MOST_BYTES", 4 * 8 * 10 * 5)
    recording = record(Net(chunked))
    assert "of other shapes than those of the first one hold more than" in recording.provenance["verified"]
    assert "(12, 5)" not in recording.provenance["verified"]
    assert "(9, 5), (8, 5), (3, 5)" in recording.provenance["verified"]


def test_a_batch_that_is_written_over_is_said():
    """A stream may fill one tensor again and again."""
    room = torch.empty(8, 9, 5)

    def batches():
        yield sequences()[0]
        for x in sequences([(8, 9), (8, 9)]):
            yield room.copy_(x)

    recording = record(Net(lambda self, x: self.act(self.fc(x))), batches)
    assert "batches of inputs of shape (9, 5) were written over" in recording.provenance["verified"]


def test_a_store_that_is_resumed_verifies_what_it_runs(tmp_path):
    """The first call ends before an input is long; the second one adopts what was found."""

    class Stop(Exception):
        pass

    def stopping(self, x):
        if self.stops and x.shape[1] > 10:
            raise Stop
        return chunked(self, x)

    model = Net(stopping)
    model.stops = True
    with pytest.raises(Stop):
        record(model, store=tmp_path / "a.zarr")
    model.stops = False
    with pytest.raises(ModelError, match=r"in batches of inputs of shape \(12, 5\)"):
        record(model, store=tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (torch.zeros(4, 3, 2), "(3, 2)"),
        (torch.zeros(4), "()"),
        ({"x": torch.zeros(4, 3), "n": torch.ones(4), "mask": None}, "x (3), n, no mask"),
        ({"x": torch.zeros(4, 3), "edges": torch.ones(2, 9)}, "x (3), edges"),
        (
            [torch.zeros(3, 8, 8), torch.zeros(3, 9, 7), torch.zeros(3, 2, 2), torch.zeros(3, 2, 2)],
            "entries up to (3, 9, 8)",
        ),
    ],
)
def test_shapes_are_written_without_the_axis_of_inputs(x, expected):
    """What has no such axis does not count."""
    assert shapes.shape_of(x, 4).text == expected
