"""Share a recording: a folder with an NWB file that was checked, a data card and checksums."""

from ann2neo.sharing.bundle import share

__all__ = ["share"]
