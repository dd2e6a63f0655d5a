"""Which trainings are begun, with a trainer that writes its report at once."""

import json
from pathlib import Path

import pytest

from vrtspike.tuner import quality
from vrtspike.tuner.quality import QualityMeasurer, Training

REFERENCE_GAIN = 3.0
COMMON = dict(iterations=10, versions={'torch': '2'}, device={'type': 'cpu', 'name': 'x'}, commit='0' * 40)
LOSSES = {'reference': 0.0, 'light': -0.1, 'lighter': -1.0, 'lightest': -2.0}
TRAININGS = [Training(name, {'model.tsa': None}) for name in ('light', 'lighter', 'lightest')]


class Clock:
    """Seconds that only trainings spend."""

    def __init__(self, seconds):
        self.left, self.trained = seconds, []

    def monotonic(self):
        return -self.left


@pytest.fixture
def measurer(tmp_path, monkeypatch, options):
    """Return a function that makes a measurer and its clock; each training takes ten seconds."""

    def make(seconds, gain=REFERENCE_GAIN, broken=()):
        clock = Clock(seconds)

        def train_all(runs, resolve_variant, train_tool):
            (run,) = runs
            clock.left -= 10
            clock.trained.append((run.variant.name, run.seed))
            if run.variant.name in broken:
                return {run.variant.name: 'no memory'}
            run.work_dir.mkdir(parents=True)
            psnr = 25 + gain + LOSSES.get(run.variant.name, 0.0) + 0.01 * run.seed
            mean = dict(blur_psnr_db=25.0, psnr_db=psnr, gain_db=psnr - 25, ssim=0.8)
            report = dict(COMMON, validation={'mean': mean}, iteration_ms_median=1e3, peak_memory_mib=1.0, parameters=7)
            run.report.write_text(json.dumps(report))
            return {}

        monkeypatch.setattr(quality, 'train_all', train_all)
        monkeypatch.setattr(quality, 'time', clock)
        return QualityMeasurer(options(), tmp_path, Path('train.py'), lambda: clock.left), clock

    return make


def test_all_are_trained_alike_seed_by_seed(measurer):
    measure, clock = measurer(1000)
    found = measure(TRAININGS)
    assert clock.trained == [(name, seed) for seed in range(3) for name in LOSSES]
    assert len(clock.trained) == len(set(clock.trained)) == 12
    assert {name: round(each.mean, 3) for name, each in found.items()} == {
        'light': -0.1,
        'lighter': -1.0,
        'lightest': -2.0,
    }
    assert measure.why_unknown == ''


def test_finished_runs_are_not_trained_again(measurer):
    measurer(1000)[0](TRAININGS)
    measure, clock = measurer(1000)
    assert set(measure(TRAININGS)) == {'light', 'lighter', 'lightest'}
    assert clock.trained == []


@pytest.mark.parametrize(('seconds', 'expected'), [(130, 3), (100, 2), (70, 1), (40, 0), (5, 0)])
def test_only_what_ends_in_time_with_all_seeds_is_begun(measurer, seconds, expected):
    measure, clock = measurer(seconds)
    found = measure(TRAININGS)
    assert len(found) == expected
    assert clock.left >= 0 or seconds < 10
    assert all(each.seeds == [0, 1, 2] for each in found.values())
    assert measure.why_unknown == ('' if expected else 'no_time')


def test_time_for_the_combination_is_kept_back(measurer):
    measure, _ = measurer(130)
    assert set(measure(TRAININGS, reserve=1)) == {'light', 'lighter'}
    assert set(measure([Training('light+lighter', {})])) == {'light', 'lighter', 'light+lighter'}


def test_one_is_measured_where_there_is_no_time_for_a_combination(measurer):
    measure, _ = measurer(70)
    assert set(measure(TRAININGS, reserve=1)) == {'light'}


def test_where_the_reference_learns_too_little_nothing_else_is_trained(measurer):
    measure, clock = measurer(1000, gain=1.9)
    assert measure(TRAININGS) == {}
    assert measure.why_unknown == 'no_gain'
    assert clock.trained == [('reference', 0)]
    assert measure.record().variants[0].gain_db.mean == pytest.approx(1.9)


def test_a_reference_that_fails_ends_it(measurer):
    measure, _ = measurer(1000, broken=['reference'])
    assert (measure(TRAININGS), measure.why_unknown, measure.record()) == ({}, 'no_reference', None)


def test_a_variant_that_fails_is_left_out(measurer):
    measure, clock = measurer(1000, broken=['lighter'])
    found = measure(TRAININGS)
    assert found['light'].verdict != 'not informative'
    assert found['lighter'].verdict == 'not informative'
    assert clock.trained.count(('lighter', 0)) == 1
    assert ('lighter', 1) not in clock.trained
