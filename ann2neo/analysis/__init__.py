"""analyze: a table of measures, with what chance predicts beside each, from a recording or from neo objects of any laboratory."""

from ann2neo.analysis.columns import define
from ann2neo.analysis.table import Engine, analyze

__all__ = ["Engine", "analyze", "define"]
