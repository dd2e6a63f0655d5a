"""MMEngine's optimizer wrapper, without its wait for the GPU at every step."""

from __future__ import annotations

from collections import deque
from typing import Any

from mmengine.optim import OptimWrapper as MMEngineOptimWrapper
from torch.optim import Optimizer

from vrtspike.optim.merged_groups import merged_groups
from vrtspike.registry import OPTIM_WRAPPERS
from vrtspike.runtime.distributed import gather
from vrtspike.runtime.readback import Readback


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(MMEngineOptimWrapper):
    """Steps, clips and accumulates as MMEngine's ``OptimWrapper``, whose arguments it takes.

    MMEngine reads the norm of the gradient, for the log, before the optimizer steps. Here the log has each norm as soon
    as the device has computed it: on a GPU one step late.
    """

    def __init__(self, optimizer: Optimizer, accumulative_counts: int = 1, clip_grad: dict | None = None) -> None:
        super().__init__(optimizer, accumulative_counts, clip_grad)
        self._norms: deque[Readback] = deque()

    def step(self, **kwargs: Any) -> None:
        """Clip and step. Groups with the same settings are updated together."""
        if self.clip_grad_kwargs:
            self._clip_grad()
        with merged_groups(self.optimizer):
            self.optimizer.step(**kwargs)

    def _clip_grad(self) -> None:
        """Clip the gradients and log their norm."""
        parameters = [each for group in self.optimizer.param_groups for each in group['params']]
        parameters = [each for each in parameters if each.requires_grad and each.grad is not None]
        if not parameters:
            return
        norm = self.clip_func(parameters, **self.clip_grad_kwargs)
        if norm is not None:  # clip_grad_value_ has none
            self._norms.append(Readback(gather(norm)))
        while self._norms and self._norms[0].ready():
            self.message_hub.update_scalar(f'train/{self.grad_name}', self._norms.popleft().values())
