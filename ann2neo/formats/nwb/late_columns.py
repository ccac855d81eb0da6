"""Columns that are filled after the structure of the file is written.

hdmf visits every string of a column several times before it writes it, which took most of the time for a file with many units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import numpy as np
from hdmf.backends.hdf5 import H5DataIO
from hdmf.common import VectorData
from jaxtyping import Float


class LateData(H5DataIO):
    """Space in the file for values that are written piece by piece, so that they are never all in memory at once.

    Parameters
    ----------
    pieces
        The values, one piece after another; each of shape (value,).
    n_values
        Number of values of all pieces together.
    dtype
        Their type in the file.
    **settings
        How HDF5 stores them: chunks, compression.
    """

    def __init__(
        self,
        pieces: Iterable[Sequence[str] | Float[np.ndarray, " value"]],
        n_values: int,
        dtype: np.dtype,
        **settings: Any,
    ) -> None:
        super().__init__(shape=(n_values,), dtype=dtype, **settings)
        self._pieces = pieces

    def fill(self) -> None:
        """Write the values into the file, which must be open."""
        first = 0
        dataset: Any = self.dataset
        for piece in self._pieces:
            dataset[first : first + len(piece)] = piece
            first += len(piece)


def text_column(name: str, description: str, values: Sequence[str]) -> Any:
    """Make a column of strings.

    Examples
    --------
    >>> column = text_column("quality", "good or silent", ["good", "silent"])
    >>> len(column), column.data.dtype
    (2, dtype('O'))
    """
    return VectorData(
        name=name, description=description, data=LateData([values], len(values), np.dtype(h5py.string_dtype()))
    )


def column(name: str, description: str, values: Any) -> Any:
    """Make a column of numbers, truth values or strings."""
    if isinstance(values, list) and values and isinstance(values[0], str):
        return text_column(name, description, values)
    return VectorData(name=name, description=description, data=values)


def fill_late_columns(container: Any) -> None:
    """Fill all columns of a file that was written and is still open."""
    for part in container.objects.values():
        data = getattr(part, "data", None)
        if isinstance(data, LateData):
            data.fill()
