"""How many samples a batch of any kind holds."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def batch_size(batch: Any) -> tuple[int, int]:
    """Return the numbers of clips and frames in a batch; anything but a clip counts as a clip of one frame.

    A batch is one field, or a list, a tuple or a dict of fields; the first field that has a length decides.
    """
    blur = batch.get('blur') if isinstance(batch, dict) else None
    if isinstance(blur, Tensor) and blur.ndim == 5:
        return blur.shape[0], blur.shape[0] * blur.shape[1]
    fields = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, (list, tuple)) else [batch]
    length = next(filter(None, map(_length, fields)), 1)
    return length, length


def _length(field: Any) -> int | None:
    """Return the length of a field: of a tensor's first axis, of a list, or of the first field inside a dict."""
    if isinstance(field, dict):
        return next(filter(None, map(_length, field.values())), None)
    if isinstance(field, Tensor):
        return len(field) if field.ndim else None
    return len(field) if isinstance(field, (list, tuple)) else None
