import itertools
import math

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from vrtspike.analysis import build_report, compare, read_logs
from vrtspike.errors import LogError
from vrtspike.reporting.figures import STYLE, drawing
from vrtspike.reporting.palette import PHASE_WHITE, RUN_COLOURS, lighter, stage_colours
from vrtspike.reporting.panels.panel import Panel
from vrtspike.reporting.report_plots import PANELS, compared_panels, panels_of, picture, picture_title, save_picture

FEW, MANY = {'stage1': (60.0, 20.0, 120.0), 'stage8': (100.0, 0.0, 200.0)}, range(38)
LONG = {f'my_network.backbone.layers.{i}.residual_group.blocks.attention$x_{{}}': (9.0 + i, 0, 20.0) for i in range(9)}


def counted(stages):
    return {name: {'gmacs': 0.3 * sum(times), 'mib': 9.0 * (i + 1)} for i, (name, times) in enumerate(stages.items())}


def slow_at(lines, *iterations):
    for line in lines:
        yield line | {'iteration_ms': 9 * line['iteration_ms']} if line['iteration'] in iterations else line


def without_losses(lines, *iterations):
    for line in lines:
        yield line | {'loss': None} if line['iteration'] in iterations else line


def odd_runs(made_up):
    """The lines of stage_costs.jsonl and of scalars.json of runs that are hard to draw."""
    run, samples, scalars = made_up.run_line, made_up.sample_lines, made_up.scalars
    many = FEW | {f'layer{i}': (10.0 + i % 7, 0.0, 30.0) for i in MANY}
    chinese = FEW | {'脉冲编码器': (30.0, 0.0, 60.0), '光流': (30.0, 0.0, 0.0)}
    only = [{'iteration_ms': 90.0 + i, 'stages': {'all': {'forward_ms': 90.0 + i}}} for i in range(1, 30)]
    one = [dict(kind='sample', iteration=i, rank=0, clips=1, frames=5) | line for i, line in enumerate(only)]
    ranks = [line for rank in range(5) for line in samples(30, rank=rank, seed=rank)]
    resumed = [line | {'iteration': 30 + i} for i, line in enumerate(samples(40))]
    return {
        '12 iterations': ([run(), *samples(12)], scalars(12, 12)),
        'outliers': ([run(), *slow_at(samples(300), 3, 90, 91, 92)], scalars(300, 300)),
        'one stage': ([run(stages=['all'], costs={}, rates=None), *one], []),
        'forty stages': ([run(costs=counted(many)), *samples(60, stages=many)], scalars()),
        'long names': (
            [run(costs=counted(LONG), device={'name': 'GPU ' * 60}), *samples(40, stages=FEW | LONG)],
            scalars(),
        ),
        'losses not finite': ([run(), *without_losses(samples(40), 9, 10)], []),
        'no finite loss': ([run(), *without_losses(samples(20), *range(40))], []),
        'resumed': ([run(), *samples(40), run(), *resumed], []),
        'ranks': ([run(world_size=5), *ranks], scalars()),
        'no roofline': ([run(rates=None), *samples(40)], scalars()),
        'Chinese names': ([run(config='配置.py', costs=counted(chinese)), *samples(40, stages=chinese)], scalars()),
        'one iteration': ([run(), *samples(1)], []),
    }


ODD = (
    *('12 iterations', 'outliers', 'one stage', 'forty stages', 'long names', 'losses not finite', 'no finite loss'),
    *('resumed', 'ranks', 'no roofline', 'Chinese names', 'one iteration'),
)


@pytest.fixture
def odd_report(made_up, tmp_path):
    def make(name):
        costs, scalars = odd_runs(made_up)[name]
        folder = tmp_path / f'{name} {"很长的名字" * 9 if "names" in name else ""}'
        made_up.write(folder / 'stage_costs.jsonl', costs)
        if scalars:
            made_up.write(folder / '20260101/vis_data/scalars.json', scalars)
        return build_report(read_logs([folder]))

    return make


@pytest.fixture
def comparison(made_up, tmp_path):
    """Two runs of which the second takes half the time in stage8, as their comparison and reports."""
    halved = made_up.STAGES | {'stage8': (50.0, 20.0, 100.0)}
    logs = []
    for name, stages, psnr in (('before', made_up.STAGES, 28.0), ('after', halved, 27.5)):
        lines = [made_up.run_line(), *made_up.sample_lines(90, stages=stages)]
        made_up.write(tmp_path / name / 'stage_costs.jsonl', lines)
        made_up.write(tmp_path / name / '20260101/vis_data/scalars.json', made_up.scalars(psnr=psnr))
        logs.append(read_logs([tmp_path / name], name))
    return compare(*logs), *map(build_report, logs)


def written(figure):
    """The texts of a figure that are drawn, with their boxes."""
    figure.draw_without_rendering()
    axes = figure.findobj(Axis)
    ticks = [tick for axis in axes for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())]
    along = {text for tick in ticks for text in (tick.label1, tick.label2)}
    texts = [text for text in figure.findobj(Text) if text not in along]
    for axis in axes:
        low, high = sorted(axis.get_view_interval())
        texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), Text.get_window_extent(text)) for text in shown]


def assert_readable(figure):
    texts = written(figure)
    assert len(texts) > 5
    for (a, box), (b, other) in itertools.combinations(texts, 2):
        assert not box.overlaps(other), (a, b)
    for text, box in texts:
        assert (box.min >= 0).all(), text
        assert (box.max <= figure.bbox.max).all(), text


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('name', ODD)
def test_no_text_covers_another_or_leaves_the_picture(name, odd_report):
    report = odd_report(name)
    with drawing():
        assert_readable(picture(picture_title(report), panels_of(report)))


@pytest.mark.filterwarnings('error')
def test_neither_in_a_comparison(comparison):
    with drawing():
        assert_readable(picture('Two runs compared', compared_panels(*comparison)))


def test_every_panel_but_ranks_has_something_of_a_full_report(report):
    assert [drawn.panel for drawn in panels_of(report)] == list(PANELS[:-1])


@pytest.mark.parametrize(
    ('name', 'titles'),
    [
        ('legacy_timing.txt', ['Where the time goes', 'Time of iterations']),
        ('legacy_train.log', ['Time of iterations', 'Training loss', 'Validation']),
    ],
)
def test_panels_without_anything_to_show_are_left_out(name, titles, data):
    assert [drawn.title for drawn in panels_of(build_report(read_logs([data / name])))] == titles


def test_picture(report, tmp_path):
    save_picture(report, tmp_path / 'new' / 'report.png')
    image = cv2.imread(str(tmp_path / 'new' / 'report.png'))
    assert image.shape[1] == 1430
    # Every panel has left ink in its part of the picture.
    for row in np.array_split(image, math.ceil(len(panels_of(report)) / 2)):
        for cell in np.array_split(row, 2, axis=1):
            assert (cell < 200).mean() > 0.002


@pytest.mark.parametrize('index', range(6))
def test_svg_is_one_element_that_says_what_is_seen_and_is_always_the_same(index, report):
    drawn = panels_of(report)[index]
    text = drawn.svg()
    assert text.startswith('<svg role="img" aria-label="')
    assert drawn.sentence in text
    assert text.rstrip().endswith('</svg>')
    assert text == drawn.svg()


def test_a_stage_has_one_colour_in_all_panels(report):
    colours = stage_colours(entry.stage for entry in report.bottlenecks)
    panels = {drawn.title: drawn for drawn in panels_of(report)}
    ours = {name: {lighter(colours[name], white) for white in PHASE_WHITE.values()} for name in ('stage1', 'stage8')}
    for drawn in (panels['Where the time goes'], panels['Memory']):
        body = Figure()
        drawn.draw(body)
        (ax,) = body.axes
        rows = {text.get_text(): row for row, text in enumerate(ax.get_yticklabels())}
        for name, expected in ours.items():
            bars = [bar for bar in ax.patches if abs(bar.get_y() + bar.get_height() / 2 - rows[name]) < 0.4]
            assert len(bars) >= 2
            assert {to_hex(bar.get_facecolor()) for bar in bars} <= expected
    body = Figure()
    panels['Big or inefficient'].draw(body)
    points = {to_hex(line.get_color()) for line in body.axes[0].lines if len(line.get_xdata()) == 1}
    assert points == {colours[name].lower() for name in ours}


def test_colours_stand_for_the_runs_in_a_comparison(comparison):
    for drawn in compared_panels(*comparison):
        assert [run.colour for run in drawn.runs] == list(RUN_COLOURS)
        assert {run.stage_colour('stage8') for run in drawn.runs} == set(RUN_COLOURS)
        assert [key.get_label() for key in drawn.run_keys] == ['before', 'after']


def test_a_panel_of_one_run_alone_says_so(comparison):
    found, first, second = comparison
    second.validation, second.curves = {}, {name: curve for name, curve in second.curves.items() if 'psnr' not in name}
    (validation,) = (drawn for drawn in compared_panels(found, first, second) if drawn.title == 'Validation')
    assert validation.sentence.startswith('Only before has these data. PSNR 28.40 dB')
    assert validation.svg()


def test_a_panel_that_fails_says_so_and_the_others_are_drawn(report, tmp_path, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError('planted')

    broken = Panel('Broken', lambda report: True, fail, fail, fail)
    monkeypatch.setattr('vrtspike.reporting.report_plots.PANELS', (broken, *PANELS))
    panels = panels_of(report)
    assert panels[0].sentence == 'Not described: ZeroDivisionError: planted.'
    with drawing():
        figure = picture('A run', panels)
        texts = [text for text, _ in written(figure)]
    assert 'not drawn: ZeroDivisionError: planted' in texts
    assert 'Training loss' in texts
    assert 'stage8' in texts


def test_what_fails_only_when_drawn_stops_no_other_panel(report):
    drawn = panels_of(report)[3]

    def draw(body, runs):
        keys = drawn.panel.draw(body, runs)
        body.axes[0].xaxis.set_major_formatter(lambda *_: 1 / 0)
        return keys

    broken = drawn.__class__(drawn.panel._replace(draw=draw), drawn.runs, drawn.sentence)
    assert 'not drawn: ZeroDivisionError' in broken.svg()


def test_headlines_fit(report):
    report.run = None
    report.name = '/'.join(['a_folder'] * 30)
    assert len(picture_title(report)) <= 125
    assert 'a/a/a' in picture_title(report)


def test_unknown_format(report, tmp_path):
    with pytest.raises(LogError, match=r"no picture can be written as '\.xyz'; known: .*png"):
        save_picture(report, tmp_path / 'a.xyz')
    assert list(tmp_path.glob('*.xyz')) == []


def test_drawing_leaves_the_style_as_it_was(report):
    before = {key: matplotlib.rcParams[key] for key in STYLE}
    panels_of(report)[0].svg()
    assert {key: matplotlib.rcParams[key] for key in STYLE} == before
