"""Measures the peak memory of a call in a new process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import torch

from vrtspike.benchmarking.training_step import Shape, training_step
from vrtspike.errors import ConfigError
from vrtspike.native.allocator import give_freed_memory_back, keep_freed_memory
from vrtspike.profiling.memory import peak_memory_mib


def in_new_process(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``function(*arguments)``, called in a new process, which gets the memory that this one has freed.

    Raises:
        ConfigError: The process was killed, as happens when memory runs out. ``what`` names it in the message.
    """
    give_freed_memory_back()
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise ConfigError(
                f'the process of {what} was killed, probably for lack of memory; use smaller or shorter clips'
            ) from error


def memory_in_new_process(config: Any, shape: Shape, device: torch.device, batches: int = 1) -> float | None:
    """Return the peak memory of one training iteration in MiB: resident on a CPU, allocated on a GPU.

    Args:
        config: A loaded config.
        shape: (B, T, H, W) of a batch.
        device: Where to measure.
        batches: Number of batches whose gradients the iteration accumulates.
    """
    return in_new_process(f'a training iteration on {shape} clips', step_memory, config, shape, str(device), batches)


def step_memory(config: Any, shape: Shape, device: str, batches: int = 1) -> float | None:
    """Return the peak memory of this process after one training iteration. Memory is managed as in the tools."""
    keep_freed_memory()
    where = torch.device(device)
    step = training_step(config, shape, where)
    step()
    for _ in range(1, batches):
        step.accumulate()
    return peak_memory_mib(where)
