"""Spikes as bits: planes of eight bins of one unit to a byte, and rows of units made of them. No torch."""

from ann2neo.bits.buffer import PlaneBuffer
from ann2neo.bits.planes import Planes, pack

__all__ = ["PlaneBuffer", "Planes", "pack"]
