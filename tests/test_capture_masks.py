"""A mask that lies in a batch says which positions hold data."""

import warnings
from collections import UserDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

import ann2neo
from ann2neo.capture.masks import batch_mask
from ann2neo.errors import Ann2NeoWarning, InputsError

LENGTHS = [3, 1, 5, 4]
RIGHT = np.arange(5) < np.array(LENGTHS)[:, None]


@pytest.mark.parametrize("side", [slice(None), slice(None, None, -1)], ids=["right", "left"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32, torch.bfloat16, np.uint8])
@pytest.mark.parametrize("form", [dict, UserDict, lambda x: (x, 1), lambda x: [{"inner": x}]])
def test_a_mask_is_found_and_its_positions_are_counted(side, dtype, form):
    """On either side, of any type, however deep it lies."""
    mask = RIGHT[:, side].copy()
    given = torch.as_tensor(mask).to(dtype) if isinstance(dtype, torch.dtype) else mask.astype(dtype)
    batch = form({"input_ids": torch.zeros(4, 5), "attention_mask": given})
    assert (batch_mask(batch) == mask).all()
    assert batch_mask(batch).sum(1).tolist() == LENGTHS


def test_only_the_mask_that_is_named_is_taken():
    """Another name is another mask; without one nothing is known."""
    batch = {"attention_mask": torch.ones(4, 5), "frames": torch.as_tensor(RIGHT)}
    assert batch_mask(batch, "frames").sum(1).tolist() == LENGTHS
    assert batch_mask(batch, "nothing") is None
    assert batch_mask(torch.ones(4, 5)) is None


@pytest.mark.parametrize(
    "mask", [torch.ones(4, 1, 1, 5), torch.zeros(4, 5) - 1e9, torch.ones(5), torch.full((4, 5), torch.nan)]
)
def test_what_is_no_mask_of_positions_is_refused(mask):
    """Additive masks and masks of attention have other meanings."""
    with pytest.raises(InputsError, match="zeros and ones"):
        batch_mask({"attention_mask": mask})


class Tokens(nn.Module):
    """Something of each position, which no mask changes."""

    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(3, 6), nn.ReLU()

    def forward(self, x, **_):
        return self.act(self.fc(x))


X = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
THERE = torch.as_tensor(RIGHT)


def record(beside, steps):
    """Record all positions; what is said of the batch comes second."""
    torch.manual_seed(0)
    model = Tokens()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        recording = ann2neo.record(model, [{"x": X, **beside}], steps=steps, progress=False)
    return model, recording, [str(one.message) for one in told if one.category is Ann2NeoWarning]


PADDED = {
    "attention_mask": THERE,
    "decoder_attention_mask": THERE.long(),
    "mask": THERE.flip(1).float(),
    "src_key_padding_mask": ~THERE,
    "padding_mask": (~THERE).flip(1),
    "input_lengths": torch.tensor(LENGTHS),
    "seq_len": np.array([2, 5, 1, 2], np.int32),
}
OF_OTHER_AXES = {
    "of heads": THERE[:, None, None],
    "added": (THERE[:, None, None].float() - 1) * 1e9,
    "numpy": RIGHT[:, None],
}


@pytest.mark.parametrize("name", PADDED)
def test_whatever_says_where_padding_is_and_is_not_used_is_told(name):
    """Masks of either meaning, on either side, and numbers of positions; whatever they are called. With lengths nothing is left to say."""
    _, recording, told = record({name: PADDED[name]}, ann2neo.Steps(1))
    assert len(told) == 1
    assert name in told[0]
    assert recording.n_bins == 20
    _, _, told = record({name: PADDED[name]}, ann2neo.Steps(1, lengths=LENGTHS))
    assert not told


@pytest.mark.parametrize("kind", OF_OTHER_AXES)
def test_an_attention_mask_of_other_axes_is_told_and_not_refused(kind):
    """Nobody asked for it; a function makes it one of positions."""
    mask = OF_OTHER_AXES[kind]
    _, _, told = record({"attention_mask": mask}, ann2neo.Steps(1))
    assert len(told) == 1
    steps = ann2neo.Steps(
        1, lengths=lambda batch: torch.as_tensor(batch["attention_mask"]).reshape(4, 5) == float(mask.max())
    )
    model, recording, told = record({"attention_mask": mask}, steps)
    assert not told
    assert (recording.raster("act") == (model.fc(X)[THERE] > 0).T.numpy()).all()


@pytest.mark.parametrize(
    "beside",
    [
        {"attention_mask": torch.ones(4, 5)},
        {"mask": torch.rand(4, 5, generator=torch.Generator().manual_seed(1)) < 0.4},
        {"global_attention_mask": torch.eye(5)[[0] * 4]},
        {"head_mask": torch.zeros(3, 5)},
        {"lengths": torch.tensor([5] * 4)},
        {"length_scale": torch.tensor([0.5, 1.0, 1.0, 1.0])},
        {"pixel_mask": torch.zeros(4, 5, 5)},
        {"frames": THERE},
    ],
    ids=lambda beside: next(iter(beside)),
)
def test_what_is_no_padding_is_not_told(beside):
    """Masks of other kinds, positions that are masked at random as in training, and inputs that are all as long."""
    _, _, told = record(beside, ann2neo.Steps(1))
    assert not told


def test_lengths_that_count_padding_at_the_beginning_are_told():
    """As many positions as the mask has ones, but from the first one on, where there is padding; the mask itself is right, and of padding at the end both are."""
    left = THERE.flip(1)
    _, _, told = record(
        {"attention_mask": left}, ann2neo.Steps(1, lengths=lambda batch: batch["attention_mask"].sum(1))
    )
    assert ["which comes first" in one for one in told] == [True]
    for mask, lengths in ((left, "attention_mask"), (THERE, LENGTHS), (left, [1, 2, 1, 1])):
        assert not record({"attention_mask": mask}, ann2neo.Steps(1, lengths=lengths))[2]


SHORT = torch.as_tensor(np.arange(5) < np.array([3, 1, 2, 4])[:, None])
BLANK = torch.where(SHORT[..., None], X, 0.0)


def recorded(batch, lengths, x=BLANK):
    torch.manual_seed(0)
    steps = ann2neo.Steps(1, lengths=lengths)
    return ann2neo.record(Tokens(), [{"x": x, **batch}], steps=steps, progress=False).raster("act")


def of_data(x=BLANK):
    torch.manual_seed(0)
    return (Tokens()(x)[SHORT] > 0).T.numpy()


@pytest.mark.parametrize("name", ["pad_mask", "is_pad", "padding", "encoder_key_padding_mask"])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_mask_of_padding_keeps_data(name, flipped):
    """Its ones are padding, on either side: the batch holds the same there."""
    mask, x = (~SHORT.flip(1), BLANK.flip(1)) if flipped else (~SHORT, BLANK)
    torch.manual_seed(0)
    expected = (Tokens()(x)[~mask] > 0).T.numpy()
    assert (recorded({name: mask}, name, x) == expected).all()


@pytest.mark.parametrize("x", [X, BLANK], ids=["other numbers at padding", "zeros at padding"])
def test_names_and_whole_inputs_tell_what_ones_of_a_mask_are(x):
    """Where padding holds numbers as data do a name tells, or an input that is padded nowhere or would hold no data; what a batch told holds for the next."""
    assert (recorded({"is_pad": (~SHORT).long()}, "is_pad", x) == of_data(x)).all()
    for name in ("padding_mask", "pad") if x is BLANK else ():
        assert (recorded({name: SHORT}, name, x) == of_data(x)).all()
    whole = SHORT | (torch.arange(4) == 3)[:, None]
    for mask in (whole, ~whole):
        assert recorded({"padding_mask": mask}, "padding_mask", x).shape[1] == int(whole.sum())
    torch.manual_seed(0)
    batches = [{"x": BLANK, "pad_mask": ~SHORT}, {"x": X, "pad_mask": ~SHORT}]
    found = ann2neo.record(Tokens(), batches, steps=ann2neo.Steps(1, lengths="pad_mask"), progress=False)
    assert found.raster("act").shape[1] == 2 * int(SHORT.sum())


@pytest.mark.parametrize(
    ("name", "mask"),
    [("padding_mask", ~SHORT), ("non_pad", SHORT), ("is_pad", SHORT | (torch.arange(4) == 3)[:, None])],
)
def test_a_mask_that_may_mean_either_is_asked_about(name, mask):
    """Nothing tells, or an input would have no data by the mask's name; the cures are taken."""
    with pytest.raises(InputsError, match="may be data or padding") as failure:
        recorded({name: mask}, name, X)
    cures = [f"lambda batch: batch[{name!r}] == {n}" for n in (0, 1)]
    assert all(cure.removeprefix("lambda batch: ") in str(failure.value) for cure in cures)
    data = SHORT if name == "padding_mask" else mask
    right = cures[int(data is mask)]
    torch.manual_seed(0)
    expected = (Tokens()(X)[data] > 0).T.numpy()
    assert (recorded({name: mask}, eval(right), X) == expected).all()


def test_a_mask_whose_ones_are_padding_is_told():
    """What it keeps is all the same, and what it leaves out is not, though its name says nothing of padding."""
    with pytest.warns(Ann2NeoWarning, match="look like padding"):
        recorded({"frames": ~SHORT}, "frames")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (recorded({"frames": SHORT}, "frames") == of_data()).all()


UNUSED = {
    "pad": ~SHORT,
    "padding": SHORT,
    "valid": SHORT.float(),
    "is_pad": (~SHORT).long(),
    "valid_tokens": SHORT.numpy(),
    "att": SHORT.long(),
    "present": SHORT,
    "gone": (~SHORT).to(torch.uint8),
}


@pytest.mark.parametrize("name", UNUSED)
def test_zeros_and_ones_at_constant_positions_are_told_whatever_their_name(name):
    """The argument that the warning gives leaves padding out."""
    with pytest.warns(Ann2NeoWarning, match=f"'{name}' is [01] at 10 of 20") as said:
        assert recorded({name: UNUSED[name]}, None).shape[1] == 20
    cure = str(said[0].message).split("Steps(1, lengths=")[1].split("): the name")[0]
    assert (recorded({name: UNUSED[name]}, eval(cure)) == of_data()).all()


@pytest.mark.parametrize(
    "beside",
    [
        {"token_type_ids": torch.arange(5) >= torch.tensor([3, 1, 2, 4])[:, None]},
        {"is_first": torch.arange(5)[None].repeat(4, 1) == 0},
        {"spikes": torch.arange(10).reshape(2, 5)[[0, 1, 0, 1]] % 2},
    ],
    ids=lambda beside: next(iter(beside)),
)
def test_other_zeros_and_ones_of_steps_are_not_told(beside):
    """Second segments, first steps, trains of spikes."""
    assert not record(beside, ann2neo.Steps(1))[2]


def test_truth_values_of_a_function_need_one_of_each_input():
    """An input without a bin is refused."""
    with pytest.raises(InputsError, match="some of them true"):
        record({}, ann2neo.Steps(1, lengths=lambda batch: THERE & (torch.arange(4) > 0)[:, None]))


def pad(items, **options):
    return nn.utils.rnn.pad_sequence(list(items), **options)


@pytest.mark.parametrize("steps_first", [True, False])
@pytest.mark.parametrize("stream", [True, False])
def test_steps_that_a_collating_function_pads_are_told_once(steps_first, stream):
    """Also where the first batch has inputs of one length; not where lengths are given, inputs have one length, or are not recorded in steps."""
    lengths = [4, 4, 4, 6, 3, 5, 6, 2]
    items = [torch.randn(n, 5, generator=torch.Generator().manual_seed(k)) for k, n in enumerate(lengths)]

    class Items(IterableDataset):
        def __iter__(self):
            yield from items

    def loader_of(data):
        return DataLoader(data, batch_size=2, collate_fn=lambda some: pad(some, batch_first=not steps_first))

    torch.manual_seed(0)
    model, loader = nn.Sequential(nn.Linear(5, 8), nn.ReLU()), loader_of(Items() if stream else items)
    with pytest.warns(Ann2NeoWarning, match="collate_fn pads inputs") as said:
        padded = ann2neo.record(model, loader, steps=ann2neo.Steps(1), progress=False)
    assert len(said) == 1
    assert padded.trials["stop_bin"].iloc[-1] == 2 * (4 + 6 + 5 + 6)
    exact = ann2neo.record(model, loader, steps=ann2neo.Steps(1, lengths=lengths), progress=False)
    with torch.no_grad():
        expected = torch.cat([model(one) for one in items]) > 0
    assert (exact.raster("1") == expected.numpy().T).all()
    ann2neo.record(model, loader_of([one[:2] for one in items]), steps=ann2neo.Steps(1), progress=False)


class StepsFirst(nn.Module):
    """A recurrent network whose batches have shape (step, input, unit), as do their masks."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.act = nn.GRU(4, 3), nn.ReLU()

    def forward(self, x, mask):
        return self.act(self.rnn(x)[0])


@pytest.mark.parametrize("lengths", [[6, 4, 2], [3, 1, 2], [1, 3]], ids=["6 x 3", "3 x 3", "3 x 2"])
@pytest.mark.parametrize("said", ["n_inputs", "collate_fn"])
def test_a_mask_with_steps_first_is_read_as_such(lengths, said):
    """Each input has the bins of its own positions, also where there are as many steps as inputs."""
    items = [torch.randn(n, 4, generator=torch.Generator().manual_seed(n)) for n in lengths]

    def joined(some):
        mask = torch.arange(max(map(len, some)))[:, None] < torch.tensor([len(one) for one in some])
        return {"x": pad(some), "mask": mask}

    data = [joined(items)] if said == "n_inputs" else DataLoader(items, batch_size=len(items), collate_fn=joined)
    inputs = ann2neo.Inputs(data, n_inputs=(lambda batch: batch["x"].shape[1]) if said == "n_inputs" else None)
    model = StepsFirst()
    found = ann2neo.record(model, inputs, steps=ann2neo.Steps(1, lengths="mask"), progress=False)
    with torch.no_grad():
        expected = torch.cat([model(one[:, None], None)[:, 0] for one in items]) > 0
    assert found.raster("act").tolist() == expected.T.tolist()
    if len(lengths) != max(lengths):
        with pytest.warns(Ann2NeoWarning, match="'mask' is 0 at"):
            ann2neo.record(model, inputs, steps=ann2neo.Steps(1), progress=False)


def test_a_square_mask_with_steps_first_that_fits_neither_way_is_asked_for():
    """Where nothing tells rows from columns the user says which are inputs, and the cure of the message is taken."""
    # What is not at one end of any input fits neither way.
    batch = {"x": torch.randn(3, 3, 4), "mask": torch.tensor([[1, 0, 1], [1, 1, 0], [0, 1, 1]])}
    inputs = ann2neo.Inputs([batch], n_inputs=lambda batch: batch["x"].shape[1])
    with pytest.raises(InputsError, match=r"\.T\.bool\(\) if steps come first"):
        ann2neo.record(StepsFirst(), inputs, steps=ann2neo.Steps(1, lengths="mask"), progress=False)
    steps = ann2neo.Steps(1, lengths=lambda batch: batch["mask"].T.bool())
    assert ann2neo.record(StepsFirst(), inputs, steps=steps, progress=False).n_bins == 6
