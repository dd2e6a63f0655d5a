"""The settings of a config for training on several processes."""

from __future__ import annotations

import torch
from mmengine.config import Config

from vrtspike.config.hooks import hooks_of


def configure_data_parallel(config: Config) -> None:
    """Let MMEngine's data-parallel wrapper work without GPUs and with temporarily frozen parameters."""
    if config.get('runner_type') == 'FlexibleRunner':
        return
    wrapper = dict(config.get('model_wrapper_cfg') or {})
    wrapper.setdefault('type', 'MMDistributedDataParallel')
    wrapper.setdefault('broadcast_buffers', False)
    if config.get('find_unused_parameters') or freezes_parameters(config):
        wrapper.setdefault('find_unused_parameters', True)
    if not torch.cuda.is_available():
        wrapper['device_ids'] = None
    config.model_wrapper_cfg = wrapper


def freezes_parameters(config: Config) -> bool:
    """Return whether a hook of the config freezes parameters."""
    return any(hook.get('type') == 'FreezeHook' for hook in hooks_of(config).values())
