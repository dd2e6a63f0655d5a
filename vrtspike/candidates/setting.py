"""Describes the config and the machine that candidates are chosen for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """The config and the machine that candidates are chosen for.

    The caller fills in the facts about torch and the machine, so that the catalogue needs to import neither.

    Args:
        config: The config as plain dicts.
        objective: What to make faster: a training iteration or restoring.
        device: The type of the device, ``'cpu'`` or ``'cuda'``.
        autocast_dtype: Data type of the device under autocast: ``'bfloat16'``, ``'float16'``, or
            ``'float32'`` where autocast gains nothing.
        has_compiler: Whether there is a C++ compiler, which ``torch.compile`` needs on CPUs.
        cores: How many cores the process may use.
        backbone_defaults: The parameters that the backbone's class accepts, and their defaults.
        shares: Share of the iteration by stage.
        recomputed: The stages that take longest to recompute, the longest first.
    """

    config: Mapping[str, Any]
    objective: Literal['train', 'infer'] = 'train'
    device: str = 'cpu'
    autocast_dtype: str = 'bfloat16'
    has_compiler: bool = True
    cores: int = 1
    backbone_defaults: Mapping[str, Any] = {}
    shares: Mapping[str, float] = {}
    recomputed: Sequence[str] = ()

    @property
    def backbone(self) -> Mapping[str, Any]:
        """The backbone's node of the config."""
        return self.part('backbone')

    @property
    def is_vrt(self) -> bool:
        """Whether the backbone is VRT."""
        return self.backbone.get('type') == 'VRT'

    @property
    def trains(self) -> bool:
        """Whether to make a training iteration faster."""
        return self.objective == 'train'

    def node(self, name: str) -> Mapping[str, Any]:
        """Return a top-level node of the config, empty if there is none."""
        return self.config.get(name) or {}

    def part(self, name: str) -> Mapping[str, Any]:
        """Return the node of a part of the model, empty if the model has none."""
        return self.node('model').get(name) or {}


def groups_of_stage(stage: str, groups: int) -> range:
    """Return the indices of VRT's groups of blocks that form a stage. Stage 8 has the eighth and all further groups."""
    number = int(stage.removeprefix('stage'))
    return range(7, groups) if number == 8 else range(number - 1, number)


def backbone_stages(stages: Sequence[str]) -> list[str]:
    """Return those of stages 1 to 8, in the given order."""
    return [stage for stage in stages if re.fullmatch(r'stage[1-8]', stage)]
