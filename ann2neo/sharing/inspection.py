"""Findings of nwbinspector about a file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import nwbinspector

CRITICAL = ("CRITICAL", "PYNWB_VALIDATION")
# The inspector's word for a check that failed to run, as several do where no unit has a spike: it says nothing about the file.
NOT_RUN = "ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One message of the inspector.

    Parameters
    ----------
    importance
        The inspector's name of its severity, for instance "BEST_PRACTICE_SUGGESTION".
    check
        Name of the check.
    place
        Type and name of the object, and its location.
    message
        Description of the finding.
    """

    importance: str
    check: str
    place: str
    message: str

    @property
    def critical(self) -> bool:
        """Return whether an archive would refuse the file."""
        return self.importance in CRITICAL


def inspect(path: Path) -> list[Finding]:
    """Check an NWB file by all rules of nwbinspector, with the severities of the DANDI archive."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        messages = list(nwbinspector.inspect_nwbfile(nwbfile_path=path, config=nwbinspector.load_config("dandi")))
    return [
        Finding(
            importance=message.importance.name,
            check=str(message.check_function_name),
            place=f"{message.object_type} '{message.object_name}' at {message.location or '/'}",
            message=_last_line(message.message) if message.importance.name == NOT_RUN else message.message,
        )
        for message in messages
        if message is not None
    ]


def report(findings: list[Finding], name: str) -> str:
    """Return the findings as text, the most severe first.

    Examples
    --------
    >>> print(report([], "rec.nwb").splitlines()[0])
    rec.nwb: 0 critical, 0 violations of best practice, 0 suggestions
    """
    counts = [sum(finding.critical for finding in findings)]
    counts += [sum(f.importance == kind for f in findings) for kind in (*_LESSER, NOT_RUN)]
    not_run = f", {counts[3]} checks that could not be made" if counts[3] else ""
    ordered = sorted(
        findings, key=lambda finding: (not finding.critical, finding.importance != _LESSER[0], finding.check)
    )
    return "\n".join(
        [
            f"{name}: {counts[0]} critical, {counts[1]} violations of best practice, {counts[2]} suggestions{not_run}",
            f"nwbinspector {nwbinspector.__version__}, configuration for the DANDI archive",
            *(f"\n{f.importance}  {f.check}\n  {f.place}\n  {f.message}" for f in ordered),
            "",
        ]
    )


def _last_line(text: str) -> str:
    """Return the last line of a traceback."""
    return text.strip().splitlines()[-1]


_LESSER = ("BEST_PRACTICE_VIOLATION", "BEST_PRACTICE_SUGGESTION")
