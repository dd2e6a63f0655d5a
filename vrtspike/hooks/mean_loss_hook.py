"""Losses in the log that are the whole batch's, not one process's."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from vrtspike.registry import HOOKS


@HOOKS.register_module()
class MeanLossHook(Hook):
    """Averages what an iteration reports over the processes before anyone logs it; MMEngine logs the first one's."""

    priority = 'HIGHEST'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Replace every scalar tensor of ``outputs`` by its mean."""
        if get_world_size() == 1 or not outputs:
            return
        names = sorted(name for name, value in outputs.items() if isinstance(value, Tensor) and value.numel() == 1)
        means = torch.stack([outputs[name].detach().double().reshape(()) for name in names])
        all_reduce(means, 'mean')
        outputs.update(zip(names, means, strict=True))
