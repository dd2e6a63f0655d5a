"""Records of what holds the memory in one training iteration: the lines of ``memory.jsonl``.

``vrtspike/records/memory.schema.json`` describes the same lines for other programs.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from vrtspike.records.stage_costs import Amount, Natural

FILE_NAME = 'memory.jsonl'
"""The file of rank 0 in the folder of a run."""

KINDS = {
    'parameters': 'parameters and buffers',
    'optimizer': 'optimizer state',
    'gradients': 'gradients of parameters',
    'batch': 'batch',
    'before': 'other tensors from before the iteration',
    'saved': 'saved activations',
    'temporary': 'other tensors',
    'unseen': 'inside operators',
}
"""What holds memory, with the names in tables. The order is that of the timeline, from the bottom up."""


class Holder(NamedTuple):
    """What a tensor belongs to."""

    kind: str
    """One of KINDS."""
    stage: str | None = None
    """Of saved activations, the stage that saves them; of temporary tensors, the one that made them."""

    @property
    def name(self) -> str:
        """Return the holder in one word, as in 'saved/stage3'."""
        return self.kind if self.stage is None else f'{self.kind}/{self.stage}'


class Holding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one holder has at the peak."""

    kind: Literal[tuple(KINDS)]
    mib: float
    """Negative for 'unseen' if the tensors are larger than what the allocator reports."""
    stage: str | None = None


class MemoryTimeline(msgspec.Struct, frozen=True):
    """The memory of tensors over the iteration, at moments that include the highest of every stretch."""

    ms: list[Amount]
    """Since the iteration began. It is slower than others, because it is watched."""
    running: list[str]
    """The stage that runs at each moment; with a phase, as in 'stage1 backward', if that is not forward."""
    mib: dict[str, list[Amount]]
    """By :attr:`Holder.name`."""


class MemoryLine(msgspec.Struct, kw_only=True, tag_field='kind', tag='memory'):
    """What holds the memory of one process in one iteration."""

    version: Literal[1] = 1
    iteration: Natural
    rank: Natural
    device: str
    """Such as 'cpu' or 'cuda:0'."""
    peak_mib: Amount
    """The allocator's peak in the iteration."""
    peak_in: str
    """What ran at the peak, as in :attr:`MemoryTimeline.running`."""
    peak_ms: Amount
    holdings: list[Holding]
    """At the peak. They sum to ``peak_mib``."""
    timeline: MemoryTimeline
