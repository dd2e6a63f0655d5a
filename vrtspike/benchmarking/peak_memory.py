"""Measures the peak memory of a training step in a new process."""

from __future__ import annotations

import gc
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import torch

from vrtspike.benchmarking.training_step import Shape, training_step
from vrtspike.errors import ConfigError
from vrtspike.native.allocator import give_freed_memory_back, keep_freed_memory
from vrtspike.profiling.memory import peak_memory_mib


def release_freed_memory() -> None:
    """Return freed memory of the host and the GPU to the system, so that another process can use it."""
    gc.collect()
    torch.cuda.empty_cache()
    give_freed_memory_back()


def memory_in_new_process(config: Any, shape: Shape, device: torch.device, batches: int = 1) -> float | None:
    """Return the peak memory of one training step in MiB: resident on a CPU, allocated on a GPU.

    Args:
        config: A loaded config.
        shape: (B, T, H, W) of a batch.
        device: Where to measure.
        batches: Number of batches whose gradients the step accumulates.

    Raises:
        ConfigError: The process was killed, as happens when memory runs out.
    """
    release_freed_memory()
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        try:
            return pool.submit(step_memory, config, shape, str(device), batches).result()
        except BrokenProcessPool as error:
            raise ConfigError(
                f'the process of a training step on {shape} clips was killed, probably for lack of memory; use a '
                'smaller --shape'
            ) from error


def step_memory(config: Any, shape: Shape, device: str, batches: int = 1) -> float | None:
    """Return the peak memory of this process after one training step. Memory is managed as in the tools."""
    keep_freed_memory()
    step = training_step(config, shape, torch.device(device))
    step()
    for _ in range(1, batches):
        step.accumulate()
    return peak_memory_mib()
