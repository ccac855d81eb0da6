"""Routes from activations to bits: NumPy's is the definition, the others give the same bits faster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from ann2neo.bits import Planes, pack
from ann2neo.packing.kernels import pack_places, pack_rows
from ann2neo.packing.layouts import dense_layout, memory_of, places_of

# From this many values on another thread saves more time than it takes to wake it.
LARGE = 1 << 19


def pack_by_threads(
    values: Float[np.ndarray, " place"],
    row_stride: int,
    n_bins: int,
    limits: Float[np.ndarray, " limit"],
    bits: UInt8[np.ndarray, "plane unit"],
) -> bool:
    """Pack as the kernel `pack_rows` does; of large activations each thread packs some planes.

    The kernel releases Python's lock. Its own threads would be numba's, which reset torch's number of threads.
    """
    n_threads = min(torch.get_num_threads(), len(bits)) if values.size >= LARGE else 1
    if n_threads == 1:
        return pack_rows(values, row_stride, n_bins, limits, bits)
    edges = np.linspace(0, len(bits), n_threads + 1).astype(int).tolist()
    parts = [
        (values[8 * first * row_stride :], row_stride, min(8 * stop, n_bins) - 8 * first, limits, bits[first:stop])
        for first, stop in pairwise(edges)
    ]
    others = [_threads(n_threads - 1).submit(pack_rows, *part) for part in parts[1:]]
    finite = [pack_rows(*parts[0]), *(other.result() for other in others)]
    return all(finite)


@cache
def _threads(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="ann2neo-packing")


COMPILED = (torch.float32, torch.float64)

Units = Int[torch.Tensor, " unit"]
Packed = tuple[UInt8[np.ndarray, "plane unit"], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePlanes:
    """Planes that are still on the activation's device; see `Planes`."""

    bits: UInt8[torch.Tensor, "plane unit"]
    n_bins: int
    n_invalid: Int[torch.Tensor, ""]


def pack_above(values: Float[torch.Tensor, "bin ..."], thresholds: torch.Tensor, units: Units | None = None) -> Planes:
    """Pack which values are strictly above the thresholds, compared in their own type.

    NaN is not above anything; it is counted, as infinities are.

    Parameters
    ----------
    values
        Activations, shape (bin, ...); the axes after the first are flattened in their logical order, for any order in memory.
    thresholds
        One for all units or one each, of the same type and on the same device, shape () or (unit,).
    units
        Places of the units in a flattened bin, on the same device; None for all of them, shape (unit,).

    Examples
    --------
    >>> pack_above(torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor(0.0)).bits
    array([[192,   0]], dtype=uint8)
    """
    return fetch(pack_on_device(values, thresholds, units))


def pack_on_device(
    values: Float[torch.Tensor, "bin ..."], thresholds: torch.Tensor, units: Units | None = None
) -> Planes | DevicePlanes:
    """Pack as `pack_above` does, but leave the bits on the activation's device, without waiting for it.

    The values may be overwritten afterwards.
    """
    return Packer(thresholds, units)(values)


class Packer:
    """Packs many batches of one layer as `pack_on_device` does: what can be decided without the values is decided once.

    Amid a model's forward pass the processor's caches hold the model, and each line of Python takes several times as long as elsewhere. So batches that
    are like the one before have a short way of their own, `again`.

    Parameters
    ----------
    thresholds, units
        As for `pack_above`.

    Examples
    --------
    >>> layer = Packer(torch.tensor(0.5))
    >>> layer(torch.tensor([[1.0, 0.0]])).bits, layer.again(torch.tensor([[0.0, 2.0]])), layer.take().bits
    (array([[128,   0]], dtype=uint8), True, array([[  0, 128]], dtype=uint8))
    >>> layer.again(torch.ones(9, 9)), layer.take()
    (False, None)
    """

    def __init__(self, thresholds: torch.Tensor, units: Units | None = None) -> None:
        self._thresholds, self._units = thresholds.detach(), units
        self._limits: Float[np.ndarray, " limit"] | None = None
        self._places: Int[np.ndarray, " unit"] | None = None
        if thresholds.is_cpu and thresholds.dtype in COMPILED:
            self._limits = _numbers(self._thresholds)
            self._places = None if units is None else units.numpy()
        self._shape: tuple[int, ...] | None = None
        self._n_bins = self._n_units = 0
        self._pack = pack_rows
        self._bits = np.empty((0, 0), np.uint8)
        self._packed = False

    def __call__(self, values: Float[torch.Tensor, "bin ..."]) -> Planes | DevicePlanes:
        """Pack values of any kind."""
        self._shape, self._packed = None, False
        array = None if self._limits is None else viewed(values)
        if array is not None and self._limits is not None and array.dtype == self._limits.dtype and array.size:
            if self._places is None and array.flags.c_contiguous:
                self._prepare(values.shape, array)
            return _pack_compiled(values, array, self._limits, self._places)
        packed = pack_with_torch(values.detach(), self._thresholds, self._units)
        return fetch(packed) if values.is_cpu else packed

    def again(self, values: Any) -> bool:
        """Pack values that are as usual and like the last ones, as many and finite; False if they are not, or may not be."""
        limits = self._limits
        if limits is None or type(values) is not torch.Tensor or values.shape != self._shape:
            return False
        try:
            array = values.numpy()
        except (TypeError, RuntimeError):
            return False
        if array.dtype != limits.dtype:
            return False
        self._packed = self._pack(array.reshape(-1), self._n_units, self._n_bins, limits, self._bits)
        return self._packed

    def forget(self) -> None:
        """Forget what was packed again."""
        self._packed = False

    def take(self) -> Planes | None:
        """Return what was packed again, or None if nothing was."""
        if not self._packed:
            return None
        planes = Planes(bits=self._bits, n_bins=self._n_bins)
        self._bits, self._packed = np.empty_like(self._bits), False
        return planes

    def _prepare(self, shape: tuple[int, ...], array: Float[np.ndarray, "bin ..."]) -> None:
        self._shape, self._n_bins, self._n_units = shape, len(array), array.size // len(array)
        self._bits = np.empty(((self._n_bins + 7) // 8, self._n_units), np.uint8)
        self._pack = pack_rows if array.size < LARGE else pack_by_threads


def viewed(values: torch.Tensor) -> Float[np.ndarray, "bin ..."] | None:
    """View values as an array, or give None if torch refuses: on other devices, sparse, negated, of types that NumPy lacks."""
    try:
        return values.numpy()
    except (TypeError, RuntimeError):
        return viewed(values.detach()) if values.requires_grad else None


def fetch(planes: Planes | DevicePlanes) -> Planes:
    """Copy planes from their device, or give those that are here already."""
    if isinstance(planes, Planes):
        return planes
    return Planes(bits=planes.bits.contiguous().cpu().numpy(), n_bins=planes.n_bins, n_invalid=int(planes.n_invalid))


def pack_with_numpy(values: torch.Tensor, thresholds: torch.Tensor, units: Units | None = None) -> Planes:
    """Pack by torch's comparison and `numpy.packbits`: the definition, which the other routes must give faster.

    Examples
    --------
    >>> pack_with_numpy(torch.tensor([[1.0, float("nan")]]), torch.tensor(0.0))
    Planes(bits=array([[128,   0]], dtype=uint8), n_bins=1, n_invalid=1)
    """
    values = chosen(values, units)
    planes = pack((values > thresholds).cpu().numpy())
    return Planes(bits=planes.bits, n_bins=planes.n_bins, n_invalid=count_invalid(values))


def pack_with_numba(values: torch.Tensor, thresholds: torch.Tensor, units: Units | None = None) -> Planes:
    """Pack float32 or float64 values on a CPU in one pass over memory, wherever the units lie in it."""
    places = None if units is None else units.numpy()
    return _pack_compiled(values, values.numpy(), _numbers(thresholds), places)


def _numbers(thresholds: torch.Tensor) -> Float[np.ndarray, " limit"]:
    # Contiguous, as all that kernels are given: they would be compiled again for other arrays.
    return np.ascontiguousarray(thresholds.numpy()).reshape(-1)


def _pack_compiled(
    values: torch.Tensor,
    array: Float[np.ndarray, "bin ..."],
    limits: Float[np.ndarray, " limit"],
    units: Int[np.ndarray, " unit"] | None,
) -> Planes:
    if units is None and array.flags.c_contiguous:
        bits, finite = _pack_contiguous(array, limits)
    elif units is None:
        bits, finite = _pack_all(values.detach(), limits)
    else:
        bits, finite = _pack_chosen(values.detach(), limits, units)
    n_invalid = 0 if finite else count_invalid(chosen(values, None if units is None else torch.from_numpy(units)))
    return Planes(bits=bits, n_bins=len(values), n_invalid=n_invalid)


def _pack_contiguous(values: Float[np.ndarray, "bin ..."], limits: Float[np.ndarray, " limit"]) -> Packed:
    n_bins, n_units = len(values), values.size // len(values)
    bits = np.empty(((n_bins + 7) // 8, n_units), np.uint8)
    return bits, pack_by_threads(values.reshape(-1), n_units, n_bins, limits, bits)


def _pack_all(values: torch.Tensor, limits: Float[np.ndarray, " limit"]) -> Packed:
    dense, layout = dense_layout(values)
    memory, row_stride = memory_of(dense)
    bits = np.empty((-(-len(values) // 8), prod(layout.shape)), np.uint8)
    limits = limits if limits.size == 1 else np.ascontiguousarray(layout.to_memory(limits))
    finite = pack_by_threads(memory, row_stride, len(values), limits, bits)
    return layout.to_logical(bits), finite


def _pack_chosen(values: torch.Tensor, limits: Float[np.ndarray, " limit"], units: Int[np.ndarray, " unit"]) -> Packed:
    memory, row_stride = memory_of(values)
    bits = np.empty((-(-len(values) // 8), units.size), np.uint8)
    return bits, pack_places(memory, row_stride, len(values), places_of(values, units), limits, bits)


def pack_with_torch(values: torch.Tensor, thresholds: torch.Tensor, units: Units | None = None) -> DevicePlanes:
    """Pack on the device of the values, so that an eighth of a byte per value leaves it."""
    values = chosen(values, units)
    packed = pack_truth(values > thresholds)
    # Not count_invalid: its question whether to look twice would wait for the device.
    return replace(packed, n_invalid=torch.isfinite(values).logical_not_().sum())


def pack_truth(spikes: Bool[torch.Tensor, "bin unit"]) -> DevicePlanes:
    """Pack truth values on their device, by shifting and adding eight rows at a time.

    Examples
    --------
    >>> fetch(pack_truth(torch.tensor([[True, False], [True, True]]))).bits
    array([[192,  64]], dtype=uint8)
    """
    n_bins, n_units = spikes.shape
    if n_bins % 8:
        spikes = torch.nn.functional.pad(spikes, (0, 0, 0, -n_bins % 8))
    eights = spikes.reshape(-(-n_bins // 8), 8, n_units)
    bits = eights[:, 0].to(torch.uint8)
    for place in range(1, 8):
        bits = torch.add(eights[:, place], bits, alpha=2)
    return DevicePlanes(bits=bits, n_bins=n_bins, n_invalid=torch.zeros((), dtype=torch.int64))


def chosen(values: torch.Tensor, units: Units | None) -> torch.Tensor:
    """Flatten bins in their logical order and keep some units, shape (bin, unit)."""
    values = values.reshape(len(values), prod(values.shape[1:]))
    return values if units is None else values.index_select(1, units)


def count_invalid(values: torch.Tensor) -> int:
    """Count values that are NaN or infinite.

    Examples
    --------
    >>> count_invalid(torch.tensor([1.0, float("inf"), float("nan")]))
    2
    """
    # A sum is several times cheaper than isfinite; only a suspicious one needs the second look.
    if torch.isfinite(values.sum(dtype=torch.float32)):
        return 0
    return int((~torch.isfinite(values)).sum())
