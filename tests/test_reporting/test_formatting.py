import pytest

from vrtspike.reporting.formatting import number, percent, percent_range, spaced_percent


@pytest.mark.parametrize(
    ('value', 'text'),
    [(0, '0.00'), (1.234, '1.23'), (99.99, '99.99'), (100, '100.0'), (-512.34, '-512.3'), (1234567.8, '1,234,568')],
)
def test_numbers_have_about_four_digits(value, text):
    assert number(value) == text


def test_fractions_are_shown_in_percent():
    assert percent(0.1234) == '12.3%'
    assert percent(0.1234, '.0%') == '12%'
    assert percent_range((0.1, 0.25)) == '10.0% to 25.0%'


def test_percent_in_prose_has_a_space_and_zero_no_minus():
    assert [spaced_percent(share) for share in (0.125, 0.5, -0.004)] == ['12 %', '50 %', '0 %']
    assert [spaced_percent(share, 1) for share in (0.1234, -0.00049, -0.0006)] == ['12.3 %', '0.0 %', '-0.1 %']


def test_nothing_stays_nothing():
    assert percent(None) is None
    assert percent_range(None) is None
