import pytest
from matplotlib.figure import Figure

from vrtspike.records.memory import MemoryLine, MemoryTimeline
from vrtspike.reporting.memory_plots import draw_memory_timeline, layers_of

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


def test_the_layers_are_what_stays_then_the_stages_then_the_rest(line):
    layers = layers_of(line)
    assert [layer.name for layer in layers] == ['parameters', 'one', 'two', 'other']
    assert layers[-1].mib == [0.0, 5.0, 30.0, 1.0]


def test_large_layers_and_phases_are_named(line):
    ax = Figure().add_subplot()
    draw_memory_timeline(ax, line)
    named = {text.get_text(): text.get_position() for text in ax.texts}
    assert named.keys() == {'parameters', 'one', 'backward', 'optimizer'}
    assert named['one'] == (2.0, 10 + 20 / 2)  # in the middle of where it is highest
    assert named['parameters'][1] == 5.0
    assert [line.get_xdata()[0] for line in ax.lines[1:]] == [2.0, 3.0]
    assert ax.get_ylim()[1] > 60
    assert 'peak of 60 MiB' in ax.get_xlabel()


def test_a_network_without_marks_has_no_saved_stages(line):
    ax = Figure().add_subplot()
    for name in ('saved/one', 'saved/two', 'temporary/one', 'temporary/two'):
        fewer = {key: values for key, values in line.timeline.mib.items() if key != name}
        line.timeline = MemoryTimeline(line.timeline.ms, line.timeline.running, fewer)
    draw_memory_timeline(ax, line)
    assert [layer.name for layer in layers_of(line)] == ['parameters', 'other']
