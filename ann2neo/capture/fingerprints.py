"""Fingerprints: check sums of batches and of single inputs, hashes of a whole series of batches, and of the weights of a model."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
import xxhash
from jaxtyping import UInt8, UInt64

from ann2neo.errors import kind_of
from ann2neo.probe.nested import leaves

# Part of what a store is known by: check sums of another kind cannot be compared.
KIND = "xxh3"
# Instead of a hash of weights that cannot be read.
UNKNOWN = "unknown"
BYTES_AT_ONCE = 1 << 20
AT_ONCE = 64
# Of what tensors of these layouts consist.
SPARSE = {
    torch.sparse_coo: ("indices", "values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


def batch_checksum(x: Any, labels: np.ndarray | None = None) -> int:
    """Return the check sum of everything in a batch, with types, shapes and names, and of its labels where it holds some; 64 bits.

    A tensor and an array of the same numbers, type and shape have the same. It notices changes; it does not protect against forgery.

    Examples
    --------
    >>> batch_checksum(torch.zeros(2)) == batch_checksum(torch.zeros(2, 1)), batch_checksum(torch.ones(2)) == batch_checksum(np.ones(2, np.float32))
    (False, True)
    """
    digest = xxhash.xxh3_64()
    for path, leaf in leaves(x):
        header, content = _written(leaf)
        digest.update(f"{path} {header}".encode())
        digest.update(content.data)
    if labels is not None:
        digest.update(b"labels")
        digest.update(np.ascontiguousarray(labels, "<i8").data)
    return digest.intdigest()


def input_checksums(x: Any, n_inputs: int) -> UInt64[np.ndarray, " input"] | None:
    """Return the check sum of each input of a batch, or None if some array of the batch has another first axis than the inputs, as the edges of graphs have.

    Inputs of equal check sums hold the same bytes, types and shapes; labels do not count.

    Examples
    --------
    >>> sums = input_checksums({"x": torch.tensor([[1.0], [2.0], [1.0]])}, 3)
    >>> sums[0] == sums[2], sums[0] == sums[1], input_checksums({"x": torch.zeros(3, 2), "edges": torch.zeros(2, 5)}, 3)
    (np.True_, np.False_, None)
    """
    arrays = [(path, leaf) for path, leaf in leaves(x) if isinstance(leaf, (torch.Tensor, np.ndarray)) and leaf.ndim]
    # Before any content is read: such batches are asked again and again.
    if any(_is_irregular(leaf) or leaf.shape[0] != n_inputs for _, leaf in arrays):
        return None
    columns = []
    for path, leaf in arrays:
        header, content = _written(leaf)
        seed = xxhash.xxh64_intdigest(f"{path} {header.split(' ', 1)[0]} {tuple(leaf.shape[1:])}".encode())
        rows = content.reshape(n_inputs, -1) if content.size else np.zeros((n_inputs, 0), np.uint8)
        columns.append(_row_sums(rows) ^ np.uint64(seed))
    if len(columns) < 2:
        return columns[0] if columns else None
    return _row_sums(np.stack(columns, axis=1))


def _row_sums(rows: Any) -> UInt64[np.ndarray, " input"]:
    return np.fromiter(map(xxhash.xxh3_64_intdigest, rows), np.uint64, len(rows))


class Fingerprint:
    """Hashes of all arrays in a series of batches, for any batch size.

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
        """Take in a batch of ``n_inputs`` inputs: a tensor or array, or a mapping, sequence or object that holds some."""
        alike, whole, others = [], False, xxhash.xxh3_128()
        for header, rows in _parts(x):
            self._parts.setdefault(header, hashlib.sha256()).update(rows.data)
            if len(rows) == n_inputs:
                alike.append((header, rows))
                continue
            # Edges of a graph, or steps before inputs: of the whole batch.
            whole = True
            others.update(f"{header} {len(rows)}".encode())
            others.update(rows.data)
        self._sum += others.intdigest() if whole else 0
        for number in range(n_inputs):
            digest = xxhash.xxh3_128()
            for header, rows in alike:
                digest.update(header.encode())
                digest.update(rows[number].data)
            self._sum += digest.intdigest()

    def hexdigest(self) -> str:
        """Return the hash of all that was taken in, in this order."""
        lines = [f"{header} {digest.hexdigest()}" for header, digest in sorted(self._parts.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def in_any_order(self) -> str:
        """Return a hash that is the same for the same inputs in another order; where a batch is more than its rows, for the same batches in another order."""
        return f"{self._sum % (1 << 128):032x}"


def _parts(x: Any) -> Iterator[tuple[str, UInt8[np.ndarray, "input byte_of_input"]]]:
    """Yield all arrays as bytes, each with a text that says which one it is."""
    for path, leaf in leaves(x):
        if isinstance(leaf, (torch.Tensor, np.ndarray)):
            header, content = _written(leaf)
            n_rows = leaf.shape[0] if leaf.ndim and not _is_irregular(leaf) else 1
            rows = content.reshape(n_rows, content.size // max(n_rows, 1))
            yield f"{path} {header.split(' ', 1)[0]} {tuple(leaf.shape[1:]) if leaf.ndim else ()}", rows


def _written(leaf: Any) -> tuple[str, UInt8[np.ndarray, " byte"]]:
    """Write a leaf down: its type and shape, and its bytes."""
    if isinstance(leaf, torch.Tensor):
        if _is_irregular(leaf):
            return _irregular(leaf)
        content = leaf.detach().cpu()
        if leaf.is_conj() or leaf.is_neg():
            content = content.resolve_conj().resolve_neg()
        content = content.contiguous()
        return f"{str(leaf.dtype)[6:]} {tuple(leaf.shape)}", content.reshape(-1).view(torch.uint8).numpy()
    if isinstance(leaf, np.ndarray) and not leaf.dtype.hasobject:
        return f"{leaf.dtype.name} {leaf.shape}", np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)
    if isinstance(leaf, np.ndarray):
        return f"object {leaf.shape}", _text(repr(leaf.tolist()))
    # Of what cannot be written down, such as a function, only the type is known.
    return type(leaf).__name__, _text(
        str(leaf) if isinstance(leaf, (str, bytes, int, float, complex, type(None))) else ""
    )


def _text(text: str) -> UInt8[np.ndarray, " byte"]:
    return np.frombuffer(text.encode(), np.uint8)


def _is_irregular(leaf: Any) -> bool:
    """Whether values do not lie in one block of memory: nested, sparse and quantized tensors, arrays of objects."""
    if isinstance(leaf, np.ndarray):
        return leaf.dtype.hasobject
    return isinstance(leaf, torch.Tensor) and (leaf.is_nested or leaf.layout != torch.strided or leaf.is_quantized)


def _irregular(leaf: torch.Tensor) -> tuple[str, UInt8[np.ndarray, " byte"]]:
    """Write down the tensors of which such a tensor consists."""
    if leaf.is_nested:
        inner: list[Any] = [list(leaf.detach().unbind())]
    elif leaf.is_quantized:
        inner = [leaf.int_repr(), leaf.qscheme().__repr__()]
    elif leaf.layout in SPARSE:
        # As a whole it may be larger than memory.
        whole = leaf.detach().coalesce() if leaf.layout == torch.sparse_coo else leaf.detach()
        inner = [tuple(leaf.shape), *(getattr(whole, name)() for name in SPARSE[leaf.layout])]
    else:
        inner = [leaf.detach().to_dense()]
    written = [_written(part) for _, part in leaves(inner)]
    header = f"{str(leaf.dtype)[6:]} {leaf.layout} {[one[0] for one in written]}"
    return header, np.concatenate([np.zeros(0, np.uint8), *(one[1] for one in written)])


def weights_sha256(model: torch.nn.Module) -> str:
    """Hash names, types, shapes and bytes of all parameters and buffers, also of those that are not part of the ``state_dict``, and what else is part of it.

    Of the bytes of each, the hashes of `BYTES_AT_ONCE` at a time are hashed: several threads compute those of large weights, and the hash is the same on every device.

    It is "unknown" where the bytes of a weight are not the weight: shards of a distributed tensor, quantized tensors, tensors on no device, or anything else that cannot be read.

    Examples
    --------
    >>> weights_sha256(torch.nn.ReLU())[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    try:
        # By every name that they go by, so that it shows which weights are tied.
        found = {
            **model.state_dict(),
            **dict(model.named_parameters(remove_duplicate=False)),
            **dict(model.named_buffers(remove_duplicate=False)),
        }
        with torch._C.DisableTorchFunctionSubclass():
            parts = (part for name, value in sorted(found.items()) for part in _parts_of(name, value))
            for part in _hashed(parts):
                digest.update(part)
    # Code of others: state_dict may be overridden, and tensors of other kinds raise errors of any kind.
    except Exception:
        return UNKNOWN
    return digest.hexdigest()


def _hashed(parts: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Pass texts on, and replace bytes of weights by their hashes, which threads compute where there are many; no thread is made where there are few."""
    under_way: deque[Future[bytes] | bytes] = deque()
    with ExitStack() as stack:
        threads: ThreadPoolExecutor | None = None
        for part in parts:
            if isinstance(part, bytes):
                under_way.append(part)
                continue
            if threads is None and len(part) >= BYTES_AT_ONCE:
                threads = stack.enter_context(ThreadPoolExecutor(min(8, os.cpu_count() or 1)))
            pool = threads if len(part) >= BYTES_AT_ONCE else None
            for first in range(0, max(len(part), 1), BYTES_AT_ONCE):
                some = part[first : first + BYTES_AT_ONCE]
                # What takes less time than to wake a thread is done here.
                under_way.append(_sha256(some) if pool is None else pool.submit(_sha256, some))
                # Weights that were copied from a device are kept no longer than it takes to hash them.
                if len(under_way) > AT_ONCE:
                    yield _result(under_way.popleft())
        yield from map(_result, under_way)


def _sha256(part: memoryview) -> bytes:
    return hashlib.sha256(part).digest()


def _result(part: Future[bytes] | bytes) -> bytes:
    return part if isinstance(part, bytes) else part.result()


def _parts_of(name: str, value: Any) -> Iterator[bytes | memoryview]:
    """Write a weight down, or, of what a module keeps beside them, the tensors, numbers and texts."""
    if isinstance(value, torch.Tensor):
        yield f"{name} {value.dtype} {tuple(value.shape)}".encode()
        yield _bytes_of(value)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _parts_of(f"{name}/{key}", part)
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            yield from _parts_of(f"{name}/{number}", part)
    elif isinstance(value, (bool, int, float, str, bytes)):
        yield f"{name} {value!r}".encode()


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    """Read a tensor's bytes, in place where it lies in memory without gaps.

    Raises
    ------
    TypeError
        If its bytes lie elsewhere or mean something else: it wraps other tensors, or is quantized.
    """
    dispatch = "__torch_dispatch__"
    if getattr(type(tensor), dispatch) is not getattr(torch.Tensor, dispatch) or tensor.is_quantized:
        raise TypeError(f"the bytes of {kind_of(tensor)} are not its values.")
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy())  # pyright: ignore[reportArgumentType]
