"""Markers on pages."""

import pytest
from writers.places import Figure, Place, changed, figure_names, figures

from vrtspike.errors import VrtSpikeError


def page(root, text, name='docs/a.md'):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding='utf-8')


def test_a_part_stands_between_its_markers():
    part = Place('a.md', 'x', 'new')
    assert part.put('1\n<!-- x:begin -->\nold\nold\n<!-- x:end -->\n2\n') == (
        '1\n<!-- x:begin -->\nnew\n<!-- x:end -->\n2\n'
    )
    for text in ('', '<!-- x:begin -->', '<!-- x:begin --><!-- x:end -->' * 2):
        with pytest.raises(VrtSpikeError, match=r'a\.md needs <!-- x:begin --> and <!-- x:end --> once each'):
            part.put(text)


def test_a_figure_stands_in_all_its_places_and_nowhere_else():
    old = 'a <!--=x.y-->1<!--/--> b <!--=x.yz-->2<!--/-->\n| <!--=x.y--><!--/--> |'
    assert Figure('a.md', 'x.y', '9 %').put(old) == (
        'a <!--=x.y-->9 %<!--/--> b <!--=x.yz-->2<!--/-->\n| <!--=x.y-->9 %<!--/--> |'
    )


def test_several_places_of_a_page_are_put_together(tmp_path):
    page(tmp_path, 'a <!--=x-->1<!--/--> <!--=y-->2<!--/-->')
    outdated, texts = changed(tmp_path, [Figure('docs/a.md', name, '2') for name in 'xy'])
    assert [str(place) for place in outdated] == ['docs/a.md: =x']
    assert texts == {'docs/a.md': 'a <!--=x-->2<!--/--> <!--=y-->2<!--/-->'}


def test_only_what_a_page_shows_is_evaluated_and_once(tmp_path):
    page(tmp_path, 'a <!--=x-->1<!--/-->, <!--=x-->1<!--/--> and <!--=other-->1<!--/-->')
    page(tmp_path, 'a <!--=x-->1<!--/-->', 'README_zh-CN.md')
    calls = []
    values = {'x': lambda: calls.append('x') or '3', 'unseen': lambda: calls.append('unseen') or '4'}
    assert [str(place) for place in figures(tmp_path, values)] == ['README_zh-CN.md: =x', 'docs/a.md: =x']
    assert calls == ['x']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a <!--=x-->1', r'docs/a\.md: <!--=x--> stands alone'),
        ('a <!--=x-->1\n<!--/-->', r'docs/a\.md: <!--=x--> stands alone'),
        ('a <!--=x-->1<!--=y-->2<!--/-->', r'docs/a\.md: <!--=x--> stands alone'),
        ('a 1<!--/-->', r'docs/a\.md: <!--/--> stands alone'),
        ('a <!--= x -->1<!--/-->', r'docs/a\.md: <!--= x --> stands alone'),
        ('one\n<!--=x-->1<!--/--> b', r'docs/a\.md, line 2 begins with a marker'),
        ('one\n\n- <!--=x-->1<!--/--> b', r'docs/a\.md, line 3 begins with a marker'),
    ],
)
def test_markers_that_say_nothing_are_named(tmp_path, text, message):
    page(tmp_path, text)
    with pytest.raises(VrtSpikeError, match=message):
        figure_names(tmp_path)
