"""How much of the device's peak a run uses (see :mod:`vrtspike.records.utilisation`)."""

from __future__ import annotations

import msgspec

from vrtspike.analysis.logs import RunLog
from vrtspike.analysis.statistics.samples import SampleTable, Statistics
from vrtspike.records.nominal_peaks import NominalPeak
from vrtspike.records.stage_costs import PHASE_KEYS, Utilisation
from vrtspike.records.utilisation import utilisation, work_of


class RunUtilisation(msgspec.Struct, frozen=True, kw_only=True):
    """Fractions of the measured peak in the iterations of a run whose clips have the counted shape."""

    mfu: Statistics
    hfu: Statistics | None
    """None if it is not known what was recomputed."""
    nominal_mfu: float | None
    """The mean MFU as a fraction of the peak that the device's maker states; None if that is not known."""
    stages: dict[str, Utilisation]
    """Of the mean times by stage; empty if the clips of some samples have another shape."""


def run_utilisation(log: RunLog, costs: SampleTable) -> RunUtilisation | None:
    """Return the report's ``utilisation``, None if no sample has any."""
    mfu, rates = costs.statistics('mfu') if 'mfu' in costs else None, log.describe('rates')
    if mfu is None or not rates:
        return None
    nominal = log.describe('nominal')
    stated = isinstance(nominal, NominalPeak) and nominal.gmacs_per_s
    return RunUtilisation(
        mfu=mfu,
        hfu=costs.statistics('hfu'),
        nominal_mfu=mfu.mean * rates.gmacs_per_s / stated if stated else None,
        stages=_stages(log, costs, rates.gmacs_per_s) if mfu.count == costs.rows else {},
    )


def _stages(log: RunLog, costs: SampleTable, peak: float) -> dict[str, Utilisation]:
    clips, counted = costs.mean('clips'), log.describe('costs', {})
    found = {}
    for stage in log.stages():
        phases = [key.removesuffix('_ms') for key in PHASE_KEYS if costs.total(f'stages/{stage}/{key}') > 0]
        ms = costs.mean(f'stages/{stage}/total_ms')
        if stage in counted and counted[stage].gmacs and ms:
            found[stage] = utilisation(work_of(counted[stage], phases, clips), ms, peak)
    return found
