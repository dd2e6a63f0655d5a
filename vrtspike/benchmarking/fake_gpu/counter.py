"""Counts what a training iteration on fake tensors would make a GPU and its host do."""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

import vrtspike
from vrtspike.benchmarking.fake_gpu.kernels import Operation, has_kernel, operation, tensors_of

BLOCK = 512
"""PyTorch's allocator rounds every size up to multiples of this many bytes."""

PACKAGE = vrtspike.__path__[0]
PASSED_BY = tuple(f'{PACKAGE}/{path}' for path in ('benchmarking/fake_gpu/', 'models/layers/linear.py', 'ops/linear/'))
"""Beginnings of paths whose lines do not count: the instrument, and linear layers, whose callers say more."""

OUTSIDE = 'outside of vrtspike'

aten = torch.ops.aten
COPIES = (aten._to_copy.default, aten.copy_.default)


class StepCounter(TorchDispatchMode):
    """Records every operator on the GPU, and what the host should not do between them.

    Args:
        device: The type of device that is counted; all others are the host.
    """

    def __init__(self, device: str = 'cuda') -> None:
        super().__init__()
        self.device = device
        self.live_bytes = 0
        self._sizes: dict[int, weakref.ref] = {}
        self._forward_lines: dict[int, str] = {}
        """The line that made a node of autograd's graph, by the node's number."""
        self.reset()

    def reset(self) -> None:
        """Forget all counts. What is in memory stays there."""
        self.operations: list[Operation] = []
        self._forward_lines.clear()
        self.peak_bytes = self.live_bytes
        self.waits: Counter[str] = Counter()
        """Reads of values that the device has not computed yet, by the line of ours that reads."""
        self.copies: Counter[str] = Counter()
        """Copies between host and device, by the line of ours that copies. None of them need be waited for."""
        self.host_operations: Counter[str] = Counter()
        """Operators on tensors of the host, by name."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func is aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return self._value_of(args[0])
        line = self._line() if func.namespace != 'prim' else OUTSIDE
        out = func(*args, **kwargs)
        arguments, results = tensors_of((args, kwargs)), tensors_of(out)
        for tensor in results:
            self.hold(tensor)
        sides = self._sides(func, arguments, results) if has_kernel(func) else set()
        if sides == {True, False}:
            self.copies[f'{func.overloadpacket.__name__} at {line}'] += 1
        elif sides == {False}:
            self.host_operations[func.overloadpacket.__name__] += 1
        elif sides == {True}:
            found = operation(func, args, kwargs, out)
            if found is not None:
                self.operations.append(found._replace(line=line))
        return out

    def hold(self, tensor: Tensor) -> None:
        """Count a tensor of the device as memory in use, until it is freed."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if not self._is_here(tensor) or key in self._sizes:
            return
        size = -(-storage.nbytes() // BLOCK) * BLOCK

        def freed(_: weakref.ref) -> None:
            self.live_bytes -= size
            del self._sizes[key]

        self._sizes[key] = weakref.ref(storage, freed)
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def _line(self) -> str:
        """Return the line of ours that runs, or whose gradient autograd computes."""
        line, node = _our_line(), torch._C._current_autograd_node()
        if line != OUTSIDE:
            self._forward_lines.setdefault(torch.autograd._get_sequence_nr() - 1, line)  # of the latest node
        elif node is not None:
            line = self._forward_lines.get(node._sequence_nr(), line)
        return line

    def _is_here(self, tensor: Tensor) -> bool:
        return tensor.device.type == self.device

    def _sides(self, func: Any, arguments: list[Tensor], results: list[Tensor]) -> set[bool]:
        """Return whether tensors of a call are on the device (True) and on the host (False).

        A number in a tensor of the host travels with the launch of a kernel: it counts only if it is copied.
        """
        if func not in COPIES:
            arguments = [tensor for tensor in arguments if tensor.ndim or self._is_here(tensor)]
        return {self._is_here(tensor) for tensor in (*arguments, *results)}

    def _value_of(self, tensor: Tensor) -> bool | float | int:
        """Return 1 for the value that only a real run has."""
        if self._is_here(tensor):
            self.waits[_our_line()] += 1
        if tensor.dtype is torch.bool:
            return True
        return 1.0 if tensor.dtype.is_floating_point else 1


def _our_line() -> str:
    """Return the innermost line of this package that is running, outside of :data:`PASSED_BY`."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(PACKAGE) and not path.startswith(PASSED_BY):
            return f'{path[len(PACKAGE) + 1 :]}:{frame.f_lineno}'
        frame = frame.f_back
    return OUTSIDE
