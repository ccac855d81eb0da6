"""Patterns of layers: which names fit them, and which patterns describe some names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ann2neo.recording import matches


def base_name(pattern: str, modules: Iterable[str]) -> str:
    """Leave the number of the call out of a pattern.

    Examples
    --------
    >>> base_name("act:1", ["act"]), base_name("act", ["act"])
    ('act', 'act')
    """
    return pattern if pattern in modules else pattern.rpartition(":")[0] or pattern


def wanted(layer: str, layers: str | Sequence[str] | None) -> bool:
    """Whether a call of a selected module was asked for; a name without a call number stands for all calls."""
    if layers is None:
        return True
    patterns = [layers] if isinstance(layers, str) else layers
    return any(matches(layer, pattern) for pattern in patterns)


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
        if all(wanted(name, list(patterns)) for name in names) and not any(wanted(o, list(patterns)) for o in others):
            return next(iter(patterns)) if len(patterns) == 1 else sorted(patterns)
    return list(names)
