import doctest

import pytest
from rendering import filters


@pytest.mark.parametrize(
    ('device', 'name'),
    [
        ({'name': 'A'}, 'A'),
        ({'name': 'A', 'threads': 1}, 'A, 1 thread'),
        ({'name': 'A', 'threads': 2}, 'A, 2 threads'),
    ],
)
def test_device(device, name):
    assert filters.device(device) == name


def test_measured_on():
    record = {'device': {'name': 'A'}, 'versions': {'torch': '2'}, 'commit': '0123456789'}
    assert filters.measured_on(record) == 'A, torch 2, commit 01234567'


@pytest.mark.parametrize(
    ('shares', 'text'),
    [((), ''), ((0.5,), '50.0 %'), ((0.1, 0.3, 0.2), '20.0 % [10.0 %, 30.0 %]')],
)
def test_rounds(shares, text):
    assert filters.rounds(shares) == text


@pytest.mark.parametrize(('values', 'text'), [([0, 0.3], '< 0.3 dB'), ([0.5, 1.0], '0.5–1 dB')])
def test_loss_range(values, text):
    assert filters.loss_range(values) == text


def test_percent_range_shows_no_rounding_errors():
    assert filters.percent_range([0.086, 0.086]) == '8.6 %'
    assert filters.percent_range([0.15, 0.29]) == '15–29 %'


def test_closest():
    items = [{'frames': 0}, {'frames': 5}, {'frames': 9}]
    assert filters.closest(items, 'frames', 6.5) == {'frames': 5}


def test_examples():
    assert doctest.testmod(filters) == doctest.TestResults(failed=0, attempted=2)
