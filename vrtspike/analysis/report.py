"""The report of a run: one JSON-ready dict that the terminal, the pages and the pictures show.

``docs/analysis.md`` describes its keys.
"""

from __future__ import annotations

from typing import Any

from vrtspike.analysis import advice
from vrtspike.analysis.caveats import caveats
from vrtspike.analysis.logs import RunLog
from vrtspike.analysis.statistics import curves
from vrtspike.analysis.statistics.costs import bottlenecks, memory, phase_shares, ranks, stage_costs, throughput
from vrtspike.analysis.statistics.roofline import roofline
from vrtspike.analysis.statistics.stability import stability
from vrtspike.analysis.statistics.table import Table

DESCRIBED = ('config', 'world_size', 'precision', 'device', 'clip_shape', 'accumulative_counts', 'interval', 'warmup',
             'versions', 'commit', 'uncounted_ops')  # fmt: skip


def build_report(log: RunLog) -> dict[str, Any]:
    """Return everything that is to be said about a run."""
    costs = log.costs() if log.cost_format else Table()
    report = {
        'name': log.name,
        'samples': costs.rows,
        'iteration_ms': costs.statistics('iteration_ms') if costs.rows else None,
        'stages': stage_costs(log, costs),
        'parts': stage_costs(log, costs, 'parts'),
        'phase_shares': phase_shares(log, costs),
        'bottlenecks': bottlenecks(log, costs),
        'roofline': roofline(log, costs),
        'batch': {'clips': costs.mean('clips'), 'frames': costs.mean('frames')},
        'throughput': throughput(log, costs),
        'memory': memory(log, costs),
        'stability': stability(log, costs),
        'convergence': curves.convergence(log),
        'validation': curves.quality(log),
        'ranks': ranks(log),
        'run': {key: log.describe(key) for key in DESCRIBED} if log.descriptions else None,
        'curves': curves.report_curves(log),
        'source_format': log.cost_format or log.formats[0],
        'sources': [vars(source) for source in log.sources],
        'warnings': caveats(log, costs),
    }
    report['findings'] = [vars(finding) for finding in advice.findings(report)]
    return report
