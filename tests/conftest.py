"""Check every annotated signature of the package at run time while it is tested."""

from jaxtyping import install_import_hook

install_import_hook("ann2neo", "beartype.beartype")
