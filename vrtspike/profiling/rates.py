"""The roofline (Williams et al., doi 10.1145/1498765.1498785): the least time that a device needs for a stage's work.

Work of M multiply-accumulates that moves D bytes takes at least max(M / matrix rate, D / copy bandwidth). Both rates
are measured on this device, once, and kept in the user's cache folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from vrtspike.runtime.atomic_write import written_aside
from vrtspike.runtime.device import MIB, cache_folder, call_seconds
from vrtspike.runtime.environment import describe_device

MATRIX_SIZE = {'cpu': 1536, 'cuda': 8192}
COPY_MIB = {'cpu': 128, 'cuda': 1024}
REPETITIONS = 7


@dataclass(frozen=True)
class Rates:
    """What a device reached at its best."""

    gmacs_per_s: float
    """Multiply-accumulates of a large square matrix product, in thousands of millions a second."""
    gib_per_s: float
    """Bytes read and written by a large copy, together."""


@dataclass(frozen=True)
class Bound:
    """The least time for some work, and what sets it."""

    ms: float
    by: str
    """'compute' or 'memory'."""


def bound(macs: float, moved: float, rates: Rates) -> Bound:
    """Return the least time for ``macs`` multiply-accumulates that move ``moved`` bytes."""
    compute, memory = macs / rates.gmacs_per_s / 1e6, moved / rates.gib_per_s / 2**30 * 1e3
    return Bound(compute, 'compute') if compute >= memory else Bound(memory, 'memory')


def device_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Return the rates of ``device`` for ``dtype``, measured here or kept from an earlier run.

    The measurement takes a second. It is kept by device, number of threads, dtype and version of torch.
    """
    path = cache_folder() / 'rates.json'
    key = ' | '.join(map(str, [*describe_device(device).values(), dtype, torch.__version__]))
    kept = _read(path)
    if key not in kept:
        kept[key] = asdict(measure_rates(device, dtype))
        with written_aside(path) as aside:
            aside.write_text(json.dumps(kept, indent=2) + '\n', encoding='utf-8')
    return Rates(**kept[key])


def measure_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Measure the rates of ``device``: the best of several repetitions, since only disturbance makes them worse."""
    n = MATRIX_SIZE[device.type]
    left, right = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    source = torch.zeros(COPY_MIB[device.type] * MIB, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product_s = _best_seconds(lambda: left @ right, device)
    copy_s = _best_seconds(lambda: target.copy_(source), device)
    return Rates(n**3 / product_s / 1e9, 2 * source.numel() / copy_s / 2**30)


def _best_seconds(work: Callable[[], object], device: torch.device) -> float:
    return min(call_seconds(work, device) for _ in range(REPETITIONS))


def _read(path: Path) -> dict[str, dict[str, float]]:
    """Return what the cache holds; a damaged file is as good as none, since everything in it can be measured again."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
