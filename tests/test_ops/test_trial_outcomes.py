"""What ``auto`` measures: when, what is kept for later processes, and what the processes of a training agree on."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import planted_backends as planted
import pytest
import torch
from tool_processes import run_ranks, run_script, run_together
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from vrtspike.errors import ConfigError
from vrtspike.models.layers.attention import WindowAttention
from vrtspike.ops import WINDOW_ATTENTION, backends, measure_backends, trial_outcomes, use_backends
from vrtspike.ops.backends import Request
from vrtspike.ops.trial_outcomes import key_of, measures
from vrtspike.ops.trials import Outcome
from vrtspike.ops.window_attention.backends import WindowBackend
from vrtspike.ops.window_attention.reference import reference
from vrtspike.runtime import device

TESTS = Path(__file__).parents[1]
SDPA, REFERENCE = WINDOW_ATTENTION.find('sdpa'), WINDOW_ATTENTION.find('reference')


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """The cache folder of a machine on which the planted clock times calls and no variable is set."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.delenv(trial_outcomes.VARIABLE, raising=False)
    monkeypatch.setattr(device, 'time', SimpleNamespace(perf_counter=lambda: planted.clock.seconds))
    planted.calls.clear()
    return tmp_path / 'vrtspike/backends'


@pytest.fixture
def x():
    return torch.ones(3, requires_grad=True)


def test_cpus_keep_the_order_unless_asked(monkeypatch, x):
    assert not measures(x)
    with measure_backends(True):
        assert measures(x)
        assert measures(torch.nn.Parameter(x))
        with measure_backends(None):
            assert not measures(x)
    monkeypatch.setenv(trial_outcomes.VARIABLE, '1')
    with measure_backends(False):
        assert measures(x)
    monkeypatch.setenv(trial_outcomes.VARIABLE, '0')
    with measure_backends(True):
        assert not measures(x)


def test_gpus_are_measured_unless_switched_off(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: False)
    x = SimpleNamespace(device=torch.device('cuda'))
    monkeypatch.setattr(trial_outcomes, 'Tensor', SimpleNamespace)
    assert measures(x)
    with measure_backends(False):
        assert not measures(x)
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: True)
    assert not measures(x)


@pytest.mark.parametrize('value', ['yes', '2'])
def test_other_settings_are_refused(monkeypatch, x, value):
    with pytest.raises(ConfigError, match=f"measure_backends is '{value}': expected True, False or None"):
        measure_backends(value).__enter__()
    monkeypatch.setenv(trial_outcomes.VARIABLE, value)
    with pytest.raises(ConfigError, match=f"VRTSPIKE_MEASURE_BACKENDS is '{value}': expected 1"):
        measures(x)


def test_nothing_is_measured_where_nothing_can_be_timed(x):
    seen = []

    def compiled(y):
        seen.append(measures(y))
        return y + 1

    with measure_backends(True):
        torch.compile(compiled, backend='eager')(x)
        with FakeTensorMode():
            seen.append(measures(torch.empty(1)))
        with FlopCounterMode(display=False):
            seen.append(measures(x))
        seen.append(measures(torch.empty(1, device='meta')))
        torch.use_deterministic_algorithms(True)
        try:
            seen.append(measures(x))
        finally:
            torch.use_deterministic_algorithms(False)
        assert seen == [False] * 5
        assert measures(x)


def test_the_fastest_right_backend_is_chosen_once_and_the_log_says_why(x):
    operator = planted.operator('wrong', 'slow', 'fast')
    assert planted.choose(operator, x) == 'fast'
    assert operator.choices == {
        'cpu, float32, training, of any size, auto': (
            "'fast' (measured: fast 1 ms, slow 40 ms, 'wrong' gave wrong values: relative error 0.067, allowed 0.005)"
        )
    }
    planted.calls.clear()
    assert planted.choose(operator, x) == 'fast'
    assert planted.calls == []
    assert planted.choose(operator, x.detach()) == 'fast'
    assert planted.calls != []


def test_a_request_makes_no_trials(x, monkeypatch):
    operator = planted.operator('wrong', 'fast')
    assert operator.choose(x, Request('wrong', planted.trial(x))).name == 'wrong'
    operator.wanted = 'reference'
    assert planted.choose(operator, x) == 'reference'
    assert planted.calls == []


def test_later_processes_read_what_was_found(folder, x):
    assert planted.choose(planted.operator('slow', 'fast'), x) == 'fast'
    (file,) = folder.iterdir()
    assert json.loads(file.read_text())['outcome']['milliseconds'] == pytest.approx({'slow': 40, 'fast': 1})
    planted.calls.clear()
    assert planted.choose(planted.operator('slow', 'fast'), x) == 'fast'
    assert planted.calls == []


@pytest.mark.parametrize(
    'damage',
    [
        lambda text: '',
        lambda text: text[: len(text) // 2],
        lambda text: '[]',
        lambda text: '{"key": 1, "outcome": {}}',
        lambda text: text.replace('"slow": ', '"slow": "x'),
        lambda text: text.replace('"tripling"', '"another"'),
    ],
)
def test_a_damaged_file_is_measured_again_and_mended(folder, x, damage):
    planted.choose(planted.operator('slow', 'fast'), x)
    (file,) = folder.iterdir()
    whole = file.read_text()
    file.write_text(damage(whole))
    planted.calls.clear()
    assert planted.choose(planted.operator('slow', 'fast'), x) == 'fast'
    assert planted.calls != []
    assert json.loads(file.read_text())['key'] == json.loads(whole)['key']


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('gpu_driver', lambda: 'NVRM version: 570'),
        ('describe_device', lambda device: {'type': 'cuda', 'name': 'another GPU'}),
        ('_software', lambda: {'torch': '9.9'}),
    ],
)
def test_another_machine_or_version_is_measured_again(folder, x, monkeypatch, name, value):
    planted.choose(planted.operator('slow', 'fast'), x)
    monkeypatch.setattr(trial_outcomes, name, value)
    planted.choose(planted.operator('slow', 'fast'), x)
    assert len(list(folder.iterdir())) == 2


def test_a_backend_that_was_installed_since_is_tried(folder, x):
    assert planted.choose(planted.operator('slow'), x) == 'slow'  # alone it needs no trial
    assert not folder.exists()
    assert planted.choose(planted.operator('slow', 'fast'), x) == 'fast'
    assert planted.choose(planted.operator('slow', 'fast', 'faster'), x) == 'faster'


def test_the_key_names_all_that_an_outcome_depends_on(x):
    key = key_of('tripling', ['slow'], planted.trial(x))
    assert set(key) == {'operator', 'case', 'backends', 'tf32', 'device', 'driver', 'software'}
    assert {'torch', 'vrtspike', 'cudnn', 'operators'} <= set(key['software'])


def test_without_a_folder_every_process_measures(tmp_path, monkeypatch, x):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    assert planted.choose(planted.operator('slow', 'fast'), x) == 'fast'


def test_what_ran_out_of_memory_is_passed_over_and_all_of_it_is_tried_again(folder, x):
    assert planted.choose(planted.operator('hungry', 'hungry'), x) == 'hungry'
    assert list(folder.iterdir()) == []
    assert planted.choose(planted.operator('hungry', 'slow'), x) == 'slow'
    planted.calls.clear()
    assert planted.choose(planted.operator('hungry', 'slow'), x) == 'slow'
    assert planted.calls == []


def test_an_interrupted_trial_leaves_nothing(folder, x):
    with pytest.raises(KeyboardInterrupt):
        planted.choose(planted.operator('interrupted', 'fast'), x)
    assert list(folder.iterdir()) == []


SCRIPT = TESTS / 'planted_backends.py'
"""Prints what it chose and what it tried."""


def printed(process):
    assert process.returncode == 0, process.stderr[-3000:]
    (line,) = [line for line in process.stdout.splitlines() if line.startswith('{')]
    return json.loads(line)


def test_a_backend_that_ended_its_process_is_not_tried_again(tmp_path, folder):
    assert run_script(SCRIPT, 'aborting,slow', XDG_CACHE_HOME=str(tmp_path)).returncode != 0
    (note,) = folder.iterdir()
    assert note.suffix == '.trial'
    second = printed(run_script(SCRIPT, 'aborting,slow', XDG_CACHE_HOME=str(tmp_path)))
    assert second['chosen'] == ['slow']
    assert 'aborting' not in second['tried']
    assert second['choices'] == ["'slow' (measured: slow 40 ms, 'aborting' ended the process that tried it)"]
    assert [path.suffix for path in folder.iterdir()] == ['.json']


def test_processes_that_start_together_choose_alike(tmp_path, folder):
    together = run_together([{'XDG_CACHE_HOME': str(tmp_path)}] * 2, SCRIPT, 'slow,wrong,fast')
    assert [printed(process)['chosen'] for process in together] == [['fast'], ['fast']]
    assert [path.suffix for path in folder.iterdir()] == ['.json']


def test_in_distributed_training_the_main_process_decides(tmp_path):
    """The second process would find another backend faster; it is asked for a third case that the main one never is."""
    first, second = map(printed, run_ranks(SCRIPT, 'slow,fast', 'distributed', XDG_CACHE_HOME=str(tmp_path)))
    assert first['chosen'] == ['fast', 'fast']
    assert second['chosen'] == ['fast', 'fast', 'slow']  # the first in the order after waiting in vain
    assert first['tried'] != []
    assert second['tried'] == []
    assert (first['inference'], second['inference']) == ('fast', 'fast')  # by way of the folder, without waiting


@pytest.fixture
def measured_windows(monkeypatch):
    """Says which backends of window attention are fastest, in place of trials."""

    def say(*names):
        monkeypatch.setattr(WINDOW_ATTENTION, 'backends', (WindowBackend('map', reference), SDPA, REFERENCE))
        monkeypatch.setattr(WINDOW_ATTENTION, 'outcomes', {})
        monkeypatch.setattr(WINDOW_ATTENTION, 'choices', {})
        outcome = Outcome({name: float(i) for i, name in enumerate(names)})
        monkeypatch.setattr(backends, 'find_outcome', lambda *_: outcome)

    return say


@pytest.mark.parametrize('names', [('map', 'sdpa'), ('sdpa', 'map')])
@pytest.mark.parametrize('autocast', [False, True])
def test_windows_and_attention_use_one_choice(measured_windows, names, autocast):
    measured_windows(*names)
    module = WindowAttention(16, (2, 4, 4), 2, mutual=True)
    x = torch.randn(1, 4, 8, 8, 16)  # needs no gradient, but its queries will
    with measure_backends(True), torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        found = module(x, (1, 0, 2))
    assert [choice.split()[0] for choice in WINDOW_ATTENTION.choices.values()] == [f"'{names[0]}'"]
    with use_backends(window_attention=names[0]), torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        assert torch.equal(found, module(x, (1, 0, 2)))


def test_a_fast_backend_that_refuses_the_queries_is_passed_over(measured_windows, monkeypatch):
    measured_windows('picky', 'map', 'sdpa')
    picky = replace(SDPA, name='picky', dtypes=(torch.float64,))
    monkeypatch.setattr(WINDOW_ATTENTION, 'backends', (picky, *WINDOW_ATTENTION.backends))
    module = WindowAttention(16, (2, 4, 4), 2, mutual=False)
    with measure_backends(True):
        module(torch.randn(1, 2, 8, 8, 16), (0, 0, 0))
    assert [choice.split()[0] for choice in WINDOW_ATTENTION.choices.values()] == ["'map'"]


def test_window_attention_is_measured_on_request(monkeypatch):
    monkeypatch.setattr(WINDOW_ATTENTION, 'outcomes', {})
    monkeypatch.setattr(WINDOW_ATTENTION, 'backends', (SDPA, WindowBackend('map', reference), REFERENCE))
    module = WindowAttention(16, (2, 4, 4), 2, mutual=True)
    x = torch.randn(1, 4, 8, 8, 16, requires_grad=True)
    with measure_backends(True):
        out = module(x, (1, 0, 2))
    (outcome,) = WINDOW_ATTENTION.outcomes.values()
    assert outcome.failures == {}
    assert set(outcome.milliseconds) == {'sdpa', 'map'}
    with use_backends(window_attention='reference'):
        torch.testing.assert_close(out, module(x, (1, 0, 2)), rtol=1e-4, atol=1e-5)
