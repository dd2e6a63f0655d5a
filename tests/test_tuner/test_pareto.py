"""The front of quality against time and memory."""

from hypothesis import given
from hypothesis import strategies as st

from vrtspike.tuner.pareto import Point, dominates, front


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
