"""Reading ann2neo stores with neo: importing this package registers the readers.

After that ``neo.io.get_io("rec.zarr")`` and ``neo.rawio.get_rawio("rec.zarr")`` read a recording.
"""

from ann2neo.neoio.io import Ann2NeoIO
from ann2neo.neoio.rawio import Ann2NeoRawIO
from ann2neo.neoio.registration import register

__all__ = ["Ann2NeoIO", "Ann2NeoRawIO", "register"]

register()
