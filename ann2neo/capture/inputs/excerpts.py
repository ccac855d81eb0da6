"""Excerpts: the batches by which inputs are known again, all of those that lie in memory, and of a loader's some that are spread over all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ann2neo.capture.fingerprints import batch_checksum
from ann2neo.capture.inputs.batches import read_batches
from ann2neo.capture.inputs.forms import Inputs
from ann2neo.capture.inputs.presentation import Batch, Presentation

# Of batches that may be slow to read.
MOST_READ = 9


def spread(numbers: Sequence[int]) -> list[int]:
    """Choose a few of many numbers, the first and the last among them.

    Examples
    --------
    >>> spread(range(3)), spread(range(100, 201))
    ([0, 1, 2], [100, 112, 125, 138, 150, 162, 175, 188, 200])
    """
    places = np.linspace(0, len(numbers) - 1, min(len(numbers), MOST_READ)).round().astype(int)
    return [numbers[place] for place in places.tolist()]


def read_some(source: Presentation, inputs: Inputs, numbers: Sequence[int]) -> Iterator[tuple[int, Batch]]:
    """Yield batches of these numbers, and read no others."""
    drawn = source.drawn
    if drawn is None or source.in_order is None:
        yield from ((number, next(read_batches(source, inputs, number))) for number in numbers)
        return
    # The first one of all is not read: what is listed for all inputs is compared where reading begins with it.
    some = source.in_order([drawn[0], *(drawn[number] for number in numbers)])
    yield from zip(numbers, read_batches(some, inputs, 1))


def comes_out_again(source: Presentation, inputs: Inputs, number: int) -> bool:
    """Whether a batch is the same at two readings, as one that is changed at random is not."""
    sums = {batch_checksum(batch.x, batch.labels) for _, batch in read_some(source, inputs, [number, number])}
    return len(sums) == 1
