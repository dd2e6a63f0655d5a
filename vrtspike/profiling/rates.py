"""Measures the rates of a device that define its roofline (see :mod:`vrtspike.records.roofline`).

They are measured once per device and kept in the user's cache folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress

import msgspec
import torch

from vrtspike.errors import VrtSpikeError
from vrtspike.profiling.memory import left_out_of_peak
from vrtspike.records.stage_costs import Rates
from vrtspike.runtime.atomic_write import write_text
from vrtspike.runtime.device import MIB, cache_folder, call_seconds, free_memory
from vrtspike.runtime.environment import describe_device

MATRIX_SIZE = {'cpu': 1536, 'cuda': 8192}
COPY_MIB = {'cpu': 128, 'cuda': 1024}
REPETITIONS = 7
SHARE_OF_FREE_MEMORY = 1 / 4
"""Of the free memory, what a measurement may take."""
CACHE = 'rates.json'


def device_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Return the rates of ``device`` for ``dtype``, from the cache if they were measured before.

    The measurement takes about a second, and at most a quarter of the free memory, so take it before a training begins.
    The cache has one entry per device, number of threads, dtype, precision of float32 products and version of torch.
    """
    precision = [torch.get_float32_matmul_precision()] if torch.backends.cuda.matmul.allow_tf32 else []
    key = ' | '.join(map(str, [*describe_device(device).values(), dtype, *precision, torch.__version__]))
    cached = _read_cache()
    if key not in cached:
        cached[key] = measure_rates(device, dtype)
        with suppress(OSError, VrtSpikeError):  # without a cache folder, the rates are measured every time
            write_text(cache_folder() / CACHE, json.dumps(msgspec.to_builtins(cached), indent=2) + '\n')
    return cached[key]


def measure_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Measure the rates of ``device``: the best of several repetitions, because disturbances only slow it down.

    Where memory is short, the matrices and the copy are smaller.
    """
    allowed = int(free_memory(device) * SHARE_OF_FREE_MEMORY)
    with left_out_of_peak(device):
        return Rates(_gmacs_per_s(device, dtype, allowed), _gib_per_s(device, allowed))


def _gmacs_per_s(device: torch.device, dtype: torch.dtype, allowed: int) -> float:
    """Return the rate of a product of two square matrices; all three take at most ``allowed`` bytes."""
    n = min(MATRIX_SIZE[device.type], math.isqrt(allowed // (3 * dtype.itemsize)))
    left, right = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(left)
    return n**3 / _best_seconds(lambda: torch.matmul(left, right, out=product), device) / 1e9


def _gib_per_s(device: torch.device, allowed: int) -> float:
    """Return the bytes that a copy reads and writes per second; both sides take at most ``allowed`` bytes."""
    source = torch.zeros(min(COPY_MIB[device.type] * MIB, allowed // 2), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / _best_seconds(lambda: target.copy_(source), device) / 2**30


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    return min(call_seconds(work, device) for _ in range(REPETITIONS))


def _read_cache() -> dict[str, Rates]:
    """Return the cache. A damaged file counts as empty, because everything in it can be measured again."""
    try:
        return msgspec.json.decode((cache_folder() / CACHE).read_bytes(), type=dict[str, Rates])
    except (OSError, ValueError, VrtSpikeError, msgspec.MsgspecError):
        return {}
