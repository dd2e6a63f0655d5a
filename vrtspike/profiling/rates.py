"""Measures the rates of a device that define its roofline (see :mod:`vrtspike.records.roofline`).

They are measured once per device and kept in the user's cache folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import msgspec
import torch

from vrtspike.errors import VrtSpikeError
from vrtspike.records.stage_costs import Rates
from vrtspike.runtime.atomic_write import write_text
from vrtspike.runtime.device import MIB, cache_folder, call_seconds
from vrtspike.runtime.environment import describe_device

MATRIX_SIZE = {'cpu': 1536, 'cuda': 8192}
COPY_MIB = {'cpu': 128, 'cuda': 1024}
REPETITIONS = 7
CACHE = 'rates.json'


def device_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Return the rates of ``device`` for ``dtype``, from the cache if they were measured before.

    The measurement takes about a second. The cache has one entry per device, number of threads, dtype and version of
    torch.
    """
    key = ' | '.join(map(str, [*describe_device(device).values(), dtype, torch.__version__]))
    cached = _read_cache()
    if key not in cached:
        cached[key] = measure_rates(device, dtype)
        with suppress(OSError, VrtSpikeError):  # without a cache folder, the rates are measured every time
            write_text(cache_folder() / CACHE, json.dumps(msgspec.to_builtins(cached), indent=2) + '\n')
    return cached[key]


def measure_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Measure the rates of ``device``: the best of several repetitions, because disturbances only slow it down."""
    n = MATRIX_SIZE[device.type]
    left, right = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    source = torch.zeros(COPY_MIB[device.type] * MIB, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product_s = _best_seconds(lambda: left @ right, device)
    copy_s = _best_seconds(lambda: target.copy_(source), device)
    return Rates(n**3 / product_s / 1e9, 2 * source.numel() / copy_s / 2**30)


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    return min(call_seconds(work, device) for _ in range(REPETITIONS))


def _read_cache() -> dict[str, Rates]:
    """Return the cache. A damaged file counts as empty, because everything in it can be measured again."""
    try:
        return msgspec.json.decode((cache_folder() / CACHE).read_bytes(), type=dict[str, Rates])
    except (OSError, ValueError, VrtSpikeError, msgspec.MsgspecError):
        return {}
