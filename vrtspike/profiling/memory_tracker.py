"""Watches what holds the memory of a device: every tensor's storage once, from its first use to its end."""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves

from vrtspike.records.memory import Holder

Change = tuple[int, Holder, int]
"""Nanoseconds since the epoch, a holder, and by how many bytes its memory grows."""


class _Storage:
    """The memory of a tensor and of all its views."""

    __slots__ = ('holder', 'nbytes', 'old', 'reference', 'saves')

    def __init__(self, nbytes: int, holder: Holder, old: bool) -> None:
        self.nbytes = nbytes
        self.holder = holder
        self.old = old
        """Whether it was there before the tracker."""
        self.saves = 0
        """How many operators save it for the backward pass."""
        self.reference: ref | None = None


class _SavedTensor:
    """What autograd keeps in place of a saved tensor. When it dies, the tensor is no longer saved."""

    __slots__ = ('release', 'tensor')

    def __init__(self, tensor: Tensor, release: Callable[[], None]) -> None:
        self.tensor = tensor
        self.release = release

    def __del__(self) -> None:
        self.release()


class MemoryTracker(TorchDispatchMode):
    """Records as :attr:`changes` what the memory of a device's tensors belongs to while it is active.

    Only tensors are seen: memory that an operator allocates and frees inside of itself is not.

    Args:
        device: Of the tensors.
        running: Returns the stage that runs now.
        after_operator: Called after every operator.
    """

    def __init__(
        self, device: torch.device, running: Callable[[], str], after_operator: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self.device = device
        self.running = running
        self.after_operator = after_operator
        self.changes: list[Change] = []
        self.ends = array('q')
        """When each operator ended, as in the changes. What it returns is seen then."""
        self.old_bytes = 0
        """Memory from before the tracker."""
        self.old_ends: list[tuple[int, int]] = []
        """When memory from before the tracker was freed, with minus its bytes."""
        self._storages: dict[int, _Storage] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda packed: packed.tensor)

    def __enter__(self) -> MemoryTracker:
        """Begin to watch. What nobody has registered belongs to 'before'."""
        self.register(Holder('before'), (each for each in gc.get_objects() if issubclass(type(each), Tensor)))
        self._hooks.__enter__()
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._hooks.__exit__(*exception)
        self._storages.clear()  # with the references to storages that are still alive

    def register(self, holder: Holder, values: Iterable[Any]) -> None:
        """Let ``holder`` hold those of some values that are tensors without a holder, before the tracker is active."""
        now = time.time_ns()
        for tensor in self._tensors(values):
            if tensor.untyped_storage()._cdata not in self._storages:
                self.old_bytes += self._add(tensor, holder, now, old=True).nbytes

    def reassign(self, holder: Holder, values: Iterable[Any]) -> None:
        """Let ``holder`` hold those of some values that are tensors from now on."""
        for tensor in self._tensors(values):
            self._give(self._see(tensor, time.time_ns()), holder)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if any(issubclass(each, Tensor) and each not in (Tensor, torch.nn.Parameter) for each in types):
            return NotImplemented  # a wrapper of plain tensors calls again with those
        out = func(*args, **(kwargs or {}))
        now = time.time_ns()
        self.ends.append(now)
        for tensor in self._tensors(tree_leaves(out)):
            self._see(tensor, now)
        self.after_operator()
        return out

    def _tensors(self, values: Iterable[Any]) -> Iterator[Tensor]:
        """Yield the tensors with memory on the device, in place of wrappers the tensors inside."""
        for value in values:
            if not issubclass(type(value), Tensor):
                continue
            if is_traceable_wrapper_subclass(value):
                yield from self._tensors(getattr(value, name) for name in value.__tensor_flatten__()[0])
            elif value.layout == torch.strided and self._is_here(value):
                yield value

    def _is_here(self, tensor: Tensor) -> bool:
        # A fake tensor claims the device, and its storage does not.
        return tensor.device == self.device == tensor.untyped_storage().device

    def _see(self, tensor: Tensor, now: int) -> _Storage:
        """Return the storage of a tensor, which is new unless it is known."""
        found = self._storages.get(tensor.untyped_storage()._cdata)
        if found is None:
            return self._add(tensor, Holder('temporary', self.running()), now, old=False)
        nbytes = tensor.untyped_storage().nbytes()
        if nbytes != found.nbytes:  # resized, as sharded parameters are
            self.changes.append((now, found.holder, nbytes - found.nbytes))
            found.nbytes = nbytes
        return found

    def _add(self, tensor: Tensor, holder: Holder, now: int, *, old: bool) -> _Storage:
        storage = tensor.untyped_storage()
        added = self._storages[storage._cdata] = _Storage(storage.nbytes(), holder, old)
        added.reference = ref(storage, partial(self._die, storage._cdata))
        self.changes.append((now, holder, added.nbytes))
        return added

    def _die(self, key: int, _: object) -> None:
        storage = self._storages.pop(key, None)
        if storage is not None:
            now = time.time_ns()
            self.changes.append((now, storage.holder, -storage.nbytes))
            if storage.old:
                self.old_ends.append((now, -storage.nbytes))

    def _give(self, storage: _Storage, holder: Holder) -> None:
        if storage.holder != holder:
            now = time.time_ns()
            self.changes += [(now, storage.holder, -storage.nbytes), (now, holder, storage.nbytes)]
            storage.holder = holder

    def _pack(self, tensor: Tensor) -> _SavedTensor:
        with suppress(StopIteration):
            storage = self._see(next(self._tensors([tensor])), time.time_ns())
            storage.saves += 1
            if storage.holder.kind == 'temporary':
                self._give(storage, Holder('saved', self.running()))
            return _SavedTensor(tensor, partial(self._release, storage))
        return _SavedTensor(tensor, lambda: None)

    def _release(self, storage: _Storage) -> None:
        """Record that an operator no longer saves a storage."""
        storage.saves -= 1
        if not storage.saves and storage.holder.kind == 'saved':
            self._give(storage, Holder('temporary', storage.holder.stage))
