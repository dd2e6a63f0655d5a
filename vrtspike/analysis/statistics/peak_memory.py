"""Peak memory of a process, and the stage that needs most."""

from __future__ import annotations

import msgspec

from vrtspike.analysis.logs import RunLog
from vrtspike.analysis.statistics.samples import SampleTable


class PeakMemory(msgspec.Struct, frozen=True):
    """Peak memory of a process, and the stage with the highest peak."""

    peak_mib: float | None
    peak_stage: str | None


def peak_memory(log: RunLog, costs: SampleTable) -> PeakMemory:
    """Return the peak memory of a process, and the stage with the highest peak."""
    peak = costs.highest('memory_mib')
    if peak is None and 'memory_mib' in log.series:
        peak = (log.series['memory_mib'].summary.highest or (None, None))[1]
    peaks = {name: costs.highest(f'stages/{name}/peak_mib') for name in log.stages()}
    peaks = {name: mib for name, mib in peaks.items() if mib is not None}
    return PeakMemory(peak, max(peaks, key=peaks.get) if peaks else None)
