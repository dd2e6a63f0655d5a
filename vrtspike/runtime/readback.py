"""Reads values from a GPU without stopping the host."""

from __future__ import annotations

import torch
from torch import Tensor


class Readback:
    """A copy of a small tensor, on its way to the host.

    On a GPU the copy is queued behind the work so far, and the host goes on. :meth:`values` waits for that work alone,
    not for work that was queued later, as ``Tensor.item`` does.

    Args:
        tensor: What to read. Later changes of it are not seen.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._arrived: torch.cuda.Event | None = None
        if tensor.device.type == 'cuda':
            self._copy = pinned_like(tensor).copy_(tensor.detach(), non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(tensor.device))
        else:
            self._copy = tensor.detach().clone()

    def ready(self) -> bool:
        """Return whether :meth:`values` would not wait."""
        return self._arrived is None or self._arrived.query()

    def values(self) -> list[float] | float:
        """Return the values as Python numbers, nested like the tensor."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._copy.tolist()


def pinned_like(tensor: Tensor) -> Tensor:
    """Return an empty tensor on the host, in memory that a GPU can write by itself."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
