"""The page of the viewer: markup, style and script in one file, with the bits inside or with the address of a server of counts."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from typing import Any

import numpy as np

from ann2neo.errors import RecordingError
from ann2neo.population.observed import ObservedUnits
from ann2neo.recording import Recording, as_recording
from ann2neo.viewer.facts import deflated, known_of
from ann2neo.viewer.rows import packed_rows
from ann2neo.viewer.times import check_spikes, known_of_cells

# Largest size of the packed bits in a page: 100,000 units by 2,684 bins, or 10,000 by 26,843.
MOST_BYTES = 32 << 20
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"

FRAGMENT = """<style>
{style}</style>
<div class="ann2neo-raster" role="region" aria-label="Zoomable raster of {what}">
<script type="application/json" class="known">{known}</script>
<div class="bar" role="toolbar" aria-label="What is shown">
<label class="group">show <select class="layer"></select></label>
<label class="group"{hidden}>inputs <select class="order"></select></label>
<span class="group"><button type="button" class="out" aria-label="Zoom out">−</button><button type="button" class="in" aria-label="Zoom in">+</button>
<button type="button" class="fit" aria-label="Fit everything">Fit</button></span>
<label class="group">zoom <select class="axes"><option value="both">both axes</option><option value="inputs">{across}</option><option value="units">units</option></select></label>
<span class="group" role="img" aria-label="Scale: {scale}, by its square root">{low} <canvas class="scale" width="90" height="12"></canvas> {high}</span>
</div>
<canvas class="plot" tabindex="0" role="application" aria-roledescription="zoomable raster"
 aria-label="Raster of {what}. Arrow keys move, plus and minus zoom, 0 shows everything, Home and End go to the beginning and the end."></canvas>
<div class="foot" role="group" tabindex="0" aria-label="What is at the pointer"><canvas class="stimulus" role="img" aria-label="The input at the pointer" hidden></canvas>
<div class="words"><p class="line">Reading the spikes …</p><p class="problem" role="alert"></p><p class="summary" aria-live="polite"></p>
<p class="help">Wheel or pinch: zoom (Shift: {across} only, Alt: units only). Drag or arrow keys: move. {pixel}; darker, or brighter on black, is more. Where a pixel covers several labels, the stripe is grey.</p>
</div></div>
<noscript><p>This raster needs JavaScript, which is inside this page; nothing is loaded from elsewhere.</p></noscript>
</div>
<script>
{script}</script>
"""

# What a page of inputs, and one of time, calls its axis, its scale and its pixels.
OF_INPUTS = {
    "hidden": "",
    "across": "inputs",
    "scale": "share of spikes from 0 to 1",
    "low": "spikes 0",
    "high": "1",
    "pixel": "A pixel shows the share of spikes in all unit-bins it covers",
}
OF_TIME = {
    "hidden": " hidden",
    "across": "time",
    "scale": "rate from 0 Hz",
    "low": "rate 0",
    "pixel": "A pixel shows the rate over the time and the units it covers; time that was not observed has a colour of its own",
}

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{title}</title>
</head>
<body class="ann2neo-page">
<main>
<h1>{title}</h1>
{fragment}</main>
</body>
</html>
"""


def fragment(
    recording: Recording | ObservedUnits,
    *,
    images: Any = None,
    name: str = "",
    by_label: bool = False,
    by: str | None = None,
) -> str:
    """Write the zoomable raster as an HTML fragment for any page, with style, data, canvas and script inside; nothing is loaded.

    Parameters
    ----------
    recording
        Recording to show, in its arrangement and selection; or cells, over time.
    images
        Images of the inputs; see `ann2neo.browse`.
    name
        Name of the recording, by which a screen reader tells several rasters of a page apart.
    by_label
        Whether inputs that have labels are first shown by label.
    by
        Condition of the trials of cells; None for the first Epoch.

    Raises
    ------
    RecordingError
        If the packed bits take more than 32 MiB.
    InputsError
        If ``images`` are not images, or images of some inputs are missing.

    Examples
    --------
    >>> import ann2neo
    >>> fragment(ann2neo.from_array(np.eye(3, dtype=bool))).count("<script")
    2
    """
    if isinstance(recording, ObservedUnits):
        check_spikes(recording)
        return fill_fragment(recording, known_of_cells(recording, by), name)
    check_size(recording)
    rows = packed_rows(recording, 0, recording.n_units)
    n_spikes = np.bitwise_count(rows).sum(axis=1, dtype=np.int64)
    known = known_of(recording, n_spikes, images) | {"bits": deflated(rows), "first_by_label": by_label}
    return fill_fragment(recording, known, name)


def fill_fragment(recording: Recording | ObservedUnits, known: dict[str, Any], name: str = "") -> str:
    """Write the HTML fragment with its data; names come from files, so all of them are escaped."""
    here = files("ann2neo.viewer")
    return FRAGMENT.format(
        style=here.joinpath("style.css").read_text(encoding="utf-8"),
        script=here.joinpath("script.js").read_text(encoding="utf-8"),
        what=html.escape(f"{name}: {_words(recording)}" if name else _words(recording)),
        known=_script_json(known),
        **(
            OF_INPUTS
            if isinstance(recording, Recording)
            else OF_TIME | {"high": f"{known['time']['top_hz']:g} Hz or more"}
        ),
    )


def whole_page(recording: Recording | ObservedUnits, filled: str) -> str:
    """Write a page around the HTML fragment."""
    return PAGE.format(title=html.escape(_words(recording)), policy=html.escape(POLICY), fragment=filled)


def n_bytes(recording: Recording) -> int:
    """Count the bytes of the packed bits of all layers."""
    return recording.n_units * -(-recording.n_bins // 8)


def check_size(recording: Recording) -> None:
    """Check that a recording fits into one page.

    Raises
    ------
    RecordingError
        If the packed bits take more than 32 MiB, or the argument is not a recording.
    """
    if n_bytes(as_recording(recording)) > MOST_BYTES:
        raise RecordingError(
            f"{recording!r} has {n_bytes(recording):,} bytes of packed bits; a page holds at most {MOST_BYTES:,}.",
            "Browsers would take long to open it.",
            "Serve it from this computer instead (`ann2neo browse FILE` without -o), or select units: recording.select(layers=..., units=slice(None, None, 10)).",
        )


def _words(recording: Recording | ObservedUnits) -> str:
    if isinstance(recording, ObservedUnits):
        seconds = sum(stop - start for start, stop in recording.spans_ms().values()) / 1000
        return f"{recording.n_units:,} unit{'s' * (recording.n_units != 1)} over {seconds:,.6g} s"
    layers = f"{len(recording.layers)} layer{'s' * (len(recording.layers) != 1)}"
    return f"{recording.n_units:,} units in {layers} over {recording.n_bins:,} bins"


def _script_json(known: dict[str, Any]) -> str:
    """Write JSON that cannot end a script element, whatever characters names contain."""
    text = json.dumps(known, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
