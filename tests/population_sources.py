"""Populations to be measured: networks with trials of one bin or several, and a brain with clocks of its own."""

from __future__ import annotations

import neo
import numpy as np
import quantities as pq

from ann2neo.raster import Raster
from ann2neo.recording import SCHEMA, Layer, Recording, make_trials


def network(dense, label=None, *, n_passes=1, lengths=None, n_first=None, bin_size_ms=1.0):
    """A recording of a boolean array (unit, bin of all passes); the first units are layer a, the others b."""
    dense = np.asarray(dense, bool)
    cut = len(dense) if n_first is None else n_first
    parts = {"a": dense[:cut], "b": dense[cut:]}
    layers = tuple(
        Layer(
            name=name,
            shape=(len(part),),
            dtype="float32",
            units=np.arange(len(part)),
            thresholds=np.zeros(len(part)),
            raster=Raster.from_dense(part, n_passes=n_passes),
        )
        for name, part in parts.items()
        if len(part)
    )
    n_trials = dense.shape[1] // n_passes if lengths is None else len(lengths)
    columns = {} if label is None else {"label": np.asarray(label)}
    trials = make_trials(n_trials, n_passes=n_passes, lengths=lengths, stimulus_id=np.arange(n_trials), **columns)
    provenance = {"schema": SCHEMA, "input_order": "presented"}
    return Recording(layers=layers, trials=trials, bin_size_ms=bin_size_ms, provenance=provenance)


def random_network(seed=0, n_units=7, n_trials=60, n_labels=4, **options):
    """Units of all rates, one of them silent and one saturated, without tuning."""
    rng = np.random.default_rng(seed)
    n_passes, lengths = options.get("n_passes", 1), options.get("lengths")
    n_bins = n_passes * (n_trials if lengths is None else int(np.sum(lengths)))
    dense = rng.random((n_units, n_bins)) < np.linspace(0.1, 0.9, n_units)[:, None]
    dense[0], dense[1] = False, True
    return network(dense, rng.integers(0, n_labels, n_trials if lengths is None else len(lengths)), **options)


def brain(seed=0, n_units=5, n_segments=3, rate=20.0):
    """A Block in continuous time, in seconds: segments on clocks of their own, trials of unequal duration as a labelled Epoch, silent time between them."""
    rng = np.random.default_rng(seed)
    block = neo.Block()
    for number in range(n_segments):
        start, duration = 10.0 * number - 3.7, 8.0 + number
        segment = neo.Segment()
        onset = start + 0.3 + np.arange(6) * 1.3
        lengths = np.where(np.arange(6) % 2, 0.75, 1.0)
        labels = rng.permutation(["left", "right", "left", "right", "up", ""])
        for unit in range(n_units):
            times = np.sort(start + rng.random(rng.poisson(rate * duration * (unit != 1))) * duration)
            segment.spiketrains.append(
                neo.SpikeTrain(times * pq.s, t_start=start * pq.s, t_stop=(start + duration) * pq.s)
            )
        segment.epochs.append(neo.Epoch(onset * pq.s, lengths * pq.s, labels=labels, name="trials"))
        block.segments.append(segment)
    return block


def trials_as_segments(seed=0, n_units=4, n_trials=12, n_labels=3):
    """A Block of which every segment is a trial of 400 ms that carries its label as an annotation."""
    rng = np.random.default_rng(seed)
    block = neo.Block()
    for number in range(n_trials):
        segment = neo.Segment()
        segment.annotate(label=f"odour {number % n_labels}")
        for unit in range(n_units):
            times = np.sort(rng.random(rng.poisson(6 * (1 + (number + unit) % n_labels))) * 400)
            segment.spiketrains.append(neo.SpikeTrain(times * pq.ms, t_stop=400.0))
        block.segments.append(segment)
    return block


def trials_of_brain(block):
    """The labelled trials of `brain`, in plain numbers: segment, start, stop in seconds, label."""
    return [
        (number, float(start), float(start) + float(length), str(label))
        for number, segment in enumerate(block.segments)
        for start, length, label in zip(
            segment.epochs[0].times.magnitude, segment.epochs[0].durations.magnitude, segment.epochs[0].labels
        )
        if label != ""
    ]


def counts_of_brain(block):
    """Spikes of each unit in each labelled trial by a plain loop, with labels and durations."""
    trials = trials_of_brain(block)
    counts = [
        [
            sum(a <= t < b for t in block.segments[number].spiketrains[unit].magnitude.tolist())
            for number, a, b, _ in trials
        ]
        for unit in range(len(block.segments[0].spiketrains))
    ]
    return np.array(counts), np.array([label for *_, label in trials]), np.array([b - a for _, a, b, _ in trials])
