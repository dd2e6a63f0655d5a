"""Averages the logged losses over all processes."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from vrtspike.registry import HOOKS


@HOOKS.register_module()
class MeanLossHook(Hook):
    """Averages the outputs of an iteration over the processes before they are logged.

    MMEngine logs those of the first process alone.
    """

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
