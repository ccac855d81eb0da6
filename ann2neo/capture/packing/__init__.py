"""Spikes of a batch as bits, and bits of many batches as rows of units."""

from ann2neo.capture.packing.buffer import PlaneBuffer
from ann2neo.capture.packing.planes import Planes, pack
from ann2neo.capture.packing.routes import (
    DevicePlanes,
    count_invalid,
    fetch,
    pack_above,
    pack_on_device,
    pack_truth,
)

__all__ = [
    "DevicePlanes",
    "PlaneBuffer",
    "Planes",
    "count_invalid",
    "fetch",
    "pack",
    "pack_above",
    "pack_on_device",
    "pack_truth",
]
