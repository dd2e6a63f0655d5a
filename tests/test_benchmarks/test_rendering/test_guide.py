"""What records say about the claims of the performance guide, rule by rule."""

import doctest

import msgspec
import pytest
from made_up_records import CLAIMS, EIGHT, decibels, record, row
from rendering import guide
from rendering.guide import Claim, Measurements

from vrtspike.experiments.statistics import Difference, compare


def judge(measured, **claim):
    return guide.judge(Claim(**{'network': 'eight', **claim}), measured)


def saving_of(plan_times, **claim):
    measured = Measurements(
        EIGHT, record(row(EIGHT['baseline'], [100.0] * len(plan_times)), row(EIGHT['amp'], plan_times))
    )
    return judge(measured, **{'rule': 'saving', 'plan': 'amp', 'expected': [0.3, 0.4], **claim})


@pytest.mark.parametrize(
    ('times', 'verdict'),
    [
        ([65.0, 75.0, 60.0], 'holds'),  # the median round saves 35 %
        ([70.0, 70.0, 70.0], 'holds'),
        ([71.0, 71.0, 60.0], 'holds in part'),
        ([99.0, 90.0, 95.0], 'holds in part'),
        ([101.0, 85.0, 85.0], 'does not hold'),  # a round that saves nothing
        ([65.0, 90.0, 50.0], 'undecided'),  # too far apart
        ([120.0, 110.0, 130.0], 'does not hold'),
    ],
)
def test_a_saving_holds_from_the_lower_end_of_what_was_promised(times, verdict):
    finding = saving_of(times)
    assert finding.verdict == verdict
    assert finding.values == pytest.approx([1 - time / 100 for time in times])


def test_what_was_promised_on_the_median_and_not_in_every_round_is_undecided():
    assert saving_of([101.0, 95.0, 96.0], expected=[0.01, 0.01]).verdict == 'undecided'
    assert saving_of([99.0, 95.0, 96.0], expected=[0.01, 0.01]).verdict == 'holds'


def test_a_saving_is_of_some_stages_or_parts_where_the_claim_says_so():
    rows = [
        row(EIGHT['baseline'], [100.0], {'stage8': (10.0, 40.0), 'stage1': (10.0, 60.0)}, attention=20.0),
        row(EIGHT['amp'], [90.0], {'stage8': (10.0, 30.0), 'stage1': (10.0, 60.0)}, attention=5.0),
    ]
    measured = Measurements(EIGHT, record(*rows))
    of = {part: measured.savings('amp', of=[part]) for part in ('stage8', '/attention')}
    assert of == {'stage8': (0.25,), '/attention': (0.75,)}
    assert measured.savings('amp', of=['stage8', 'stage1']) == pytest.approx((0.1,))
    assert measured.savings('amp', of=['fuse1']) == ()  # the baseline spends nothing there


def test_a_change_without_effect_on_clips_so_small_is_not_measured():
    assert saving_of([50.0], larger_than=64).verdict == 'not measured'
    assert saving_of([50.0], larger_than=23).verdict == 'holds'
    assert saving_of([50.0], window=7).verdict == 'undecided'  # 24 is padded to 28
    assert saving_of([50.0], window=6).verdict == 'holds'


@pytest.mark.parametrize(
    ('claimed', 'verdict'),
    [
        (0.32, 'holds'),
        (0.39, 'holds'),
        (0.41, 'holds in part'),
        (0.17, 'holds in part'),
        (0.61, 'does not hold'),
        (0.1, 'does not hold'),
    ],
)
def test_a_share_holds_within_a_quarter(claimed, verdict):
    stages = {'stage8': (30.0, 10.0), 'stage2': (70.0, 90.0)}
    measured = Measurements(EIGHT, record(row(EIGHT['baseline'], [100.0], stages)))
    finding = judge(measured, rule='share', of=['stage8'], expected=claimed)
    assert finding == guide.Finding(verdict, (0.3,))  # of the forward pass


@pytest.mark.parametrize(
    ('of', 'verdict'),
    [(['a', 'b'], 'holds'), (['b', 'a'], 'holds'), (['a', 'c'], 'holds in part'), (['c', 'd'], 'does not hold')],
)
def test_the_largest_stages(of, verdict):
    stages = {'d': (1.0, 1.0), 'c': (2.0, 2.0), 'b': (3.0, 3.0), 'a': (4.0, 4.0)}
    measured = Measurements(EIGHT, record(row(EIGHT['baseline'], [10.0], stages)))
    assert judge(measured, rule='largest', of=of).verdict == verdict


@pytest.mark.parametrize(('claimed', 'verdict'), [(0.4, 'holds'), (0.5, 'holds in part'), (0.81, 'does not hold')])
def test_what_stages_can_save_is_bounded_by_their_share_of_the_whole_step(claimed, verdict):
    stages = {'stage8': (90.0, 40.0), 'stage1': (10.0, 60.0)}
    measured = Measurements(EIGHT, record(row(EIGHT['baseline'], [100.0], stages)))
    assert judge(measured, rule='potential', of=['stage8'], expected=claimed).verdict == verdict


@pytest.mark.parametrize(
    ('peak', 'verdict'),
    [(90.0, 'holds'), (99.5, 'does not hold'), (110.0, 'does not hold'), (None, 'not measured')],
)
def test_memory_is_lower_from_a_hundredth_on(peak, verdict):
    rows = [row(EIGHT['baseline'], [1.0]), row(EIGHT['amp'], [1.0], peak=peak)]
    measured = Measurements(EIGHT, record(*rows))
    assert judge(measured, rule='memory', plan='amp').verdict == verdict


@pytest.mark.parametrize(
    ('peak', 'room', 'memory'),
    [
        (90.0, 'holds', 'holds'),
        (100.9, 'holds', 'holds'),
        (101.0, 'does not hold', 'holds'),
        (198.5, 'does not hold', 'does not hold'),
    ],
)
def test_batches_are_compared_with_one_clip_or_with_two(peak, room, memory):
    measured = Measurements(EIGHT, peaks={'baseline': 100.0, 'two_clips': 200.0, 'batch': peak})
    finding = judge(measured, rule='room', plan='batch')
    assert (finding.verdict, finding.values) == (room, (1 - peak / 100,))
    finding = judge(measured, rule='memory', plan='batch', reference='two_clips')
    assert (finding.verdict, finding.values) == (memory, (1 - peak / 200,))


@pytest.mark.parametrize(
    ('savings', 'difference', 'verdict'),
    [
        ((0.3, 0.2, 0.1), (0.0, -0.1, 0.1), 'holds'),
        ((0.3, 0.2, -0.1), (0.2, -0.1, 0.5), 'holds'),
        ((0.3, 0.2, 0.1), (-0.1, -0.3, 0.1), 'holds in part'),
        ((0.3, -0.2, -0.1), (0.2, 0.1, 0.3), 'does not hold'),
        ((0.3, 0.2, 0.1), (0.2, 0.1, 0.3, 'not informative'), 'undecided'),
    ],
)
def test_a_training_is_shorter_only_at_the_same_quality(savings, difference, verdict):
    measured = Measurements(
        {}, savings_of={'recipe': savings}, differences={'recipe': Difference(**decibels(*difference))}
    )
    finding = judge(measured, rule='shortening', plan='recipe')
    assert finding == guide.Finding(verdict, savings, Difference(**decibels(*difference)))


@pytest.mark.parametrize(
    ('lost', 'verdict'),
    [
        ({65536.0: 3, 1024.0: 0}, 'holds'),
        ({1024.0: 3, 65536.0: 4, 2048.0: 9}, 'holds'),
        ({65536.0: 3, 1024.0: 3}, 'does not hold'),
        ({65536.0: 0, 1024.0: 1}, 'does not hold'),
        ({65536.0: 0, 1024.0: 0}, 'undecided'),
        ({65536.0: 3}, 'not measured'),
    ],
)
def test_a_lower_loss_scale_has_to_lose_fewer_steps(lost, verdict):
    measured = Measurements({}, lost_steps=lost, iterations=60)
    finding = judge(measured, rule='steadied')
    assert finding.verdict == verdict
    if len(lost) > 1:
        assert finding.steps == (lost[65536.0], lost[1024.0], 60)


@pytest.mark.parametrize(
    ('difference', 'verdict'),
    [
        ((-0.05, -0.1, 0.0), 'holds'),
        ((-0.05, -0.2, 0.1), 'holds in part'),
        ((-0.2, -0.3, -0.1), 'does not hold'),
        ((-0.05, -0.1, 0.0, 'not informative'), 'undecided'),
        ((-0.05, None, None, 'not informative'), 'not measured'),  # a single seed
    ],
)
def test_a_loss_is_within_its_bound_with_its_interval(difference, verdict):
    measured = Measurements(EIGHT, differences={'amp': Difference(**decibels(*difference))})
    assert judge(measured, rule='loss', plan='amp', expected=[0, 0.1]).verdict == verdict


def test_what_failed_is_not_measured():
    failed = compare({}, {0: 28.0}, {0: 2.5})
    measured = Measurements(EIGHT, differences={'amp': failed}, reference_gain_db=2.5)
    assert judge(measured, rule='loss', plan='amp', expected=[0, 0.1]) == guide.NOTHING


@pytest.mark.parametrize('claim', CLAIMS['claims'], ids=lambda claim: claim['en'])
def test_without_a_record_nothing_is_measured(claim):
    assert {'en', 'zh'} <= set(claim)
    measured = Measurements(CLAIMS['networks'][claim['network']])
    assert guide.judge(msgspec.convert(claim, Claim), measured) == guide.NOTHING


def test_examples():
    assert doctest.testmod(guide) == doctest.TestResults(failed=0, attempted=1)
