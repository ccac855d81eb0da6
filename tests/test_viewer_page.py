"""The page in a browser: its pixels and its words are those of the bits, whatever is zoomed, moved or chosen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from chromium import CHROMIUM, DRIVER, chromium
from strategies import small_recording

import ann2neo
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording, make_trials
from ann2neo.report import Section, write_report
from ann2neo.results import zoomable

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")

RASTER = "document.querySelector('.ann2neo-raster').raster"
PIXELS = """const canvas = document.querySelector('.plot');
return Array.from(canvas.getContext('2d').getImageData(...arguments).data.filter((value, i) => i % 4 === 0));"""
LAYERS = {"conv<i>": (5, 6, 7), "fc": (400,), "out": (9,)}


def made(n_inputs=777, seed=0):
    """Three layers, labels, predictions."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 5, n_inputs)
    predicted = np.where(rng.random(n_inputs) < 0.8, label, 0)
    layers = []
    for name, shape in LAYERS.items():
        n = math.prod(shape)
        raster = Raster.from_dense(rng.random((n, n_inputs)) < rng.beta(0.5, 2, (n, 5))[:, label])
        layers.append(
            Layer(name=name, shape=shape, dtype="float32", units=np.arange(n), thresholds=np.zeros(n), raster=raster)
        )
    trials = make_trials(
        n_inputs, stimulus_id=np.arange(n_inputs), label=label, predicted_label=predicted, correct=predicted == label
    )
    return Recording(layers=tuple(layers), trials=trials, bin_size_ms=1.0, provenance={})


@pytest.fixture(scope="module")
def window():
    """One browser for all tests."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def recording():
    """What is shown."""
    return made()


@pytest.fixture(scope="module")
def address(recording, tmp_path_factory):
    """Its page."""
    return ann2neo.browse(recording).save(tmp_path_factory.mktemp("page") / "page.html").as_uri()


def opened(window, address, *, width=900, height=700, ratio=1.0, scheme="light"):
    """Open a page and wait until it is drawn."""
    window.screen(width, height, ratio, scheme=scheme)
    window.open(address)
    drawn(window, f"{RASTER} && {RASTER}.state().complete && ")


def drawn(window, condition=""):
    """Wait until all tiles are there and a frame was drawn with them."""
    window.run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    window.wait(f"{condition}{RASTER}.state().complete")
    window.run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return window.run(f"return {RASTER}.state()")


def dense_of(recording):
    """All spikes, shape (unit, bin)."""
    return np.concatenate([recording.raster(layer.name) for layer in recording.layers])


def names_of(recording):
    """The name of each unit."""
    return [name for layer in recording.layers for name in layer.unit_names]


def shares(dense, level):
    """Share of spikes in each block, by a slow loop over blocks."""
    high, wide = 2 ** level["u"], 2 ** level["b"]
    rows = range(0, dense.shape[0], high)
    return np.array([[dense[y : y + high, x : x + wide].mean() for x in range(0, dense.shape[1], wide)] for y in rows])


def compare(window, dense, *, dark=False):
    """Compare the middle of each block that is drawn with the share of its spikes; blocks at borders of layers and below lines are left out."""
    state = window.run(f"return {RASTER}.state()")
    area, view, level = state["area"], state["view"], state["level"]
    red = np.array(window.run(PIXELS, area["x"], area["y"], area["w"], area["h"]), float).reshape(area["h"], area["w"])
    paper, ink = (0x10, 0xF2) if dark else (0xFF, 0x10)
    expected = paper + (ink - paper) * np.round(255 * np.sqrt(shares(dense, level))) / 255
    high, wide, n = 2 ** level["u"], 2 ** level["b"], 0
    borders = np.cumsum(list(map(math.prod, LAYERS.values())))
    for row in range(expected.shape[0]):
        y = (min((row + 0.5) * high, dense.shape[0]) - view["y0"]) * area["sy"]
        if not 2 <= y < area["h"] - 2 or any(abs(row * high + high / 2 - border) <= high for border in borders):
            continue
        for column in range(expected.shape[1]):
            x = (min((column + 0.5) * wide, dense.shape[1]) - view["x0"]) * area["sx"]
            if 2 <= x < area["w"] - 2:
                # Borders of tiles lie on whole pixels: a block may be moved by one.
                near = red[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
                at = red[int(y), int(x)] if min(area["sx"] * wide, area["sy"] * high) > 4 else None
                assert abs((near if at is None else np.array([at])) - expected[row, column]).min() <= 1.01, (
                    row,
                    column,
                )
                n += 1
    assert n > 30
    return state


def line(window):
    """What is told of the pointer."""
    return window.run("return document.querySelector('.line').textContent")


def told(recording, dense, unit, bin_):
    """What must be told of a unit and a bin, where single bins are drawn."""
    trial = recording.trials.iloc[bin_]
    right = "correct" if trial["label"] == trial["predicted_label"] else "wrong"
    words = [
        names_of(recording)[unit],
        f"input {trial['trial']} (stimulus_id {trial['stimulus_id']})",
        f"label {trial['label']}",
    ]
    return " · ".join(
        [*words, f"predicted {trial['predicted_label']}", right, "spike" if dense[unit, bin_] else "no spike"]
    )


def point(window, state, unit, bin_):
    """Move the pointer to a unit and a bin."""
    area, view = state["area"], state["view"]
    box = window.run("const b = document.querySelector('.plot').getBoundingClientRect(); return [b.left, b.top]")
    x = box[0] + (area["x"] + (bin_ + 0.5 - view["x0"]) * area["sx"]) / area["ratio"]
    y = box[1] + (area["y"] + (unit + 0.5 - view["y0"]) * area["sy"]) / area["ratio"]
    window.act("pointer", [{"type": "pointerMove", "x": int(x), "y": int(y), "duration": 0}])
    drawn(window)
    # On whole pixels: where they are larger than a bin, another one may be met.
    bin_ = view["x0"] + ((int(x) - box[0]) * area["ratio"] - area["x"]) / area["sx"]
    unit = view["y0"] + ((int(y) - box[1]) * area["ratio"] - area["y"]) / area["sy"]
    return int(unit), int(bin_)


@pytest.mark.parametrize(("ratio", "scheme"), [(1.0, "light"), (2.0, "dark")])
def test_pixels_are_shares_of_spikes(window, recording, address, ratio, scheme):
    """Zoomed out, where each pixel is a block, and zoomed in, where each block is a bit; as presented and by label; on fine screens, in both schemes."""
    opened(window, address, ratio=ratio, scheme=scheme, width=700 if ratio == 1 else 420)
    dense = dense_of(recording)
    state = compare(window, dense, dark=scheme == "dark")
    assert state["level"]["b"] >= 1
    window.run(f"{RASTER}.show(300, 340, 190, 225)")
    drawn(window)
    assert compare(window, dense, dark=scheme == "dark")["level"] == {"u": 0, "b": 0}
    window.run("const s = document.querySelector('.order'); s.value = '1'; s.dispatchEvent(new Event('change'))")
    drawn(window)
    compare(window, dense_of(recording.arrange("label")), dark=scheme == "dark")


def test_the_pointer_tells_unit_input_label_and_prediction(window, recording, address):
    """As the recording has them, in both orders."""
    opened(window, address)
    for order, shown in enumerate((recording, recording.arrange("label"))):
        window.run(
            f"const s = document.querySelector('.order'); s.value = '{order}'; s.dispatchEvent(new Event('change'))"
        )
        dense = dense_of(shown)
        for unit, bin_ in [(3, 20), (209, 500), (210, 501), (609, 776), (618, 770)]:
            window.run(f"{RASTER}.show({bin_} - 10, {bin_} + 10, {unit} - 10, {unit} + 10)")
            state = drawn(window)
            point(window, state, unit, bin_)
            assert line(window) == told(shown, dense, unit, bin_)


def test_a_pixel_tells_how_many_spikes_it_has(window, recording, address):
    """Where it covers several units and bins."""
    opened(window, address, width=420)
    state = window.run(f"return {RASTER}.state()")
    high, wide = 2 ** state["level"]["u"], 2 ** state["level"]["b"]
    unit, bin_ = point(window, state, 300, 400)
    y, x = unit // high * high, bin_ // wide * wide
    n_spikes = dense_of(recording)[y : y + high, x : x + wide].sum()
    assert line(window).endswith(f" · {n_spikes} spikes in the {high * wide} unit-bins of this pixel")


def test_wheel_drag_buttons_keys_and_pinch(window, recording, address):
    """Each moves or zooms as it says, and the place under the pointer stays under it."""
    opened(window, address)
    whole = window.run(f"return {RASTER}.state()")["view"]
    assert whole == {"x0": 0, "x1": 777, "y0": 0, "y1": 619}
    at = {"x": 500, "y": 300, "origin": "viewport"}
    window.act("pointer", [{"type": "pointerMove", "x": 500, "y": 300, "duration": 0}])
    drawn(window)
    before = line(window).split(" · ")[:2]
    window.act("wheel", [{"type": "scroll", **at, "deltaX": 0, "deltaY": -300, "duration": 0}])
    zoomed = drawn(window)["view"]
    assert zoomed["x1"] - zoomed["x0"] == pytest.approx(777 * math.exp(-0.6), rel=1e-6)
    assert zoomed["y1"] - zoomed["y0"] == pytest.approx(619 * math.exp(-0.6), rel=1e-6)
    assert line(window).split(" · ")[:2] == before
    down = [{"type": "pointerMove", "x": 500, "y": 300, "duration": 0}, {"type": "pointerDown", "button": 0}]
    window.act(
        "pointer",
        [*down, {"type": "pointerMove", "x": 450, "y": 280, "duration": 20}, {"type": "pointerUp", "button": 0}],
    )
    moved = drawn(window)
    assert moved["view"]["x0"] - zoomed["x0"] == pytest.approx(50 / moved["area"]["sx"], rel=3e-3)
    assert moved["view"]["y0"] - zoomed["y0"] == pytest.approx(20 / moved["area"]["sy"], rel=3e-3)
    window.run("document.querySelector('.in').click()")
    closer = drawn(window)["view"]
    assert closer["x1"] - closer["x0"] == pytest.approx((zoomed["x1"] - zoomed["x0"]) / 2)
    window.run("document.querySelector('.fit').click()")
    assert drawn(window)["view"] == whole
    window.run("document.querySelector('.axes').value = 'inputs'; document.querySelector('.plot').focus()")
    window.keys("+", "right")
    keyed = drawn(window)["view"]
    assert (keyed["y0"], keyed["y1"]) == (0, 619)
    assert keyed["x1"] - keyed["x0"] == pytest.approx(777 / 2)
    assert keyed["x0"] == pytest.approx(777 / 4 + 777 / 16)
    window.keys("0")
    assert drawn(window)["view"] == whole
    fingers = [
        {"type": "pointer", "id": name, "parameters": {"pointerType": "touch"}, "actions": [
            {"type": "pointerMove", "x": 500 + side * 40, "y": 300, "duration": 0}, {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "x": 500 + side * 120, "y": 300, "duration": 60}, {"type": "pointerUp", "button": 0}]}
        for name, side in (("left", -1), ("right", 1))
    ]  # fmt: skip
    window.call("POST", "/actions", {"actions": fingers})
    pinched = drawn(window)["view"]
    assert pinched["x1"] - pinched["x0"] == pytest.approx(777 / 3, rel=0.02)


def test_a_layer_is_chosen(window, recording, address):
    """Its units fill the height."""
    opened(window, address)
    window.run("const s = document.querySelector('.layer'); s.value = '1'; s.dispatchEvent(new Event('change'))")
    view = drawn(window)["view"]
    assert (view["y0"], view["y1"]) == (210, 610)
    assert window.run("return [...document.querySelectorAll('.layer option')].map(o => o.textContent)") == [
        "all layers",
        *LAYERS,
    ]


def test_a_screen_reader_is_told(window, recording, address):
    """What is shown, after it moved what is in the middle; the canvas can be reached by the keyboard, and its focus is seen."""
    opened(window, address)
    window.wait("document.querySelector('.summary').textContent")
    summary = window.run("return document.querySelector('.summary').textContent")
    n_spikes = [recording.raster(name).mean() * 100 for name in LAYERS]
    told = [
        f"{name} ({math.prod(shape)} units, {share:.1f} % spikes)"
        for (name, shape), share in zip(LAYERS.items(), n_spikes)
    ]
    assert summary == f"Bins 0 to 776 of 777, inputs as presented; units 0 to 618 of 619: {', '.join(told)}."
    assert window.run("return document.querySelector('.summary').getAttribute('aria-live')") == "polite"
    for _ in range(12):
        window.keys("tab")
        if window.run("return document.activeElement.className") == "plot":
            break
    assert window.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    window.keys("+", "+", "+", "+", "+")
    state = drawn(window)
    window.wait("document.querySelector('.summary').textContent.includes('In the middle')")
    unit, bin_ = (int((state["view"][f"{axis}0"] + state["view"][f"{axis}1"]) / 2) for axis in "yx")
    said = window.run("return document.querySelector('.summary').textContent")
    assert f"In the middle: {names_of(recording)[unit]} · input {bin_} " in said


def test_it_fits_a_telephone(window, address):
    """Nothing is wider than the screen, and the raster has most of it."""
    opened(window, address, width=390, height=780, ratio=2.0)
    assert window.run("return document.documentElement.scrollWidth") == 390
    area = window.run(f"return {RASTER}.state()")["area"]
    assert area["w"] > 0.6 * 780
    assert area["h"] > 700


def test_passes_steps_and_labels_of_steps(window, tmp_path):
    """Passes and steps are named; labels of steps are those of the bin."""
    small = small_recording(n_trials=20)
    opened(window, ann2neo.browse(small).save(tmp_path / "small.html").as_uri())
    state = drawn(window)
    point(window, state, 4, 25)
    trial = small.trials.iloc[25]
    assert (
        f"input {trial['trial']} (stimulus_id {trial['stimulus_id']}) · pass 1 · label {trial['label']} ({trial['label_name']})"
        in line(window)
    )
    labels = np.arange(12).reshape(4, 3) % 5
    steps = ann2neo.from_array(np.random.default_rng(0).random((4, 3, 2)) < 0.5, labels=labels, trial_axis=0)
    opened(window, ann2neo.browse(steps).save(tmp_path / "steps.html").as_uri())
    point(window, drawn(window), 1, 7)
    assert f"step 1 of 3 · label {labels[2, 1]}" in line(window)


def test_the_input_is_shown(window, tmp_path):
    """The image of the input at the pointer, pixel by pixel."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 4, 3, 3), dtype=np.uint8)
    recording = ann2neo.from_array(rng.random((6, 5)) < 0.5)
    opened(window, ann2neo.browse(recording, images=images).save(tmp_path / "images.html").as_uri())
    point(window, drawn(window), 2, 4)
    shown = window.run(
        "const c = document.querySelector('.stimulus'); return [c.hidden, c.width, c.height, Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)]"
    )
    assert shown[:3] == [False, 3, 4]
    assert np.array_equal(np.array(shown[3]).reshape(4, 3, 4)[:, :, :3], images[4])


def test_a_served_page_shows_the_same(window, recording):
    """Tiles from the server in place of bits in the page; without it, the page says so."""
    shown = ann2neo.browse(recording)
    try:
        opened(window, shown.serve())
        dense = dense_of(recording)
        compare(window, dense)
        window.run(f"{RASTER}.show(300, 340, 190, 225)")
        state = drawn(window)
        compare(window, dense)
        point(window, state, 200, 310)
        assert line(window) == told(recording, dense, 200, 310)
        window.run("const s = document.querySelector('.order'); s.value = '1'; s.dispatchEvent(new Event('change'))")
        drawn(window)
        compare(window, dense_of(recording.arrange("label")))
    finally:
        shown.close()
    window.run(
        "const s = document.querySelector('.order'); s.value = '0'; s.dispatchEvent(new Event('change'));"
        + f"{RASTER}.show(0, 40, 0, 40)"
    )
    window.wait("document.querySelector('.problem').textContent")


def test_a_name_runs_nothing(window, tmp_path):
    """Neither in the page nor in its options, whatever it is."""
    evil = "</script><img src=x onerror='window.ran=1'><script>window.ran=1</script>"
    recording = ann2neo.from_array(np.eye(3, dtype=bool), layer=evil)
    opened(window, ann2neo.browse(recording).save(tmp_path / "evil.html").as_uri())
    point(window, drawn(window), 1, 1)
    assert window.run("return window.ran === undefined")
    assert line(window).startswith(f"{evil}[1] · input 1")
    assert window.run("return document.querySelectorAll('img').length") == 0


def test_a_report_shows_the_raster_that_browse_shows(window, tmp_path, recording):
    """Folded in a report: closed until it is opened, then drawn by label with the pixels of its bits; the wheel scrolls the page until the raster is chosen, keys move it, and a screen reader hears its summary."""
    made_ = zoomable(recording, "net")
    path = write_report(
        tmp_path / "r.html", title="t", sections=[Section(heading="h", zoomable=made_)] + [Section(heading="i")] * 40
    )
    window.screen(390, 800)
    window.open(path.as_uri())
    assert not window.run("return document.querySelector('details.zoomable').open")
    window.run("document.querySelector('details.zoomable summary').click()")
    state = drawn(window, f"{RASTER} && ")
    assert state["order"] == 1
    assert window.run("return document.documentElement.scrollWidth") == 390
    by_label = np.argsort(recording.trials["label"], kind="stable")
    compare(window, dense_of(recording)[:, by_label])
    # The wheel.
    box = window.run("const b = document.querySelector('.plot').getBoundingClientRect(); return [b.left, b.top]")
    wheel = {"type": "scroll", "x": int(box[0]) + 200, "y": int(box[1]) + 100, "deltaX": 0, "deltaY": 40, "duration": 0}
    window.act("wheel", [wheel])
    window.wait("scrollY > 0")
    assert drawn(window)["view"] == state["view"]
    # Keys and words.
    window.run("document.querySelector('.plot').focus(); scrollTo(0, 0)")
    window.keys("0", "+")
    drawn(window)
    window.wait("document.querySelector('.summary').textContent.includes('In the middle')")
    assert "Bins 194 to 582 of 777, inputs by label; units 154 to 464 of 619" in window.run(
        "return document.querySelector('.summary').textContent"
    )
    assert window.run("return document.querySelector('.ann2neo-raster').ariaLabel").startswith(
        "Zoomable raster of net: "
    )
    # The raster is chosen now.
    window.act("wheel", [wheel | {"deltaY": -300}])
    window.wait(f"{RASTER}.state().view.x1 < 582")
