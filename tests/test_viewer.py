"""The viewer: counts against a slow loop, what the page knows, the server, the command line."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import recordings

import ann2neo
from ann2neo.errors import FormatError, InputsError, OutputExists, RecordingError
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording, make_trials
from ann2neo.viewer import SIDE, build_pyramid, count_tile, fragment, page, pyramid, serve
from ann2neo.viewer.rows import bins_of, rows_by_label


def dense_of(recording):
    """All spikes, shape (unit, bin), layer after layer."""
    return np.concatenate([recording.raster(layer.name) for layer in recording.layers])


def slow_tile(dense, units, bins, row, column):
    """Count a tile bit by bit."""
    out = np.zeros((SIDE, SIDE), int)
    for unit, bin_ in zip(*np.nonzero(dense)):
        y, x = (unit >> units) - row * SIDE, (bin_ >> bins) - column * SIDE
        if 0 <= y < SIDE and 0 <= x < SIDE:
            out[y, x] += 1
    return out


def known_in(text):
    """What the page knows, as a browser reads it: the content of its first script element."""
    data = re.search(r'<script type="application/json" class="known">(.*?)</script', text, re.DOTALL)
    return json.loads(data[1])


def two_layers(n_units=(300, 37), n_bins=531, seed=0, n_passes=1):
    """Two layers, of which one was recorded in part; labels that are not all known."""
    rng = np.random.default_rng(seed)
    label = rng.integers(-1, 4, n_bins // n_passes)
    layers = tuple(
        Layer(
            name=name,
            shape=(n + 5,),
            dtype="float32",
            units=np.sort(rng.permutation(n + 5)[:n]),
            thresholds=np.zeros(n),
            raster=Raster.from_dense(rng.random((n, n_bins)) < 0.04, n_passes=n_passes),
        )
        for name, n in zip(("fc1", "fc2"), n_units)
    )
    trials = make_trials(label.size, n_passes=n_passes, stimulus_id=np.arange(label.size), label=label)
    return Recording(layers=layers, trials=trials, bin_size_ms=1.0, provenance={})


@settings(max_examples=25, deadline=None)
@given(recordings(), st.booleans(), st.data())
def test_a_tile_counts_as_a_slow_loop_does(recording, by_label, data):
    """At every size of blocks, as presented and by label, whatever passes, steps and selections lie beneath."""
    rows = rows_by_label(recording) if by_label else None
    arranged = recording if rows is None else recording.arrange("label")
    dense = dense_of(arranged)
    made = build_pyramid(recording, None if rows is None else bins_of(recording, rows))
    units, bins = data.draw(st.integers(0, 7)), data.draw(st.integers(0, 7))
    assert np.array_equal(count_tile(made, units, bins, 0, 0), slow_tile(dense, units, bins, 0, 0))
    assert np.array_equal(made.n_spikes, dense.sum(1))


@pytest.mark.parametrize(
    ("limits", "n_passes"),
    [
        ({}, 1),
        ({}, 3),
        ({"STRIP_BYTES": 500, "MOST_KEPT_BYTES": 60}, 3),
        ({"STRIP_BYTES": 900, "MOST_STRIP_BYTES": 1000}, 1),
    ],
)
def test_tiles_beyond_the_first(limits, n_passes, monkeypatch):
    """Tiles in all places; also where strips of bits are short, the smallest blocks that are kept large, and tiles counted by the row."""
    for name, size in limits.items():
        monkeypatch.setattr(pyramid, name, size)
    recording = two_layers(n_passes=n_passes)
    dense, made = dense_of(recording), build_pyramid(recording)
    assert (made.level > 4) == ("MOST_KEPT_BYTES" in limits)
    for units, bins in [(0, 0), (0, 3), (1, 2), (3, 1), (4, 4), (0, 6), (6, 0), (5, 7), (2, 12)]:
        for row in range(-(-dense.shape[0] // (SIDE << units))):
            for column in range(-(-dense.shape[1] // (SIDE << bins))):
                expected = slow_tile(dense, units, bins, row, column)
                assert np.array_equal(count_tile(made, units, bins, row, column), expected), (units, bins, row, column)
    assert bool(made.beside.kept) == ("MOST_STRIP_BYTES" in limits)


def test_a_store_is_counted_as_memory_is(tmp_path):
    """Also a selection of it."""
    recording = two_layers()
    ann2neo.save(recording, tmp_path / "rec.zarr")
    stored = ann2neo.load(tmp_path / "rec.zarr").select(units=slice(None, None, 2))
    assert np.array_equal(count_tile(build_pyramid(stored), 1, 2, 0, 0), slow_tile(dense_of(stored), 1, 2, 0, 0))


@pytest.mark.parametrize(
    "place", [(0, 0, 2, 0), (0, 0, 0, 3), (-1, 0, 0, 0), (0, 41, 0, 0), (16, 16, 0, 0), (0, 0, -1, 0)]
)
def test_there_is_no_tile_beyond_the_recording(place):
    """Rather than one of zeros, which would read as silence."""
    with pytest.raises(RecordingError, match="no tile"):
        count_tile(build_pyramid(two_layers()), *place)


@settings(max_examples=20, deadline=None)
@given(recordings())
def test_the_page_holds_all_bits_and_names(recording):
    """Read back from the HTML, they are those of the recording."""
    known = known_in(fragment(recording))
    rows = np.frombuffer(zlib.decompress(base64.b64decode(known["bits"])), np.uint8).reshape(recording.n_units, -1)
    assert np.array_equal(np.unpackbits(rows, axis=1, count=recording.n_bins), dense_of(recording))
    assert [layer["name"] for layer in known["layers"]] == [layer.name for layer in recording.layers]
    assert known["trials"]["start"] == recording.trials["start_bin"].tolist()
    if known["by_label"] is not None:
        ids = np.array(known["trials"]["stimulus_id"])[known["by_label"]]
        assert np.array_equal(ids, recording.arrange("label").trials["stimulus_id"])


def test_classes_keep_their_spelling_and_their_unknown():
    """Integers sort as such; a negative integer, NaN and empty text are unknown; a negative float is a value."""
    coded = ann2neo.viewer.facts.coded
    assert coded(pd.Series([10, 9, -1])) == {"codes": [1, 0, -1], "names": ["9", "10"]}
    assert coded(pd.Series([-0.5, np.nan, 2.0])) == {"codes": [0, -1, 1], "names": ["-0.5", "2.0"]}
    assert coded(pd.Series(["b", "", "a"])) == {"codes": [1, -1, 0], "names": ["a", "b"]}


class Elements(HTMLParser):
    """Elements of a page with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_names_are_never_markup(tmp_path):
    """Whatever a file calls its layers and classes, the elements of the page are those of any page."""
    evil = "</script><img src=x onerror=alert(1)><!--<script>&amp;"
    trials = make_trials(3, stimulus_id=np.arange(3), label=np.array([0, 1, 0]), label_name=[evil, "b", evil])
    layer = ann2neo.from_array(np.eye(3, dtype=bool), layer=evil).layers[0]
    recording = Recording(layers=(layer,), trials=trials, bin_size_ms=1.0, provenance={"input_order": evil})
    plain = ann2neo.from_array(np.eye(3, dtype=bool), labels=[0, 1, 0])
    text = ann2neo.browse(recording).save(tmp_path / "evil.html").read_text()
    wanted = Elements(ann2neo.browse(plain).save(tmp_path / "plain.html").read_text()).found
    assert Elements(text).found == wanted
    assert known_in(text)["layers"][0]["name"] == evil
    shown = Elements(ann2neo.browse(recording)._repr_html_()).found
    assert [tag for tag, _ in shown] == ["iframe"]
    assert shown[0][1]["srcdoc"] == text
    assert shown[0][1]["sandbox"] == "allow-scripts"


def test_a_page_loads_nothing(tmp_path):
    """No address, and a policy that forbids others."""
    text = ann2neo.browse(two_layers()).save(tmp_path / "page.html").read_text()
    assert [text.count(tag) for tag in ("<main>", "</main>", "<h1>")] == [1, 1, 1]  # landmarks of a screen reader
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src &#x27;none&#x27;" in text


def test_what_is_too_large_for_a_page_is_served(monkeypatch, tmp_path):
    """A page of it is refused with the cure; in a notebook it is served by the kernel."""
    monkeypatch.setattr(page, "MOST_BYTES", 100)
    monkeypatch.setattr(ann2neo.viewer.browser, "MOST_BYTES", 100)
    shown = ann2neo.browse(two_layers())
    with pytest.raises(RecordingError, match=r"recording.select\("):
        shown.save(tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
    try:
        frame = Elements(shown._repr_html_()).found[0][1]
        assert frame["src"] == shown.serve()
        assert urllib.request.urlopen(frame["src"]).status == 200
    finally:
        shown.close()


def test_a_page_is_replaced_only_if_asked(tmp_path):
    """As any other output."""
    shown = ann2neo.browse(two_layers())
    assert shown.save(tmp_path / "page.html") == tmp_path / "page.html"
    with pytest.raises(OutputExists):
        shown.save(tmp_path / "page.html")
    shown.save(tmp_path / "page.html", overwrite=True)
    with pytest.raises(FormatError, match="folder"):
        shown.save(tmp_path / "none" / "page.html")


def test_images_are_those_of_the_inputs():
    """By stimulus_id; those that are none are refused as `save` refuses them."""
    recording = ann2neo.from_array(np.eye(3, dtype=bool))
    values = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2)
    images = known_in(fragment(recording, images=values))["images"]
    assert images["ids"] == [0, 1, 2]
    assert images["shape"] == [2, 2, 1]
    assert zlib.decompress(base64.b64decode(images["values"])) == values.tobytes()
    with pytest.raises(InputsError, match="2 images"):
        fragment(recording, images=values[:2])


@pytest.fixture(scope="module")
def served():
    """A recording that is being served."""
    recording = two_layers()
    found = serve(recording)
    yield recording, found
    found.close()


def ask(address, **headers):
    """Status and content of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("order", [0, 1])
def test_tiles_are_served(served, order):
    """As little-endian integers of 32 bits, in both orders."""
    recording, found = served
    dense = dense_of(recording.arrange("label") if order else recording)
    status, content = ask(f"{found.address}tile?order={order}&u=1&b=1&i=0&j=1")
    assert status == 200
    assert np.array_equal(np.frombuffer(content, "<u4").reshape(SIDE, SIDE), slow_tile(dense, 1, 1, 0, 1))


def test_only_who_knows_the_address_is_served(served):
    """Neither another user of this computer, nor a page elsewhere whose name leads here."""
    _, found = served
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{22}/", found.address)
    assert found.server.server_address[0] == "127.0.0.1"
    root = "/".join(found.address.split("/")[:3])
    assert [ask(root + path)[0] for path in ("/", "/tile?order=0&u=0&b=0&i=0&j=0", "/../etc/passwd")] == [404] * 3
    assert ask(found.address, Host="evil.example:80")[0] == 404
    assert ask(found.address)[0] == 200


@pytest.mark.parametrize(
    "query", ["", "?order=0", "?order=x&u=0&b=0&i=0&j=0", "?order=0&u=0&b=0&i=99&j=0", "?order=7&u=0&b=0&i=0&j=0"]
)
def test_a_wrong_tile_is_an_error(served, query):
    """And never one of zeros."""
    status, content = ask(f"{served[1].address}tile{query}")
    assert status in (400, 500)
    assert content


def test_a_damaged_store_is_told(tmp_path):
    """The page shows the error; the server goes on."""
    ann2neo.save(two_layers(), tmp_path / "rec.zarr")
    found = serve(ann2neo.load(tmp_path / "rec.zarr"))
    try:
        for chunk in (tmp_path / "rec.zarr" / "layers" / "0" / "bits").glob("0.*"):
            chunk.write_bytes(chunk.read_bytes()[:-1] + b"x")
        status, content = ask(f"{found.address}tile?order=0&u=0&b=0&i=0&j=0")
        assert status == 500
        assert b"differs from what" in content
        assert ask(found.address)[0] == 200
    finally:
        found.close()


def test_a_port_that_is_taken_is_told(served):
    """In the words of the house."""
    with pytest.raises(RecordingError, match="Omit the port"):
        serve(served[0], port=served[1].server.server_port)


def test_the_command_writes_a_page_and_serves(tmp_path):
    """`ann2neo browse`: with -o a page of the same bits; without, an address until Ctrl-C."""
    recording = two_layers()
    ann2neo.save(recording, tmp_path / "rec.zarr")
    command = [sys.executable, "-m", "ann2neo", "browse", "rec.zarr"]
    done = subprocess.run(
        [*command, "-o", "page.html", "--layers", "fc2"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "page.html is ready.\n", done.stderr
    known = known_in((tmp_path / "page.html").read_text())
    assert [layer["name"] for layer in known["layers"]] == ["fc2"]
    with subprocess.Popen(
        [*command, "--quiet"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as going:
        address = re.search(r"http://\S+", going.stdout.readline())[0]
        assert ask(address)[0] == 200
        going.send_signal(signal.SIGINT)
        _, said = going.communicate(timeout=30)
    assert going.returncode == 130
    assert "Traceback" not in said
