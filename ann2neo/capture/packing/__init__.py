"""Spikes of a batch as bits, and bits of many batches as rows of units."""

from ann2neo.bits import PlaneBuffer, Planes, pack
from ann2neo.capture.packing.routes import (
    DevicePlanes,
    Packer,
    chosen,
    count_invalid,
    fetch,
    pack_above,
    pack_on_device,
    pack_truth,
    viewed,
)

__all__ = [
    "DevicePlanes",
    "PlaneBuffer",
    "Packer",
    "Planes",
    "chosen",
    "count_invalid",
    "fetch",
    "pack",
    "pack_above",
    "pack_on_device",
    "pack_truth",
    "viewed",
]
