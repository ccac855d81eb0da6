"""Share a recording: a folder with an NWB file that was checked, a report, a data card and checksums."""

from ann2neo.extras import require

require("nwbinspector", to="Sharing")

from ann2neo.sharing.bundle import share  # noqa: E402

__all__ = ["share"]
