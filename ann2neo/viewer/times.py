"""Facts of the page about cells: spike times on a fine lattice, when each unit was observed, and trials."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from ann2neo.errors import Ann2NeoError, RecordingError
from ann2neo.population.observed import ObservedUnits
from ann2neo.viewer.facts import coded, deflated

# Times are told to a tenth of a millisecond, or more coarsely where 32 bits do not hold as many.
BIN_MS, MOST_PLACES = 0.1, 1 << 31
# Largest number of spikes in a page, 32 MiB before they are compressed.
MOST_SPIKES = 8 << 20
# The scale of rates ends at the largest rate of a unit in a thousandth of the time, at least a tenth of a second.
BLOCKS, LEAST_BLOCK_MS = 1000, 100.0


def n_spikes_of(cells: ObservedUnits) -> int:
    """Count the spikes of all units."""
    return sum(len(train) for row in cells.cells.trains for train in row if train is not None)


def check_spikes(cells: ObservedUnits) -> None:
    """Check that the spikes of cells fit into one page.

    Raises
    ------
    RecordingError
        If there are more than 8,388,608.
    """
    n_spikes = n_spikes_of(cells)
    if n_spikes > MOST_SPIKES:
        raise RecordingError(
            f"{cells.n_units:,} units have {n_spikes:,} spikes; a page holds at most {MOST_SPIKES:,}.",
            "Browsers would take long to open it.",
            "Browse some of the units or a part of the time, such as block.segments[0].time_slice(t_start, t_stop).",
        )


def known_of_cells(cells: ObservedUnits, by: str | None = None) -> dict[str, Any]:
    """Collect the facts that the page shows about cells, as values that JSON supports.

    Segments lie one after another. A place is a tenth of a millisecond; a spike lies in the place that its time falls in.

    Parameters
    ----------
    cells
        Units to show.
    by
        Condition of trials: an Epoch, a column of one, or an annotation of segments; None for the first Epoch.

    Raises
    ------
    WindowError
        If ``by`` has no meaning in a segment.
    """
    cells = _by_group(cells)
    spans = cells.spans_ms()
    size = BIN_MS
    while sum(stop - start for start, stop in spans.values()) / size > MOST_PLACES:
        size *= 10
    segments, begin = {}, 0
    for number, (start, stop) in spans.items():
        first = np.floor(start / size + 1e-6) * size
        segments[number] = {"number": number, "start": begin, "begin_ms": float(first)}
        begin += max(1, int(np.ceil((stop - first) / size - 1e-6)))
    places = [_places(cells, unit, segments, size, begin) for unit in range(cells.n_units)]
    gaps = [np.diff(own, prepend=0).astype("<u4") for own in places]
    kinds = list(dict.fromkeys(cells.pieces))
    trials, by = _trials(cells, segments, size, begin, by)
    return {
        "layers": _groups(cells, [len(own) for own in places]),
        "n_bins": begin,
        "trials": trials,
        "bins": None,
        "arranged": "in time",
        "by_label": None,
        "spikes": deflated(np.concatenate(gaps).view(np.uint8)),
        "time": {
            "bin_ms": size,
            "begin_ms": next(iter(segments.values()))["begin_ms"] if len(segments) == 1 else 0.0,
            "segments": list(segments.values()),
            "n_spikes": [len(own) for own in places],
            "pieces": [_borders(each, segments, size) for each in kinds],
            "pieces_of": [kinds.index(each) for each in cells.pieces],
            "top_hz": _top_hz(places, begin, size),
            "by": by,
        },
    }


def _by_group(cells: ObservedUnits) -> ObservedUnits:
    """Put the units of a group side by side, in the order in which groups appear."""
    codes, _ = pd.factorize(cells.units["layer"])
    return cells.take(np.argsort(codes, kind="stable"))


def _groups(cells: ObservedUnits, n_spikes: list[int]) -> list[dict[str, Any]]:
    units = cells.units.reset_index(drop=True)
    named = "name" in units and units["name"].astype(str).is_unique
    found = []
    for group, rows in units.groupby("layer", sort=False):
        own = rows["name"] if named else [f"{group}[{unit}]" for unit in rows["unit"]]
        spikes = sum(n_spikes[row] for row in rows.index)
        names = [str(name) for name in own]
        found.append(
            {
                "name": str(group),
                "shape": [len(rows)],
                "n": len(rows),
                "n_spikes": spikes,
                "units": None,
                "names": names,
            }
        )
    return found


def _places(
    cells: ObservedUnits, unit: int, segments: dict[int, dict[str, Any]], size: float, n_places: int
) -> Int[np.ndarray, " spike"]:
    pieces, found = cells.pieces[unit], [np.zeros(0, np.int64)]
    for number, segment in segments.items():
        times = np.sort(cells.cells.times(unit, number, pieces) * pieces.ms)
        # A time that is a multiple of the size up to rounding lies in the place that it begins.
        found.append(segment["start"] + np.floor((times - segment["begin_ms"]) / size + 1e-6).astype(np.int64))
    return np.clip(np.concatenate(found), 0, n_places - 1)


def _borders(pieces: Any, segments: dict[int, dict[str, Any]], size: float) -> list[list[int]]:
    return [
        [segment["start"] + round((border - segment["begin_ms"]) / size) for border in borders]
        for number, segment in segments.items()
        for borders in pieces.borders_ms(number).tolist()
    ]


def _top_hz(places: list[np.ndarray], n_places: int, size: float) -> float:
    block = max(n_places / BLOCKS, LEAST_BLOCK_MS / size)
    most = max((int(np.bincount((own / block).astype(np.int64)).max()) for own in places if own.size), default=1)
    return float(f"{1000 * most / (block * size):.2g}")


def _trials(
    cells: ObservedUnits, segments: dict[int, dict[str, Any]], size: float, n_places: int, by: str | None
) -> tuple[dict[str, Any], str | None]:
    """List trials and what lies between them, which has the number -1; where trials overlap, the later one begins."""
    table, by = _found(cells, by)
    start: list[int] = [0, *(each["start"] for each in segments.values())]
    trial, label = [-1] * len(start), [None] * len(start)
    for number, row in enumerate(table.to_dict("records")):
        segment = segments.get(row["segment"])
        if segment is not None:
            times = (row["start_ms"], row["stop_ms"])
            start += [segment["start"] + round((time - segment["begin_ms"]) / size) for time in times]
            trial += [number, -1]
            label += [row["label"], None]
    frame = pd.DataFrame({"start": start, "trial": trial, "label": pd.Series(label, dtype=object)})
    # Of what begins at one place, a trial counts more than the gap before it.
    frame = frame[(frame["start"] >= 0) & (frame["start"] < n_places)]
    frame = frame.sort_values(["start", "trial"], kind="stable").drop_duplicates("start", keep="last")
    found: dict[str, Any] = {"start": frame["start"].tolist(), "trial": frame["trial"].tolist()}
    if len(table):
        found["label"] = coded(frame["label"].map(lambda value: "" if value is None else str(value)))
    return found, by


def _found(cells: ObservedUnits, by: str | None) -> tuple[pd.DataFrame, str | None]:
    if by is not None:
        return cells.trials(by), by
    none = pd.DataFrame(columns=["segment", "start_ms", "stop_ms", "label"])
    names = (epoch.name for segment in cells.cells.segments for epoch in segment.epochs if epoch.name and len(epoch))
    by = next(names, None)
    if by is None:
        return none, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return cells.trials(by), by
        except Ann2NeoError:  # the name has another meaning in another segment
            return none, None
