"""Computing in the precision of the inputs, even under autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from vrtspike.errors import ConfigError, did_you_mean
from vrtspike.ops.fused_attention import computes_in
from vrtspike.runtime.device import fuses_by_hand

FLOW_PRECISIONS = ('float32', 'autocast')


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Return a context in which operators on ``device`` compute in the type of their inputs."""
    if not torch.amp.is_autocast_available(device.type):  # the meta device, used for counting
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def check_flow_precision(name: str) -> None:
    """Raise :class:`ConfigError` unless ``name`` is one of :data:`FLOW_PRECISIONS`."""
    if name not in FLOW_PRECISIONS:
        raise ConfigError(f'VRT: flow_precision={name!r}{did_you_mean(name, FLOW_PRECISIONS)}')


def in_computed_type(x: Tensor) -> Tensor:
    """Return a map that convolutions or linear layers will take; on GPUs in the type that they cast it to."""
    return x.to(computes_in(x)) if fuses_by_hand(x) else x
