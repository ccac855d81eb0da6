"""What is written on a command line for windows, thresholds and units, as the library takes it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import click

T = TypeVar("T")

EVERY_LAYER = "*"


AROUND = re.compile(r"around\((?P<event>[^,]+),(?P<start>[^,]+),(?P<stop>[^,]+)\)")


def read_windows(text: str | None) -> Any:
    """Read what stands for windows: a name, a number of bins, a duration with its unit, or windows around an event.

    Examples
    --------
    >>> read_windows("label"), read_windows("20"), read_windows("500ms")
    ('label', 20, array(500.) * ms)
    >>> print(read_windows("around(stimulus_onset, -200ms, 0.5s)"))
    -200 to 500 ms around stimulus_onset
    """
    if text is not None and (found := AROUND.fullmatch(text.strip())):
        from ann2neo.around import Around

        start, stop = (read_time(found[name].strip(), "--windows") for name in ("start", "stop"))
        return Around(found["event"].strip(), start, stop)
    if text is None or text.isidentifier():
        return text
    if text.isdigit():
        return int(text)
    try:
        return _quantity(text)
    except (ValueError, LookupError) as error:
        raise click.BadParameter(
            f"{text!r} is not a name, number of bins or duration such as 500ms.", param_hint="--windows"
        ) from error


def read_time(text: str | None, option: str) -> Any:
    """Read a time with its unit, or a plain number.

    Examples
    --------
    >>> read_time("-0.2s", "--t-start"), read_time("12", "--t-stop"), read_time(None, "--t-stop")
    (array(-0.2) * s, 12.0, None)
    """
    if text is None:
        return None
    try:
        return float(text) if text.lstrip("+-").replace(".", "", 1).isdigit() else _quantity(text)
    except (ValueError, LookupError) as error:
        raise click.BadParameter(f"{text!r} is not a time such as 600s or 200ms.", param_hint=option) from error


def _quantity(text: str) -> Any:
    import quantities as pq

    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    if not math.isfinite(float(number)):
        raise ValueError(text)
    return float(number) * pq.Quantity(1.0, text[len(number) :].strip())


def read_thresholds(texts: Sequence[str], on: Any) -> Any:
    """Read thresholds, for all layers or by pattern: a number, ``quantile:0.9`` or ``meansd:2``, the latter two also ``...:layer``.

    The first pattern that fits a layer counts, in the order in which they are written; what is written without a pattern is for layers that none fits.

    Parameters
    ----------
    texts
        Each a rule, or ``PATTERN=RULE``.
    on
        Inputs that calibrate the rules.

    Examples
    --------
    >>> read_thresholds(["0.5"], [])
    0.5
    >>> read_thresholds(["quantile:0.9", "fc*=0.1", "conv*=meansd:2:layer"], [])
    {'fc*': 0.1, 'conv*': MeanPlusSd(k=2.0, per='layer'), '*': Quantile(q=0.9, per='unit')}
    """
    return _by_pattern(texts, lambda text: _rule(text, on), "--threshold")


def read_units(texts: Sequence[str]) -> Any:
    """Read which units are recorded, of all layers or by pattern: ``0:100``, ``::10``, ``3,5,7``, ``sample:0.01`` or ``sample:500``, also with a seed after it.

    Examples
    --------
    >>> read_units(["conv*=sample:0.01:7", "fc1=::2", "fc2=0,4"])
    {'conv*': Sample(fraction=0.01, n=None, seed=7), 'fc1': slice(None, None, 2), 'fc2': [0, 4]}
    """
    return _by_pattern(texts, _units, "--units")


def read_layers(texts: Sequence[str]) -> list[str] | None:
    """Read names and patterns of layers; an empty one would stand for nothing.

    Examples
    --------
    >>> read_layers(["features.*"]), read_layers([])
    (['features.*'], None)
    """
    if any(not text.lstrip("!") for text in texts):
        raise click.BadParameter("an empty pattern fits no layer: leave --layers out for all.", param_hint="--layers")
    return list(texts) or None


def _by_pattern(texts: Sequence[str], read: Callable[[str], T], hint: str) -> T | dict[str, T] | None:
    """Make one value, or a mapping from patterns to values in the order in which they are written; one without a pattern comes last."""
    if not texts:
        return None
    parts = [text.rpartition("=") for text in texts]
    if any(sign and not pattern for pattern, sign, _ in parts):
        raise click.BadParameter("there is no pattern before '=': leave '=' out for all layers.", param_hint=hint)
    found: dict[str, T] = {}
    for pattern, _, value in sorted(parts, key=lambda part: not part[0]):
        pattern = pattern or EVERY_LAYER
        if pattern in found:
            raise click.BadParameter(f"{pattern!r} was given twice.", param_hint=hint)
        found[pattern] = read(value)
    return found[EVERY_LAYER] if list(found) == [EVERY_LAYER] else found


def _rule(text: str, on: Any) -> Any:
    name, *arguments = text.split(":")
    try:
        if not arguments:
            return float(name)
        from ann2neo.thresholds import MeanPlusSd, Quantile

        rule = {"quantile": Quantile, "meansd": MeanPlusSd}[name]
        number, per = float(arguments[0]), (*arguments[1:], "unit")[0]
        if per not in ("unit", "layer") or len(arguments) > 2:
            raise ValueError(per)
    except (ValueError, LookupError) as error:
        raise click.BadParameter(
            f"{text!r} is not a threshold: write a number, quantile:0.9 or meansd:2 (also quantile:0.9:layer), with PATTERN= before it for some layers.",
            param_hint="--threshold",
        ) from error
    return rule(number, on=on, per=per)


def _units(text: str) -> Any:
    try:
        if text.startswith("sample:"):
            return _sample(*text.split(":")[1:])
        if ":" in text:
            chosen = slice(*(int(part) if part else None for part in text.split(":")))
            if chosen.step == 0:
                raise ValueError(text)
            return chosen
        return [int(part) for part in text.split(",")]
    except (ValueError, TypeError) as error:
        raise click.BadParameter(
            f"{text!r} names no units: write 0:100, ::10, 3,5,7, sample:0.01 (a share) or sample:500 (a number), with PATTERN= before it for some layers.",
            param_hint="--units",
        ) from error


def _sample(size: str, seed: str = "0") -> Any:
    from ann2neo.capture import Sample

    return Sample(n=int(size), seed=int(seed)) if size.isdigit() else Sample(fraction=float(size), seed=int(seed))


def read_notes(given: Sequence[str]) -> dict[str, str | int | float]:
    """Read notes: numbers where they are written as such, else texts.

    Examples
    --------
    >>> read_notes(["epoch=3", "rate=1e-3", "rule=a=b"])
    {'epoch': 3, 'rate': 0.001, 'rule': 'a=b'}
    """
    found: dict[str, str | int | float] = {}
    for one in given:
        key, sign, value = one.partition("=")
        if not sign or not key or key in found:
            why = "is not KEY=VALUE" if not sign or not key else "is a second value of this key"
            raise click.BadParameter(f"{one!r} {why}: use --note epoch=3.", param_hint="--note")
        found[key] = _number_or_text(value)
    return found


def _number_or_text(text: str) -> str | int | float:
    for kind in (int, float):
        with suppress(ValueError):
            number = kind(text)
            return number if math.isfinite(number) else text
    return text
