"""NWB files as laboratories write them, small, made by pynwb."""

from __future__ import annotations

import datetime

import numpy as np
import pynwb
from pynwb.behavior import CompassDirection, SpatialSeries
from pynwb.epoch import TimeIntervals

START = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def session(**more):
    """An empty session."""
    return pynwb.NWBFile(session_description="a session", identifier="x", session_start_time=START, **more)


def written(file, path):
    """Write a session and give the name of its file."""
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)
    return path


def spikes(seed=0, n_units=4, duration=100.0, rate=20.0):
    """Spike times in seconds, unit by unit; the last but one unit is silent."""
    rng = np.random.default_rng(seed)
    rates = np.where(np.arange(n_units) == n_units - 2, 0.0, rate)
    return [np.sort(rng.random(rng.poisson(r * duration)) * duration) for r in rates]


def lean(path, trains=None, obs=None, trials=(), **more):
    """Units and trials, and nothing else; ``obs`` are intervals of each unit, or of all."""
    file = session(**more)
    trains = spikes() if trains is None else trains
    for row, times in enumerate(trains):
        own = {} if obs is None else {"obs_intervals": np.asarray(obs[row] if np.ndim(obs[0]) == 2 else obs, float)}
        file.add_unit(spike_times=np.asarray(times, float), **own)
    for start, stop in trials:
        file.add_trial(start_time=float(start), stop_time=float(stop))
    return written(file, path)


def rich(path, seed=0):
    """A session as an archive wants it: electrodes, columns of units and trials, several tables, behaviour, keywords, a subject, observed time in pieces."""
    rng, trains = np.random.default_rng(seed), spikes(seed)
    file = session(keywords=["V1", "orientation"], session_id="day 3", lab="a lab", experimenter=["Curie, Marie"])
    file.subject = pynwb.file.Subject(subject_id="mouse 7", species="Mus musculus", sex="F", age="P90D")
    device = file.create_device(name="probe")
    groups = [
        file.create_electrode_group(name=f"shank{k}", description="", location=area, device=device)
        for k, area in enumerate(["V1", "LM"])
    ]
    for k in range(4):
        file.add_electrode(location=groups[k // 2].location, group=groups[k // 2])
    for name, text in (
        ("quality", "sorter's verdict"),
        ("depth", "um"),
        ("unit_name", "name"),
        ("is_fast", "fast spiking"),
    ):
        file.add_unit_column(name=name, description=text)
    observed = [(0, 40), (40, 60), (70, 100)]
    for row, times in enumerate(trains):
        kept = times[(times < 60) | (times > 70)]
        file.add_unit(
            id=10 * row + 7, spike_times=kept, obs_intervals=observed, electrodes=[row], electrode_group=groups[row // 2],
            quality=["good", "mua"][row % 2], depth=100.5 * row, unit_name=f"cell {row}", is_fast=bool(row % 2),
        )  # fmt: skip
    for name in ("orientation", "contrast", "choice", "rewarded", "cue_time", "image"):
        file.add_trial_column(name=name, description=name)
    file.add_trial_column(name="licks", description="times", index=True)
    for k in range(40):
        start = 2.0 * k
        file.add_trial(
            start_time=start, stop_time=start + 1.5 if k % 13 else np.nan, orientation=int(rng.choice([0, 45, 90])),
            contrast=[0.2, np.nan, 1.0][k % 3], choice=int(rng.choice([-1, 1])), rewarded=bool(k % 2), cue_time=start + 0.25,
            image=["face", "house", ""][k % 3], licks=[start + 0.1] * (k % 3),
        )  # fmt: skip
    file.add_epoch(0.0, 50.0, ["baseline"])
    file.add_epoch(50.0, 100.0, ["drug"])
    table = TimeIntervals(name="ripples", description="sharp waves")
    for k in range(5):
        table.add_interval(start_time=10.0 * k, stop_time=10.0 * k + 0.1)
    file.add_time_intervals(table)
    direction = SpatialSeries(name="direction", data=np.zeros(200), rate=2.0, reference_frame="north")
    file.add_acquisition(CompassDirection(spatial_series=direction))
    return written(file, path)
