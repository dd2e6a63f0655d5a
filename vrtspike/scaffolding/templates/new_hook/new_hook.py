"""A hook: say here what it does, in one sentence, and where the idea comes from."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from vrtspike.registry import HOOKS


@HOOKS.register_module()
class NewHook(Hook):
    """Logs that training begins.

    Args:
        greeting: The text that is logged.
    """

    def __init__(self, greeting: str = 'Training begins.') -> None:
        self.greeting = greeting

    def before_train(self, runner: Runner) -> None:
        """Log the greeting."""
        runner.logger.info(self.greeting)
