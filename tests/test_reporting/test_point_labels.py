import itertools
import random

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from vrtspike.reporting.point_labels import PointLabels


@pytest.fixture
def ax():
    ax = Figure(figsize=(5, 4)).add_subplot()
    ax.set(xlim=(0, 10), ylim=(0, 10))
    return ax


def boxes(ax, labels):
    ax.figure.draw_without_rendering()
    return {text.get_text(): Text.get_window_extent(text) for text in labels.texts}


def test_names_cover_neither_each_other_nor_points_nor_lines(ax):
    places = random.Random(0)
    names = {f'name {i}': (places.gauss(5, 0.6), places.gauss(5, 0.6)) for i in range(12)}
    others = [(places.uniform(0, 10), places.uniform(0, 10)) for _ in range(30)]
    line = [(0, 3), (10, 6)]
    found = boxes(ax, PointLabels(ax, names, others, [line]))
    assert list(found) == list(names)
    for a, b in itertools.combinations(found.values(), 2):
        assert not a.overlaps(b)
    for box in found.values():
        assert (ax.bbox.min <= box.min).all()
        assert (box.max <= ax.bbox.max).all()
        for xy in [*names.values(), *others, *((x, 3 + 0.3 * x) for x in range(11))]:
            assert not box.contains(*ax.transData.transform(xy))


def test_a_name_far_from_its_point_has_a_line_to_it(ax):
    labels = PointLabels(ax, {'near': (2, 2), **{f'crowded {i}': (7, 7) for i in range(6)}})
    boxes(ax, labels)
    lines = {text.get_text(): text.arrow_patch.get_visible() for text in labels.texts}
    assert not lines['near']
    assert lines['crowded 5']


def test_a_name_that_fits_nowhere_is_left_out(ax):
    assert list(boxes(ax, PointLabels(ax, {'x' * 200: (5, 5), 'fits': (5, 5)}))) == ['fits']


def test_they_follow_the_plot(ax):
    labels = PointLabels(ax, {'name': (9, 9)})
    before = boxes(ax, labels)['name']
    ax.figure.subplots_adjust(right=0.5)
    after = boxes(ax, labels)['name']
    assert after.x1 < before.x0
    assert after.x1 <= ax.bbox.x1
