"""Folders of results: the output of `ann2neo analyze` and `ann2neo compare`, with a page on all of it."""

from ann2neo.results.contrasts import compare_files
from ann2neo.results.files import analyze_files
from ann2neo.results.fits import fit_file, simulate_folder
from ann2neo.results.lines import table_lines
from ann2neo.results.opening import definitions, facts, found, recorded
from ann2neo.results.pages import (
    HOW_TO_READ,
    REPORT,
    Result,
    describe,
    drawings,
    picture,
    printed,
    save_picture,
    section,
)
from ann2neo.results.zoom import zoomable

__all__ = [
    "HOW_TO_READ",
    "REPORT",
    "Result",
    "analyze_files",
    "compare_files",
    "definitions",
    "describe",
    "drawings",
    "fit_file",
    "facts",
    "found",
    "picture",
    "printed",
    "recorded",
    "save_picture",
    "section",
    "simulate_folder",
    "table_lines",
    "zoomable",
]
