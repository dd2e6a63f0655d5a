"""Tiny networks that several tests build."""

from torch import nn

from vrtspike.testing.sweep import TINY_BACKBONE

TWO_BLOCKS = TINY_BACKBONE | dict(img_size=[4, 16, 16], window_size=[4, 4, 4], depths=[2] * 8)
"""Arguments of a VRT with every part, but hardly any channels."""

TINIER = [
    'model.backbone.embed_dims=[8,8,8,8,8,8,8,8]',
    'model.backbone.depths=[1,1,1,1,1,1,1,1]',
    'model.spike_encoder.channels=8',
]
"""Overrides of configs/vrt_spike_tiny.py."""


def awake(model):
    """Give the layers that begin at or near zero larger weights, so that every part matters."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3)
        elif isinstance(module, (nn.Conv2d, nn.Conv3d)) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.05)
    return model
