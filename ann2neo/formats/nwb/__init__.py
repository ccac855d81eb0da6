"""Neurodata Without Borders: the file to share, read by neo, pynwb, pynapple and SpikeInterface.

Times are in seconds, as NWB demands, and all passes follow one another on one clock. What is where:

- ``units``: one row for each unit of each layer, silent ones too. NWB's own ``spike_times``, ``obs_intervals`` (one: the whole clock) and the attribute
  ``resolution`` (the size of a bin); ``_name``, ``segment``, ``block`` for neo; the rest as annotations of neo's spike trains, where ``node_id`` is their
  ``source_index`` (readers take a name that ends in ``_index`` for an index into another column).
- ``trials``: all columns of the table of trials. Ends and starts are the same numbers, so that no gap and no overlap arises by rounding.
- ``epochs``: the same intervals for neo, which reads no trials: rows named "trials" are tagged with the label (the ``label_name`` where there is one), and
  if the network was trained on other labels, rows named "target_label" are tagged with those. One tag each, not a list, so that neo gets plain strings.
- ``processing/ann2neo``: the tables ``recording`` (schema, size of a bin, number of passes), ``provenance``, ``layers`` and ``trial_columns``; values that
  may be of any type are JSON.

Names of layers are values in columns and never names of objects, since a ``/`` in such a name damages the file.
"""

from ann2neo.formats.nwb.reading import load
from ann2neo.formats.nwb.writing import save

__all__ = ["load", "save"]
