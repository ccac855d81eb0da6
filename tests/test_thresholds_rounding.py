"""Thresholds are rounded to the activation's type once; and what every activation exceeds is known of softmax and recurrent modules."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from threshold_sources import record
from torch import nn

import ann2neo
from ann2neo.capture.spikes.threshold import always_exceeded, module_floor, rounded
from ann2neo.errors import ThresholdError

# Bits of the mantissa, the leading one included; exponent of the smallest number; of the largest power of two.
FORMATS = {
    torch.float16: (11, -24, 15),
    torch.bfloat16: (8, -133, 127),
    torch.float32: (24, -149, 127),
    torch.float64: (53, -1074, 1023),
}


def exact(value, dtype):
    """Round by hand, in fractions: to the nearest number of the type, halfway to the even one, beyond the largest to infinity."""
    digits, smallest, largest = FORMATS[dtype]
    if value == 0:
        return 0.0
    fraction = Fraction(value)
    exponent = abs(fraction).numerator.bit_length() - abs(fraction).denominator.bit_length()
    exponent -= abs(fraction) < Fraction(2) ** exponent
    step = Fraction(2) ** max(exponent - digits + 1, smallest)
    found = round(fraction / step) * step
    return float(found) if abs(found) < Fraction(2) ** (largest + 1) else float(np.copysign(np.inf, value))


NEAR_HALVES = st.builds(
    lambda n, digits, power, away: (n + 0.5) * 2.0**power * (1 + away * 2.0**-digits),
    st.integers(-(2**12), 2**12),
    st.integers(20, 52),
    st.integers(-145, 120),
    st.integers(-1, 1),
)


@pytest.mark.parametrize("dtype", FORMATS)
@given(value=st.floats(allow_nan=False, allow_infinity=False) | NEAR_HALVES)
@example(value=1 + 2**-8 + 2**-40)
@example(value=1 + 2**-11 + 2**-40)
@example(value=-(1 + 2**-8 + 2**-40))
@example(value=1 + 2**-8)
@example(value=1e-300)
@example(value=2.0**-134 * (1 + 2**-30))
@example(value=65519.99999999)
@example(value=65520.0)
@example(value=3.4028235677973366e38)
def test_thresholds_are_rounded_once(dtype, value):
    """What comes out is the nearest number of the type, as fractions tell, for any double, halves and ends of the range among them."""
    assert rounded(np.array(value), dtype).item() == exact(value, dtype)
    assert rounded(np.array([[value]]), dtype).shape == (1, 1)


def test_signs_of_zeros_stay():
    """-0.0, and what is too small and negative."""
    for dtype in FORMATS:
        found = rounded(np.array([0.0, -0.0, 1e-320, -1e-320]), dtype)
        assert torch.signbit(found).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [(torch.bfloat16, 1 + 2**-8 + 2**-40, 1 + 2**-7), (torch.float16, 1 + 2**-11 + 2**-40, 1 + 2**-10)],
)
def test_a_recording_compares_with_the_nearest_number(dtype, value, expected):
    """An activation of 1.0078125 is not above a threshold that is nearest to it."""
    x = torch.tensor([[expected, 2.0, 1.0]], dtype=dtype)
    for rule in (value, np.full(3, value), {"*": value}):
        recording = record(nn.ReLU(), x, threshold=rule)
        assert (recording.layers[0].thresholds == expected).all()
        assert recording.raster("ReLU")[:, 0].tolist() == [False, True, False]


# Softmax and recurrent modules

SEQUENCES = 50 * torch.randn(6, 40, 4, generator=torch.Generator().manual_seed(0))
STEPS = ann2neo.Steps(1)


def extreme(module):
    """A module whose weights are large, so that its values come near their ends."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(20)
    return module


RECURRENT = {
    "rnn": (lambda: nn.RNN(4, 30, batch_first=True), -1.0, False),
    "rnn relu": (lambda: nn.RNN(4, 5, nonlinearity="relu", batch_first=True), 0.0, True),
    "lstm": (lambda: nn.LSTM(4, 30, 2, batch_first=True), -1.0, False),
    "gru": (lambda: nn.GRU(4, 30, bidirectional=True, batch_first=True), -1.0, False),
    "softmax": (lambda: nn.Softmax(-1), 0.0, False),
    "softmin": (lambda: nn.Softmin(-1), 0.0, False),
}


@pytest.mark.parametrize("case", RECURRENT)
def test_no_value_lies_below_the_lowest_value(case):
    """The lowest value that is claimed is reached by rounding at most, and values come near it."""
    make, value, attained = RECURRENT[case]
    module = make() if case == "rnn relu" else extreme(make())
    with torch.no_grad():
        output = module.double()(SEQUENCES.double())
    lowest = (output[0] if isinstance(output, tuple) else output).min().item()
    floor = module_floor(module)
    assert (floor.value, floor.attained) == (value, attained)
    assert value <= lowest <= value + 0.25


@pytest.mark.parametrize("case", RECURRENT)
def test_thresholds_that_every_activation_exceeds_are_refused(case):
    """At or below a lowest value that is not reached, below one that is; and those above are taken."""
    make, value, attained = RECURRENT[case]
    torch.manual_seed(0)
    model = nn.Sequential(make())
    inputs = SEQUENCES / 50
    too_low = value - 1e-3 if attained else value
    with pytest.raises(ThresholdError, match=r"(?s)Every unit would spike.*Give a higher threshold") as caught:
        record(model, inputs, layers="0", threshold=too_low, steps=STEPS)
    assert ("pre-activation 0" in str(caught.value)) == ("soft" not in case)
    with pytest.raises(ThresholdError, match="Every unit"):
        record(model, inputs, layers="0", threshold=value - 1, steps=STEPS)
    record(model, inputs, layers="0", threshold=value + 1e-3, steps=STEPS)
    if attained:
        assert not record(model, inputs, layers="0", threshold=value, steps=STEPS).raster("0").all()


def test_cells_are_like_their_modules():
    """Their values have the same ends."""
    for cell, value, attained in [
        (nn.RNNCell(2, 3), -1.0, False),
        (nn.RNNCell(2, 3, nonlinearity="relu"), 0.0, True),
        (nn.LSTMCell(2, 3), -1.0, False),
        (nn.GRUCell(2, 3), -1.0, False),
    ]:
        assert (module_floor(cell).value, module_floor(cell).attained) == (value, attained)


def test_projected_states_have_no_lowest_value():
    """A product with any matrix is unbounded."""
    assert not always_exceeded(nn.LSTM(2, 4, proj_size=2), torch.tensor(-1e6)).any()


def test_first_states_below_keep_a_gated_unit_below():
    """Its values lie between tanh and the states before: where these are seen below -1, a threshold there is one."""

    class From(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells = nn.GRU(4, 3, batch_first=True)
            for parameter in self.parameters():
                # So that each state is half of the one before.
                nn.init.zeros_(parameter)

        def forward(self, x):
            return self.cells(x, torch.full((1, len(x), 3), -5.0))[0]

    recording = record(From(), SEQUENCES / 50, layers="cells", threshold=-2.0, steps=STEPS)
    assert (recording.raster("cells").reshape(3, 6, 40) == (np.arange(40) > 0)).all()


def test_masks_make_a_softmax_zero():
    """Minus infinity before it: a threshold of 0 then tells which entries are masked."""

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.soft = nn.Softmax(-1)

        def forward(self, x):
            return self.soft(x.masked_fill(x < 0, -torch.inf))

    x = torch.tensor([[1.0, -1.0, 2.0], [-1.0, 1.0, 1.0]])
    assert (record(Masked(), x, layers="soft", threshold=0.0).raster("soft") == (x > 0).numpy().T).all()
