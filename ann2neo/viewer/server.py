"""A server on this computer for one recording: it serves the page, and tiles of counts on request."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from ann2neo.errors import Ann2NeoError, RecordingError
from ann2neo.population.observed import ObservedUnits
from ann2neo.recording import Recording, as_recording
from ann2neo.viewer.facts import known_of
from ann2neo.viewer.page import fill_fragment, fragment, whole_page
from ann2neo.viewer.pyramid import Cache, Pyramid, build_pyramid, count_tile
from ann2neo.viewer.rows import bins_of, rows_by_label

HOST = "127.0.0.1"
MOST_TILE_BYTES = 64 << 20
NAMES = ("order", "u", "b", "i", "j")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """A recording that is served until `close`.

    Parameters
    ----------
    address
        Address of the page for browsers on this computer. It contains a secret, so that other users of this computer cannot guess it.
    server
        The HTTP server.
    thread
        Thread in which the server runs.
    closed
        Whether the server was stopped.
    """

    address: str
    server: ThreadingHTTPServer = field(repr=False)
    thread: threading.Thread = field(repr=False)
    closed: threading.Event = field(repr=False)

    def close(self) -> None:
        """Stop the server, also for browsers that keep their connection open."""
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def serve(
    recording: Recording | ObservedUnits,
    *,
    images: Any = None,
    by: str | None = None,
    port: int = 0,
    progress: bool = False,
) -> Served:
    """Serve the zoomable raster of a recording of any size to browsers on this computer, from a thread of this process.

    Spikes are counted once, in blocks; tiles are computed from these counts, or from the bits if a block is larger than a pixel. Memory is bounded: at most 128 MiB of
    counts for each order of the inputs (for the order by label, after its first request), 128 MiB of bits and 64 MiB of tiles.

    Parameters
    ----------
    recording
        Recording to show; or cells, whose page holds all spikes.
    images, by
        Images of the inputs, and the condition of the trials of cells; see `ann2neo.browse`.
    port
        Port of 127.0.0.1; 0 for any free port.
    progress
        Whether to show a progress bar while spikes are counted.

    Raises
    ------
    RecordingError
        If the argument is not a recording, or the port is not available.
    InputsError
        If ``images`` are not images, or images of some inputs are missing.

    Examples
    --------
    >>> import ann2neo, urllib.request
    >>> served = serve(ann2neo.from_array(np.eye(3, dtype=bool)))
    >>> urllib.request.urlopen(served.address).read()[:15]
    b'<!DOCTYPE html>'
    >>> served.close()
    """
    if isinstance(recording, ObservedUnits):
        page, counts = whole_page(recording, fragment(recording, by=by)).encode(), _no_tiles
    else:
        as_recording(recording)
        presented = build_pyramid(recording, progress=progress)
        known = known_of(recording, presented.n_spikes, images) | {"tiles": "tile"}
        page, counts = whole_page(recording, fill_fragment(recording, known)).encode(), _counter(presented)
    secret = secrets.token_urlsafe(16)
    closed = threading.Event()
    try:
        server = ThreadingHTTPServer((HOST, port), _handler(secret, page, counts, closed))
    except (OSError, OverflowError) as error:
        raise RecordingError(
            f"port {port} of {HOST} is not available ({error}).",
            "Nothing is served.",
            "Omit the port, or use another one.",
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="ann2neo-browse", daemon=True)
    thread.start()
    address = f"http://{HOST}:{server.server_port}/{secret}/"
    return Served(address=address, server=server, thread=thread, closed=closed)


def _no_tiles(*place: int) -> bytes:
    raise RecordingError("there are no tiles of cells.", "Nothing was counted.", "Their page holds all spikes.")


def _counter(presented: Pyramid) -> Callable[..., bytes]:
    """Return a function that counts tiles of the first or second order of inputs; the pyramid of each order is built once."""
    pyramids, lock, tiles = {0: presented}, threading.Lock(), Cache(MOST_TILE_BYTES)
    recording = presented.recording

    def pyramid(order: int) -> Pyramid:
        with lock:
            if order not in pyramids:
                rows = rows_by_label(recording) if order == 1 else None
                if rows is None:
                    raise RecordingError(f"there is no order {order}.", "Nothing was counted.", "Use 0, or 1 by label.")
                pyramids[order] = build_pyramid(recording, bins_of(recording, rows))
            return pyramids[order]

    def counts(order: int, *place: int) -> bytes:
        tile = tiles.get((order, *place), lambda: count_tile(pyramid(order), *place))
        return np.ascontiguousarray(tile, "<u4").tobytes()

    return counts


def _handler(
    secret: str, page: bytes, counts: Callable[..., bytes], closed: threading.Event
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answer requests for the page's own address only, not for other host names of this computer."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if closed.is_set():
                self.close_connection = True
                return None
            asked = urlsplit(self.path)
            host = (self.headers.get("Host") or "").rpartition(":")[0]
            if host not in (HOST, "localhost") or not asked.path.startswith(f"/{secret}/"):
                return self._answer(404, b"There is nothing here.", "text/plain")
            what = asked.path.removeprefix(f"/{secret}/")
            if what == "":
                return self._answer(200, page, "text/html")
            if what != "tile":
                return self._answer(404, b"There is nothing here.", "text/plain")
            try:
                given = parse_qs(asked.query)
                return self._answer(200, counts(*(int(given[name][0]) for name in NAMES)), "application/octet-stream")
            except (KeyError, ValueError):
                return self._answer(400, b"A tile is named by order, u, b, i and j.", "text/plain")
            except Ann2NeoError as error:
                return self._answer(500, str(error).encode(), "text/plain")

        def _answer(self, status: int, content: bytes, kind: str) -> None:
            # A browser that no longer needs the tile closes the connection.
            with suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text") else kind)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Cache-Control", "private, max-age=3600" if status == 200 else "no-store")
                self.send_header("X-Content-Type-Options", "nosniff")
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: the requests for tiles would fill the terminal."""

    return Handler
