"""Self-ensemble: the mean of the results for eight reflections and rotations of a clip."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from torch import Tensor


def with_reflections(network: Callable[[Tensor, Tensor | None], Tensor]) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Return a network that restores all eight reflections and rotations of its input and averages the results."""

    def run(blur: Tensor, spikes: Tensor | None) -> Tensor:
        total = 0
        for reflection in itertools.product((False, True), repeat=3):
            restored = network(reflect(blur, *reflection), None if spikes is None else reflect(spikes, *reflection))
            total = total + undo_reflection(restored.float(), *reflection)
        return total / 8

    return run


def reflect(maps: Tensor, vertical: bool, horizontal: bool, transpose: bool) -> Tensor:
    """Return (..., H, W) flipped, then transposed."""
    flipped = maps.flip([axis for axis, wanted in ((-2, vertical), (-1, horizontal)) if wanted])
    return flipped.transpose(-2, -1) if transpose else flipped


def undo_reflection(maps: Tensor, vertical: bool, horizontal: bool, transpose: bool) -> Tensor:
    """Undo :func:`reflect`."""
    upright = maps.transpose(-2, -1) if transpose else maps
    return upright.flip([axis for axis, wanted in ((-2, vertical), (-1, horizontal)) if wanted])
