"""Losses, one module each (registry ``MODELS``)."""

from vrtspike.models.losses.charbonnier import CharbonnierLoss
from vrtspike.models.losses.perceptual import PerceptualLoss, SumLoss
from vrtspike.models.losses.reblur import ReblurLoss

__all__ = ['CharbonnierLoss', 'PerceptualLoss', 'ReblurLoss', 'SumLoss']
