"""A few numbers of each batch that leave the device while it goes on, such as predicted classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Int


class Deferred:
    """Numbers on their way from a device: an array as soon as somebody looks at them, for which alone they are waited.

    Parameters
    ----------
    values
        The numbers on their device.

    Examples
    --------
    >>> Deferred(torch.tensor([3, 1]))[1:], np.concatenate([Deferred(torch.tensor([3, 1]))])
    (array([1]), array([3, 1]))
    """

    def __init__(self, values: Int[torch.Tensor, " input"]) -> None:
        self._event: Any = None
        self._values = values.detach()
        if values.is_cuda:
            with torch.cuda.device(values.device):
                self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
                self._values.copy_(values, non_blocking=True)
                self._event = torch.cuda.current_stream().record_event()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._event is not None:
            self._event.synchronize()
            # The pinned memory goes back to where it came from.
            self._values, self._event = self._values.clone(), None
        return np.array(self._values.cpu().numpy(), dtype=dtype, copy=copy)

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.asarray(self)[key]
