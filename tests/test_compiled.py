"""The first use of a kernel says what takes so long."""

import subprocess
import sys

CODE = """
import numpy as np, ann2neo
ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, progress=False)
ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=4, progress=False)
"""


def test_compiling_is_said_once_and_not_where_kernels_are_cached(tmp_path):
    """One line on the first run with an empty cache; none on the next."""
    import os

    told = []
    for _ in range(2):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
        told.append(done.stderr.count("Kernels are compiled"))
    assert told == [1, 0]
