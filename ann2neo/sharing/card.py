"""The data card: facts that readers need before they use the spikes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import jinja2
import numpy as np

from ann2neo.measures.quality import quality
from ann2neo.outline import time_axis
from ann2neo.recording import Layer, Recording, order_sha256
from ann2neo.sharing.metadata import Metadata
from ann2neo.windows import order_words

TEMPLATE = """\
# {{ file }}

Spike trains of {{ n_units }} units in {{ layers | length }} layer{{ "s" if layers | length != 1 }} of an artificial neural network, in response to \
{{ n_trials }} input{{ "s" if n_trials != 1 }}{% if n_passes > 1 %}, presented {{ n_passes }} times{% endif %}.
{% if said %}
| what | who shares it says |
|---|---|
{% for word, text in said -%}
| {{ word }} | {{ text }} |
{% endfor %}{% endif %}

| file | what it is |
|---|---|
| `{{ file }}` | the data, in Neurodata Without Borders (NWB) format |
| `report.html` | figures and indicators of its units, layer by layer: open it in a browser |
| `inspection.txt` | what nwbinspector finds in it |
| `CITATION.cff`, `datacite.json` | how to cite it; metadata for an archive, which adds publisher and DOI (`:tba`, to be assigned) |
| `SHA256SUMS` | checksums: `sha256sum -c SHA256SUMS` |

## What a spike means

A unit is one entry of a layer's activation. It has a spike in a bin if its activation in that bin is strictly above its threshold; there is at most one \
spike in a bin.

- Time is {{ axis }}. The order of the trials is: {{ order }}.
- A spike of bin k is at (k + 0.25) bins after the start, so that every way of binning puts it back into its bin.
{%- if n_passes > 1 %}
- The passes follow one another on one clock; the column `pass` of the trials says where each begins. No interval between spikes should be taken across.
{%- endif %}

## What it does not mean

- It is not an action potential: there is no membrane, no refractory period, no dynamics that would carry over from one input to the next, unless the \
network has them.
- Inputs take no time. Rates in Hz, intervals in seconds and everything else with a unit of time follow from the chosen size of a bin.
- The order of the inputs was chosen by the experimenter. Measures of intervals (ISI, CV, Lv) and of counts in successive windows (Fano factor) depend \
on it; if it is random, they say nothing that the number of spikes does not. Counts in all trials of a label do not depend on it.
- A train with at most one spike in a bin is Bernoulli rather than Poisson: a unit that fires independently with probability p in each bin has a Fano \
factor of 1 - p, not of 1.

## Layers

| layer | shape | units | silent | saturated | thresholds | compared as |
|---|---|---|---|---|---|---|
{% for layer in layers -%}
| {{ layer.name }} | {{ layer.shape }} | {{ layer.n_units }} | {{ layer.silent }} | {{ layer.saturated }} | {{ layer.thresholds }} | {{ layer.dtype }} |
{% endfor %}
Silent units have no spike, saturated ones have one in every bin; both are in the file and are named in the column `quality`.

## Trials

Columns of the table `trials`: {{ columns }}.{% if labels %} Labels (true classes): {{ labels }}.{% endif %}

## Network, data and how the spikes were made

| what | value |
|---|---|
{% for key, value in provenance -%}
| {{ key }} | {{ value }} |
{% endfor %}
What is not listed is not known.

## How to open it

neo:

```python
import neo

block = neo.io.NWBIO("{{ file }}", "r").read_block()
spiketrains = block.segments[0].spiketrains
trials = {epoch.name: epoch for epoch in block.segments[0].epochs}["trials"]  # its labels are strings
```

Elephant:

```python
import elephant.statistics

rates = [elephant.statistics.mean_firing_rate(train) for train in spiketrains if len(train)]
```

pynapple:

```python
import pynapple

data = pynapple.load_file("{{ file }}")
units, trials = data["units"], data["trials"]  # the columns are their metadata
```

SpikeInterface:

```python
import spikeinterface.extractors

sorting = spikeinterface.extractors.read_nwb_sorting("{{ file }}")  # frames are bins; unit ids are names
```

pynwb:

```python
import pynwb

with pynwb.NWBHDF5IO("{{ file }}", "r") as io:
    nwbfile = io.read()
    units, trials = nwbfile.units.to_dataframe(), nwbfile.trials.to_dataframe()
```

ann2neo:

```python
import ann2neo

table = ann2neo.analyze(ann2neo.load("{{ file }}"))
```

## Where to publish it

- Together with recordings of neurons that it is compared with: the DANDI archive (dandiarchive.org), whose scope is neurophysiology. The folder \
`{{ subject }}` is laid out as DANDI wants it; copy it into your dandiset, and `dandi validate` and `dandi upload`.
- Model data alone are outside of that scope: GIN (gin.g-node.org) keeps versions beside code, Zenodo (zenodo.org) gives a DOI at once and reads \
`CITATION.cff`, EBRAINS (ebrains.eu) curates and takes models too. All three give a DOI by `datacite.json`'s fields.
- Check first whether you may: inputs can be under a licence of their own, and labels or file names may be personal data.

## Licence and citation

Licence: {{ license }}.

The method: Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis, "Understanding Activation Patterns in Artificial Neural Networks by Exploring Stochastic \
Processes", arXiv:2308.00858, Neurocomputing 2024, doi:10.1016/j.neucom.2024.128473.
"""


def data_card(recording: Recording, file: str, known: Metadata) -> str:
    """Write the data card of a recording as Markdown.

    Parameters
    ----------
    recording
        A recording.
    file
        Path of the NWB file relative to the card.
    known
        Metadata from the person who shares it.

    Examples
    --------
    >>> import ann2neo
    >>> data_card(ann2neo.from_array(np.eye(3, dtype=bool)), "rec.nwb", Metadata()).splitlines()[0]
    '# rec.nwb'
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True)
    return environment.from_string(TEMPLATE).render(
        file=file,
        n_units=recording.n_units,
        n_trials=len(recording.trials) // recording.n_passes,
        n_passes=recording.n_passes,
        axis=time_axis(recording),
        order=_order(recording),
        layers=[_layer_row(layer, recording.n_bins) for layer in recording.layers],
        columns=", ".join(_cell(column) for column in recording.trials.columns),
        labels=_labels(recording),
        provenance=[(_cell(key), _cell(value)) for key, value in recording.provenance.items()],
        license=_cell(known.license or "not stated; ask who gave you the file, or state one before you publish it"),
        said=[(word, _cell(text)) for word, text in _said(known).items() if text],
        subject=file.partition("/")[0],
    )


def _said(known: Metadata) -> dict[str, str]:
    """List the metadata from the sharer, with the headings of the card."""
    return {
        "title": known.title,
        "description": known.description,
        "authors": ", ".join(
            author.name + (f" ({author.affiliation})" if author.affiliation else "") for author in known.authors
        ),
        "contact": known.contact,
        "experimenter": ", ".join(known.experimenter),
        "institution": known.institution,
        "lab": known.lab,
        "keywords": ", ".join(known.keywords),
        "DOI": known.doi,
    }


def _layer_row(layer: Layer, n_bins: int) -> dict[str, Any]:
    kinds = quality(layer.raster.n_spikes(), n_bins).tolist()
    low, high = (layer.thresholds.min(), layer.thresholds.max()) if layer.n_units else (np.nan, np.nan)
    return {
        "name": _cell(layer.name),
        "shape": " x ".join(map(str, layer.shape)),
        "n_units": layer.n_units,
        "silent": kinds.count("silent"),
        "saturated": kinds.count("saturated"),
        "thresholds": f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}",
        "dtype": layer.dtype,
    }


def _order(recording: Recording) -> str:
    """Describe the order in which the inputs were presented, with its check sum."""
    known = recording.provenance
    ids = recording.trials["stimulus_id"].to_numpy()[recording.trials["pass"].to_numpy() == 0]
    words = {
        "presented": "presented, which is the order of the data set",
        "loader's shuffled": "shuffled by the loader that presented them",
        "label": "by label, and within a label as presented",
        "shuffled": f"shuffled afterwards with seed {known.get('input_order_seed', 'unknown')}",
    }
    order = order_words(recording.trials, known)
    return f"{words.get(order, _cell(order))} (SHA-256 of the stimulus ids: {known.get('input_order_sha256', order_sha256(ids))})"


def _labels(recording: Recording) -> str:
    trials = recording.trials
    if "label" not in trials.columns:
        return ""
    shown = trials["label_name" if "label_name" in trials.columns else "label"].to_numpy()
    counts = Counter(shown[trials["pass"].to_numpy() == 0].tolist())
    return ", ".join(f"{_cell(name)} ({counts[name]})" for name in sorted(counts))


def _cell(value: Any) -> str:
    """Escape a value so that it stays within its cell of a Markdown table and is not read as a tag or code."""
    text = " ".join(str(value).split())
    return "".join(f"\\{letter}" if letter in "|`*_<[\\" else letter for letter in text)
