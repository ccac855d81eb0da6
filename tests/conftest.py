"""Check every annotated signature of the package at run time while it is tested."""

from jaxtyping import install_import_hook

install_import_hook("ann2neo", "beartype.beartype")


def pytest_addoption(parser):
    """Larger seeds than fit into continuous integration."""
    parser.addoption("--slow", action="store_true", help="run searches at random twenty times as long")
