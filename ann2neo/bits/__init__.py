"""Spikes as bits: planes, in which a byte holds eight bins of one unit, and their conversion to rows of units. Without torch."""

from ann2neo.bits.buffer import Buffer, Held, PlaneBuffer, buffer_for, fetched
from ann2neo.bits.planes import Planes, pack

__all__ = ["Buffer", "Held", "PlaneBuffer", "Planes", "buffer_for", "fetched", "pack"]
