import pytest
from matplotlib.figure import Figure

from vrtspike.analysis import build_report, compare, read_logs
from vrtspike.reporting.palette import INK
from vrtspike.reporting.panels.panel import Run
from vrtspike.reporting.panels.roofline import MARKERS, PANEL, draw, sentence


def test_how_much_of_the_device_is_used(report):
    """stage1: 100 GMAC in 60 ms of 2000 GMAC/s. stage8: 40 GMAC in 100 ms."""
    assert sentence(report) == (
        'Stages that use less than 25 % of what the device allows: 1 of 2; 50 % or more: 1; '
        'stage8, the costliest: 20 % (compute-bound).'
    )


def test_points_lie_where_they_were_measured_below_the_roofline(report):
    body = Figure()
    keys = draw(body, [Run(report, INK, stages={})])
    assert [key.get_label() for key in keys] == ['big', 'inefficient']
    roof, *points = body.axes[0].lines
    assert max(roof.get_ydata()) == pytest.approx(2000)
    rates = {point.get_marker(): point.get_ydata()[0] for point in points}
    assert rates[MARKERS['big']] == pytest.approx(100 / 0.06, rel=0.02)
    assert rates[MARKERS['inefficient']] == pytest.approx(40 / 0.1, rel=0.02)
    body.draw_without_rendering()
    assert {text.get_text() for labels in body.axes[0].artists for text in labels.texts} == {'stage1', 'stage8'}


def test_compared(make_run, made_up):
    halved = made_up.STAGES | {'stage8': (50.0, 20.0, 100.0)}
    logs = [read_logs([make_run(name, stages=stages)]) for name, stages in (('a', made_up.STAGES), ('b', halved))]
    reports = [build_report(log) for log in logs]
    text = PANEL.compared(compare(*logs), *reports)
    assert text == 'stage8, the costliest stage of the first run, uses 20 % and 40 % of the device.'
    body = Figure()
    draw(body, [Run(each, colour) for each, colour in zip(reports, ('#111111', '#222222'), strict=True)])
    ends = [line.get_ydata() for line in body.axes[0].lines if len(line.get_xdata()) == 2]
    assert sorted(round(after / before, 1) for before, after in ends) == [1.0, 2.0]
