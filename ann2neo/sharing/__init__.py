"""Sharing of recordings: a folder with a checked NWB file, a report, a data card and checksums."""

from ann2neo.extras import require

require("nwbinspector", to="Sharing")
require("yaml", to="Sharing")

from ann2neo.sharing.bundle import seal, share  # noqa: E402

__all__ = ["seal", "share"]
