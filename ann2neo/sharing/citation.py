"""Citation of a bundle: CITATION.cff for GitHub and Zenodo, and metadata for DataCite, which registers the DOIs of data sets."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import yaml

from ann2neo.outline import time_axis
from ann2neo.recording import Recording
from ann2neo.sharing.metadata import Author, Metadata

PAPER = "10.1016/j.neucom.2024.128473"
# DataCite's words for unknown values, and for values to be assigned.
UNKNOWN = ":unkn"
TO_BE_ASSIGNED = ":tba"
KEYWORDS = ("artificial neural network", "spike trains", "neurophysiology", "NWB", "neo")
# Fields that the schemas of both files require.
REQUIRED = {
    "CITATION.cff": ("cff-version", "message", "title", "authors"),
    "datacite.json": ("schemaVersion", "creators", "titles", "publisher", "publicationYear", "types"),
}


def citation(recording: Recording, name: str, known: Metadata) -> str:
    """Return the text of CITATION.cff for the data, with the metadata from the sharer.

    References
    ----------
    Druskat et al. (2021). Citation File Format 1.2.0. doi:10.5281/zenodo.5171937

    Examples
    --------
    >>> import numpy as np, ann2neo
    >>> print(citation(ann2neo.from_array(np.eye(2, dtype=bool)), "rec", Metadata()).splitlines()[3])
    title: 'Spike trains of an artificial neural network: rec'
    """
    found: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use these data, please cite them and the paper whose method made them.",
        "type": "dataset",
        "title": title(known, name),
        "authors": [_cff_author(author) for author in known.authors] or [{"name": "unknown"}],
        "date-released": _created(recording).date(),
        "abstract": known.description or _description(recording),
        "license": known.license,
        "doi": known.doi,
        "contact": [{"name": known.contact}] if known.contact else [],
        "keywords": [*KEYWORDS, *known.keywords],
        "references": [
            {
                "type": "article",
                "title": "Understanding activation patterns in artificial neural networks by exploring stochastic processes",
                "authors": [
                    {"family-names": family} for family in ("Lehmler", "Saif-ur-Rehman", "Glasmachers", "Iossifidis")
                ],
                "journal": "Neurocomputing",
                "year": 2024,
                "doi": PAPER,
            }
        ],
    }
    stated = {key: value for key, value in found.items() if value}
    return yaml.safe_dump(stated, sort_keys=False, allow_unicode=True, width=1000)


def datacite(recording: Recording, name: str, known: Metadata) -> str:
    """Return the metadata that DataCite requires, as JSON of its schema 4.5; the publisher, which only the archive knows, is marked as to be assigned, and so is the DOI unless it is given.

    References
    ----------
    DataCite Metadata Working Group (2024). DataCite Metadata Schema 4.5. doi:10.14454/g8e5-6293

    Examples
    --------
    >>> import numpy as np, ann2neo
    >>> json.loads(datacite(ann2neo.from_array(np.eye(2, dtype=bool)), "rec", Metadata()))["types"]["resourceTypeGeneral"]
    'Dataset'
    """
    found: dict[str, Any] = {
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "creators": [_creator(author) for author in known.authors] or [{"name": UNKNOWN}],
        "titles": [{"title": title(known, name)}],
        "publisher": {"name": TO_BE_ASSIGNED},
        "publicationYear": str(_created(recording).year),
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Simulated spike trains (NWB)"},
        "subjects": [{"subject": subject} for subject in (*KEYWORDS[:2], *known.keywords)],
        "dates": [{"date": _created(recording).isoformat(), "dateType": "Created"}],
        "rightsList": [_rights(known.license)] if known.license else [],
        "formats": ["NWB 2 (HDF5)"],
        "descriptions": [{"description": known.description or _description(recording), "descriptionType": "Abstract"}],
        "relatedIdentifiers": [
            {
                "relatedIdentifier": PAPER,
                "relatedIdentifierType": "DOI",
                "relationType": "References",
                "resourceTypeGeneral": "JournalArticle",
            }
        ],
    }
    contributors = [
        (known.contact, "ContactPerson"),
        (known.institution, "HostingInstitution"),
        (known.lab, "ResearchGroup"),
    ]
    found["contributors"] = [{"name": who, "contributorType": role} for who, role in contributors if who]
    if known.doi:
        found["doi"] = known.doi
    return json.dumps(found, indent=1, ensure_ascii=False)


def title(known: Metadata, name: str) -> str:
    """Return the given title, or one made from the name."""
    return known.title or f"Spike trains of an artificial neural network: {name}"


def _cff_author(author: Author) -> dict[str, str]:
    """Return an author as a person if the parts of the name are known, else as an entity."""
    parts = {"given-names": author.given, "family-names": author.family} if author.family else {"name": author.name}
    orcid = f"https://orcid.org/{author.orcid}" if author.orcid else ""
    # An entity has no affiliation in the format.
    affiliation = author.affiliation if author.family else ""
    found = parts | {"orcid": orcid, "affiliation": affiliation, "email": author.email}
    return {key: value for key, value in found.items() if value}


def _creator(author: Author) -> dict[str, Any]:
    found: dict[str, Any] = {"name": author.name}
    if author.family:
        name = ", ".join(filter(None, [author.family, author.given]))
        found = {"name": name, "nameType": "Personal", "familyName": author.family}
        found |= {"givenName": author.given} if author.given else {}
    if author.affiliation:
        found["affiliation"] = [{"name": author.affiliation}]
    if author.orcid:
        of_scheme = {"nameIdentifierScheme": "ORCID", "schemeUri": "https://orcid.org"}
        found["nameIdentifiers"] = [{"nameIdentifier": f"https://orcid.org/{author.orcid}"} | of_scheme]
    return found


def _rights(license_id: str) -> dict[str, str]:
    return {
        "rights": license_id,
        "rightsIdentifier": license_id,
        "rightsIdentifierScheme": "SPDX",
        "schemeUri": "https://spdx.org/licenses/",
        "rightsUri": f"https://spdx.org/licenses/{license_id}.html",
    }


def _description(recording: Recording) -> str:
    return (
        f"Activations above threshold of {recording.n_units:,} units in {len(recording.layers)} layer{'s' * (len(recording.layers) != 1)} of an artificial neural network, as spike trains in "
        f"Neurodata Without Borders format; {time_axis(recording)}. Not a recording of an organism."
    )


def _created(recording: Recording) -> datetime:
    try:
        return datetime.fromisoformat(str(recording.provenance["created"]))
    except (KeyError, ValueError):
        return datetime.now(UTC)
