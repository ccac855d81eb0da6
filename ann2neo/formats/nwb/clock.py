"""The clock of a file: seconds, as NWB requires."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ann2neo.recording import Recording

MS_PER_S = 1000.0


def edges_s(recording: Recording) -> Float[np.ndarray, " edge"]:
    """Return the edges of all bins in seconds, so that ends and starts of trials are the same numbers, shape (bin + 1,)."""
    return recording.pseudotime.edges_ms / MS_PER_S
