"""Metadata of a recording from the person who shares it: authors, licence, title, experimenter; from a mapping or a YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

import yaml
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from ann2neo.errors import ShareError, kind_of, suggestion
from ann2neo.recording import Provenance

ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")
DOI = re.compile(r"(?:https?://doi\.org/|doi:)?(10\.\d{4,9}/\S+)")
AUTHOR = ("name", "given", "family", "orcid", "affiliation", "email")
LISTS = ("authors", "experimenter", "keywords")


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """A person, or a group.

    Parameters
    ----------
    name
        Full name; for a person whose ``family`` name is known, it is made from both parts.
    given, family
        Parts of the name of a person.
    orcid
        ORCID in the form ``0000-0002-1825-0097``.
    affiliation, email
        Institution and address.
    """

    name: str
    given: str = ""
    family: str = ""
    orcid: str = ""
    affiliation: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Metadata of a bundle in addition to those of the recording; empty where not given.

    Parameters
    ----------
    title, description
        Title and description of the data set.
    authors
        Authors in their order.
    license
        Identifier from the SPDX list, such as "CC-BY-4.0".
    contact
        Name and address of the person to contact.
    experimenter, institution, lab
        Fields of NWB with these names.
    keywords
        Keywords in addition to those that every bundle has.
    subject, session
        Names by which archives list the network and the run.
    doi
        DOI of the data set, where an archive has reserved one.
    """

    title: str = ""
    description: str = ""
    authors: tuple[Author, ...] = ()
    license: str = ""
    contact: str = ""
    experimenter: tuple[str, ...] = ()
    institution: str = ""
    lab: str = ""
    keywords: tuple[str, ...] = ()
    subject: str = ""
    session: str = ""
    doi: str = ""


KNOWN = tuple(field.name for field in fields(Metadata))


def read_metadata(given: Mapping[str, Any] | str | PathLike[str] | None) -> Metadata:
    """Read metadata from a mapping, or from a YAML file that holds one.

    Raises
    ------
    ShareError
        If a key is unknown, a value has the wrong type, the licence is not in the SPDX list, or an ORCID or DOI is invalid.

    Examples
    --------
    >>> known = read_metadata({"authors": ["Ada Byron"], "license": "cc-by-4.0", "doi": "https://doi.org/10.5281/zenodo.1"})
    >>> known.authors[0].name, known.license, known.doi
    ('Ada Byron', 'CC-BY-4.0', '10.5281/zenodo.1')
    """
    if given is None:
        return Metadata()
    found = given if isinstance(given, Mapping) else _read_yaml(Path(given))
    for key in found:
        if key not in KNOWN:
            raise ShareError(
                f"metadata has no {key!r}.{suggestion(str(key), KNOWN)}",
                "This entry would be lost.",
                f"Use {', '.join(KNOWN)}.",
            )
    values: dict[str, Any] = {key: _value(str(key), value) for key, value in found.items() if value is not None}
    return Metadata(**values)


def with_provenance(metadata: Metadata, provenance: Provenance) -> Metadata:
    """Fill in title, authors and licence from the provenance of the recording where the sharer does not give them.

    A licence in the provenance that is not in the SPDX list is left out, because archives would not recognize it.
    """
    named: Any = provenance.get("authors", [])
    names = [str(one) for one in named] if isinstance(named, list) else [str(named)]
    try:
        known = _license(str(provenance.get("license", "")))
    except ShareError:
        known = ""
    return Metadata(
        **{key: getattr(metadata, key) for key in KNOWN if key not in ("title", "authors", "license")},
        title=metadata.title or str(provenance.get("title", "")),
        authors=metadata.authors or tuple(Author(name=name) for name in names),
        license=metadata.license or known,
    )


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ShareError(
            f"{path} cannot be read ({error.strerror}).",
            "The bundle would have no metadata.",
            "Check the name and the folder.",
        ) from error
    except (ValueError, yaml.YAMLError) as error:
        raise ShareError(
            f"{path} cannot be read as YAML ({type(error).__name__}: {' '.join(str(error).split())[:120]}).",
            "The bundle would have no metadata.",
            "Write lines such as `license: CC-BY-4.0`, in UTF-8.",
        ) from error
    if not isinstance(found, Mapping):
        raise ShareError(
            f"{path} holds {kind_of(found)}, not keys with values.",
            "The bundle would have no metadata.",
            "Write lines such as `license: CC-BY-4.0`.",
        )
    return found


def _value(key: str, value: Any) -> Any:
    if key == "authors":
        return tuple(_author(one) for one in _listed(key, value))
    if key in LISTS:
        return tuple(_text(key, one) for one in _listed(key, value))
    text = _text(key, value)
    if key == "license":
        return _license(text)
    return _matched(DOI, text, "doi", "10.5281/zenodo.1234567") if key == "doi" else text


def _listed(key: str, value: Any) -> Sequence[Any]:
    if isinstance(value, str | Mapping):
        return [value]
    if not isinstance(value, Sequence) or not value:
        raise ShareError(f"{key} is {value!r}.", "It must be a list.", f"Write {key} as a list of names.")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ShareError(
            f"{key} is {value!r}, which is not text.", "It cannot be stored.", f'Write {key}: "..." in quotes.'
        )
    return " ".join(value.split())


def _author(given: Any) -> Author:
    if isinstance(given, str):
        return Author(name=_text("authors", given))
    if not isinstance(given, Mapping) or not set(given) <= set(AUTHOR):
        raise ShareError(
            f"an author is {given!r}.",
            "This does not identify a person.",
            f"Write a name, or a mapping with {', '.join(AUTHOR)}.",
        )
    known = {str(key): _text(f"{key} of an author", value) for key, value in given.items()}
    if "orcid" in known:
        known["orcid"] = _matched(ORCID, known["orcid"], "orcid", "0000-0002-1825-0097")
    name = known.pop("name", " ".join(filter(None, [known.get("given"), known.get("family")])))
    if not name:
        raise ShareError("an author has no name.", "A citation needs a name.", "Write name, or given and family.")
    return Author(name=name, **known)


def _license(text: str) -> str:
    try:
        found = canonicalize_license_expression(text)
    except InvalidLicenseExpression as error:
        raise ShareError(
            f"license is {text!r}, which is not in the SPDX list.",
            "Archives would not recognize it.",
            "Use an identifier such as CC-BY-4.0, CC0-1.0 or BSD-3-Clause (spdx.org/licenses).",
        ) from error
    if " " in found or found.startswith("LicenseRef-"):
        raise ShareError(
            f"license is {text!r}, which is an expression.",
            "A citation names one licence.",
            "Use one identifier, such as CC-BY-4.0.",
        )
    return str(found)


def _matched(pattern: re.Pattern[str], text: str, key: str, example: str) -> str:
    found = pattern.fullmatch(text)
    if found is None:
        raise ShareError(f"{key} is {text!r}.", "This is not a valid identifier.", f"Write it as {example}.")
    return found[1]
