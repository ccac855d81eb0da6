"""Schedule: which columns are recorded from which batch on, and which of them go together to one process."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from ann2neo.store.begun import BegunColumn
from ann2neo.store.growing import Growing
from ann2neo.store.log import Start


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEdges:
    """Which inputs and bins each batch has, where that is known before they are read.

    Parameters
    ----------
    inputs, bins
        First input and first bin of each batch, and the end, shape (batch + 1,).

    Examples
    --------
    >>> edges = BatchEdges(inputs=np.array([0, 2, 4, 5]), bins=np.array([0, 20, 40, 50]))
    >>> edges.start_of(39)
    Start(batch=1, first_input=2, first_bin=20)
    """

    inputs: Int[np.ndarray, " edge"]
    bins: Int[np.ndarray, " edge"]

    @property
    def n_bins(self) -> int:
        """Number of bins of one pass."""
        return int(self.bins[-1])

    def start_of(self, bin_number: int) -> Start:
        """Find the batch in which a bin lies."""
        batch = int(np.searchsorted(self.bins, bin_number, side="right")) - 1
        return Start(batch=batch, first_input=int(self.inputs[batch]), first_bin=int(self.bins[batch]))

    def columns_until_aligned(self, column_bins: int) -> int:
        """Number of columns after which a column and a batch begin together again: no batch is run twice if this many go together."""
        n_bins = int(self.bins[1])
        return n_bins // math.gcd(n_bins, column_bins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Columns that follow one another in a pass, from the first to before the last; None if the pass ends where the inputs end.

    ``begun`` is what is recorded of the first one already; ``start`` is the batch with which to go on.
    """

    pass_number: int
    first: int
    stop: int | None
    start: Start
    begun: BegunColumn | None = None


def cut_spans(
    todo: Sequence[tuple[int, int]],
    growing: Growing,
    edges: BatchEdges,
    n_processes: int,
    begun: Mapping[tuple[int, int], BegunColumn] | None = None,
) -> list[Span]:
    """Put columns together that begin and end with a batch, or, where these are too few to be dealt, as many as each process gets.

    A column that was begun before begins a span, which goes on after what there is of it.
    """
    most = len(todo) if n_processes == 1 else max(1, -(-len(todo) // n_processes))
    together = min(edges.columns_until_aligned(growing.column_bins), most) if n_processes > 1 else most
    spans: list[Span] = []
    for pass_number, column in todo:
        last = spans[-1] if spans else None
        part = None if begun is None else begun.get((pass_number, column))
        if (
            part is None
            and last is not None
            and (last.pass_number, last.stop) == (pass_number, column)
            and n_columns(last) < together
        ):
            spans[-1] = replace(last, stop=column + 1)
        else:
            start = edges.start_of(column * growing.column_bins) if part is None else part.column.after
            spans.append(Span(pass_number=pass_number, first=column, stop=column + 1, start=start, begun=part))
    return spans


def n_columns(span: Span) -> int:
    """Count the columns of a span whose end is known."""
    return 0 if span.stop is None else span.stop - span.first
