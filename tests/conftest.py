"""Check every annotated signature of the package at run time while it is tested; ``--slow`` takes larger samples and runs what is marked as slow."""

import os
from pathlib import Path

import pytest
import signatures

signatures.install()
# Where there is no card, kernels run under Triton's interpreter, which is to be known before anybody loads Triton.
if not Path("/proc/driver/nvidia/version").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_addoption(parser):
    """Larger seeds, and whole programs, than fit into a test run on two cores."""
    parser.addoption(
        "--slow", action="store_true", help="search twenty times as long, simulate with large samples, run slow tests"
    )


def pytest_collection_modifyitems(config, items):
    """Skip what is marked as slow and say why it is; `.ci/run` runs it."""
    if config.getoption("--slow"):
        return
    for item in items:
        for mark in item.iter_markers("slow"):
            item.add_marker(pytest.mark.skip(reason=f"{mark.args[0]}; --slow runs it"))


@pytest.fixture(scope="session")
def slow(request):
    """Whether simulations take large samples."""
    return request.config.getoption("--slow")
