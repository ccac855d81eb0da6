"""Patterns of layers: which names fit them, and which patterns describe some names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ann2neo.recording import matches


def split_patterns(layers: str | Sequence[str] | None) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Tell what was asked for from what is left out, which begins with ``!``; None if nothing was asked for in particular.

    Examples
    --------
    >>> split_patterns(["features.*", "!*.gate"]), split_patterns("!*.gate"), split_patterns(None)
    ((('features.*',), ('*.gate',)), (None, ('*.gate',)), (None, ()))
    """
    given = () if layers is None else (layers,) if isinstance(layers, str) else tuple(layers)
    excluded = tuple(pattern[1:] for pattern in given if pattern.startswith("!"))
    wanted = tuple(pattern for pattern in given if not pattern.startswith("!"))
    return wanted or None, excluded


def base_name(pattern: str, modules: Iterable[str]) -> str:
    """Leave the number of the call out of a pattern.

    Examples
    --------
    >>> base_name("act:1", ["act"]), base_name("act", ["act"]), base_name("act::1", ["act", "act:1"])
    ('act', 'act', 'act')
    """
    return pattern if pattern in modules else pattern.rpartition(":")[0].removesuffix(":") or pattern


def pattern_of(names: Sequence[str], others: Sequence[str]) -> str | list[str]:
    """Find a pattern, or as few as there are, that all of some layers fit and none of others; the names themselves if there is none.

    Examples
    --------
    >>> pattern_of(["bert.encoder.0", "bert.encoder.1"], ["bert.pooler"]), pattern_of(["a.0", "b.0"], ["c.0"]), pattern_of(["a", "b:1"], ["b"])
    ('bert.encoder.*', ['a.*', 'b.*'], ['a', 'b:1'])
    """
    parts = names[0].split(".")
    depths = [{".".join(name.split(".")[:depth]) + ".*" for name in names} for depth in range(1, len(parts))]
    for patterns in sorted(depths, key=len):
        if all(_fits(name, patterns) for name in names) and not any(_fits(other, patterns) for other in others):
            return next(iter(patterns)) if len(patterns) == 1 else sorted(patterns)
    return list(names)


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(matches(name, pattern) for pattern in patterns)
