"""The raster of a recording in a page, which can be zoomed: as many units as fit into its share of the page."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from ann2neo.recording import Recording
from ann2neo.report import Zoomable
from ann2neo.viewer import fragment, n_bytes

# A raster adds at most 4 MiB to a page: packed bits of evenly spaced units, and names, numbers and labels of the inputs.
MOST_CHARACTERS = 4 << 20
MOST_BITS = 2 << 20
MOST_TRIALS = 50_000

HEADING = "Browse the spikes"
WHOLE = "Every unit and every input is in this page; zoom in to single spikes, and point at one to see its unit, input and label."
PART = "One unit in {step} of each layer and every input are in this page, which holds at most 4 MiB of spikes; `ann2neo browse FILE` shows all units."
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
