import pytest
from matplotlib.figure import Figure

from vrtspike.errors import LogError
from vrtspike.reporting.figures import drawing, figure_svg, save_figure, window_figure


def make_figure():
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([1, 2], [3, 4], label='全部')
    return figure


def test_svg_is_one_element_and_always_the_same():
    with drawing():
        first, second = figure_svg(make_figure()), figure_svg(make_figure())
    assert first == second
    assert first.startswith('<svg')
    assert first.rstrip().endswith('</svg>')


def test_an_unknown_format_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(LogError, match=r"no picture can be written as '\.xyz'; known: .*png"):
        save_figure(make_figure(), tmp_path / 'a.xyz')
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_style_is_refused():
    with pytest.raises(LogError, match="no style 'gplot'; did you mean 'ggplot'"), drawing('gplot'):
        pass


def test_without_a_screen_there_is_no_window():
    with pytest.raises(LogError, match='no screen'):
        window_figure((2, 1), backend='agg')
