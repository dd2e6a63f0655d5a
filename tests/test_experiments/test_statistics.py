"""Intervals, and verdicts that are given only where they can be."""

import msgspec
import pytest

from vrtspike.experiments.statistics import NOT_INFORMATIVE, Interval, compare, interval


def test_students_interval_of_three():
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.high - 2 == pytest.approx(4.302653 / 3**0.5, abs=1e-5)
    assert 2 - found.low == pytest.approx(found.high - 2)


def test_one_value_has_no_interval_and_none_no_mean():
    assert interval([1.5]) == Interval(1.5)
    assert interval([]) == Interval()
    assert msgspec.to_builtins(Interval(1.5)) == {'mean': 1.5, 'low': None, 'high': None}


def of(*values):
    return dict(enumerate(values))


REFERENCE, GAIN = of(28.0, 29.0, 27.0), of(2.5, 2.6, 2.4)


@pytest.mark.parametrize(
    ('psnr', 'verdict'),
    [
        (of(28.5, 29.6, 27.5), 'better'),
        (of(27.5, 28.4, 26.5), 'worse'),
        (of(28.5, 28.4, 27.5), 'no difference seen'),
    ],
)
def test_differences_are_paired_by_seed(psnr, verdict):
    found = compare(psnr, REFERENCE, GAIN)
    assert (found.verdict, found.why, found.seeds) == (verdict, '', [0, 1, 2])


@pytest.mark.parametrize(
    ('psnr', 'gain', 'why'),
    [
        (of(30.0, 31.0), GAIN, '2 seeds in common with the baseline; 3 are needed'),
        ({7: 30.0}, GAIN, '0 seeds in common'),
        (of(30.0, 31.0, 29.0), of(2.5, 1.94, 2.5), r'gained 1.94 dB over the blurred input; 2 dB are needed'),
        ({}, of(0.1), 'gained 0.10 dB'),  # the reason why nothing else was trained
        ({}, {}, '0 seeds in common'),
    ],
)
def test_what_cannot_tell_is_not_informative(psnr, gain, why):
    found = compare(psnr, REFERENCE, gain)
    assert found.verdict == NOT_INFORMATIVE
    assert why in found.why
