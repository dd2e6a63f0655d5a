import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from vrtspike.analysis import build_report, compare, read_logs
from vrtspike.reporting.palette import ALERT, INK
from vrtspike.reporting.panels.loss import PANEL, draw, losses_of, sentence
from vrtspike.reporting.panels.panel import Run


@pytest.fixture
def report_of(made_up, tmp_path):
    """Reports a run with these losses."""

    def make(losses, key='loss', name='log'):
        lines = [{key: loss, 'lr': 1e-4, 'time': 0.1, 'iter': i, 'step': i} for i, loss in enumerate(losses, start=1)]
        return read_logs([made_up.write(tmp_path / f'{name}.json', lines)])

    return make


@pytest.mark.parametrize(
    ('losses', 'expected'),
    [
        ([1.0] * 20 + [0.5] * 20, 'The loss falls from 1 to 0.5 (medians of the first tenth and the last quarter).'),
        ([0.5] * 20 + [1.0] * 20, 'The loss rises from 0.5 to 1 (medians of the first tenth and the last quarter).'),
        (
            [1.0, 2.0] * 20,
            'The loss shows no trend beyond its scatter: 1.5 to 1.5 (medians of the first tenth and the last quarter).',
        ),
        ([3.0, 2.0, 1.0], '3 losses, from 3 to 1; a trend needs 16.'),
        ([3.0], 'One loss, 3; a trend needs 16.'),
    ],
)
def test_the_trend(losses, expected, report_of):
    assert sentence(build_report(report_of(losses))) == expected


def test_losses_that_are_not_finite_are_counted_and_marked(make_run, made_up, tmp_path):
    lines = [line | {'loss': None} if line['iteration'] in (9, 10) else line for line in made_up.sample_lines(40)]
    report = build_report(read_logs([made_up.write(tmp_path / 'stage_costs.jsonl', [made_up.run_line(), *lines])]))
    assert sentence(report).endswith('; 2 losses are not finite, the first at iteration 9.')
    body = Figure()
    keys = draw(body, [Run(report, INK, stages={})])
    assert [key.get_label() for key in keys] == ['running median', 'first loss that is not finite']
    (mark,) = (line for line in body.axes[0].lines if to_hex(line.get_color()) == ALERT.lower())
    assert mark.get_xdata() == [9, 9]


def test_without_a_total_the_parts_are_drawn_with_different_lines(made_up, tmp_path):
    lines = [
        {'loss_a': 1.0 / i, 'loss_b': 2.0 / i, 'lr': 1e-4, 'time': 0.1, 'iter': i, 'step': i} for i in range(1, 40)
    ]
    report = build_report(read_logs([made_up.write(tmp_path / 'log.json', lines)]))
    assert sentence(report) == 'There is no total loss; its parts are drawn.'
    assert list(losses_of(report)) == ['loss_a', 'loss_b']
    keys = draw(Figure(), [Run(report, INK, stages={})])
    assert [(key.get_label(), key.get_linestyle()) for key in keys] == [('loss_a', '-'), ('loss_b', '--')]


def test_a_loss_that_falls_far_is_drawn_logarithmically(report_of):
    for factor, scale in ((2.0, 'linear'), (100.0, 'log')):
        body = Figure()
        draw(body, [Run(build_report(report_of([factor] + [1.0] * 20)), INK, stages={})])
        assert body.axes[0].get_yscale() == scale


def test_compared(make_run):
    logs = [read_logs([make_run(name, samples=samples)]) for name, samples in (('a', 40), ('b', 80))]
    text = PANEL.compared(compare(*logs), *map(build_report, logs))
    assert text == 'The last quarter has a median loss of 0.0367 (falling) and 0.0223 (falling).'
