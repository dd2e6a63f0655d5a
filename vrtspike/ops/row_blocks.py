"""How Triton kernels of rows of channels divide the rows among their programs."""

from __future__ import annotations

from typing import NamedTuple


class RowBlock(NamedTuple):
    """What a kernel is compiled for: channels, channels of a block (padded to a power of 2), rows of a block."""

    C: int
    BC: int
    R: int


def row_block(channels: int, numbers: int) -> RowBlock:
    """Return a block of ``numbers`` numbers, a power of 2, or of one row if that has more."""
    padded = 1 << max(channels - 1, 1).bit_length()
    return RowBlock(channels, padded, max(1, numbers // padded))
