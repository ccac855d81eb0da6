"""A store as neo objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import neo
from neo.io.basefromrawio import BaseFromRaw

from ann2neo.errors import FormatError
from ann2neo.neoio.proxies import proxy_block
from ann2neo.neoio.rawio import Ann2NeoRawIO
from ann2neo.trains import to_block


class Ann2NeoIO(Ann2NeoRawIO, BaseFromRaw):
    """A store of ann2neo as neo objects.

    ``read_block()`` returns the Block of `ann2neo.to_block`, in milliseconds. Its spike trains are made on access, so that it opens at once however
    many units there are. ``read_block(lazy=True)`` returns neo's own proxies instead, also made on access, whose ``load(time_slice=...)`` returns trains in
    seconds.

    Parameters
    ----------
    dirname
        Name of the store.

    Raises
    ------
    FormatError
        If the folder is not an ann2neo store.

    Examples
    --------
    >>> import tempfile, numpy as np, ann2neo
    >>> path = Path(tempfile.mkdtemp()) / "rec.zarr"
    >>> ann2neo.save(ann2neo.from_array(np.eye(4, dtype=bool)), path)
    >>> neo.io.get_io(path).read_block().segments[0].spiketrains[2].times
    array([2.25]) * ms
    """

    name = "ann2neo"
    description = "Activations above threshold of an artificial neural network, as packed bits"
    mode = "dir"

    def __init__(self, dirname: str | Path = "") -> None:
        Ann2NeoRawIO.__init__(self, dirname)
        BaseFromRaw.__init__(self, dirname)

    def read_block(self, block_index: int = 0, lazy: bool = False) -> neo.Block:
        """Read the recording: a Segment for each pass, a Group for each layer.

        Parameters
        ----------
        block_index
            A store holds one Block: 0.
        lazy
            Whether to return neo's proxies of trains and epochs.
        """
        _only_the_first(block_index, self.dirname)
        block = proxy_block(self) if lazy else to_block(self._recording)
        block.file_origin = self.dirname
        return block

    def read_segment(
        self,
        block_index: int = 0,
        seg_index: int = 0,
        lazy: bool = False,
        time_slice: Any = None,
        strict_slicing: bool = True,
    ) -> neo.Segment:
        """Read one pass.

        Parameters
        ----------
        block_index, lazy
            As for `read_block`.
        seg_index
            Number of the pass.
        time_slice
            Two times in seconds; only spikes and trials between them are read.
        strict_slicing
            Whether to raise an error for times outside the pass.
        """
        if time_slice is None:
            return self.read_block(block_index, lazy=lazy).segments[seg_index]
        whole = self.read_block(block_index, lazy=True).segments[seg_index]
        segment = neo.Segment(name=whole.name, description=whole.description, index=seg_index, **whole.annotations)
        where = {"time_slice": time_slice, "strict_slicing": strict_slicing}
        segment.spiketrains.extend([proxy.load(**where) for proxy in whole.spiketrains])
        segment.epochs.extend([proxy.load(**where) for proxy in whole.epochs])
        return segment


def _only_the_first(block_index: int, source: str) -> None:
    if block_index != 0:
        raise FormatError(f"{source} holds one Block.", f"Block {block_index} does not exist.", "Use 0.")
