"""From activations to bits on the host: threshold, pack and check in one pass over memory."""

from ann2neo.bits import PlaneBuffer, Planes, pack
from ann2neo.packing.routes import (
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
