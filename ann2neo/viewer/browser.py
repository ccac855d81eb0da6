"""browse: a zoomable raster that a notebook displays, and that can be saved as a page or served."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ann2neo.atomic import complete_or_absent
from ann2neo.errors import RecordingError
from ann2neo.population.ensemble import cells_or_recording
from ann2neo.population.observed import ObservedUnits
from ann2neo.recording import Recording, as_recording
from ann2neo.viewer.page import MOST_BYTES, fragment, n_bytes, whole_page
from ann2neo.viewer.server import Served, serve

FRAME = 'width="100%" height="620" style="border:0" title="Zoomable raster"'


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Browser:
    """A zoomable raster; a notebook displays it if it is the value of a cell.

    Parameters
    ----------
    recording
        Recording, or cells, to show.
    images
        Images of the inputs; see `ann2neo.browse`.
    by
        Condition of the trials of cells; see `ann2neo.browse`.
    """

    recording: Recording | ObservedUnits
    images: Any = field(default=None, repr=False)
    by: str | None = None
    _served: list[Served] = field(default_factory=list, repr=False)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write one HTML page with all spikes inside. It needs no other files, no network access and no library.

        Parameters
        ----------
        path
            Path of the page.
        overwrite
            Whether to replace an existing file.

        Raises
        ------
        RecordingError
            If the packed bits take more than 32 MiB, or cells have more than 8 million spikes.
        OutputExists
            If the file exists and ``overwrite`` is false.
        FormatError
            If its folder does not exist or cannot be written to.
        """
        page = self._page()
        with complete_or_absent(Path(path), overwrite=overwrite) as part:
            part.write_text(page, encoding="utf-8")
        return Path(path)

    def serve(self, *, port: int = 0, progress: bool = False) -> str:
        """Serve the page from this process to browsers on this computer until `close`, and return its address.

        Parameters
        ----------
        port
            Port of 127.0.0.1; 0 for any free port.
        progress
            Whether to show a progress bar while spikes are counted.

        Raises
        ------
        RecordingError
            If the port is not available.
        """
        if not self._served:
            self._served.append(serve(self.recording, images=self.images, by=self.by, port=port, progress=progress))
        return self._served[0].address

    def close(self) -> None:
        """Stop serving; without effect if nothing is served."""
        while self._served:
            self._served.pop().close()

    def _page(self) -> str:
        return whole_page(self.recording, fragment(self.recording, images=self.images, by=self.by))

    def _repr_html_(self) -> str:
        if isinstance(self.recording, ObservedUnits) or n_bytes(self.recording) <= MOST_BYTES:
            page = self._page()
            # The page runs its own script and cannot access the notebook.
            return f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(page)}" {FRAME}></iframe>'
        return (
            f'<iframe src="{html.escape(self.serve())}" {FRAME}></iframe><p>Served by this kernel to this computer alone. '
            "If the frame stays empty because the kernel runs elsewhere, browse a part: <code>ann2neo.browse(recording.select(units=slice(None, None, 10)))</code>.</p>"
        )


def browse(recording: Any, *, images: Any = None, by: str | None = None) -> Browser:
    """Browse a recording, or cells over time, as a raster that can be zoomed down to single spikes.

    The pointer, or the arrow keys, select a point: its unit, input, label and prediction are shown, and the input itself if images are given. Rows are units, layer by
    layer; columns are bins, in the arrangement of the recording or by label. Zoomed out, a pixel shows the share of spikes in all units and bins that it covers,
    so that nothing is sampled; the color scale follows the square root, so that 1 % is visible.

    Of cells, columns are times, to a tenth of a millisecond, segment after segment: a pixel shows the rate in the time in which its units were observed, and the pointer the
    time, the trial and its condition. Their page contains all spikes, up to 8 million.

    A notebook displays the returned object. Up to 32 MiB of packed bits (10,000 units by 26,000 bins), the page contains all spikes, and ``save`` writes it; larger
    recordings are served by this process to browsers on this computer (``serve``, ``close``), as with ``ann2neo browse rec.zarr``.

    Parameters
    ----------
    recording
        Recording to show; select layers and units, or arrange inputs, first (`Recording.select`, `Recording.arrange`). Or spike trains in any container that `ann2neo.analyze` takes.
    images
        The inputs as images: image ``i`` belongs to the input with ``stimulus_id`` ``i``, shape (input, height, width) or (input, height, width, channel) with 1, 3 or 4
        channels, uint8 or floating point from 0 to 1. At most 16 MiB. None for no images.

    by
        Condition of the trials of cells: an Epoch, a column of one, or an annotation of segments; None for the first Epoch.

    Returns
    -------
    Browser
        A notebook displays it; its methods are ``save(path)``, ``serve()`` and ``close()``.

    Raises
    ------
    RecordingError
        If the argument is neither a recording nor spike trains, or ``images`` are given of cells, or ``by`` of a recording.

    See Also
    --------
    ann2neo.figures.raster : a figure for print.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.eye(4, dtype=bool), labels=[1, 0, 1, 0])
    >>> ann2neo.browse(recording).save(tempfile.mkdtemp() + "/raster.html").name
    'raster.html'
    """
    shown = cells_or_recording(recording)
    if not isinstance(shown, ObservedUnits):
        shown = as_recording(shown)
    _check(shown, images, by)
    return Browser(recording=shown, images=images, by=by)


def _check(shown: Recording | ObservedUnits, images: Any, by: str | None) -> None:
    of_cells = isinstance(shown, ObservedUnits)
    if (images is not None and of_cells) or (by is not None and not of_cells):
        name, cure = ("images", "by='orientation'") if of_cells else ("by", "recording.arrange('label')")
        raise RecordingError(
            f"`{name}` has no meaning for {'cells' if of_cells else 'a recording of a network'}.",
            "Nothing is shown.",
            f"Leave it out; {'trials are named' if of_cells else 'inputs are arranged'} with {cure}.",
        )
