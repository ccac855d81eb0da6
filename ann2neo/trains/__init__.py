"""The border to neo: a recording as a Block of spike trains, and back."""

from ann2neo.trains.from_neo import from_block
from ann2neo.trains.to_neo import to_block

__all__ = ["from_block", "to_block"]
