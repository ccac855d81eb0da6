"""The store: a recording as packed bits in a folder, which is read lazily and grows column by column.

The folder is Zarr of format 2, which can be read without ann2neo. ann2neo writes and reads it without the Zarr library, which reads an absent chunk as zeros. Arrays are numbered, and names are values in the attributes, because names of layers may be
anything: ``layers/0/bits`` (pass, unit, byte; bits in the order of `numpy.packbits`, every pass begins on a byte), ``layers/0/units``,
``layers/0/thresholds``, and so on; ``trials/0`` and so on are the columns of the table of trials, in the order of the attribute ``trial_columns``.

While it grows, the attribute ``complete`` is false and there are no trials yet. The folder ``log`` defines what counts as recorded: ``0.3.json`` is
written after column 3 of pass 0 (some bins of all units), and holds the facts about its inputs and the check sum of each of its chunks. For a column that
takes long to fill, ``0.3.begun`` holds the bits so far. If a process dies, the work since then is lost: half a minute, or one batch. If the power fails,
the log may list bits that never reached the disk; their check sums show this, and they are recorded again.

Each byte that is read has a check sum. ``checksums.json`` lists the check sum of each chunk (the one
at the end of its Zstandard frame, so that decoding computes it only once) and a CRC-32 of each other file; the attribute ``integrity`` holds the check sum of this list
and of all other attributes. They are verified on reading: a store that is damaged, incomplete, or replaced while a recording of it is open raises an
error and never returns other spikes.
"""

from ann2neo.store.complete import load, save
from ann2neo.store.soundness import check

__all__ = ["check", "load", "save"]
