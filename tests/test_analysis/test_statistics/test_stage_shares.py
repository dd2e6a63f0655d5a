"""Shares of made-up stages, whose truth is known."""

import pytest

from vrtspike.analysis import build_report, read_logs


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


def test_parts_inside_stages(report):
    assert report.parts['stage1/attention'].share == pytest.approx(30 / 660, rel=0.05)
