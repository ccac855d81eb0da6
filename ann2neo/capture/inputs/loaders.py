"""What goes wrong while a loader is read: items that cannot be put together, and more batches than it says it has."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from ann2neo.errors import Ann2NeoWarning, InputsError

COLLATE = "_utils/collate.py"
# A sampler without a length is told after this number of draws, and this multiple of the number of inputs.
MANY, TIMES = 1_000_000, 10
CURES = {
    "NoneType": "Leave out what could not be read: torch.utils.data.Subset(data, [k for k in range(len(data)) if data[k] is not None]); or, where it is the label that is None, "
    "give the inputs alone: DataLoader(data, batch_size=64, collate_fn=lambda items: torch.utils.data.default_collate([one[0] for one in items])).",
    "PIL.": "Let the data set give tensors: torchvision.transforms.ToTensor() as its transform, or torch.as_tensor(numpy.array(image)).permute(2, 0, 1) / 255 of an image with channels.",
    "equal size": "Pad them: DataLoader(data, batch_size=64, collate_fn=lambda items: torch.nn.utils.rnn.pad_sequence(items, batch_first=True)), and say how many steps each has, "
    "steps=Steps(1, lengths=[...]); or give one input a batch, DataLoader(data, batch_size=1).",
}
CURE = "Let the data set give tensors, arrays, numbers, or mappings and tuples of these; or say how they are put together: DataLoader(data, collate_fn=...)."


def batches_told(batches: Iterable[Any], data: Any) -> Iterator[Any]:
    """Yield batches, warn once if there are more than a loader says, and explain why items cannot be put together.

    Raises
    ------
    InputsError
        If torch's own function, which puts items together, fails.
    """
    most = declared_batches(data)
    try:
        for number, batch in enumerate(batches):
            if most is not None and number == most:
                _warn_of_more(data, most)
            yield batch
    except (TypeError, AttributeError, RuntimeError) as error:
        if _is_of_collation(error):
            raise _of_items(error) from error
        raise


def length_of(data: Any) -> int | None:
    """Return how many entries something says that it has; None where it does not say, as data sets that chain others without a length, or cannot say before it is iterated.

    Examples
    --------
    >>> length_of([4, 5]), length_of(iter([4, 5]))
    (2, None)
    """
    try:
        return len(data)
    # Whatever the length of others raises here.
    except Exception:
        return None


def declared_batches(data: Any) -> int | None:
    """Find how many batches a loader of an iterable data set says that it has at most; None if it does not say.

    Examples
    --------
    >>> declared_batches(DataLoader([1, 2, 3], batch_size=2)) is None
    True
    """
    if not isinstance(data, DataLoader) or not isinstance(data.dataset, IterableDataset):
        return None
    n_inputs, size = length_of(data.dataset), data.batch_size or 1
    if n_inputs is None:
        return None
    # Each worker has a last batch of its own.
    return -(-n_inputs // size) + max(0, data.num_workers - 1)


def warn_of_endless(sampler: Any, dataset: Any, n_drawn: int) -> bool:
    """Warn if a sampler draws far more than it says or, where it does not say, than there is; return whether it was told."""
    said = length_of(sampler)
    most = max(MANY, TIMES * len(dataset)) if said is None else 2 * said + 1
    if n_drawn < most:
        return False
    known = f"the data set has {len(dataset)} inputs" if said is None else f"its length is {said}"
    text = (
        f"{type(sampler).__name__} has drawn {n_drawn} times, though {known}; it may never end.\n"
        "The order of all inputs is drawn before the first one is recorded.\n"
        "Stop (Ctrl-C) and give a sampler that ends: torch.utils.data.RandomSampler(data, num_samples=1000)."
    )
    warnings.warn(Ann2NeoWarning(text), stacklevel=2)
    return True


def _warn_of_more(data: DataLoader, most: int) -> None:
    text = (
        f"the DataLoader gives more than {most} batches, although its {type(data.dataset).__name__} says that it has {len(data.dataset)} inputs; it may never end.\n"  # pyright: ignore[reportArgumentType]
        "All of them are recorded, for as long as they come.\n"
        "If it is endless, stop (Ctrl-C) and cut it: lambda: itertools.islice(loader, 100) in place of the loader."
    )
    warnings.warn(Ann2NeoWarning(text), stacklevel=3)


def _is_of_collation(error: Exception) -> bool:
    """Whether torch's own function that puts items together failed; of a worker there is only the text of its traceback."""
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return COLLATE in str(error) or any(Path(file).as_posix().endswith(COLLATE) for file in files)


def _of_items(error: Exception) -> InputsError:
    text = str(error).strip().splitlines()[-1]
    return InputsError(
        f"items of the data set cannot be put together to a batch: {text}",
        "There is no batch that the model could be called with.",
        next((cure for key, cure in CURES.items() if key in text), CURE),
    )
