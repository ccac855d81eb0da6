"""What the caller says of a file that does not say it itself: unit of time, begin and end of observation, columns of a text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ann2neo.arguments import check_text
from ann2neo.errors import FormatError

CURE = 'Give times with their unit, such as t_stop=600 * pq.s (--t-stop 600s), or numbers together with time_unit="ms" (--time-unit ms).'

EXAMPLES = {"time_unit": "ms", "columns": "trains"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is said of a file.

    Parameters
    ----------
    time_unit
        Unit of the times in a text, and of plain numbers here.
    t_start, t_stop
        When observation began and ended: quantities of time, or numbers in that unit.
    columns
        What the columns of a text are.
    strict
        Whether what cannot be used is refused; where it is said of several files, those that say it themselves pass over it.
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
        """What is said at all."""
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
        """Refuse what contradicts, or cannot change, what a file says itself."""
        useless = [name for name in self.given if name in names]
        if useless and self.strict:
            raise FormatError(
                f"{', '.join(useless)} cannot be given for {path}: {why}.", "Nothing was read.", "Leave it out."
            )

    def borders_s(self, path: Path) -> tuple[float | None, float | None]:
        """Give begin and end in seconds; None for what is not said."""
        start, stop = self._seconds(self.t_start, "t_start"), self._seconds(self.t_stop, "t_stop")
        if start is not None and stop is not None and not start < stop:
            raise FormatError(
                f"observation of {path} would end at {stop:g} s, before it begins at {start:g} s.", "", CURE
            )
        return start, stop

    def seconds_per_unit(self) -> float:
        """Give the length of the unit of time in seconds."""
        import quantities as pq

        unit: Any = self.time_unit
        try:
            return float(pq.Quantity(1.0, unit).rescale("s").magnitude)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise FormatError(
                f"{self.time_unit!r} is no unit of time.", "Times mean nothing without one.", "Use 's', 'ms' or 'us'."
            ) from error

    def _seconds(self, given: Any, name: str) -> float | None:
        if given is None:
            return None
        try:
            number = float(given.rescale("s").magnitude) if hasattr(given, "rescale") else float(given)
            if not math.isfinite(number) or isinstance(given, bool):
                raise ValueError(number)
        except (ValueError, TypeError) as error:
            raise FormatError(f"{name}={given!r} is no time.", "Observed time is unclear.", CURE) from error
        if hasattr(given, "rescale"):
            return number
        if self.time_unit is None:
            raise FormatError(f"{name}={given!r} has no unit.", "Seconds and milliseconds look the same.", CURE)
        return number * self.seconds_per_unit()
