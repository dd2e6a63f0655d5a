"""A hook that logs how much every fusion head changes the RGB features."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vrtspike.errors import ConfigError
from vrtspike.registry import HOOKS
from vrtspike.runtime.distributed import unwrap_model


@HOOKS.register_module()
class FusionStrengthHook(Hook):
    """Logs |head(rgb, spike) - rgb| / |rgb| of every fusion head as ``fusion/<stage>``; at 0, spikes are ignored.

    Norms are over the whole batch. The hook does not change training, and computes nothing between samples.

    Args:
        interval: Iterations between samples, preferably the interval of the logger.

    Raises:
        ConfigError: Before training, if the model has no fusion heads.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._handles: list[RemovableHandle] = []
        self._sampling = False

    def before_train(self, runner: Runner) -> None:
        """Put a hook on every head."""
        model = unwrap_model(runner.model)
        heads = getattr(model, 'fusion', None)
        if not heads:
            raise ConfigError('FusionStrengthHook: the model has no fusion heads; take the hook out of the config')
        self._handles = [head.register_forward_hook(self._watch(runner, name)) for name, head in heads.items()]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Sample every ``interval``-th iteration."""
        self._sampling = self.every_n_train_iters(runner, self.interval)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop sampling, so that validation is not sampled."""
        self._sampling = False

    def after_train(self, runner: Runner) -> None:
        """Remove the hooks from the heads."""
        for handle in self._handles:
            handle.remove()

    def _watch(self, runner: Runner, name: str) -> Any:
        def record(head: nn.Module, inputs: tuple[Tensor, ...], fused: Tensor) -> None:
            if self._sampling:
                rgb = inputs[0].detach().float()
                change = (fused.detach().float() - rgb).norm() / rgb.norm()
                runner.message_hub.update_scalar(f'train/fusion/{name}', change.item())

        return record
