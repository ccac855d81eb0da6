"""Agreement: processes that record together have the same inputs, or each a part of one data set, and nothing is lost in silence."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, IterableDataset

from ann2neo.capture.distributed import ALONE, Processes
from ann2neo.capture.fingerprints import batch_checksum
from ann2neo.capture.inputs import (
    Drawn,
    Inputs,
    Presentation,
    lies_in_memory,
    open_source,
    read_batches,
    read_some,
    spread,
)
from ann2neo.capture.inputs.sources import reads_in_its_own_way
from ann2neo.capture.provenance import described_notes
from ann2neo.errors import Ann2NeoWarning, InputsError, StoreError
from ann2neo.probe.state import random_states_kept
from ann2neo.recording import order_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a process has as inputs, in few numbers.

    Parameters
    ----------
    n_inputs, batch_sizes
        How many there are in all, and in each batch in any order; None where that is not known before they are read.
    ids
        Which of a data set they are, ascending, shape (input,); None where they are not known to be places in one.
    n_in_set, first_in_set, last_in_set
        Size of the data set, and check sums of its first and its last entry; None where there is no such set.
    is_part
        Whether a `DistributedSampler` draws a part of the data set.
    """

    n_inputs: int | None
    batch_sizes: tuple[int, ...] | None
    ids: np.ndarray | None
    n_in_set: int | None = None
    first_in_set: int | None = None
    last_in_set: int | None = None
    is_part: bool = False


def agreed_inputs(
    inputs: Inputs,
    processes: Processes,
    *,
    store: str | os.PathLike[str] | None,
    listed: bool,
    notes: Mapping[str, Any] | None = None,
) -> Inputs:
    """Compare stores, notes and inputs of all processes before anything runs, and give the inputs that all of them record together.

    Inputs that are the same in all processes are left as they are. Where each process draws a part of one data set (a `DistributedSampler`, or samplers that share
    nothing), the whole is recorded, each input once under its own place in the data set and in its order: duplicates that fill up the parts are left out.

    Parameters
    ----------
    inputs
        The inputs of this process.
    processes
        All processes.
    store
        Where to record.
    listed
        Whether labels or lengths are listed for the inputs, which fit no others.
    notes
        Notes of the recording, as facts of its provenance.

    Raises
    ------
    StoreError
        If the stores or the notes differ.
    InputsError
        If the inputs differ and are not parts of one data set.
    """
    if processes.n == 1:
        warn_of_part(inputs)
        return inputs
    told = processes.together(lambda: (os.path.realpath(store or ""), dict(notes or {})))
    stores = [path for path, _ in told]
    if len(set(stores)) > 1:
        other = next(rank for rank, path in enumerate(stores) if path != stores[0])
        raise StoreError(
            f"{processes.n} processes record into different stores: process 0 into {stores[0]}, process {other} into {stores[other]}.",
            "All processes of torch.distributed record into one store together; nothing was recorded.",
            f"Give all of them the same store; {ALONE}.",
        )
    other = next((rank for rank, (_, noted) in enumerate(told) if noted != told[0][1]), None)
    if other is not None:
        raise StoreError(
            f"process 0 has the notes {described_notes(told[0][1])}, process {other} {described_notes(told[other][1])}.",
            "All processes of torch.distributed record into one store together, which has one set of notes; nothing was recorded.",
            "Give all of them the same notes=.",
        )
    with random_states_kept():
        everywhere = processes.together(lambda: _shown(inputs))
        if any(shown.is_part for shown in everywhere) or _are_parts(everywhere):
            whole: list[Inputs] = []
            processes.together(lambda: whole.append(_whole(inputs, everywhere, listed=listed)))
            inputs = whole[0]
        _check_same_batches(inputs, processes)
    return inputs


def warn_of_part(inputs: Inputs) -> None:
    """Warn if a `DistributedSampler` draws a part of a data set for a process that records alone."""
    sampler = _part_sampler(inputs.data)
    if sampler is not None:
        n = len(inputs.data.dataset)
        text = (
            f"a DistributedSampler draws for process {sampler.rank} of {sampler.num_replicas}: {len(sampler)} of {n} inputs are recorded. "
            "Give a loader without it for all of them; under torchrun, store= lets all processes record the whole together."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)


def _part_sampler(data: Any) -> DistributedSampler | None:
    """Find what draws the part of one process."""
    if not isinstance(data, DataLoader):
        return None
    for sampler in (data.sampler, getattr(data.batch_sampler, "sampler", None), data.batch_sampler):
        if isinstance(sampler, DistributedSampler) and sampler.num_replicas > 1:
            return sampler
    return None


def _shown(inputs: Inputs) -> Shown:
    if isinstance(inputs.data, Iterator):
        return Shown(n_inputs=None, batch_sizes=None, ids=None)
    source, data = open_source(replace(inputs, labels=None)), inputs.data
    sizes, ids = source.batch_sizes, source.stimulus_ids
    in_set: dict[str, Any] = {}
    if isinstance(data, DataLoader) and not isinstance(data.dataset, IterableDataset) and data.batch_size is not None:
        n: int = len(data.dataset)  # pyright: ignore[reportArgumentType]
        first, last = (batch_checksum(data.collate_fn([data.dataset[place]])) for place in (0, n - 1))
        in_set = {"n_in_set": n, "first_in_set": first, "last_in_set": last}
    return Shown(
        n_inputs=source.n_inputs,
        batch_sizes=None if sizes is None else tuple(sorted(sizes.tolist())),
        ids=None if ids is None else np.sort(ids),
        is_part=_part_sampler(data) is not None,
        **in_set,
    )


def _are_parts(everywhere: Sequence[Shown]) -> bool:
    """Whether all draw other places of one data set, as far as its size and its ends tell."""
    sets = {(shown.n_in_set, shown.first_in_set, shown.last_in_set) for shown in everywhere}
    ids = [shown.ids for shown in everywhere if shown.ids is not None]
    if len(sets) > 1 or None in next(iter(sets)) or len(ids) < len(everywhere):
        return False
    every = np.concatenate(ids)
    return np.unique(every).size == every.size


def _whole(inputs: Inputs, everywhere: Sequence[Shown], *, listed: bool) -> Inputs:
    """Make a loader of the whole of which each process has a part, in the order of the data set."""
    loader, sets = inputs.data, {(one.n_in_set, one.first_in_set, one.last_in_set) for one in everywhere}
    if not isinstance(loader, DataLoader):
        _refuse("not all of them have a loader over the same data set")
    if type(loader.batch_sampler) is not BatchSampler or reads_in_its_own_way(loader):
        _refuse("the loader makes batches in a way of its own")
    if len(sets) > 1 or None in next(iter(sets)):
        _refuse("not all of them have a loader over the same data set")
    if listed:
        _refuse("labels or lengths are listed for the inputs, and fit only the part of one process")
    ids = None if any(one.is_part for one in everywhere) else [one.ids for one in everywhere if one.ids is not None]
    places = range(len(loader.dataset)) if ids is None else np.sort(np.concatenate(ids)).tolist()  # pyright: ignore[reportArgumentType]
    whole = DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        sampler=places,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        drop_last=loader.drop_last,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
    )
    return replace(inputs, data=whole)


def _refuse(why: str) -> NoReturn:
    raise InputsError(
        f"each process has a part of the inputs, and the whole cannot be put together: {why}.",
        "A part would be lost: nothing was recorded.",
        f"Give all processes all inputs, which are then dealt out among them; {ALONE}.",
    )


def _check_same_batches(inputs: Inputs, processes: Processes) -> None:
    """Refuse inputs that differ between processes: their number, their batches, or the content of all batches where they lie in memory, and else of a few that are spread over all.

    Raises
    ------
    InputsError
        If they differ.
    """
    sources = processes.together(lambda: None if isinstance(inputs.data, Iterator) else _sizes(open_source(inputs)))
    _compare("other inputs of the data set, or in other numbers or batches,", sources)
    if sources[0] is None:
        return
    drawn = processes.from_first(lambda: open_source(inputs).drawn)
    _compare("other inputs", processes.together(lambda: _checksums(inputs, drawn)))


def _compare(what: str, everywhere: Sequence[Any]) -> None:
    other = next((rank for rank, one in enumerate(everywhere) if one != everywhere[0]), None)
    if other is not None:
        raise InputsError(
            f"process {other} has {what} than process 0.",
            "Each input belongs to one bin of one store: parts of the inputs would be lost or mixed. Nothing was recorded.",
            "Give all processes the same inputs, which are then dealt out among them, or a map-style data set with a DistributedSampler; "
            + ALONE
            + ".",
        )


def _sizes(source: Presentation) -> tuple[Any, ...]:
    sizes = None if source.batch_sizes is None else tuple(sorted(source.batch_sizes.tolist()))
    return source.n_inputs, sizes, source.in_order is not None, _ids(source)


def _ids(source: Presentation) -> str | None:
    """Hash which inputs of a data set are drawn, in any order; None where they change from draw to draw, or are not known."""
    if source.stimulus_ids is None:
        return None
    ids = np.sort(source.stimulus_ids)
    if source.draw is not None and source.in_order is not None:
        again = [source.in_order(source.draw()).stimulus_ids for _ in range(2)]
        if any(one is None or not np.array_equal(np.sort(one), ids) for one in again):
            return None
    return order_sha256(ids)


def _checksums(inputs: Inputs, drawn: Drawn | None) -> list[int]:
    source = open_source(inputs)
    if drawn is not None and source.in_order is not None:
        source = source.in_order(drawn)
    n = source.n_batches if source.batch_sizes is not None else None
    if n is not None and lies_in_memory(inputs.data):
        batches = read_batches(source, inputs)
    else:
        batches = (batch for _, batch in read_some(source, inputs, [0] if n is None else spread(range(n))))
    return [batch_checksum(batch.x, batch.labels) for batch in batches]
