"""Samplers: what draws the order of a loader, and by what it is known again."""

from __future__ import annotations

import hashlib
import numbers
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from ann2neo.capture.inputs import Presentation, draws_at_random, n_draws
from ann2neo.probe.state import borrowed_of, random_states_kept

# What decides, beside a seed, which orders the samplers of torch draw.
SETTINGS = {
    RandomSampler: ("replacement",),
    WeightedRandomSampler: ("weights", "replacement"),
    SubsetRandomSampler: ("indices",),
}
# Characters of a fact of the identity; a longer one is told by its check sum.
LONGEST = 200
DEFAULTS = {RandomSampler: {"replacement": False}, WeightedRandomSampler: {"replacement": True}}


def drawing_of(data: Any, source: Presentation, written: Callable[[Any], str]) -> str | None:
    """Describe what draws the order of a loader, with the seeds of its own generators and, of what draws at random, its settings; None where the inputs come in the data set's order.

    What a sampler may draw counts, not what it drew: the inputs of `source` may lie in the order of a store already.

    Parameters
    ----------
    data
        What the user gave as inputs.
    source
        The same, batch by batch, in any order.
    written
        Writes a setting down in a line that is the same for the same setting.

    Examples
    --------
    >>> from ann2neo.capture.inputs import as_inputs, open_source
    >>> def of(data):
    ...     return drawing_of(data, open_source(as_inputs(data)), str)
    >>> generator = torch.Generator().manual_seed(5)
    >>> of(torch.zeros(9)), of(DataLoader(range(9), 3)), of(DataLoader(range(9), 3, shuffle=True, generator=generator))
    (None, None, 'RandomSampler, seed 5')
    >>> of(DataLoader(range(2), sampler=SubsetRandomSampler([0, 1], generator)))
    'SubsetRandomSampler, seed 5, indices [0 1]'
    """
    if not isinstance(data, DataLoader) or source.stimulus_ids is None:
        return None
    sampler, ids = sampler_of(data), source.stimulus_ids
    seeds = [f"seed {seed}" for seed in map(_seed_of, borrowed_of(data).generators) if seed is not None]
    with _attributes_kept(sampler):
        at_random = type(sampler) in SETTINGS or (type(sampler) is not SequentialSampler and draws_at_random(source))
        if not at_random and np.array_equal(ids, np.arange(ids.size)):
            return None
        settings = _settings(sampler, source, written, seeded=bool(seeds)) if at_random else {}
    told = ", ".join(f"{name} {value}" for name, value in settings.items())
    if len(told) > LONGEST:
        told = f"settings {hashlib.sha256(told.encode()).hexdigest()[:16]}"
    return ", ".join([type(sampler).__qualname__, *dict.fromkeys(seeds), *filter(None, [told])])


def sampler_of(loader: DataLoader) -> Any:
    """Find what draws the order of a loader, within what only cuts it into batches.

    Examples
    --------
    >>> type(sampler_of(DataLoader(range(9), batch_sampler=BatchSampler(RandomSampler(range(9)), 3, False)))).__name__
    'RandomSampler'
    """
    sampler: Any = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    while type(sampler) is BatchSampler:
        sampler = sampler.sampler
    return sampler


def _settings(sampler: Any, source: Presentation, written: Callable[[Any], str], *, seeded: bool) -> Mapping[str, str]:
    """Write down what decides which orders are drawn; of other samplers than torch's, all plain values that do not change with a draw."""
    if type(sampler) not in SETTINGS:
        return _constant(sampler, source, written)
    # Without a seed any order of the same indices is as likely; which they are is compared.
    names = () if type(sampler) is SubsetRandomSampler and not seeded else SETTINGS[type(sampler)]
    usual = DEFAULTS.get(type(sampler), {})
    found = {name: getattr(sampler, name) for name in names}
    if "indices" in found:
        found["indices"] = np.array([int(index) for index in found["indices"]])
    return {name: written(value) for name, value in found.items() if name not in usual or value != usual[name]}


def _constant(sampler: Any, source: Presentation, written: Callable[[Any], str]) -> Mapping[str, str]:
    found = _plain(sampler, written)
    n_inputs = 0 if source.stimulus_ids is None else source.stimulus_ids.size
    if source.draw is None:
        return found
    with random_states_kept():
        for _ in range(n_draws(n_inputs)):
            source.draw()
            now = _plain(sampler, written)
            found = {name: value for name, value in found.items() if now.get(name) == value}
    return found


def _plain(sampler: Any, written: Callable[[Any], str]) -> dict[str, str]:
    """Write down the attributes of a sampler, and of samplers within it, that are numbers, text, arrays, or collections of these."""
    return {
        path + name: written(value)
        for path, one in _samplers(sampler)
        for name, value in sorted(vars(one).items())
        if _is_plain(value)
    }


def _samplers(sampler: Any) -> list[tuple[str, Any]]:
    """List a sampler and the samplers that it holds, each with the path of its attributes."""
    found: list[tuple[str, Any]] = []
    waiting = [("", sampler)]
    while waiting:
        path, one = waiting.pop()
        if hasattr(one, "__dict__") and all(one is not other for _, other in found):
            found.append((path, one))
            waiting += [(f"{path}{name}.", value) for name, value in vars(one).items() if isinstance(value, Sampler)]
    return found


@contextmanager
def _attributes_kept(sampler: Any) -> Iterator[None]:
    """Restore what a sampler counts, such as epochs, after draws that nothing is recorded of."""
    before = [(one, dict(vars(one))) for _, one in _samplers(sampler)]
    try:
        yield
    finally:
        for one, attributes in before:
            vars(one).clear()
            vars(one).update(attributes)


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind != "O"
    return value is None or isinstance(value, (numbers.Number, str, range, torch.Tensor))


def _seed_of(generator: Any) -> Any:
    """Find the seed with which a generator began, where it still tells."""
    if isinstance(generator, torch.Generator):
        return generator.initial_seed()
    if isinstance(generator, np.random.Generator):
        entropy = getattr(getattr(generator.bit_generator, "seed_seq", None), "entropy", None)
        # One that was not given has 128 bits and is another one in each process.
        return entropy if isinstance(entropy, int) and entropy < 1 << 64 else None
    return None
