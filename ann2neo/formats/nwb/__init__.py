"""Neurodata Without Borders: the file to share, read by neo, pynwb, pynapple and SpikeInterface.

Times are in seconds, as NWB requires, and all passes follow one another on one clock. Contents of the file:

- ``units``: one row for each unit of each layer, silent ones too. NWB's own ``spike_times``, ``obs_intervals`` (one: the whole clock) and the attribute
  ``resolution`` (the size of a bin); ``_name``, ``segment``, ``block`` for neo; the rest named as the annotations of the trains that `ann2neo.to_block` makes,
  but ``node_id`` for their ``source_index`` (readers interpret a name that ends in ``_index`` as an index into another column).
- ``trials``: all columns of the table of trials. Ends and starts are the same numbers, so that rounding causes no gap or overlap.
- ``epochs``: the same intervals for neo, which reads no trials: rows named "trials" are tagged with the label (the ``label_name`` where there is one), and
  if the network was trained on other labels, rows named "target_label" are tagged with those. One tag each, not a list, so that neo gets plain strings.
- ``processing/ann2neo``: the tables ``recording`` (schema, size of a bin, number of passes), ``provenance``, ``layers`` and ``trial_columns``; values
  of arbitrary type are stored as JSON.

- ``stimulus/templates/images``, only on request: an image for each input, named in the column ``image`` of the trials.

neo's own reader, ``neo.io.NWBIO``, returns one Block "ann2neo" with the description of the session; one Segment "all passes" with a train for each unit,
with the name of the unit (its layer and place), in seconds, from 0 to the end of the clock; and the Epochs "trials" and, if there is one, "target_label", with
labels. It does not read the annotations of the trains (layer, channel, row, col, threshold, quality, ...), Groups of layers, passes as
Segments, all columns of the trials but those labels, the provenance, the size of a bin (which is in the Block's description; ``sampling_rate`` is neo's own 1 Hz)
and images. ``ann2neo.to_block(ann2neo.load(path))`` returns the whole Block of the same file; ``neo.io.NixIO`` does the same for a NIX file.

pynapple removes a microsecond from the end of each trial that touches the next one, and warns of it; no spike is lost, because spikes lie at a quarter of their bins.

Names of layers are values in columns and never names of objects, because a ``/`` in such a name damages the file.

Examples
--------
No library of neuroscience is needed to read it:

>>> import tempfile, pathlib, h5py, numpy as np, ann2neo
>>> path = pathlib.Path(tempfile.mkdtemp()) / "rec.nwb"
>>> ann2neo.save(ann2neo.from_array(np.array([[1, 0], [1, 1]], bool), layer="relu"), path)
>>> with h5py.File(path) as file:
...     ends = file["units/spike_times_index"][:].astype(int)
...     times_s = np.split(file["units/spike_times"][:], ends[:-1])
...     names = file["units/unit_name"].asstr()[:].tolist()
>>> {name: times.tolist() for name, times in zip(names, times_s)}
{'relu[0]': [0.00025, 0.00125], 'relu[1]': [0.00125]}
"""

from ann2neo.formats.nwb.reading import load
from ann2neo.formats.nwb.writing import save

__all__ = ["load", "save"]
