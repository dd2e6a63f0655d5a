import numpy as np
import pytest

from vrtspike.analysis.readers import read_logs
from vrtspike.analysis.statistics.curves import convergence, curve, lower_share, names, report_curves, thinned
from vrtspike.errors import LogError


@pytest.fixture
def log(make_run):
    return read_logs([make_run('run', samples=100)])


def test_loss_of_the_samples_is_not_the_time_of_the_stage_of_that_name(log):
    steps, values = curve(log, 'loss')
    assert steps.tolist() == list(range(3, 103))
    assert values[0] == pytest.approx(0.1)
    assert curve(log, 'loss_ms')[1].mean() == pytest.approx(2, rel=0.02)


def test_costs_are_curves(log):
    assert curve(log, 'stage8_ms')[1].mean() == pytest.approx(340, rel=0.02)
    assert {'iteration_ms', 'memory_mib', 'data_ms'} <= set(names(log))


def test_unknown_curve(log):
    with pytest.raises(LogError, match="has no curve 'stage8'; did you mean 'stage8_ms'"):
        curve(log, 'stage8')


def test_passes_without_numbers_are_counted(data):
    steps, _ = curve(read_logs([data / 'legacy_print.log']), 'iteration_ms')
    assert steps.tolist() == [1, 2]


@pytest.mark.parametrize(
    ('losses', 'trend'),
    [
        (np.exp(-np.arange(200) / 20), 'falling'),
        (np.r_[1.0:0.1:20j, np.random.default_rng(0).normal(0.1, 0.01, 300)], 'falling'),
        (np.random.default_rng(0).normal(1, 0.1, 200), 'flat'),
        (np.arange(1.0, 100.0), 'rising'),
    ],
)
def test_trend_of_the_loss(losses, trend, made_up, tmp_path):
    lines = [{'iter': i + 1, 'step': i + 1, 'lr': 1e-4, 'loss': loss} for i, loss in enumerate(losses)]
    log = read_logs([made_up.write(tmp_path / 'scalars.json', lines)])
    assert convergence(log).trend == trend


def test_chance_alone_makes_few_trends():
    """At a level of 95 %, of 400 constant losses about 20 seem to change."""
    rng = np.random.default_rng(0)
    shares = [lower_share(rng.random(25), rng.random(10)) for _ in range(400)]
    deviation = np.sqrt(36 / (12 * 25 * 10))
    assert 5 <= (np.abs(np.array(shares) - 0.5) > 1.96 * deviation).sum() <= 36


def test_lower_share_counts_ties_half():
    assert lower_share(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == (1 + 1 + 0.5 + 1) / 4


def test_report_has_few_points_the_last_among_them(make_run):
    steps, values = thinned((np.arange(10_000), np.arange(10_000)))
    assert len(steps) == len(values) == 400
    assert steps[-1] == 9999
    curves = report_curves(read_logs([make_run('run', samples=500)]))
    assert len(curves['iteration_ms'].values) == 400
