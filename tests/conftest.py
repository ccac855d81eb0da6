"""Check every annotated signature of the package at run time while it is tested; ``--slow`` takes larger samples and runs what is marked as slow."""

import gc
import os
import resource
from pathlib import Path

import pytest
import signatures

signatures.install()
# Where there is no card, kernels run under Triton's interpreter, which is to be known before anybody loads Triton.
if not Path("/proc/driver/nvidia/version").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")


DEAR = Path(__file__).parent / "dear.txt"


def pytest_addoption(parser):
    """Larger seeds, and whole programs, than fit into a test run on two cores."""
    parser.addoption(
        "--slow", action="store_true", help="search twenty times as long, simulate with large samples, run slow tests"
    )
    parser.addoption("--costs", metavar="FILE", help="append the processor time of each test to a file")


def dear():
    """Processor time of the tests that are slow for it, in seconds, by their name."""
    lines = [line.split("\t") for line in DEAR.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {name: float(seconds) for seconds, name in lines}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Skip what is marked as slow, or takes long, and say why it is; `.ci/run` runs it. What takes larger samples with --slow stays."""
    known = dear()
    for item in items:
        if item.nodeid in known and "slow" not in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow(f"{known[item.nodeid]} s of processor time"))
    if config.getoption("--slow"):
        return
    for item in items:
        for mark in item.iter_markers("slow"):
            item.add_marker(pytest.mark.skip(reason=f"{mark.args[0]}; --slow runs it"))


def pytest_collection_finish():
    """Take what all tests share out of the collection of garbage: nixio collects at each file that it closes, which took half of its time."""
    gc.collect()
    gc.freeze()


def used():
    """Processor time of this process and of those that ended, in seconds."""
    times = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in times)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Measure a test, if asked for."""
    begin = used()
    found = yield
    if file := item.config.getoption("--costs"):
        with open(file, "a", encoding="utf-8") as costs:
            costs.write(f"{used() - begin:.1f}\t{item.nodeid}\n")
    return found


@pytest.fixture(scope="session")
def slow(request):
    """Whether simulations take large samples."""
    return request.config.getoption("--slow")
