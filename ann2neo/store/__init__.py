"""The store: a recording as packed bits in a folder, of which only what is looked at is read, and which grows column by column.

The folder is Zarr of format 2 and needs no ann2neo to be read. Arrays are numbered and names are values in the attributes, since names of layers may be
anything: ``layers/0/bits`` (pass, unit, byte; bits as `numpy.packbits` lays them out, every pass begins on a byte), ``layers/0/units``,
``layers/0/thresholds``, and so on; ``trials/0`` and so on are the columns of the table of trials, in the order of the attribute ``trial_columns``.

While it grows, the attribute ``complete`` is false and there are no trials yet. What counts as recorded is what the folder ``log`` says: ``0.3.json`` is
written when column 3 of pass 0, some bins of all units, is on the disk, and holds what is known of its inputs and a CRC-32 of its bits.
Nothing is lost when a process dies; a machine without power may lose the last columns.
"""

from ann2neo.store.complete import check, load, save

__all__ = ["check", "load", "save"]
