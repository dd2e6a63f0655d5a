"""Losses, one module each (registry ``MODELS``)."""

from vrtspike.models.losses.charbonnier import CharbonnierLoss
from vrtspike.models.losses.perceptual import PerceptualLoss, SumLoss

__all__ = ['CharbonnierLoss', 'PerceptualLoss', 'SumLoss']
