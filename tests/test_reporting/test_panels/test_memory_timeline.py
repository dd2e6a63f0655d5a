import pytest
from matplotlib.figure import Figure

from vrtspike.records.memory import Holding, MemoryLine, MemoryTimeline
from vrtspike.reporting.palette import INK
from vrtspike.reporting.panels.memory_timeline import PANEL, draw, layers_of, sentence
from vrtspike.reporting.panels.panel import Run

MIB = {
    'parameters': [10.0] * 4,
    'batch': [0.0] * 4,
    'saved/one': [0.0, 20.0, 20.0, 0.0],
    'saved/two': [0.0, 1.0, 0.0, 0.0],
    'temporary/one': [0.0, 5.0, 0.0, 0.0],
    'temporary/two': [0.0, 0.0, 30.0, 1.0],
}


@pytest.fixture
def line():
    return MemoryLine(
        iteration=3,
        rank=0,
        device='cpu',
        peak_mib=60.0,
        peak_in='one backward',
        peak_ms=2.0,
        holdings=[],
        timeline=MemoryTimeline([0.0, 1.0, 2.0, 3.0], ['other', 'one', 'one backward', 'optimizer'], MIB),
    )


def drawn(report, line):
    report.explained_memory = line
    body = Figure()
    keys = draw(body, [Run(report, INK, stages={'one': '#0072B2'})])
    return body.axes[0], [key.get_label() for key in keys]


def test_the_layers_are_what_stays_then_the_stages_then_the_rest(line):
    layers = layers_of(line, {'one': '#0072B2', 'two': '#009E73'}.get)
    assert [layer.name for layer in layers] == ['parameters', 'one', 'two', 'other']
    assert [layer.colour for layer in layers[1:3]] == ['#0072B2', '#009E73']
    assert layers[-1].mib == [0.0, 5.0, 30.0, 1.0]


def test_large_layers_and_phases_are_named(report, line):
    ax, keys = drawn(report, line)
    named = {text.get_text(): text.get_position() for text in ax.texts}
    assert named.keys() == {'parameters', 'one', 'backward', 'optimizer'}
    assert named['one'] == (2.0, 10 + 20 / 2)  # in the middle of where it is highest
    assert named['parameters'][1] == 5.0
    assert [line.get_xdata()[0] for line in ax.lines[1:]] == [2.0, 3.0]
    assert ax.get_ylim()[1] > 60
    assert keys == ['stays', 'saved by a stage', 'other tensors']


def test_a_network_without_marks_has_no_saved_stages(report, line):
    for name in ('saved/one', 'saved/two', 'temporary/one', 'temporary/two'):
        fewer = {key: values for key, values in line.timeline.mib.items() if key != name}
        line.timeline = MemoryTimeline(line.timeline.ms, line.timeline.running, fewer)
    drawn(report, line)
    assert [layer.name for layer in layers_of(line, str)] == ['parameters', 'other']


def test_the_peak_and_its_largest_part(report, line):
    line.holdings = [Holding('parameters', 10.0), Holding('saved', 30.0, stage='one')]
    report.explained_memory = line
    text = 'Peak 60 MiB, in one backward; the largest part: saved activations of one, 50 %.'
    assert sentence(report) == text
    assert PANEL.compared(None, report, report) == f'{text} {text}'
