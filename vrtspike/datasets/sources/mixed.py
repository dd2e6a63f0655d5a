"""Several data sets as one."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import replace
from typing import Any

from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.errors import ConfigError
from vrtspike.registry import CLIP_SOURCES


@CLIP_SOURCES.register_module()
class MixedClips:
    """The clips of several sources, such as some with sharp frames and some without.

    Clips with and without sharp frames train together with :class:`~vrtspike.models.losses.ReblurLoss`. A sequence's
    name begins with the index of its source.

    Args:
        sources: Sources of CLIP_SOURCES or their configs.
        val: Indices of the sources with the validation clips.
    """

    parts = {'sources': CLIP_SOURCES}  # noqa: RUF012 - read by the config's validation

    def __init__(self, sources: SequenceOf[Any], val: SequenceOf[int] = (0,)) -> None:
        if not sources or not all(i in range(len(sources)) for i in val):
            raise ConfigError(f'MixedClips got {len(sources)} sources and val={list(val)}, expected indices of sources')
        self.sources = [CLIP_SOURCES.build(source) if isinstance(source, dict) else source for source in sources]
        self.val = tuple(val)

    def sequences(self, split: str) -> list[Sequence]:
        """Return the sequences of ``'train'`` or ``'val'``, source by source."""
        chosen = self.val if split == 'val' else range(len(self.sources))
        return [
            replace(sequence, name=f'{i}/{sequence.name}')
            for i in chosen
            for sequence in self.sources[i].sequences(split)
        ]
