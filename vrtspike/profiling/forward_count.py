"""Counts the forward passes of any network while a training runs them: its own inputs, device and mode.

:func:`vrtspike.profiling.flops.count_costs` runs a copy of the network on the meta device, for which it must know what
the network takes. This counter watches one iteration instead. It runs nothing, so it changes no state and draws no
random number, and a network may do what it likes with values.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from vrtspike.profiling.flops import CannotCount, Costs, MacCounter
from vrtspike.profiling.stages import listening


class ForwardCount:
    """Counts what a network computes in its calls inside a ``with`` block, by stage, without what is recomputed.

        with ForwardCount(model) as count:
            model(batch).mean().backward()
        costs = count.costs(clips=len(batch))

    A compiled network runs uncompiled in the block, because a compiled graph hides its operators.

    Args:
        model: Any network. Without marked or named stages, everything belongs to ``other``.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._counter = _Watching(model)
        self._block = ExitStack()
        self._call = ExitStack()

    def __enter__(self) -> ForwardCount:
        if 'torch._dynamo' in sys.modules:
            self._block.enter_context(torch.compiler.set_stance('force_eager'))
        begin = self.model.register_forward_pre_hook(self._begin, prepend=True)
        self._block.callback(begin.remove)
        end = self.model.register_forward_hook(self._end, always_call=True)
        self._block.callback(end.remove)
        return self

    def __exit__(self, *exception: object) -> None:
        self._call.close()
        self._block.close()

    def costs(self, clips: int) -> Costs:
        """Return the counts.

        Args:
            clips: Clips, images or other samples in the batch.

        Raises:
            CannotCount: The network was not called, or an operator could not be counted.
        """
        error = self._counter.error
        if error is not None:
            raise CannotCount(f'{type(error).__name__}: {error}') from error
        if not self._counter.called:
            raise CannotCount(f'nobody called {type(self.model).__name__}, only modules inside of it')
        costs = self._counter.finish()
        costs.clips = clips
        return costs

    def _begin(self, *_: Any) -> None:
        if torch._C._current_graph_task_id() == -1:
            self._counter.called = True
            self._call.enter_context(listening(self._counter))
            self._call.enter_context(self._counter)

    def _end(self, *_: Any) -> None:
        self._call.close()


class _Watching(MacCounter):
    """Counts operators that run anyway, and leaves them alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.called = False
        self.error: Exception | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self.error is None:
            try:
                self.count(func, [*args, *kwargs.values()], out)
            except Exception as error:  # an operator of anyone, on tensors of any kind
                self.error = error
        return out
