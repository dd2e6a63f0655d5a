"""Reads logs, reports what they mean, compares and checks runs. Nothing here imports torch.

from vrtspike.analysis import build_report, read_logs
report = build_report(read_logs(['work_dirs/vrt_spike_tiny']))
"""

from vrtspike.analysis.checklist import run_checks
from vrtspike.analysis.comparison import compare
from vrtspike.analysis.readers import read_logs
from vrtspike.analysis.report import build_report

__all__ = ['build_report', 'compare', 'read_logs', 'run_checks']
