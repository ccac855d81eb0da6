"""The raster of a recording in a page, which can be zoomed: as many units as fit into its share of the page."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from ann2neo.population.ensemble import cells_or_recording
from ann2neo.recording import Recording
from ann2neo.report import Zoomable
from ann2neo.viewer import fragment, n_bytes
from ann2neo.viewer.times import n_spikes_of

# A raster adds at most 4 MiB to a page: packed bits of evenly spaced units, and names, numbers and labels of the inputs.
MOST_CHARACTERS = 4 << 20
MOST_BITS = 2 << 20
MOST_TRIALS = 50_000
MOST_SPIKES = 1 << 20

HEADING = "Browse the spikes"
WHOLE = "Every unit and every input is in this page; zoom in to single spikes, and point at one to see its unit, input and label."
PART = "One unit in {step} of each layer and every input are in this page, which holds at most 4 MiB of spikes; `ann2neo browse FILE` shows all units."
OF_CELLS = (
    "Every spike is in this page; zoom in to single spikes, and point at one to see its unit, its time{and_trial}."
)
PART_OF_CELLS = (
    "One unit in {step} is in this page, which holds at most 4 MiB of spikes; `ann2neo browse FILE` shows more."
)
NO_CELLS = "The {n_spikes:,} spikes are more than this page holds, even those of one unit. `ann2neo browse FILE` shows as many as 8,388,608."
NONE = "The spikes of {n_units:,} units over {n_bins:,} bins are more than this page holds. `ann2neo browse FILE` shows them."


def zoomable(recording: Recording, name: str, *, images: Any = None) -> Zoomable:
    """Make the raster of a recording that a page shows when a reader opens it.

    It adds at most 4 MiB to the page. If the packed bits take more than 2 MiB, evenly spaced units of each layer are shown; if there are more than 50,000 trials, or what
    is shown still takes too much, the paragraph says where to see the raster instead.

    Parameters
    ----------
    recording
        Recording to show.
    name
        Name of the recording.
    images
        Images of the inputs; see `ann2neo.browse`.

    Examples
    --------
    >>> import numpy as np
    >>> import ann2neo
    >>> zoomable(ann2neo.from_array(np.eye(3, dtype=bool)), "fc").words.split(";")[0]
    'Every unit and every input is in this page'
    """
    none = Zoomable(heading=HEADING, words=NONE.format(n_units=recording.n_units, n_bins=recording.n_bins))
    if len(recording.trials) > MOST_TRIALS:
        return none
    step = max(-(-n_bytes(recording) // MOST_BITS), 1)
    shown = recording if step == 1 else recording.select(units=slice(None, None, step))
    if n_bytes(shown) > 2 * MOST_BITS:  # many layers of few units
        return none
    filled = fragment(shown, images=images, name=name, by_label=True)
    if len(filled) > MOST_CHARACTERS:
        return none
    return Zoomable(
        heading=HEADING,
        words=WHOLE if step == 1 else PART.format(step=step),
        fragment=Markup(filled),
    )


def zoomable_cells(cells: Any, name: str, by: str | None = None) -> Zoomable:
    """Make the raster of cells that a page shows when a reader opens it, with at most 4 MiB: if it takes more, evenly spaced units are shown.

    Parameters
    ----------
    cells
        Spike trains in any container.
    name
        Name of the file.
    by
        Condition of the trials; None for the first Epoch.
    """
    found = cells_or_recording(cells)
    step = max(-(-n_spikes_of(found) // MOST_SPIKES), 1)
    while True:
        taken = found.take(np.arange(0, found.n_units, step))
        if n_spikes_of(taken) > MOST_SPIKES:
            if taken.n_units == 1:
                return Zoomable(heading=HEADING, words=NO_CELLS.format(n_spikes=n_spikes_of(found)))
            step *= 2
            continue
        filled = fragment(taken, name=name, by=by)
        if len(filled) <= MOST_CHARACTERS or step >= found.n_units:
            break
        step *= 2
    and_trial = " and its trial" if '"by":null' not in filled else ""
    words = OF_CELLS.format(and_trial=and_trial) if step == 1 else PART_OF_CELLS.format(step=step)
    return Zoomable(heading=HEADING, words=words, fragment=Markup(filled))
