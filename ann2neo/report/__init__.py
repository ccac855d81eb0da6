"""One HTML page for a result: figures and tables inside the file, nothing loaded from elsewhere."""

from ann2neo.report.numbers import format_column, format_number, unit_of
from ann2neo.report.page import write_report
from ann2neo.report.parts import MAX_ROWS, Fact, Picture, Section, Table, Zoomable

__all__ = [
    "MAX_ROWS",
    "Fact",
    "Picture",
    "Section",
    "Table",
    "Zoomable",
    "format_column",
    "format_number",
    "unit_of",
    "write_report",
]
