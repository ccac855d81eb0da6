"""The store: a recording as packed bits in a folder, of which only what is looked at is read, and which grows column by column.

The folder is Zarr of format 2 and needs no ann2neo to be read; it is written and read here without Zarr, to which a chunk that is absent is a chunk of zeros. Arrays are numbered and names are values in the attributes, since names of layers may be
anything: ``layers/0/bits`` (pass, unit, byte; bits as `numpy.packbits` lays them out, every pass begins on a byte), ``layers/0/units``,
``layers/0/thresholds``, and so on; ``trials/0`` and so on are the columns of the table of trials, in the order of the attribute ``trial_columns``.

While it grows, the attribute ``complete`` is false and there are no trials yet. What counts as recorded is what the folder ``log`` says: ``0.3.json`` is
written when column 3 of pass 0, some bins of all units, was written, and holds what is known of its inputs and the check sum of each of its chunks. Of a column that
takes long to fill, ``0.3.begun`` holds what there is of it. When a process dies, what came since is lost: half a minute of work, or one batch. When the power fails,
the log may speak of bits that never reached the disk; their check sums tell, and they are recorded again.

Each byte that is read has a check sum. ``checksums.json`` lists that of each chunk (the one
with which its frame of Zstandard ends, so that it is computed once when it is decoded) and a CRC-32 of each other file; the attribute ``integrity`` holds that of this list
and of all other attributes. They are verified when something is read, so that a store that is damaged, incomplete, or replaced while a recording of it is open is an
error and never other spikes.
"""

from ann2neo.store.complete import load, save
from ann2neo.store.soundness import check

__all__ = ["check", "load", "save"]
