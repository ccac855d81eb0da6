"""browse: what shows itself in a notebook, and can be written as a page or served."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ann2neo.atomic import complete_or_absent
from ann2neo.recording import Recording, as_recording
from ann2neo.viewer.page import MOST_BYTES, check_size, fragment, n_bytes, whole_page
from ann2neo.viewer.server import Served, serve

FRAME = 'width="100%" height="620" style="border:0" title="Zoomable raster"'


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Browser:
    """A raster in which one can zoom; a notebook shows it where it is the value of a cell.

    Parameters
    ----------
    recording
        What is shown.
    images
        Images of the inputs; see `ann2neo.browse`.
    """

    recording: Recording
    images: Any = field(default=None, repr=False)
    _served: list[Served] = field(default_factory=list, repr=False)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write one HTML page with all spikes inside, which needs no other file, no network and no library.

        Parameters
        ----------
        path
            Where to write.
        overwrite
            Whether to replace a file that is there.

        Raises
        ------
        RecordingError
            If the packed bits take more than 32 MiB.
        OutputExists
            If there is such a file and it may not be replaced.
        FormatError
            If its folder does not exist or cannot be written to.
        """
        check_size(self.recording)
        page = whole_page(self.recording, fragment(self.recording, images=self.images))
        with complete_or_absent(Path(path), overwrite=overwrite) as part:
            part.write_text(page, encoding="utf-8")
        return Path(path)

    def serve(self, *, port: int = 0, progress: bool = False) -> str:
        """Serve the page to browsers on this computer, from this process until `close`, and return its address.

        Parameters
        ----------
        port
            Port of 127.0.0.1; 0 for any that is free.
        progress
            Whether to show a progress bar while spikes are counted.

        Raises
        ------
        RecordingError
            If the port cannot be had.
        """
        if not self._served:
            self._served.append(serve(self.recording, images=self.images, port=port, progress=progress))
        return self._served[0].address

    def close(self) -> None:
        """Stop serving; without effect where nothing is served."""
        while self._served:
            self._served.pop().close()

    def _repr_html_(self) -> str:
        if n_bytes(self.recording) <= MOST_BYTES:
            page = whole_page(self.recording, fragment(self.recording, images=self.images))
            # The page runs its own script and reaches nothing of the notebook.
            return f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(page)}" {FRAME}></iframe>'
        return (
            f'<iframe src="{html.escape(self.serve())}" {FRAME}></iframe><p>Served by this kernel to this computer alone. '
            "Where the frame stays empty because the kernel runs elsewhere, browse a part: <code>ann2neo.browse(recording.select(units=slice(None, None, 10)))</code>.</p>"
        )


def browse(recording: Recording, *, images: Any = None) -> Browser:
    """Browse a recording: a raster in which one zooms down to single spikes.

    The pointer, or the arrow keys, tell unit, input, label and prediction, and show the input where there are images. Rows are units, layer after layer; columns are bins,
    as the recording is arranged or by label. Zoomed out, a pixel shows the share of spikes in all units and bins that it covers, so that nothing is sampled; the scale
    is that of the square root, so that 1 % is seen.

    In a notebook the returned object shows itself. Up to 32 MiB of packed bits (10,000 units by 26,000 bins) everything lies inside the page, which also ``save`` writes; larger
    recordings are served by this process to browsers on this computer (``serve``, ``close``), as ``ann2neo browse rec.zarr`` does.

    Parameters
    ----------
    recording
        What to show; select layers and units, or arrange inputs, before (`Recording.select`, `Recording.arrange`).
    images
        The inputs as images: image ``i`` is that of the input with ``stimulus_id`` ``i``, shape (input, height, width) or (input, height, width, channel) with 1, 3 or 4
        channels, uint8 or floating point from 0 to 1. At most 1,000 inputs that were presented. None for no images.

    Returns
    -------
    What shows itself in a notebook, with ``save(path)``, ``serve()`` and ``close()``.

    Raises
    ------
    RecordingError
        If it is no recording.

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
    return Browser(recording=as_recording(recording), images=images)
