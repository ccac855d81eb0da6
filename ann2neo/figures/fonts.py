"""Fonts: letters of names that the usual font lacks are taken from others, and told where no font has them."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib.font_manager import fontManager

from ann2neo.errors import Ann2NeoWarning

# Fonts of other scripts and of signs that systems come with; those that are there are asked in this order.
OTHERS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Hiragino Sans", "PingFang SC", "PingFang HK", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic",
    "Apple SD Gothic Neo", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "IPAexGothic", "Noto Sans Devanagari", "Noto Sans Thai", "Nirmala UI", "Arial Unicode MS", "Segoe UI Symbol",
    "Apple Symbols", "Noto Emoji", "Segoe UI Emoji", "Symbola",
)  # fmt: skip
MISSING = re.compile(r"Glyph (\d+) ")


@functools.cache
def other_fonts() -> tuple[str, ...]:
    """Name the fonts of other scripts that this computer has."""
    known = set(fontManager.get_font_names())
    return tuple(name for name in OTHERS if name in known)


@contextmanager
def letters_told() -> Iterator[None]:
    """Warn once of all letters that no font has, instead of once for each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    missing = {}
    for one in caught:
        if found := MISSING.match(str(one.message)):
            missing[chr(int(found.group(1)))] = None
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if missing:
        s = "s" * (len(missing) != 1)
        text = f"no font of this computer has the letter{s} {', '.join(missing)}.\nA box is drawn in place of each.\nInstall a font that has them, such as Noto Sans CJK or Noto Emoji."
        warnings.warn(Ann2NeoWarning(text), stacklevel=4)
