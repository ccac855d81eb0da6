"""Which inputs calibrated a rule: hashes of their content, in their order and in any."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8


class Fingerprint:
    """Hashes of all arrays in a series of batches, whatever the batch size.

    Examples
    --------
    >>> whole, halves, turned = Fingerprint(), Fingerprint(), Fingerprint()
    >>> whole.add({"x": torch.arange(4)}, 4)
    >>> halves.add({"x": torch.arange(2)}, 2); halves.add({"x": torch.arange(2, 4)}, 2)
    >>> turned.add({"x": torch.arange(4).flip(0)}, 4)
    >>> whole.hexdigest() == halves.hexdigest() != turned.hexdigest()
    True
    >>> whole.in_any_order() == turned.in_any_order()
    True
    """

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}
        self._sum = 0

    def add(self, x: Any, n_inputs: int) -> None:
        """Take in a batch of so many inputs: a tensor or array, or a mapping or sequence of these."""
        parts = list(_parts(x, ""))
        for header, rows in parts:
            self._parts.setdefault(header, hashlib.sha256()).update(rows.data)
        alike = [(header.encode(), rows) for header, rows in parts if len(rows) == n_inputs]
        for number in range(n_inputs):
            digest = hashlib.blake2b(digest_size=16)
            for header, rows in alike:
                digest.update(header)
                digest.update(rows[number].data)
            self._sum += int.from_bytes(digest.digest())

    def hexdigest(self) -> str:
        """Hash of all that was taken in, in this order."""
        lines = [f"{header} {digest.hexdigest()}" for header, digest in sorted(self._parts.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def in_any_order(self) -> str:
        """Hash that is the same for the same inputs in another order."""
        return f"{self._sum % (1 << 128):032x}"


def _parts(x: Any, part: str) -> Iterator[tuple[str, UInt8[np.ndarray, "input byte_of_input"]]]:
    """Give all arrays as bytes, each with a text that says which one it is."""
    if isinstance(x, torch.Tensor):
        flat = x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        yield _header(part, str(x.dtype).removeprefix("torch."), x.shape), _rows(flat, x.shape)
    elif isinstance(x, np.ndarray) and not x.dtype.hasobject:
        flat = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
        yield _header(part, x.dtype.name, x.shape), _rows(flat, x.shape)
    elif isinstance(x, (Mapping, tuple, list)):
        for key, value in x.items() if isinstance(x, Mapping) else enumerate(x):
            yield from _parts(value, f"{part}/{key}")


def _header(part: str, dtype: str, shape: tuple[int, ...]) -> str:
    return f"{part} {dtype} {tuple(shape[1:])}"


def _rows(flat: UInt8[np.ndarray, " byte"], shape: tuple[int, ...]) -> UInt8[np.ndarray, "input byte_of_input"]:
    n_rows = shape[0] if shape else 1
    return flat.reshape(n_rows, flat.size // max(n_rows, 1))
