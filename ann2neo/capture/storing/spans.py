"""Columns that follow one another, put together so that few batches are run twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ann2neo.capture.columns import Layout
from ann2neo.store.growing import Growing
from ann2neo.store.log import Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Columns that follow one another in a pass, from the first to before the last; None if the pass ends where the inputs end."""

    pass_number: int
    first: int
    stop: int | None
    start: Start


def cut_spans(todo: Sequence[tuple[int, int]], growing: Growing, layout: Layout, n_processes: int) -> list[Span]:
    """Put columns together that begin and end with a batch, or, where these are too few to be dealt, as many as each process gets."""
    most = len(todo) if n_processes == 1 else max(1, -(-len(todo) // n_processes))
    together = min(layout.columns_until_aligned(growing.column_bins), most) if n_processes > 1 else most
    spans: list[Span] = []
    for pass_number, column in todo:
        last = spans[-1] if spans else None
        if last is not None and (last.pass_number, last.stop) == (pass_number, column) and n_columns(last) < together:
            spans[-1] = Span(pass_number=pass_number, first=last.first, stop=column + 1, start=last.start)
        else:
            start = layout.start_of(column * growing.column_bins)
            spans.append(Span(pass_number=pass_number, first=column, stop=column + 1, start=start))
    return spans


def n_columns(span: Span) -> int:
    """Count the columns of a span whose end is known."""
    return 0 if span.stop is None else span.stop - span.first
