"""Spikes as bits: planes of eight bins of one unit to a byte, and rows of units made of them. No torch."""

from ann2neo.bits.buffer import Buffer, Held, PlaneBuffer, buffer_for, fetched
from ann2neo.bits.planes import Planes, pack

__all__ = ["Buffer", "Held", "PlaneBuffer", "Planes", "buffer_for", "fetched", "pack"]
