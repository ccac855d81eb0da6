"""A network that somebody else trained: Silero's detector of voices in sound (MIT), whose weights ship in its package.

Its package holds it as TorchScript, whose hooks never fire; the torch module that its weights belong to is written down here.
"""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import ann2neo
from ann2neo.errors import ModelError

CONTEXT, WINDOW, RATE = 64, 512, 16_000
SCRIPTED_NAMES = {
    "stft.forward_basis_buffer": "stft_conv.weight",
    **{f"encoder.{i}.reparam_conv.{kind}": f"conv{i + 1}.{kind}" for i in range(4) for kind in ("weight", "bias")},
    **{
        f"decoder.rnn.{kind}_{gate}": f"lstm_cell.{kind}_{gate}" for kind in ("weight", "bias") for gate in ("ih", "hh")
    },
    **{f"decoder.decoder.2.{kind}": f"final_conv.{kind}" for kind in ("weight", "bias")},
}


class VoiceDetector(nn.Module):
    """Spectrum, four convolutions with functional ReLUs, a recurrent cell, the probability of a voice."""

    def __init__(self):
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def hidden(self, sound):
        """Activations of the four convolutions, for sound windows of shape (window, sample) with their context before them."""
        real, imaginary = self.stft_conv(nn.functional.pad(sound, (0, 64), "reflect")[:, None]).split(129, dim=1)
        x, found = torch.sqrt(real**2 + imaginary**2), []
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = conv(x).relu()
            found.append(x)
        return found

    def forward(self, sound):
        """Probability of a voice in each window, each from a fresh state."""
        state, _ = self.lstm_cell(self.hidden(sound)[-1].squeeze(-1))
        return torch.sigmoid(self.final_conv(torch.relu(state)[..., None]))[..., 0]


@pytest.fixture(scope="module")
def scripted():
    """What the package ships; its code, which wants audio libraries, is not loaded."""
    folder = Path(importlib.util.find_spec("silero_vad").submodule_search_locations[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(folder / "data" / "silero_vad.jit")


@pytest.fixture(scope="module")
def detector(scripted):
    """The same weights in a torch module."""
    model = VoiceDetector()
    model.load_state_dict({SCRIPTED_NAMES[name]: value for name, value in scripted._model.state_dict().items()})
    return model.eval()


@pytest.fixture(scope="module")
def sound():
    """Windows of harmonic tones of various pitch with noise."""
    rng = np.random.default_rng(0)
    time = np.arange(WINDOW) / RATE
    pitch = rng.uniform(80, 400, 24)[:, None, None]
    harmonics = np.sin(2 * np.pi * pitch * np.arange(1, 8)[None, :, None] * time) / np.arange(1, 8)[None, :, None]
    return torch.tensor(0.1 * harmonics.sum(1) + 0.02 * rng.standard_normal((24, WINDOW)), dtype=torch.float32)


def with_context(sound):
    return nn.functional.pad(sound, (CONTEXT, 0))


def test_the_module_is_the_network_that_was_trained(scripted, detector, sound):
    """What is written down here gives the probabilities of the package's own TorchScript."""
    with torch.no_grad():
        assert torch.allclose(detector(with_context(sound)), scripted(sound, RATE), atol=1e-4)


def test_its_activations_become_spikes(detector, sound):
    """All functional activations are seen, named by their calls, and their bits are those of the activations."""
    recording = ann2neo.record(detector, ann2neo.Inputs(with_context(sound), batch_size=8), progress=False)
    assert [layer.name for layer in recording.layers] == ["relu", "relu:1", "relu:2", "relu:3", "relu:4", "sigmoid"]
    with torch.no_grad():
        hidden = [torch.cat(parts) for parts in zip(*map(detector.hidden, with_context(sound).split(8)), strict=True)]
    for layer, activation in zip(recording.layers, hidden):
        assert (recording.raster(layer.name) == (activation > 0).flatten(1).numpy().T).all()
    assert 0.05 < recording.raster("relu").mean() < 0.95


def test_its_torchscript_is_refused(scripted, sound):
    """Hooks on scripted modules never fire: better no recording than an empty one."""
    with pytest.raises(ModelError, match="script"):
        ann2neo.record(scripted, sound, progress=False)
