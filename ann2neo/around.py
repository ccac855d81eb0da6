"""Windows about events: from so long before until so long after each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ann2neo.errors import WindowError

CURE = 'Give Around("stimulus_onset", -200 * pq.ms, 500 * pq.ms): an event, and two times relative to it, the earlier one first.'


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """A window about every event: from ``event + start`` to ``event + stop``, the latter excluded.

    Windows may overlap. An event at an unknown time (NaN) has none, and a window that is not wholly inside a unit's observed time is left out for that unit.

    Parameters
    ----------
    event
        A column of times in the Epoch called trials (the trials table of NWB); ``"start_time"`` or ``"stop_time"``, when each trial begins or ends; the name
        of an Epoch, whose intervals begin with the event; or the name of a neo Event. Plain numbers in a column are in the Epoch's unit of time.
    start, stop
        When the window begins and ends, relative to the event: quantities of time, negative before it.

    Raises
    ------
    WindowError
        If ``start`` and ``stop`` are not times, or ``stop`` is not later.

    See Also
    --------
    ann2neo.analyze, ann2neo.population.psth, ann2neo.population.fano

    Examples
    --------
    >>> import quantities as pq
    >>> from ann2neo import Around
    >>> print(Around("stimulus_onset", -0.2 * pq.s, 500 * pq.ms))
    -200 to 500 ms around stimulus_onset
    """

    event: str
    start: Any
    stop: Any

    def __post_init__(self) -> None:
        if not isinstance(self.event, str) or not self.event:
            raise WindowError(f"event={self.event!r} is not a name.", "Windows have no place.", CURE)
        start, stop = self.offsets_ms
        if not start < stop:
            raise WindowError(
                f"a window from {start:g} to {stop:g} ms has no duration.", "Nothing can be counted.", CURE
            )

    @property
    def offsets_ms(self) -> tuple[float, float]:
        """When the window begins and ends relative to the event, in milliseconds."""
        return _offset_ms(self.start), _offset_ms(self.stop)

    def __str__(self) -> str:
        start, stop = self.offsets_ms
        return f"{start:g} to {stop:g} ms around {self.event}"


def _offset_ms(given: Any) -> float:
    try:
        ms = float(given.rescale("ms"))
    except (AttributeError, ValueError, TypeError) as error:
        raise WindowError(f"{given!r} is not a time relative to an event.", "Its unit is unknown.", CURE) from error
    if ms != ms or ms in (float("inf"), float("-inf")):
        raise WindowError(f"a window that begins or ends at {ms} ms has no borders.", "Nothing can be counted.", CURE)
    return ms
