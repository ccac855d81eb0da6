"""A recording as chunks of packed bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from ann2neo.analysis.cutting import duration_ms
from ann2neo.analysis.source import Chunk, Source, identity
from ann2neo.around import Around
from ann2neo.errors import WindowError
from ann2neo.exchange import Exchange, exchange_by_column
from ann2neo.measures.bits import SpikeBits
from ann2neo.raster import Raster
from ann2neo.recording import Recording, notes_of
from ann2neo.step_labels import Sequences, sequences_of, step_codes, windows_of_steps
from ann2neo.windows import (
    STIMULUS,
    Repeats,
    Windows,
    codes_of_column,
    make_windows,
    order_words,
    windows_by_column,
    windows_within,
)


def recording_source(recording: Recording, windows: Any, within: str | None = None) -> Source:
    """Cut a recording into chunks.

    Raises
    ------
    WindowError
        If the recording does not support the windows.
    """
    made = _windows(recording, windows, within)
    classes = _classes(recording, made)
    exchange = _exchange(recording, made, classes)
    provenance = recording.provenance
    order = {key.removeprefix("input_"): provenance[key] for key in _ORDER if key in provenance}
    return Source(
        chunks=list(_readers(recording, made, classes, exchange)),
        n_units=recording.n_units,
        facts={
            "source": "ann2neo recording",
            **order,
            **notes_of(provenance),
            "order": order_words(recording.trials, provenance),
            **window_facts(made.kind, made.n_bins, "bins"),
            "within": within,
            "class_names": class_names(recording),
            "label_share_by": None if classes is None else classes.kind,
            "n_labelled": None if exchange is None else int(np.count_nonzero(exchange.label >= 0)),
            "labels_belong_to": _owners(recording, classes),
            "classes_differ_between_passes": True if exchange is not None and exchange.first_pass_only else None,
            "n_passes": recording.n_passes,
            "n_bins": recording.n_bins,
            "bin_size_ms": recording.bin_size_ms,
            "time_unit": "ms",
        },
    )


def class_names(recording: Recording) -> dict[str, str] | None:
    """Find what each label is called, where the trials have names and these are one for each label.

    Examples
    --------
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.eye(3, dtype=bool), labels=[1, 0, 1])
    >>> named = recording.trials.assign(label_name=["dog", "cat", "dog"])
    >>> class_names(replace(recording, trials=named)), class_names(recording)
    ({'0': 'cat', '1': 'dog'}, None)
    """
    trials = recording.trials
    if not {"label", "label_name"} <= set(trials.columns):
        return None
    pairs = sorted(set(zip(trials["label"].tolist(), map(str, trials["label_name"].tolist()))))
    names = {str(label): name for label, name in pairs}
    return names if len(names) == len(pairs) else None


def _windows(recording: Recording, windows: Any, within: str | None) -> Windows:
    """Make windows of bins, or of trials whose counts are compared within a column."""
    if isinstance(windows, Around):
        raise WindowError(
            f"windows={windows} were asked for of a recording of a network.",
            "Its inputs come in no time, so that nothing happens around them.",
            'Use windows="trial".',
        )
    in_bins = _in_bins(windows, recording.bin_size_ms)
    if within is None:
        by_step = _step_column(recording, in_bins)
        if by_step is not None and recording.bins is not None:
            return windows_of_steps(recording.trials, recording.bins, by_step)
        return make_windows(recording.trials, in_bins)
    if isinstance(in_bins, str) and in_bins not in ("trial", within if within == STIMULUS else "trial"):
        raise WindowError(
            f"windows={windows!r} cannot be counted within {within!r}.",
            "A Fano factor over repeats needs one count of each trial.",
            f'Use windows="trial", or a number of bins of a trial of several, with within={within!r}.',
        )
    if in_bins is None or isinstance(in_bins, str):
        return replace(windows_within(recording.trials, within), kind="trial")
    return windows_within(recording.trials, within, int(in_bins))


def _step_column(recording: Recording, windows: Any) -> str | None:
    """Name the column of the table of bins that makes the windows: the one that was asked for, or labels where nothing was and they belong to bins."""
    if recording.bins is None or not (windows is None or isinstance(windows, str)):
        return None
    name = "label" if windows is None else windows
    if name not in recording.bins.columns or (windows is None and not step_codes(recording.bins, name)[1].size):
        return None
    return name


_ORDER = ("input_order", "input_order_sha256", "input_order_seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What all units of a recording share: the size of a bin, and the stretch, window and class of each."""

    bin_size_ms: float
    stretch_edges: Int[np.ndarray, " edge"]
    window: Int[np.ndarray, " bin"]
    window_pass: Int[np.ndarray, " window"]
    label: Int[np.ndarray, " bin"] | None
    repeats: Repeats | None
    exchange: Exchange | None
    sequences: Sequences | None


def read_chunk(table: pd.DataFrame, raster: Raster, units: slice, marks: Marks) -> Chunk:
    """Read the bits of some units."""
    spikes = SpikeBits(
        bits=raster.bits(units),
        pass_bins=raster.n_bins,
        bin_size_ms=marks.bin_size_ms,
        stretch_edges=marks.stretch_edges,
        window=marks.window,
        window_pass=marks.window_pass,
        label=marks.label,
        repeats=marks.repeats,
        exchange=marks.exchange,
        sequences=marks.sequences,
    )
    return Chunk(units=table, spikes=spikes)


def _readers(
    recording: Recording, windows: Windows, classes: Windows | None, exchange: Exchange | None
) -> Iterator[Callable[[], Chunk]]:
    """Cut all layers into chunks of bounded size, each of which can be read by itself, here or elsewhere."""
    marks = Marks(
        bin_size_ms=float(recording.bin_size_ms),
        stretch_edges=recording.stretches,
        window=windows.ids,
        window_pass=windows.of_pass,
        label=None if classes is None else _over_passes(classes),
        repeats=windows.repeats,
        exchange=exchange,
        sequences=_sequences(recording, windows, classes),
    )
    for layer in recording.layers:
        table = identity(layer.name, layer.units, layer.coordinates)
        for units in layer.raster.chunks():
            rows = table.iloc[units].reset_index(drop=True)
            yield partial(read_chunk, rows, *_part(layer.raster, units), marks)


def _part(raster: Raster, units: slice) -> tuple[Raster, slice]:
    """Drop the other units of bits in memory, so that they are not sent to another process; bits in a store stay where they are."""
    if isinstance(raster.packed, np.ndarray) and raster.rows is None:
        return replace(raster, packed=raster.packed[:, units]), slice(None)
    return raster, units


def window_facts(kind: str, sizes: np.ndarray, unit: str) -> dict[str, Any]:
    """Describe how many windows there are and how unequal they are."""
    return {
        "windows": kind,
        "n_windows": int(sizes.size),
        f"window_min_{unit}": sizes.min().item(),
        f"window_max_{unit}": sizes.max().item(),
    }


def _in_bins(windows: Any, bin_size_ms: float) -> Any:
    """Turn a duration into a number of bins."""
    if not hasattr(windows, "rescale"):
        return windows
    n_bins = duration_ms(windows) / bin_size_ms
    if n_bins != round(n_bins) or n_bins < 1:
        raise WindowError(
            f"Windows of {windows} are {n_bins} bins of {bin_size_ms} ms.",
            "Spikes are counted in whole bins.",
            f"Use a multiple of {bin_size_ms} ms, or a number of bins.",
        )
    return round(n_bins)


def _classes(recording: Recording, windows: Windows) -> Windows | None:
    """Choose the classes of the label share: those of the windows, where these are classes; else the labels, where there are any."""
    columns = [*recording.trials.columns, *(() if recording.bins is None else recording.bins.columns)]
    if windows.kind in columns and windows.kind != "trial" and windows.repeats is None:
        return windows
    if recording.bins is not None and _step_column(recording, None) is not None:
        return windows_of_steps(recording.trials, recording.bins, "label")
    if "label" not in recording.trials.columns or not codes_of_column(recording.trials, "label")[1].size:
        return None
    return windows_by_column(recording.trials, "label")


def _owners(recording: Recording, classes: Windows | None) -> str | None:
    """Describe what chance exchanges, where it is not what it usually is."""
    if classes is None or recording.bins is None or classes.kind not in recording.bins.columns:
        return None
    return "steps: chance exchanges whole sequences of labels between inputs that are alike"


def _exchange(recording: Recording, windows: Windows, classes: Windows | None) -> Exchange | None:
    """Return which bins belong to one input, where inputs have classes."""
    if classes is None or classes.kind not in recording.trials.columns:
        return None
    return exchange_by_column(recording.trials, classes.kind, labels_are_windows=windows is classes)


def _sequences(recording: Recording, windows: Windows, classes: Windows | None) -> Sequences | None:
    """Return which sequences of labels can be exchanged, where steps have classes."""
    if classes is None or recording.bins is None or classes.kind not in recording.bins.columns:
        return None
    return sequences_of(recording.trials, recording.bins, classes.kind, labels_are_windows=windows is classes)


def _over_passes(classes: Windows) -> np.ndarray:
    """Number a class alike in every pass."""
    n_classes = int(np.count_nonzero(classes.of_pass == 0))
    return np.where(classes.ids >= 0, classes.ids % n_classes, -1)
