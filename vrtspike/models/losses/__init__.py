"""Losses, one module each (registry ``MODELS``)."""

from vrtspike.models.losses.charbonnier import CharbonnierLoss

__all__ = ['CharbonnierLoss']
