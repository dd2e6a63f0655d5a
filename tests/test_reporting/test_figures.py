import pytest
from matplotlib.figure import Figure

from vrtspike.errors import LogError
from vrtspike.reporting import figures
from vrtspike.reporting.figures import drawing, figure_svg, fit_name, save_figure, window_figure


def make_figure():
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([1, 2], [3, 4], label='全部')
    return figure


def test_svg_is_one_element_and_always_the_same():
    with drawing():
        first, second = (figure_svg(make_figure(), 'falls from <2> to "1"') for _ in range(2))
    assert first == second
    assert first.startswith('<svg role="img" aria-label="falls from &lt;2&gt; to &#34;1&#34;" ')
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


@pytest.mark.parametrize(
    ('name', 'fitted'),
    [
        ('stage8', 'stage8'),
        ('two\n lines', 'two lines'),
        ('my_network.backbone.layers.10.residual_group', 'm.b.layers.10.residual_group'),
        ('work_dirs/vrt_spike_baseline/20260101_120000', 'w/v/20260101_120000'),
        ('x' * 20 + 'y' * 20, 'x' * 13 + '…' + 'y' * 14),
        ('脉冲编码器' * 4, '脉冲编码器脉…编码器脉冲编码器'[:6] + '…' + '冲编码器脉冲编码器'[-7:]),
    ],
)
def test_names_are_shortened_so_that_they_still_differ(name, fitted):
    assert fit_name(name) == fitted


def test_names_are_written_as_they_are():
    """A dollar sign in a name begins no formula, and Chinese is written if the system has a font."""
    figure = Figure(figsize=(3, 1))
    with drawing():
        figure.text(0.1, 0.5, 'a$x_{}b 数据')
        text = figure_svg(figure, '')
    assert 'a$x_{}b 数据</text>' in text


def test_the_first_known_font_with_chinese_characters_serves(monkeypatch, tmp_path):
    files = [
        str(tmp_path / name) for name in ('simhei.ttf', 'NotoSansCJK-Bold.ttc', 'NotoSansCJK-Regular.ttc', 'a.ttf')
    ]
    added = []
    monkeypatch.setattr(figures.font_manager, 'findSystemFonts', lambda: files)
    monkeypatch.setattr(figures.font_manager.fontManager, 'addfont', lambda file: added.append(file.name))
    monkeypatch.setattr(figures.font_manager.FontProperties, 'get_name', lambda self: str(self.get_file()))
    found = figures.east_asian_fonts.__wrapped__()
    assert [name.rpartition('/')[2] for name in found] == ['NotoSansCJK-Bold.ttc']
    assert added == ['NotoSansCJK-Bold.ttc', 'NotoSansCJK-Regular.ttc']
    monkeypatch.setattr(figures.font_manager, 'findSystemFonts', lambda: files[-1:])
    assert figures.east_asian_fonts.__wrapped__() == ()
