"""A module that judges or teaches a network without being part of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class Outside(nn.Module):
    """Holds a frozen module that follows to devices and precisions, but is neither trained nor saved.

    Args:
        module: Frozen and set to evaluation, for good.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._held = (module.eval().requires_grad_(False),)  # a tuple hides it from parameters and state dicts

    @property
    def module(self) -> nn.Module:
        """The module itself."""
        return self._held[0]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module."""
        return self.module(*args, **kwargs)

    def __deepcopy__(self, memo: dict) -> Outside:
        return Outside(self.module)  # averaged copies of a network share what it holds

    def _apply(self, fn: Callable, recurse: bool = True) -> nn.Module:
        self.module._apply(fn)
        return super()._apply(fn, recurse)
