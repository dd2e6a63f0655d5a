"""The self-ensemble: a clip restored in its eight reflections and rotations, and their mean."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from torch import Tensor


def with_reflections(network: Callable[[Tensor, Tensor | None], Tensor]) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Return a network that restores all eight reflections and rotations of what it is given, and takes their mean."""

    def run(blur: Tensor, spikes: Tensor | None) -> Tensor:
        total = None
        for reflection in itertools.product((False, True), repeat=3):
            restored = network(reflected(blur, *reflection), None if spikes is None else reflected(spikes, *reflection))
            restored = restored_order(restored.float(), *reflection)
            total = restored if total is None else total + restored
        return total / 8

    return run


def reflected(maps: Tensor, vertical: bool, horizontal: bool, transpose: bool) -> Tensor:
    """Return (..., H, W) flipped, then transposed."""
    flipped = maps.flip([axis for axis, wanted in ((-2, vertical), (-1, horizontal)) if wanted])
    return flipped.transpose(-2, -1) if transpose else flipped


def restored_order(maps: Tensor, vertical: bool, horizontal: bool, transpose: bool) -> Tensor:
    """Undo :func:`reflected`."""
    upright = maps.transpose(-2, -1) if transpose else maps
    return upright.flip([axis for axis, wanted in ((-2, vertical), (-1, horizontal)) if wanted])
