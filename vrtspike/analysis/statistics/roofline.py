"""Which stages are slow because they are big, and which because they are inefficient.

A stage's forward pass cannot be faster than its arithmetic at the device's measured rate of matrix products, nor than
its reads and writes at the measured bandwidth of copies. What share of the measured time the larger of both explains is
the stage's efficiency. Bytes are those of single operators: fused kernels and caches move fewer, so where memory
bounds, the efficiency is an upper estimate and may exceed 1.
"""

from __future__ import annotations

from typing import Any

from vrtspike.analysis.logs import RunLog
from vrtspike.analysis.statistics.table import Table

BIG_FROM = 0.5
INEFFICIENT_BELOW = 0.25


def roofline(log: RunLog, costs: Table) -> dict[str, dict[str, Any]]:
    """Return the report's ``roofline`` by stage: empty where the log has no costs or rates."""
    counted, rates = log.describe('costs') or {}, log.describe('rates') or {}
    clips = costs.mean('clips')
    if not counted or not clips or not rates.get('gmacs_per_s') or not rates.get('gib_per_s'):
        return {}
    found = {}
    for stage in log.stages():
        forward_ms = costs.mean(f'stages/{stage}/forward_ms')
        if forward_ms and counted.get(stage, {}).get('gmacs'):
            found[stage] = verdict(_of_batch(counted[stage], clips, log), forward_ms, rates)
    return found


def _of_batch(counted: dict[str, float], clips: float, log: RunLog) -> tuple[float, float]:
    """Return GMAC and MiB of a batch; bytes are counted at four a value, of which 16-bit training moves two."""
    width = 1.0 if log.describe('precision', 'float32') == 'float32' else 0.5
    return counted.get('gmacs', 0.0) * clips, counted.get('mib', 0.0) * clips * width


def verdict(work: tuple[float, float], forward_ms: float, rates: dict[str, float]) -> dict[str, Any]:
    """Return what bounds a stage and how much of its time that explains.

    Args:
        work: GMAC and MiB of its forward pass.
        forward_ms: Measured.
        rates: ``gmacs_per_s`` and ``gib_per_s`` of the device.
    """
    gmacs, mib = work
    compute_ms = gmacs / rates['gmacs_per_s'] * 1e3
    memory_ms = mib / 1024 / rates['gib_per_s'] * 1e3
    efficiency = max(compute_ms, memory_ms) / forward_ms
    return {
        'gmacs': gmacs,
        'mib': mib,
        'gmacs_per_s': gmacs / forward_ms * 1e3,
        'macs_per_byte': gmacs * 1e9 / (mib * 2**20) if mib else None,
        'compute_ms': compute_ms,
        'memory_ms': memory_ms,
        'bound': 'compute' if compute_ms >= memory_ms else 'memory',
        'efficiency': efficiency,
        'verdict': 'big' if efficiency >= BIG_FROM else 'inefficient' if efficiency < INEFFICIENT_BELOW else 'between',
    }
