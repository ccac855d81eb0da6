"""The state of NumPy's global generator, read as it lies in memory: NumPy itself reads and writes it number by number, which takes as long as to run a small network."""

from __future__ import annotations

import ctypes
import pickle
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

# A Mersenne twister: 624 words, and the place in them.
N_BYTES = 4 * 625
# Whether half of a pair of normal numbers is kept for the next draw, and which: an integer, a gap, a number of double precision.
KEPT = struct.Struct("=i4xd")


@dataclass(frozen=True, slots=True)
class NumpyState:
    """State of NumPy's global generator at one moment.

    Parameters
    ----------
    state
        As NumPy gives it.
    content
        The bytes in memory that are it; None where it is not known where they lie, as of generators of other kinds.

    Examples
    --------
    >>> before = numpy_state()
    >>> before.is_current(), np.random.rand() < 1, before.is_current()
    (True, True, False)
    >>> before.put_back()
    >>> before.is_current()
    True
    """

    state: dict[str, Any]
    content: bytes | None

    def is_current(self) -> bool:
        """Whether nothing was drawn or set since then."""
        if self.content is None:
            return pickle.dumps(_given()) == pickle.dumps(self.state)
        return _content() == self.content

    def put_back(self) -> None:
        """Set the generator to this state."""
        if not self.is_current():
            np.random.set_state(self.state)  # noqa: NPY002


_known: list[NumpyState] = []


def numpy_state() -> NumpyState:
    """Read the state of NumPy's global generator, or return what was read last if it is that still."""
    for one in _known:
        if one.content is not None and one.is_current():
            return one
    state, content = _given(), _content()
    # Another thread may have drawn meanwhile.
    _known[:] = [NumpyState(state, content if content is not None and content == _written(state) else None)]
    return _known[0]


def _given() -> Any:
    return np.random.get_state(legacy=False)  # noqa: NPY002


def _written(state: dict[str, Any]) -> bytes:
    words = np.append(state["state"]["key"], np.uint32(state["state"]["pos"]))
    return words.tobytes() + KEPT.pack(state["has_gauss"], state["gauss"])


def _content() -> bytes | None:
    """Read the bytes of the global generator; None if it is of another kind, or they do not lie where they are looked for."""
    around: Any = np.random.rand.__self__  # pyright: ignore[reportFunctionMemberAccess]
    generator, offset = around._bit_generator, _offset_of_kept()
    if type(generator) is not np.random.MT19937 or offset is None:
        return None
    kept = KEPT.unpack(ctypes.string_at(id(around) + offset, KEPT.size))
    return ctypes.string_at(generator.ctypes.state_address, N_BYTES) + KEPT.pack(*kept)


@cache
def _offset_of_kept() -> int | None:
    """Find where in a generator of NumPy's the kept half of a pair of normal numbers lies, as generators of our own show by what one draw changes; None if none or several places do so."""
    one = np.random.RandomState(1)
    seen = []
    for _ in range(3):
        state = one.get_state(legacy=False)
        kept = KEPT.pack(state["has_gauss"], state["gauss"])  # pyright: ignore[reportArgumentType,reportCallIssue]
        memory = ctypes.string_at(id(one), type(one).__basicsize__)
        places = range(0, len(memory) - KEPT.size + 1, 4)
        # Between the two lies a gap that may hold anything.
        seen.append({k for k in places if KEPT.pack(*KEPT.unpack_from(memory, k)) == kept})
        one.standard_normal()
    found = set.intersection(*seen)
    return found.pop() if len(found) == 1 else None
