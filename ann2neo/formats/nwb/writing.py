"""Writing a recording to an NWB file."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pynwb
from pynwb.file import Subject

from ann2neo.atomic import complete_or_absent, reserve
from ann2neo.errors import RecordingError
from ann2neo.formats.nwb.images import COLUMN, image_names, stimulus_images
from ann2neo.formats.nwb.late_columns import fill_late_columns
from ann2neo.formats.nwb.outline_tables import outline_tables
from ann2neo.formats.nwb.trial_tables import bins_table, epochs_table, trials_table
from ann2neo.formats.nwb.units_table import units_table
from ann2neo.integrity import content_of, listed, seal_file
from ann2neo.outline import outline_of, time_axis
from ann2neo.recording import Recording

NOT_AN_ORGANISM = "not an organism: an artificial neural network, whose units are entries of its layers' activations"
PAPER = "doi:10.1016/j.neucom.2024.128473"


def save(recording: Recording, path: Path, *, overwrite: bool = False, images: Any = None) -> None:
    """Write a recording as NWB, with spikes chunk by chunk; see `ann2neo.formats.save`.

    Raises
    ------
    RecordingError
        If there are no units: a table in NWB cannot be empty.
    InputsError
        If images cannot be stored.
    """
    outline = outline_of(recording)
    if recording.n_units == 0:
        raise RecordingError(
            "the recording has no units.", "A table in NWB cannot be empty.", "Select at least one unit."
        )
    shown = None if images is None else stimulus_images(images, recording)
    with complete_or_absent(path, overwrite=overwrite) as part, warnings.catch_warnings():
        # pynwb declares tags as lists and warns of plain strings, which the format itself allows.
        warnings.filterwarnings("ignore", category=UserWarning, module="hdmf|pynwb")
        nwbfile = _nwbfile(recording, outline, shown)
        reserve(part, _most_bytes(recording) + _image_bytes(shown))
        _write(nwbfile, part)
        seal_file(part)


def subject_of(recording: Recording) -> str:
    """Return a name of the network made from its weights, so that recordings of one network have the same subject.

    Examples
    --------
    >>> import numpy as np, ann2neo
    >>> subject_of(ann2neo.from_array(np.eye(2, dtype=bool)))
    'network'
    """
    known = str(recording.provenance.get("weights_sha256", ""))
    return f"network-{known[:8]}" if len(known) == 64 else "network"


def _nwbfile(recording: Recording, outline: dict[str, Any], images: Any) -> pynwb.NWBFile:
    nwbfile: Any = pynwb.NWBFile(
        session_description=f"Activations above threshold of an artificial neural network; {time_axis(recording)}.",
        identifier=str(uuid4()),
        session_start_time=_created(recording),
        session_id=f"{_created(recording):%Y%m%dT%H%M%S}",
        experiment_description=(
            "Each unit of the network has a spike in each bin of pseudo-time in which its activation exceeds its threshold. "
            "Inputs take no time: rates per second and intervals in seconds follow from the chosen size of a bin."
        ),
        related_publications=(PAPER,),
        subject=Subject(
            subject_id=subject_of(recording),
            description=NOT_AN_ORGANISM,
            species="http://purl.obolibrary.org/obo/NCBITaxon_32644",
            sex="U",
            age="P0D",
        ),
        units=units_table(recording),
        epochs=epochs_table(recording),
        trials=trials_table(recording, {} if images is None else {COLUMN: image_names(recording)}),
        stimulus_template=[] if images is None else [images],
    )
    if (bins := bins_table(recording)) is not None:
        nwbfile.add_time_intervals(bins)
    module = nwbfile.create_processing_module("ann2neo", "how the spikes came about")
    for table in outline_tables(outline, listed(content_of(recording))):
        module.add(table)
    return nwbfile


def _created(recording: Recording) -> datetime:
    try:
        created = datetime.fromisoformat(str(recording.provenance["created"]))
    except (KeyError, ValueError):
        created = datetime.now(UTC)
    return created if created.tzinfo else created.replace(tzinfo=UTC)


def _most_bytes(recording: Recording) -> int:
    """Estimate an upper bound of the size of the file."""
    n_spikes = sum(int(layer.raster.n_spikes().sum()) for layer in recording.layers)
    names = sum(len(layer.name.encode()) * layer.n_units for layer in recording.layers)
    n_rows = recording.n_units + 2 * len(recording.trials)
    of_bins = 0 if recording.bins is None else 8 * recording.n_bins * (3 + len(recording.bins.columns))
    return of_bins + 8 * n_spikes + 4 * names + 600 * n_rows + 1_000_000


def _image_bytes(images: Any) -> int:
    return 0 if images is None else sum(image.data.nbytes + 4000 for image in images.images.values())


def _write(nwbfile: pynwb.NWBFile, part: Path) -> None:
    io = pynwb.NWBHDF5IO(path=str(part), mode="w")
    try:
        io.write(container=nwbfile)
        fill_late_columns(nwbfile)
    # Closing a file after a failed write crashes the process, so the file stays open until the process ends.
    except OSError:
        raise
    except BaseException:
        io.close()
        raise
    io.close()
