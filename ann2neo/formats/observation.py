"""Facts that the caller gives where a file leaves them out: unit of time, begin and end of observation, columns of a text file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ann2neo.arguments import check_text
from ann2neo.errors import FormatError

CURE = 'Pass times with their unit, such as t_stop=600 * pq.s (--t-stop 600s), or numbers together with time_unit="ms" (--time-unit ms).'

EXAMPLES = {"time_unit": "ms", "columns": "trains"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Facts about a file that the caller gives.

    Parameters
    ----------
    time_unit
        Unit of the times in a text file, and of plain numbers here.
    t_start, t_stop
        Begin and end of observation: quantities of time, or numbers in that unit.
    columns
        Meaning of the columns of a text file.
    strict
        Whether to refuse facts that cannot be used. Where they are given for several files, files that state them ignore what is given.
    """

    time_unit: str | None = None
    t_start: Any = None
    t_stop: Any = None
    columns: str | None = None
    strict: bool = True

    def __post_init__(self) -> None:
        for name in ("time_unit", "columns"):
            if getattr(self, name) is not None:
                check_text(getattr(self, name), name, such_as=EXAMPLES[name], error=FormatError)

    @property
    def given(self) -> dict[str, Any]:
        """Return the facts that are given."""
        all_of_it = {
            "time_unit": self.time_unit,
            "t_start": self.t_start,
            "t_stop": self.t_stop,
            "columns": self.columns,
        }
        return {name: value for name, value in all_of_it.items() if value is not None}

    def refuse(
        self, path: Path, why: str, *, names: tuple[str, ...] = ("time_unit", "t_start", "t_stop", "columns")
    ) -> None:
        """Refuse facts that contradict, or cannot change, what a file states itself."""
        useless = [name for name in self.given if name in names]
        if useless and self.strict:
            raise FormatError(
                f"{', '.join(useless)} cannot be given for {path}: {why}.", "Nothing was read.", "Leave it out."
            )

    def borders_s(self, path: Path) -> tuple[float | None, float | None]:
        """Return begin and end in seconds; None where not given."""
        start, stop = self._seconds(self.t_start, "t_start"), self._seconds(self.t_stop, "t_stop")
        if start is not None and stop is not None and not start < stop:
            raise FormatError(
                f"observation of {path} would end at {stop:g} s, before it begins at {start:g} s.", "", CURE
            )
        return start, stop

    def seconds_per_unit(self) -> float:
        """Return the length of the unit of time in seconds."""
        import quantities as pq

        unit: Any = self.time_unit
        try:
            return float(pq.Quantity(1.0, unit).rescale("s").magnitude)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise FormatError(
                f"{self.time_unit!r} is not a unit of time.",
                "Times mean nothing without one.",
                "Use 's', 'ms' or 'us'.",
            ) from error

    def _seconds(self, given: Any, name: str) -> float | None:
        if given is None:
            return None
        try:
            number = float(given.rescale("s").magnitude) if hasattr(given, "rescale") else float(given)
            if not math.isfinite(number) or isinstance(given, bool):
                raise ValueError(number)
        except (ValueError, TypeError) as error:
            raise FormatError(f"{name}={given!r} is not a time.", "Observed time is unclear.", CURE) from error
        if hasattr(given, "rescale"):
            return number
        if self.time_unit is None:
            raise FormatError(f"{name}={given!r} has no unit.", "Seconds and milliseconds look the same.", CURE)
        return number * self.seconds_per_unit()
