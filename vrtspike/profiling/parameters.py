"""Counts the parameters of a network."""

from __future__ import annotations

from torch import nn


def count_parameters(model: nn.Module, trainable: bool = False) -> int:
    """Return the number of parameters, or only of the trainable ones."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)
