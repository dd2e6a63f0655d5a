"""Code that keeps the precision of what it is given, whatever autocast asks for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Return a context in which operators on ``device`` compute in the type of their inputs."""
    if not torch.amp.is_autocast_available(device.type):  # the meta device, on which networks are counted
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
