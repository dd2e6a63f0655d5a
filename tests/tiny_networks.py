"""Tiny networks and trainings that several tests build."""

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

TRAINING = {
    'model.spike_encoder.channels': 8,
    'train_dataloader.batch_size': 1,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.dataset.pipeline.0.size': 16,
}
"""Overrides that make a training take seconds."""

LITE_TRAINING = TRAINING | {
    'model.backbone.embed_dims': [8] * 7,
    'model.backbone.depths': [0] * 7,
    'model.fusion_stages': [1],
    'train_dataloader.dataset.clip_len': 3,
    'val_dataloader.dataset.clip_len': 3,
    'val_dataloader.dataset.stride': 3,
    'default_hooks.logger.interval': 1,
    'log_processor.window_size': 1,
}
"""Overrides of configs/vrt_spike_lite.py on clips of three frames: an iteration takes a moment."""


def awake(model):
    """Give the layers that begin at or near zero larger weights, so that every part matters."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3)
        elif isinstance(module, (nn.Conv2d, nn.Conv3d)) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.05)
    return model
