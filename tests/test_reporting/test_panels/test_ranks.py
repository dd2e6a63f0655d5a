import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from vrtspike.analysis import build_report, compare, read_logs
from vrtspike.reporting.palette import ALERT, INK
from vrtspike.reporting.panels.panel import Run
from vrtspike.reporting.panels.ranks import PANEL, draw, sentence


@pytest.fixture
def log(made_up, tmp_path):
    """Three processes, of which rank 1 takes one and a half times as long as the others."""
    lines = [
        dict(kind='sample', iteration=i, rank=rank, iteration_ms=150.0, clips=1, frames=5)
        | {'stages': {'all': {'forward_ms': ms}, 'communication': {'forward_ms': 150.0 - ms}}}
        for rank, ms in enumerate((100.0, 150.0, 100.0))
        for i in range(1, 21)
    ]
    run = made_up.run_line(world_size=3, costs={}, rates=None)
    return read_logs([made_up.write(tmp_path / 'stage_costs.jsonl', [run, *lines])])


def test_the_slowest_rank(log):
    report = build_report(log)
    assert sentence(report) == 'Rank 1 works longest, 150.0 ms per iteration, 1.50 times the mean of the others.'
    text = PANEL.compared(compare(log, log), report, report)
    assert text == 'The slowest rank works 1.50 and 1.50 times as long as the others.'


def test_it_is_marked(log):
    body = Figure()
    draw(body, [Run(build_report(log), INK, stages={})])
    bars = body.axes[0].patches
    assert [bar.get_height() for bar in bars] == [100, 150, 100]
    assert [to_hex(bar.get_facecolor()) for bar in bars] == [INK, ALERT.lower(), INK]
