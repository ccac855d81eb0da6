"""The viewer: a zoomable raster as a page, in a notebook, or served on this computer for large recordings."""

from ann2neo.viewer.browser import Browser, browse
from ann2neo.viewer.page import MOST_BYTES, fragment, n_bytes
from ann2neo.viewer.pyramid import SIDE, Pyramid, build_pyramid, count_tile
from ann2neo.viewer.server import serve

__all__ = [
    "MOST_BYTES",
    "SIDE",
    "Browser",
    "Pyramid",
    "browse",
    "build_pyramid",
    "count_tile",
    "fragment",
    "n_bytes",
    "serve",
]
