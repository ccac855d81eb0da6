"""The zoomable raster of cells: its spikes, pieces of time and trials are those of the trains, in the data of the page and on the screen."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode

import neo
import numpy as np
import pytest
import quantities as pq
from chromium import CHROMIUM, DRIVER, chromium
from command_line import run

import ann2neo
from ann2neo.errors import RecordingError, WindowError
from ann2neo.population.ensemble import cells_or_recording
from ann2neo.results import zoom
from ann2neo.results.zoom import zoomable_cells
from ann2neo.viewer import times
from ann2neo.viewer.times import known_of_cells

RASTER = "document.querySelector('.ann2neo-raster').raster"


def block(n_segments=1, n_units=6, begin_s=2.0, seed=0):
    """Segments of 20 s with trains of different rates; the last unit is observed in the first half only, and there are trials of 1 s."""
    rng, made = np.random.default_rng(seed), neo.Block()
    for _ in range(n_segments):
        segment = neo.Segment()
        for unit in range(n_units):
            long = 10.0 if unit == n_units - 1 else 20.0
            own = np.sort(begin_s + rng.uniform(0, long, rng.poisson(long * (1 + 3 * unit))))
            segment.spiketrains.append(
                neo.SpikeTrain(own * pq.s, t_start=begin_s * pq.s, t_stop=(begin_s + long) * pq.s, name=f"cell {unit}")
            )
        begins = begin_s + np.arange(1, 19, 2.0)
        labels = np.array([f"{45 * (k % 3)} deg" for k in range(begins.size)])
        segment.epochs.append(neo.Epoch(begins * pq.s, np.ones(begins.size) * pq.s, labels=labels, name="orientation"))
        made.segments.append(segment)
    return made


def places(known):
    """Places of the spikes of each unit, from the bytes of the page."""
    gaps = np.frombuffer(zlib.decompress(b64decode(known["spikes"])), "<u4")
    return [np.cumsum(own) for own in np.split(gaps, np.cumsum(known["time"]["n_spikes"])[:-1])]


@pytest.mark.parametrize("n_segments", [1, 3])
def test_the_page_has_every_spike_piece_and_trial(n_segments):
    """Segments lie one after another; times are those of the trains to a tenth of a millisecond."""
    made = block(n_segments)
    known = known_of_cells(cells_or_recording(made))
    assert known["n_bins"] == n_segments * 200_000
    assert known["layers"][0]["names"] == [f"cell {unit}" for unit in range(6)]
    for unit, own in enumerate(places(known)):
        trains = [segment.spiketrains[unit].rescale("ms").magnitude for segment in made.segments]
        expected = np.concatenate([20_000 * k + train - 2000 for k, train in enumerate(trains)])
        assert own.size == expected.size
        assert np.abs(own * 0.1 + 0.05 - expected).max() <= 0.0501
        pieces = known["time"]["pieces"][known["time"]["pieces_of"][unit]]
        assert pieces == [[200_000 * k, 200_000 * k + (100_000 if unit == 5 else 200_000)] for k in range(n_segments)]
    trials, by = known["trials"], known["time"]["by"]
    assert by == "orientation"
    starts = [200_000 * k + 10_000 + 20_000 * t for k in range(n_segments) for t in range(9)]
    assert [start for start, trial in zip(trials["start"], trials["trial"]) if trial >= 0] == starts
    assert [trials["label"]["names"][code] for code in trials["label"]["codes"] if code >= 0] == [
        f"{45 * (t % 3)} deg" for t in range(9)
    ] * n_segments
    assert [trials["trial"][trials["start"].index(start + 10_000)] for start in starts] == [-1] * len(starts)


def test_groups_stay_together_and_unnamed_units_have_numbers():
    """Units of one group that lie apart in the file are neighbours; spikes go with them."""
    made = block()
    cells = cells_or_recording(made)
    units = cells.units.drop(columns="name").assign(layer=["a", "b", "a", "b", "a", "b"])
    object.__setattr__(cells.cells, "units", units)
    known = known_of_cells(cells)
    assert [(layer["name"], layer["n"]) for layer in known["layers"]] == [("a", 3), ("b", 3)]
    assert known["layers"][1]["names"][0].startswith("b[")
    sizes = [len(train) for train in made.segments[0].spiketrains]
    assert known["time"]["n_spikes"] == [sizes[i] for i in (0, 2, 4, 1, 3, 5)]


def test_cells_are_browsed_and_what_has_no_meaning_is_refused(tmp_path, monkeypatch):
    """In Python and on the command line; too many spikes, images, an unknown condition, and `by` of a network are refused with the cure."""
    made = block()
    assert "time (s)" in ann2neo.browse(made).save(tmp_path / "c.html").read_text(encoding="utf-8")
    assert "<iframe" in ann2neo.browse(made, by="orientation")._repr_html_()
    with pytest.raises(WindowError):
        ann2neo.browse(made, by="contrast").save(tmp_path / "d.html")
    with pytest.raises(RecordingError, match="`images` has no meaning for cells"):
        ann2neo.browse(made, images=np.zeros((2, 3, 3)))
    with pytest.raises(RecordingError, match="`by` has no meaning for a recording"):
        ann2neo.browse(ann2neo.from_array(np.eye(3, dtype=bool)), by="label")
    monkeypatch.setattr(times, "MOST_SPIKES", 10)
    with pytest.raises(RecordingError, match="a page holds at most 10"):
        ann2neo.browse(made).save(tmp_path / "e.html")
    with neo.NixIO(str(tmp_path / "cells.nix"), mode="ow") as file:
        file.write_block(made)
    code, said, wrong = run(tmp_path, "browse", "cells.nix", "--by", "orientation", "-o", "f.html")
    assert (code, wrong) == (0, ""), wrong
    assert "f.html is ready" in said
    page = (tmp_path / "f.html").read_text(encoding="utf-8")
    known = json.loads(re.search(r'class="known">(.*?)</script>', page)[1])
    assert sum(known["time"]["n_spikes"]) == sum(len(train) for train in made.segments[0].spiketrains)


def test_a_report_holds_at_most_four_mebibytes_of_cells(monkeypatch):
    """All units where they fit, evenly spaced ones where they do not, which is said."""
    made = block(n_units=12)
    assert zoomable_cells(made, "a").words.endswith("its unit, its time and its trial.")
    monkeypatch.setattr(zoom, "MOST_SPIKES", sum(len(train) for train in made.segments[0].spiketrains) // 3)
    part = zoomable_cells(made, "a", "orientation")
    assert part.words.startswith("One unit in 4")
    assert '"names":["cell 0","cell 4","cell 8"]' in part.fragment


@pytest.fixture(scope="module")
def window():
    """One browser for all tests."""
    with chromium() as found:
        yield found


def opened(window, address, scheme="light"):
    """Open a page and wait until it is drawn."""
    window.screen(900, 700, scheme=scheme)
    window.open(address)
    drawn(window, f"{RASTER} && ")


def drawn(window, condition=""):
    """Wait until a frame was drawn with all tiles."""
    frames = "return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    window.run(frames)
    window.wait(f"{condition}{RASTER}.state().complete")
    window.run(frames)
    return window.run(f"return {RASTER}.state()")


@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")
@pytest.mark.parametrize("view", [None, (50_000, 52_000, 0, 6), (95_000, 105_000, 4, 6)])
def test_pixels_are_rates_and_unobserved_time_has_its_own_colour(window, tmp_path, view):
    """Each block that is drawn has the colour of its rate, zoomed out and in: by a histogram of the trains themselves."""
    made = block()
    opened(window, ann2neo.browse(made).save(tmp_path / "c.html").as_uri())
    if view:
        window.run(f"{RASTER}.show({', '.join(map(str, view))})")
    state = drawn(window)
    area, shown, wide = state["area"], state["view"], 2 ** state["level"]["b"]
    assert state["level"]["u"] == 0
    script = "const c = document.querySelector('.plot').getContext('2d'); return Array.from(c.getImageData(...arguments).data.slice(0, 3))"
    top = known_of_cells(cells_or_recording(made))["time"]["top_hz"]
    rng, n, unseen = np.random.default_rng(1), 0, 0
    for _ in range(60):
        unit, block_ = (
            int(rng.integers(*map(int, (shown["y0"], shown["y1"])))),
            int(rng.integers(shown["x0"], shown["x1"]) // wide),
        )
        x = area["x"] + ((block_ + 0.5) * wide - shown["x0"]) * area["sx"]
        y = area["y"] + (unit + 0.5 - shown["y0"]) * area["sy"]
        if not area["x"] + 2 <= x <= area["x"] + area["w"] - 2:
            continue
        # Borders of tiles lie on whole pixels: a block may be moved by one.
        near = [window.run(script, int(x) + d, int(y), 1, 1) for d in (-1, 0, 1)]
        low, high = 2000 + block_ * wide / 10, 2000 + (block_ + 1) * wide / 10
        end = 12_000 if unit == 5 else 22_000
        observed = max(0.0, min(high, end) - low)
        if observed == 0:
            assert [0xD6, 0xE4, 0xF5] in near
            unseen += 1
            continue
        train = made.segments[0].spiketrains[unit].rescale("ms").magnitude
        rate = 1000 * ((train >= low) & (train < high)).sum() / observed
        expected = 255 + (0x10 - 255) * np.sqrt(min(1.0, rate / top))
        assert min(abs(pixel[0] - expected) for pixel in near) <= 1.5, (unit, block_, near, expected)
        n += 1
    assert n > 25
    assert unseen > 0 or view == (50_000, 52_000, 0, 6)


@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")
def test_pointer_keys_and_words(window, tmp_path):
    """The pointer tells unit, time, trial, condition and spikes; keys move; a screen reader hears which time is shown; what was not observed is said."""
    made = block(2)
    opened(window, ann2neo.browse(made).save(tmp_path / "c.html").as_uri(), scheme="dark")
    second = made.segments[1].spiketrains[3].rescale("ms").magnitude
    inside = next(time for time in second if 5000 < time < 6000)  # trial 1 of the second segment
    place = 200_000 + int((inside - 2000) * 10)
    window.run(f"{RASTER}.show({place} - 20, {place} + 20, 3, 4)")
    state = drawn(window)
    box = window.run("const b = document.querySelector('.plot').getBoundingClientRect(); return [b.left, b.top]")

    def told(unit, at, state):
        area, view = state["area"], state["view"]
        x, y = area["x"] + (at + 0.5 - view["x0"]) * area["sx"], area["y"] + (unit + 0.5 - view["y0"]) * area["sy"]
        move = {"type": "pointerMove", "x": int(box[0] + x), "y": int(box[1] + y), "duration": 0}
        window.act("pointer", [move])
        drawn(window)

    def heard():
        return window.run("return document.querySelector('.line').textContent")

    told(3, place, state)
    window.wait("document.querySelector('.line').textContent.startsWith('cell 3')")
    words = heard()
    seconds = (2000 + (place - 200_000) / 10) / 1000
    assert words == f"cell 3 · segment 1, {seconds:.4f} s · trial 10 · orientation 45 deg · 1 spike in 0.1 ms"
    window.run(f"{RASTER}.show(150_000, 150_400, 4, 6)")
    told(5, 150_200, drawn(window))
    window.wait("document.querySelector('.line').textContent.endsWith('not observed')")
    window.run("document.querySelector('.plot').focus()")
    window.keys("0", "+")
    drawn(window)
    window.wait("document.querySelector('.summary').textContent.includes('In the middle')")
    assert window.run("return document.querySelector('.summary').textContent").startswith(
        "10.00 to 30.00 s of 2 segments one after another; units 0 to 5 of 6: units (6 units, "
    )
    window.keys("right")
    assert drawn(window)["view"]["x0"] == 100_000 + 25_000
