"""Whole recordings, as hypothesis makes them."""

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ann2neo.raster import Raster
from ann2neo.recording import SCHEMA, Layer, Recording, make_trials, order_sha256

BIN_SIZES_MS = (1.0, 0.5, 2.0, 0.25, 10.0)
# HDF5 can store neither null characters nor halves of surrogate pairs.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=6)
NAMES = (
    st.sampled_from(["fc", "features.3", "features.3:1", "a/b", "block/relu:2", "naïve ☃", "層.1", " ", "x_index"])
    | TEXT
)
FLOATS = st.floats(-(2.0**40), 2.0**40, width=32)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(
    *(INTEGERS, st.floats(allow_nan=False), st.booleans(), TEXT),
    *(st.lists(values, max_size=3) for values in (INTEGERS, st.floats(allow_nan=False), st.booleans(), TEXT)),
)
KEYS = st.text(st.characters(categories=("Ll", "Lu")), min_size=1, max_size=5).map(lambda key: f"my_{key}")


@st.composite
def dense_rasters(draw, n_units, n_bins):
    """Boolean (unit, bin), with silent and saturated units among the others."""
    dense = draw(hnp.arrays(np.bool_, (n_units, n_bins)))
    kinds = draw(st.lists(st.sampled_from(["any", "any", "silent", "saturated"]), min_size=n_units, max_size=n_units))
    for unit, kind in enumerate(kinds):
        if kind != "any":
            dense[unit] = kind == "saturated"
    return dense


@st.composite
def layers(draw, name, n_bins, n_passes):
    """A layer of which all units or some, in any order, were recorded."""
    shape = draw(st.sampled_from([(1,), (5,), (2, 3), (3, 1, 2), (1, 2, 2, 2)]))
    size = int(np.prod(shape))
    units = draw(st.permutations(range(size)))[: draw(st.integers(1, size))]
    same = draw(st.booleans())
    thresholds = [draw(FLOATS)] * len(units) if same else [draw(FLOATS) for _ in units]
    dtype = draw(st.sampled_from(["float32", "float64", "bfloat16"]))
    return Layer(
        name=name,
        shape=shape,
        dtype=dtype,
        units=np.array(units, np.int64),
        thresholds=np.array(thresholds, draw(st.sampled_from([np.float32, np.float64]))),
        raster=Raster.from_dense(draw(dense_rasters(len(units), n_bins * n_passes)), n_passes=n_passes),
    )


@st.composite
def trial_columns(draw, n_trials, n_passes):
    """Labels and what goes with them, or nothing."""
    columns = {"stimulus_id": draw(st.permutations(range(10, 10 + n_trials)))}
    if not draw(st.booleans()):
        return columns
    label = np.array(draw(st.lists(st.integers(0, 3), min_size=n_trials, max_size=n_trials)), np.int64)
    columns["label"] = label
    if draw(st.booleans()):
        names = draw(st.lists(TEXT, min_size=4, max_size=4, unique=True))
        columns["label_name"] = [names[value] for value in label]
    if draw(st.booleans()):
        columns["target_label"] = label[::-1].copy()
    if draw(st.booleans()):
        predicted = np.array(
            draw(st.lists(st.integers(0, 3), min_size=n_trials * n_passes, max_size=n_trials * n_passes))
        )
        columns["predicted_label"] = predicted
        columns["correct"] = predicted == np.tile(label, n_passes)
    return columns


@st.composite
def recordings(draw, max_trials=12):
    """A recording: one bin or many, one pass or several, trials of one bin or several, as presented or arranged."""
    n_trials, n_passes = draw(st.integers(1, max_trials)), draw(st.integers(1, 3))
    lengths = None
    if draw(st.booleans()):
        lengths = np.array(draw(st.lists(st.integers(1, 4), min_size=n_trials, max_size=n_trials)), np.int64)
    columns = draw(trial_columns(n_trials, n_passes))
    trials = make_trials(n_trials, n_passes=n_passes, lengths=lengths, **columns)
    n_bins = int(trials["stop_bin"].iloc[-1]) // n_passes
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    known = draw(st.dictionaries(KEYS, VALUES, max_size=3))
    recording = Recording(
        layers=tuple(draw(layers(name, n_bins, n_passes)) for name in names),
        trials=trials,
        bin_size_ms=draw(st.sampled_from(BIN_SIZES_MS)),
        provenance={
            "schema": SCHEMA,
            "input_order": "presented",
            "input_order_sha256": order_sha256(np.array(columns["stimulus_id"])),
            "created": "2024-05-17T08:00:00+00:00",
            **known,
        },
    )
    order = draw(
        st.sampled_from(["presented", "shuffled", "label"] if "label" in columns else ["presented", "shuffled"])
    )
    return recording.arrange(order, **({"seed": 3} if order == "shuffled" else {}))


def small_recording(n_units=6, n_trials=60, *, n_passes=2, rate=0.5, seed=0):
    """Two layers, two passes, all columns of trials: the same every time."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n_trials)
    predicted = np.where(rng.random(n_trials) < 0.8, label, 0)
    trials = make_trials(
        n_trials,
        n_passes=n_passes,
        stimulus_id=np.sort(rng.permutation(n_trials)),
        label=label,
        label_name=np.array(["cat", "dog", "bird/fish"])[label],
        target_label=rng.integers(0, 3, n_trials),
        predicted_label=predicted,
        correct=predicted == label,
    )
    return Recording(
        layers=tuple(_small_layer(name, shape, rng, n_trials, n_passes, rate) for name, shape in _shapes(n_units)),
        trials=trials,
        bin_size_ms=1.0,
        provenance={"schema": SCHEMA, "input_order": "presented", "model_class": "Sequential", "seed": 3},
    )


def _shapes(n_units):
    return {"features.3": (1, 2, n_units // 2), "fc/relu:1": (n_units,)}.items()


def _small_layer(name, shape, rng, n_trials, n_passes, rate):
    size = int(np.prod(shape))
    dense = rng.random((size, n_trials * n_passes)) < rate
    dense[0], dense[1] = False, True
    return Layer(
        name=name,
        shape=shape,
        dtype="float32",
        units=np.arange(size),
        thresholds=np.linspace(0, 1, size),
        raster=Raster.from_dense(dense, n_passes=n_passes),
    )


def trials_of(recording) -> pd.DataFrame:
    """The trials of the first pass."""
    return recording.trials[recording.trials["pass"] == 0]
