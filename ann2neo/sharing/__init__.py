"""Share a recording: a folder with an NWB file that was checked, a report, a data card and checksums."""

from ann2neo.sharing.bundle import share

__all__ = ["share"]
