"""A wrapper for frozen modules, such as a teacher, that are not part of the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class FrozenModule(nn.Module):
    """Wraps a frozen module that follows its owner to devices and precisions, but is neither trained nor saved.

    Args:
        module: The module. It is frozen and stays in evaluation mode.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._hidden = (module.eval().requires_grad_(False),)  # a tuple hides it from parameters and state dicts

    @property
    def module(self) -> nn.Module:
        """The wrapped module."""
        return self._hidden[0]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module."""
        return self.module(*args, **kwargs)

    def __deepcopy__(self, memo: dict) -> FrozenModule:
        return FrozenModule(self.module)  # averaged copies of a network share the frozen module

    def _apply(self, fn: Callable, recurse: bool = True) -> nn.Module:
        self.module._apply(fn)
        return super()._apply(fn, recurse)
