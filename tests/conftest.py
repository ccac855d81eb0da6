"""Check every annotated signature of the package at run time while it is tested; ``--slow`` takes larger seeds and samples."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("ann2neo", "beartype.beartype")
# Where there is no card, kernels run under Triton's interpreter, which is to be known before anybody loads Triton.
if not Path("/proc/driver/nvidia/version").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_addoption(parser):
    """Larger seeds than fit into continuous integration."""
    parser.addoption("--slow", action="store_true", help="search twenty times as long, simulate with large samples")


@pytest.fixture(scope="session")
def slow(request):
    """Whether simulations take large samples."""
    return request.config.getoption("--slow")
