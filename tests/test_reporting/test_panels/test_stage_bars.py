import pytest

from vrtspike.analysis import build_report, compare, read_logs
from vrtspike.analysis.statistics.stage_shares import Bottleneck
from vrtspike.reporting.panels.stage_bars import PANEL, sentence, share_text

TWO = {'stage1': (10.0, 0.0, 10.0), 'stage8': (10.0, 20.0, 50.0)}


@pytest.fixture
def reported(make_run):
    def make(name='run', **changes):
        return build_report(read_logs([make_run(name, **changes)]))

    return make


def test_the_costliest_stage_and_its_phase(reported):
    expected = 'stage8 takes 80 % of the iteration, most of it in its backward pass; next is stage1 (20 %).'
    assert sentence(reported(stages=TWO)) == expected


def test_a_phase_that_is_not_most_of_it(reported):
    stages = TWO | {'stage8': (24.0, 24.0, 32.0)}
    assert 'stage8 takes 80 % of the iteration, 40 % of that in its backward pass;' in sentence(reported(stages=stages))


def test_stages_too_close_to_rank(reported):
    text = sentence(reported(stages={'stage1': (100.0, 0, 0), 'stage8': (100.0, 0, 0)}, samples=40))
    assert text.endswith(' (50 %) may take as much, they are too close to rank.')


def test_times_of_the_host_clock_are_called_so(data):
    text = sentence(build_report(read_logs([data / 'legacy_timing.txt'])))
    assert text == 'stage8 takes 40 % of the forward pass, by the host clock; next is vrt_rest (26 %).'


def test_the_stage_that_changed_most(make_run, made_up):
    halved = made_up.STAGES | {'stage8': (50.0, 20.0, 100.0), 'flow': (20.0, 0.0, 24.0)}
    logs = [read_logs([make_run(name, stages=stages)]) for name, stages in (('a', made_up.STAGES), ('b', halved))]
    text = PANEL.compared(compare(*logs), *map(build_report, logs))
    assert text.startswith('stage8 changes most, from 169.1 to 84.56 ms per clip (x0.50); ')
    assert text.endswith(' ms per clip (x0.50); 2 of 9 stages differ by more than noise.')
    same = compare(logs[0], read_logs([make_run('c', seed=5)]))
    assert PANEL.compared(same, *map(build_report, logs)) == 'No stage differs by more than noise.'


def test_shares_with_and_without_an_interval():
    assert share_text(Bottleneck(stage='stage8', share=0.5)) == '50.0 %'
    assert share_text(Bottleneck(stage='stage8', share=0.5, share_interval=[0.48, 0.52])) == '50.0 % ± 2.0 %'
