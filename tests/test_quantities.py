"""Wherever a time is taken, a quantity is converted by its unit or refused, and never stripped of it.

The calls run in a process of their own, without the checks of types that the other tests run under.
"""

import json
import subprocess
import sys

import pytest

SETTING = """
import datetime, json, sys, tempfile, warnings
warnings.simplefilter("ignore")
import neo, numpy as np, pandas as pd, quantities as pq, torch
import ann2neo
from ann2neo import population
from ann2neo.pseudotime import PseudoTime
from ann2neo.recording import Recording
x = torch.eye(8)
model = torch.nn.Sequential(torch.nn.Linear(8, 3), torch.nn.ReLU())
spikes = np.random.default_rng(0).random((64, 3)) < 0.4
ours = ann2neo.from_array(spikes, labels=np.arange(64) % 4)
train = neo.SpikeTrain(np.flatnonzero(spikes[:, 0]) + 0.25, units="ms", t_stop=64.0)

def record(size):
    return ann2neo.record(model, x, bin_size_ms=size, progress=False).bin_size_ms

def stored(size):
    path = tempfile.mkdtemp() + "/a.zarr"
    made = ann2neo.record(model, x, bin_size_ms=size, store=path, progress=False).bin_size_ms
    assert ann2neo.load(path).bin_size_ms == made and type(made) is float
    return made

def export(size):
    path = tempfile.mkdtemp() + "/a.mat"
    ann2neo.export(model, x, path, bin_size_ms=size, progress=False)
    return ann2neo.load(path).bin_size_ms

def array(size):
    return ann2neo.from_array(spikes, bin_size_ms=size).bin_size_ms

def directly(size):
    return Recording(layers=ours.layers, trials=ours.trials, bin_size_ms=size, provenance={}).bin_size_ms

def axis(size):
    return PseudoTime(n_bins=4, bin_size_ms=size).edges_ms[1].item()

def rates(size):
    table = ann2neo.analyze(ann2neo.from_array(spikes, bin_size_ms=size), windows=8, progress=False)
    return float(spikes[:, 0].mean() / table.firing_rate[0] * 1000)

def analyzed(size):
    return ann2neo.analyze([train], bin_size_ms=size, windows=4, progress=False).attrs["window_min_bins"] / 4

def windowed(size):
    return 1.0 * ann2neo.analyze(ours, windows=size, progress=False).attrs["window_min_bins"]

def windowed_abroad(size):
    return ann2neo.analyze([train], windows=size, progress=False).attrs["window_min_ms"]

def binned(size):
    return population.time_histogram(ours, bin_size=size).attrs["bin_size_ms"]

def smoothed(sigma):
    return population.instantaneous_rate(ours, sigma=sigma).attrs["sigma_ms"]

said = {}
for call in json.loads(sys.argv[1]):
    try:
        said[call] = ["", eval(call)]
    except ann2neo.Ann2NeoError as error:
        said[call] = [type(error).__name__, str(error)]
    except Exception as error:
        said[call] = ["foreign " + type(error).__name__, str(error)]
print(json.dumps(said))
"""

SIZES = ("record", "stored", "export", "array", "directly", "axis", "rates")
RIGHT = {
    "{}(2)": 2.0,
    "{}(1 * pq.ms)": 1.0,
    "{}(0.5 * pq.s)": 500.0,
    "{}(2000 * pq.us)": 2.0,
    "{}(np.array(2) * pq.ms)": 2.0,
    "{}(datetime.timedelta(milliseconds=4))": 4.0,
    "{}(pd.Timedelta('4ms'))": 4.0,
    "{}(np.timedelta64(4, 'ms'))": 4.0,
}
WRONG = ("2 * pq.mV", "2 * pq.Hz", "2 * pq.dimensionless", "np.ones(2) * pq.ms", "'1'", "True", "[1.0]", "None")
CALLS = {call.format(size): ms for call, ms in RIGHT.items() for size in SIZES}
CALLS |= {"analyzed(1 * pq.ms)": 1.0, "analyzed(0.001 * pq.s)": 1.0, "analyzed(1.0)": 1.0}
CALLS |= {"windowed(8 * pq.ms)": 8.0, "windowed(0.008 * pq.s)": 8.0, "windowed_abroad(0.016 * pq.s)": 16.0}
REFUSED = [f"{size}({given})" for size in SIZES for given in WRONG]
REFUSED += [f"{name}(2 * pq.mV)" for name in ("analyzed", "windowed", "windowed_abroad", "binned")]
# Times of the right unit of which no computer holds so many, or none that short.
REFUSED += ["windowed(1e300 * pq.s)", "windowed_abroad(1e-300 * pq.s)", "windowed_abroad(1e-9 * pq.ms)"]
REFUSED += ["analyzed(1e-300 * pq.s)", "analyzed(1e-12)", "smoothed(1e300 * pq.s)"]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    done = subprocess.run(
        [sys.executable, "-c", SETTING, json.dumps([*CALLS, *REFUSED])],
        cwd=tmp_path_factory.mktemp("quantities"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("call", CALLS)
def test_times_are_converted(call, said):
    """A number counts milliseconds; a quantity and a time difference say themselves what they count."""
    error, found = said[call]
    assert not error, found
    assert found == pytest.approx(CALLS[call], rel=1e-12)


@pytest.mark.parametrize("call", REFUSED)
def test_what_is_no_time_is_refused(call, said):
    """Volts, rates, pure numbers with a unit of none, several times and words."""
    error, message = said[call]
    assert error.endswith("Error"), message
    assert "foreign" not in error, message
