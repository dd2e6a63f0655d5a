"""The front of quality against time and memory."""

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.tuner.pareto import Point, dominates, front, svg


def point(name, ms, mib, db, sure=True):
    return Point(name=name, ms=ms, mib=mib, db=db, sure=sure)


def test_what_is_beaten_everywhere_is_not_on_the_front():
    points = [point('a', 10, 5, 0.0), point('b', 20, 6, -1.0), point('c', 20, 4, -1.0), point('unknown', 1, 1, None)]
    points.append(point('unsure', 1, 1, 0.0, sure=False))
    assert front(points) == ['a', 'c']


def test_memory_that_is_not_known_decides_nothing():
    assert dominates(point('a', 10, None, 0.0), point('b', 20, 6, -1.0))


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=8, unique=True))
def test_each_point_is_on_the_front_or_beaten_by_one_that_is(values):
    points = [point(str(i), *each) for i, each in enumerate(values)]
    best = [each for each in points if each.name in front(points)]
    assert best
    assert all(each in best or any(dominates(other, each) for other in best) for each in points)
    assert not any(dominates(a, b) for a in best for b in best)


def test_the_picture_numbers_the_points_worth_naming():
    points = [
        point('default', 10, 5, 0.0),
        point('fast', 5, 5, 0.0),
        point('slow', 20, 6, None),
        point('lossy', 12, 9, -0.3),
    ]
    text = svg([Point(**{**msgspec.structs.asdict(each), 'label': f'the {each.name}'}) for each in points])
    assert text.startswith('<svg role="img"')
    assert re.findall(r'>(\d  the [^<]*)<', text) == ['1  the fast', '2  the default', '3  the lossy']
    for number in '123':
        assert len(re.findall(f'>{number}</text>', text)) == 2  # in both plots
