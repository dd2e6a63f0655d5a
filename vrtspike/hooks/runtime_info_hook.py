"""Hands the losses to the log without waiting for the GPU."""

from __future__ import annotations

from collections import deque

from mmengine.hooks import LoggerHook
from mmengine.hooks import RuntimeInfoHook as MMEngineRuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor

from vrtspike.registry import HOOKS
from vrtspike.runtime.readback import Readback


@HOOKS.register_module()
class RuntimeInfoHook(MMEngineRuntimeInfoHook):
    """Replaces MMEngine's hook of this name, which every training has.

    MMEngine reads the losses after every iteration. Here they are read when the GPU has computed them, in their order,
    and all of them in iterations that are logged and after the last one. On a CPU nothing is different.
    """

    def __init__(self) -> None:
        super().__init__()
        self._unread: deque[dict[str, Readback | float]] = deque()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Pass on what can be read by now."""
        if outputs:
            items = outputs.items()
            self._unread.append({key: Readback(value) if isinstance(value, Tensor) else value for key, value in items})
        loggers = (hook for hook in runner.hooks if isinstance(hook, LoggerHook))
        logged = any(self.every_n_train_iters(runner, logger.interval) for logger in loggers)
        self._pass_on(runner, all_of_them=logged or self.is_last_train_iter(runner))

    def before_val(self, runner: Runner) -> None:
        """Pass on the losses so far, because a validation may end in a checkpoint."""
        self._pass_on(runner, all_of_them=True)
        super().before_val(runner)

    def _pass_on(self, runner: Runner, all_of_them: bool) -> None:
        while self._unread and (all_of_them or all(map(_is_ready, self._unread[0].values()))):
            for key, value in self._unread.popleft().items():
                value = value.values() if isinstance(value, Readback) else value
                runner.message_hub.update_scalar(f'train/{key}', value)


def _is_ready(value: Readback | float) -> bool:
    return not isinstance(value, Readback) or value.ready()
