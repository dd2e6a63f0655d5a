"""Rates of made-up runs, whose truth is known."""

import pytest

from vrtspike.analysis import build_report, read_logs


def test_throughput(report, made_up):
    expected = 2 / made_up.WHOLE * 1e3
    assert report.throughput.clips_per_s == pytest.approx(expected, rel=0.01)
    assert report.throughput.frames_per_s == pytest.approx(5 * expected, rel=0.01)
    low, high = report.throughput.clips_per_s_interval
    assert low < expected < high


def test_slowest_rank(make_run, made_up):
    folder = make_run('run', samples=40, run={'world_size': 2})
    stages = made_up.STAGES | {'communication': (60.0, 0.0, 0.0), 'stage8': (80.0, 30.0, 180.0)}
    lines = [made_up.run_line(rank=1, world_size=2), *made_up.sample_lines(40, rank=1, stages=stages)]
    made_up.write(folder / 'stage_costs_rank1.jsonl', lines)
    report = build_report(read_logs([folder]))
    assert report.ranks.slowest == 0
    assert report.ranks.slowest_to_others == pytest.approx(made_up.WHOLE / (made_up.WHOLE - 50), rel=0.01)
    assert report.samples == 80
    assert report.throughput.clips_per_s == pytest.approx(4 / made_up.WHOLE * 1e3, rel=0.03)
    assert 'ranks' in [finding.kind for finding in report.findings]
