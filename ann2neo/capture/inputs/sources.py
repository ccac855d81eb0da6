"""From a tensor, a data set, a loader, a list or a generator to a presentation, whose order is drawn once."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ann2neo.capture.fingerprints import batch_checksum
from ann2neo.capture.inputs.arrays import array_presentation, lies_in_array
from ann2neo.capture.inputs.batches import refuse_nested, split_batch
from ann2neo.capture.inputs.collation import TracedCollation, is_own
from ann2neo.capture.inputs.forms import Inputs, is_rows, refuse_rows_without_tensors
from ann2neo.capture.inputs.labels import trial_columns
from ann2neo.capture.inputs.loaders import length_of, warn_of_endless
from ann2neo.capture.inputs.presentation import Drawn, Presentation, Readings, draws_differ
from ann2neo.errors import InputsError
from ann2neo.probe.state import Borrowed, borrowed_of, copy_of, random_states_kept, read_borrowed

# So many inputs show whether a data set keeps their order.
MOST_ITEMS = 8
# A sampler is compared with its length each time after this number of draws.
LOOK = 1024


def loader_presentation(
    loader: DataLoader, *, any_form: bool, n_inputs: Callable[[Any], int] | None = None
) -> Presentation:
    """Draw a map-style loader's order once, so that it is known for any sampler.

    A loader whose class reads in its own way (an ``__iter__`` of its own) is read in that way, and so is one of an iterable data set: their order is unknown.

    Raises
    ------
    InputsError
        If it gives no batch.
    """
    borrowed = borrowed_of(loader)
    if isinstance(loader.dataset, IterableDataset):
        own, collates = is_own(loader.collate_fn), loader.batch_size is not None
        counted = own and collates and not reads_in_its_own_way(loader)
        streams = _as_it_reads(_that_counts(loader) if counted else loader, borrowed, None)
        axis = 0 if collates and not own else None
        return replace(streams, n_streams=max(1, loader.num_workers), axis=axis, counted=counted)
    sampler: Any = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    draw = _draw(sampler, borrowed, in_batches=loader.batch_sampler is not None, dataset=loader.dataset)
    own = reads_in_its_own_way(loader)
    found = _as_it_reads(loader, borrowed, draw) if own else _map_style(loader, borrowed, draw, any_form, n_inputs)
    return found if found.draw is None else replace(found, comes_again=lambda: _comes_again(loader, sampler))


def _map_style(
    loader: DataLoader,
    borrowed: Borrowed,
    draw: Callable[[], Drawn],
    any_form: bool,
    n_inputs: Callable[[Any], int] | None,
) -> Presentation:
    drawn = draw()
    if not drawn:
        raise InputsError(
            "the DataLoader gives no batch.", "There is nothing to record.", "Give at least one input (mind drop_last)."
        )
    # Where a sampler gives whole batches, the data set takes lists of places.
    in_lists = loader.batch_sampler is None and all(isinstance(index, (list, tuple)) for (index,) in drawn)
    with borrowed.used():
        again = _reader(loader, in_lists=in_lists)
    if in_lists:
        return _drawn_source(again, _unwrapped(drawn), lambda: _unwrapped(draw()))
    if loader.batch_sampler is not None:
        _check_items(loader.dataset, drawn[0])
        own = is_own(loader.collate_fn)
        return _drawn_source(again, drawn, draw, traced=own, axis=None if own else 0)
    # Few batches often come in the data set's order, whatever draws them.
    if [index for (index,) in drawn] == list(range(len(drawn))) and not draws_differ(draw):
        return _as_it_reads(loader, borrowed, None)
    return _batches_of_data_set(
        loader, again, drawn, draw, lambda raw: split_batch(raw, any_form=any_form, n_inputs=n_inputs).n_inputs
    )


def _that_counts(loader: DataLoader) -> DataLoader:
    """Make a loader of the same stream that says how many items it puts together in each batch."""
    other: Any = copy.copy(loader)
    other.collate_fn, other._iterator = TracedCollation(loader.collate_fn, with_places=False), None
    return other


def reads_in_its_own_way(loader: DataLoader) -> bool:
    """Whether the class of a loader says itself how it is iterated."""
    return any(getattr(type(loader), name) is not getattr(DataLoader, name) for name in ("__iter__", "_get_iterator"))


def _as_it_reads(loader: DataLoader, borrowed: Borrowed, draw: Callable[[], Drawn] | None) -> Presentation:
    return Presentation(batches=lambda first: read_borrowed(loader, borrowed, first), draw=draw, readings=Readings())


def _draw(sampler: Iterable[Any], borrowed: Borrowed, *, in_batches: bool, dataset: Any = None) -> Callable[[], Drawn]:
    """Return a function that draws the batches; those without inputs are left out, and a sampler that may never end is told."""

    def draw() -> Drawn:
        found: Drawn = []
        told = dataset is None
        with borrowed.used():
            for index in sampler:
                found.append([_number(one) for one in index] if in_batches else [_number(index)])
                told = told or (len(found) % LOOK == 0 and warn_of_endless(sampler, dataset, len(found)))
        return [batch for batch in found if batch]

    return draw


def _number(index: Any) -> Any:
    """Turn an index that is a tensor of one number, as of a sampler of a tensor's entries, into that number."""
    is_number = isinstance(index, torch.Tensor) and not index.ndim and not index.is_floating_point()
    return index.item() if is_number else index


def _comes_again(loader: DataLoader, sampler: Iterable[Any]) -> bool:
    """Draw an order from the same generators under two global random states, which are restored."""
    orders = []
    with random_states_kept(seeded=True):
        for seed in (0, 1):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            orders.append(_draw(sampler, borrowed_of(loader), in_batches=loader.batch_sampler is not None)())
    return orders[0] == orders[1]


def _check_items(dataset: Any, drawn: list[Any]) -> None:
    """Refuse a data set whose ``__getitems__``, by which loaders read whole batches, gives the inputs in another order than that of their places.

    Raises
    ------
    InputsError
        If it does with the first inputs; where they are others at each reading nothing can be said.
    """
    whole = getattr(dataset, "__getitems__", None)
    if whole is None or type(dataset).__module__.startswith("torch."):
        return
    together, alone = [], []
    # Some data sets read whole batches only.
    with random_states_kept(), suppress(TypeError, NotImplementedError):
        together = [batch_checksum(item) for item in whole(drawn[:MOST_ITEMS])]
        alone = [batch_checksum(dataset[index]) for index in drawn[:MOST_ITEMS]]
    if together != alone and sorted(together) == sorted(alone):
        raise InputsError(
            f"{type(dataset).__name__}.__getitems__ gives the inputs {drawn[:MOST_ITEMS]} in another order than they were asked for.",
            "Inputs would go by the numbers of others.",
            "Let it return the items in the order of the places that it is given.",
        )


def _unwrapped(drawn: Drawn) -> Drawn:
    return [list(index) for (index,) in drawn if len(index)]


def _reader(loader: DataLoader, *, in_lists: bool) -> Callable[[Drawn], DataLoader]:
    """Make loaders that read like this one, in an order that was drawn."""
    generator = copy_of(loader.generator)
    in_batches = loader.batch_sampler is not None
    own = in_batches and is_own(loader.collate_fn)
    collate: Any = TracedCollation(loader.collate_fn) if own else loader.collate_fn

    def again(drawn: Drawn) -> DataLoader:
        places = drawn if in_batches or in_lists else [index for (index,) in drawn]
        order: dict[str, Any] = {"batch_sampler": places} if in_batches else {"sampler": places}
        return DataLoader(
            loader.dataset,
            **({} if in_batches else {"batch_size": None}),
            **order,
            num_workers=loader.num_workers,
            collate_fn=collate,
            pin_memory=loader.pin_memory,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            generator=generator,
        )

    return again


def _drawn_source(
    again: Callable[[Drawn], DataLoader],
    drawn: Drawn,
    draw: Callable[[], Drawn],
    *,
    traced: bool = False,
    axis: int | None = None,
) -> Presentation:
    ids = [index for batch in drawn for index in batch]
    known = all(isinstance(index, (int, np.integer)) for index in ids)
    return Presentation(
        batches=lambda first: again(drawn[first:]),
        n_batches=len(drawn),
        n_inputs=len(ids),
        stimulus_ids=np.asarray(ids, np.int64) if known else None,
        batch_sizes=np.array([len(batch) for batch in drawn]),
        draw=draw,
        in_order=lambda order: _drawn_source(again, order, draw, traced=traced, axis=axis),
        readings=Readings(),
        traced=traced,
        axis=axis,
    )


def _batches_of_data_set(
    loader: DataLoader,
    again: Callable[[Drawn], DataLoader],
    drawn: Drawn,
    draw: Callable[[], Drawn],
    size_of: Callable[[Any], int],
) -> Presentation:
    """Number the inputs of a data set that holds whole batches (``batch_size=None``) and whose batches come in another order.

    Only the data set can say how many inputs each batch holds, so that it is read once more.
    """
    n_known: int = len(loader.dataset)  # pyright: ignore[reportArgumentType]
    every = again([[index] for index in range(n_known)])
    sizes = np.array([size_of(raw) for raw in every], np.int64)
    starts = np.cumsum(sizes) - sizes
    return _of_places(again, [int(index) for (index,) in drawn], draw, starts, sizes)


def _of_places(
    again: Callable[[Drawn], DataLoader],
    places: Sequence[int],
    draw: Callable[[], Drawn],
    starts: np.ndarray,
    sizes: np.ndarray,
) -> Presentation:
    def in_order(order: Drawn) -> Presentation:
        first = np.searchsorted(starts, [ids[0] for ids in order], side="right") - 1
        return _of_places(again, first.tolist(), draw, starts, sizes)

    return Presentation(
        batches=lambda first: again([[place] for place in places[first:]]),
        n_batches=len(places),
        n_inputs=int(sizes[places].sum()),
        stimulus_ids=np.concatenate([np.arange(starts[place], starts[place] + sizes[place]) for place in places]),
        batch_sizes=sizes[places],
        draw=draw,
        in_order=in_order,
        readings=Readings(),
    )


def open_source(inputs: Inputs) -> Presentation:
    """Draw the order of the inputs and make them into batches.

    Raises
    ------
    InputsError
        If the data are empty or of no known form, or there are not as many labels as inputs.
    """
    source = _open(inputs)
    if source.n_inputs is not None:
        trial_columns(inputs.labels, [], source.n_inputs)
    return source


def _open(inputs: Inputs) -> Presentation:
    data, any_form = inputs.data, inputs.forward is not None
    refuse_rows_without_tensors(data)
    if lies_in_array(data):
        if isinstance(data, torch.Tensor):
            refuse_nested(data)
        return array_presentation(data, inputs.batch_size)
    if isinstance(data, Dataset) or is_rows(data):
        data = DataLoader(data, batch_size=inputs.batch_size)
    if isinstance(data, DataLoader):
        return loader_presentation(data, any_form=any_form, n_inputs=inputs.n_inputs)
    if isinstance(data, list) and data:
        return _list_source(data, lambda raw: split_batch(raw, any_form=any_form, n_inputs=inputs.n_inputs).n_inputs)
    again: Any = data if callable(data) and not isinstance(data, Iterable) else lambda: data
    if isinstance(data, Iterator):
        again = _once(data)
    elif not isinstance(data, Iterable) and not callable(data):
        raise InputsError(
            f"inputs of type {type(data).__name__} cannot be read batch by batch.",
            "Nothing was recorded.",
            "Give a tensor, an array, a Dataset, a DataLoader, a list of batches or a function that returns one of these.",
        )
    n_batches = length_of(data)
    return Presentation(batches=lambda first: islice(again(), first, None), n_batches=n_batches, readings=Readings())


def _once(batches: Iterator[Any]) -> Callable[[], Iterator[Any]]:
    """Let a generator be read one time."""
    fresh = [batches]

    def begin() -> Iterator[Any]:
        if not fresh:
            raise InputsError(
                "the inputs are a generator, which was read to its end.",
                "They cannot be read a second time, as several passes need.",
                "Give a function without arguments that returns a fresh generator.",
            )
        return fresh.pop()

    return begin


def _list_source(batches: list[Any], size_of: Callable[[Any], int]) -> Presentation:
    """Present a list of batches; those without inputs are left out, see `ann2neo.capture.inputs.batches.read_batches`."""
    sized = [(raw, size) for raw, size in zip(batches, map(size_of, batches)) if size]
    sizes = np.array([size for _, size in sized], np.int64)
    return Presentation(
        batches=lambda first: [raw for raw, _ in sized[first:]],
        n_batches=len(sized),
        n_inputs=int(sizes.sum()),
        batch_sizes=sizes,
    )
