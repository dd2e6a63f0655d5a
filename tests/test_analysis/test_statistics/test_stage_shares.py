"""Shares of made-up stages, whose truth is known."""

import pytest

from vrtspike.analysis import build_report, read_logs
from vrtspike.reporting.analysis_tables import stage_table


def test_shares_are_fractions_of_the_iteration_and_sum_to_one(report, made_up):
    shares = {name: stage.share for name, stage in report.stages.items()}
    assert sum(shares.values()) == pytest.approx(1)
    for name, means in made_up.STAGES.items():
        assert shares[name] == pytest.approx(sum(means) / made_up.WHOLE, rel=0.02)
    assert sum(report.phase_shares.values()) == pytest.approx(1)


def test_ranking_with_its_uncertainty(report, made_up):
    ranking = report.bottlenecks
    assert [entry.stage for entry in ranking[:3]] == ['stage8', 'stage1', 'stage2']
    for entry in ranking:
        low, high = entry.share_interval
        assert 0 <= low < entry.share < high <= 1
    assert ranking[0].ahead_of_next == 1.0
    assert [entry.level for entry in ranking[:3]] == ['severe', 'severe', 'minor']


def test_intervals_of_shares_hold_the_truth(make_run, made_up):
    truth, covered = sum(made_up.STAGES['stage8']) / made_up.WHOLE, 0
    for seed in range(40):
        entry = build_report(read_logs([make_run(f'run{seed}', samples=60, seed=seed)])).bottlenecks[0]
        covered += entry.share_interval[0] <= truth <= entry.share_interval[1]
    assert covered >= 34


def test_host_bound_time_is_the_mean_over_all_records(made_up, tmp_path):
    lines = list(made_up.sample_lines(40))
    for i, line in enumerate(lines[:30]):
        line['stages']['stage8']['host_bound_ms'] = 100.0 + (i % 2)
    report = build_report(read_logs([made_up.write(tmp_path / 'log', [made_up.run_line(), *lines])]))
    assert report.stages['stage8'].host_bound_ms == 100.5 * 30 / 40
    assert report.stages['stage8'].host_bound_share == pytest.approx(100.5 * 30 / 40 / 340, rel=0.02)
    assert report.stages['stage1'].host_bound_share is None
    table = stage_table(report)
    assert table.columns[-1].heading == 'host-bound'
    shares = {row[0]: row[-1] for row in table.rows}
    assert shares['stage1'] == '-'
    assert float(shares['stage8'].rstrip('%')) == pytest.approx(22.2, abs=0.5)


def test_without_a_gpu_there_is_no_column_of_it(report):
    assert 'host-bound' not in [column.heading for column in stage_table(report).columns]


def test_parts_inside_stages(report):
    assert report.parts['stage1/attention'].share == pytest.approx(30 / 660, rel=0.05)


def test_host_bound_time_of_a_stage_that_does_not_always_run(made_up, tmp_path):
    lines = list(made_up.sample_lines(4))
    lines[0]['stages']['tsa'] = {'forward_ms': 8.0, 'host_bound_ms': 6.0}
    tsa = build_report(read_logs([made_up.write(tmp_path / 'log', [made_up.run_line(), *lines])])).stages['tsa']
    assert (tsa.host_bound_ms, tsa.total_ms.mean, tsa.host_bound_share) == (1.5, 2.0, 0.75)
