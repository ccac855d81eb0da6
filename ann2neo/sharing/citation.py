"""How to cite a bundle: as GitHub and Zenodo read it (CITATION.cff), and as DataCite does, which gives data sets their DOI."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from ann2neo.outline import time_axis
from ann2neo.recording import Recording

PAPER = "10.1016/j.neucom.2024.128473"
# DataCite's words for what is not known, and for what is still to come.
UNKNOWN = ":unkn"
TO_BE_ASSIGNED = ":tba"
SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def citation(recording: Recording, name: str) -> str:
    """Write CITATION.cff for the data, with what the provenance says of ``title``, ``authors`` and ``license``.

    Examples
    --------
    >>> import numpy as np, ann2neo
    >>> print(citation(ann2neo.from_array(np.eye(2, dtype=bool)), "rec").splitlines()[3])
    title: "Spike trains of an artificial neural network: rec"
    """
    known = recording.provenance
    license_line = [f"license: {known['license']}"] if SPDX.fullmatch(str(known.get("license", ""))) else []
    lines = [
        "cff-version: 1.2.0",
        'message: "If you use these data, please cite them and the paper whose method made them."',
        "type: dataset",
        f"title: {json.dumps(title(recording, name))}",
        "authors:",
        *(f"  - name: {json.dumps(author)}" for author in authors(recording) or ["unknown"]),
        f"date-released: {_created(recording).date().isoformat()}",
        *license_line,
        "keywords: [artificial neural network, spike trains, neurophysiology, NWB, neo]",
        "references:",
        "  - type: article",
        '    title: "Understanding activation patterns in artificial neural networks by exploring stochastic processes"',
        "    authors:",
        *(f"      - family-names: {family}" for family in ("Lehmler", "Saif-ur-Rehman", "Glasmachers", "Iossifidis")),
        "    journal: Neurocomputing",
        "    year: 2024",
        f"    doi: {PAPER}",
    ]
    return "\n".join([*lines, ""])


def datacite(recording: Recording, name: str) -> str:
    """Write the metadata that DataCite asks for, as JSON of its schema 4.5; the publisher, whom only the archive knows, is marked as still to come, and the DOI is left to it.

    References
    ----------
    DataCite Metadata Working Group (2024). DataCite Metadata Schema 4.5. doi:10.14454/g8e5-6293

    Examples
    --------
    >>> import numpy as np, ann2neo
    >>> json.loads(datacite(ann2neo.from_array(np.eye(2, dtype=bool)), "rec"))["types"]["resourceTypeGeneral"]
    'Dataset'
    """
    license_name = str(recording.provenance.get("license", ""))
    return json.dumps(
        {
            "schemaVersion": "http://datacite.org/schema/kernel-4",
            "creators": [{"name": author} for author in authors(recording) or [UNKNOWN]],
            "titles": [{"title": title(recording, name)}],
            "publisher": {"name": TO_BE_ASSIGNED},
            "publicationYear": str(_created(recording).year),
            "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Simulated spike trains (NWB)"},
            "subjects": [{"subject": subject} for subject in ("artificial neural network", "spike trains")],
            "dates": [{"date": _created(recording).isoformat(), "dateType": "Created"}],
            "rightsList": [{"rights": license_name}] if license_name else [],
            "formats": ["NWB 2 (HDF5)"],
            "descriptions": [{"description": _description(recording), "descriptionType": "Abstract"}],
            "relatedIdentifiers": [
                {
                    "relatedIdentifier": PAPER,
                    "relatedIdentifierType": "DOI",
                    "relationType": "References",
                    "resourceTypeGeneral": "JournalArticle",
                }
            ],
        },
        indent=1,
        ensure_ascii=False,
    )


def title(recording: Recording, name: str) -> str:
    """Give the title that the provenance knows, or one made of the name."""
    return str(recording.provenance.get("title", f"Spike trains of an artificial neural network: {name}"))


def authors(recording: Recording) -> list[str]:
    """List who the provenance names, if anybody."""
    known: Any = recording.provenance.get("authors", [])
    return [str(author) for author in known] if isinstance(known, list) else [str(known)]


def _description(recording: Recording) -> str:
    return (
        f"Activations above threshold of {recording.n_units} units in {len(recording.layers)} layers of an artificial neural network, as spike trains in "
        f"Neurodata Without Borders format; {time_axis(recording)}. Not a recording of an organism."
    )


def _created(recording: Recording) -> datetime:
    try:
        return datetime.fromisoformat(str(recording.provenance["created"]))
    except (KeyError, ValueError):
        return datetime.now(UTC)
