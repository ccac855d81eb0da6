"""Recording into a store."""

from ann2neo.capture.storing.recording import record_into
from ann2neo.capture.storing.wanted import Wanted

__all__ = ["Wanted", "record_into"]
