"""Which runs are trained, which are resumed, and what becomes of those that fail; training is a small script."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from mmengine.config import Config

from vrtspike.config.hooks import hooks_of
from vrtspike.errors import ConfigError
from vrtspike.experiments.runs import Run, reason, resolve, run_to_end, train_all, write_config
from vrtspike.experiments.variants import Variant

SCRIPT = """
import pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index('--work-dir') + 1])
with open('calls.txt', 'a') as file:
    file.write(' '.join([folder.parent.name, *sys.argv[4:]]) + chr(10))
if folder.parent.name == 'bad':
    sys.exit('Traceback' + chr(10) + 'error: it broke')
if folder.parent.name == 'killed':
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
(folder / 'report.json').write_text('{}')
"""


@pytest.fixture
def go(tmp_path, monkeypatch):
    """Return a function that trains variants with seeds 0 and 1 and returns (failures, what was called)."""
    monkeypatch.chdir(tmp_path)
    tool, calls = tmp_path / 'train.py', tmp_path / 'calls.txt'
    tool.write_text(SCRIPT)

    def train(*names, resolve_variant=lambda variant: Config(dict(name=variant.name))):
        calls.write_text('')
        runs = [Run(Variant(name), seed, tmp_path / 'ablation') for seed in (0, 1) for name in names]
        found = train_all(runs, resolve_variant, tool)
        return found, [line.split()[0] for line in calls.read_text().splitlines()]

    return train


# Ends by itself after a minute, whatever happens to the test.
SAVES_WHEN_TERMINATED = """
import pathlib, signal, sys, time

def save(*_):
    pathlib.Path('saving').touch()
    while not pathlib.Path('may_save').exists():
        time.sleep(0.01)
    pathlib.Path('saved').touch()
    sys.exit(75)

signal.alarm(60)
signal.signal(signal.SIGTERM, save)
pathlib.Path('began').touch()
while True:
    signal.pause()
"""


def test_an_interrupted_training_saves_before_it_ends(tmp_path):
    returned = threading.Event()

    def wait_for(name):
        """Return whether the training has written a file before ``run_to_end`` returned."""
        while not (tmp_path / name).exists():
            if returned.wait(0.01):
                return False
        return True

    def interrupt():
        if wait_for('began'):
            os.kill(os.getpid(), signal.SIGINT)
            # The training saves only now, so that a caller that did not wait for it would return without 'saved'.
            if wait_for('saving') and not returned.wait(0.1):
                (tmp_path / 'may_save').touch()

    command = ['sh', '-c', 'cd "$0" && exec "$1" -c "$2"', str(tmp_path), sys.executable, SAVES_WHEN_TERMINATED]
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt), (tmp_path / 'log').open('w') as log:
            run_to_end(command, log)
    finally:
        returned.set()
        thread.join()
    assert (tmp_path / 'saved').exists()


def test_seeds_come_one_after_the_other(go):
    assert go('a', 'b') == ({}, ['a', 'b', 'a', 'b'])


def test_finished_runs_are_not_repeated(go):
    go('a')
    assert go('a', 'b') == ({}, ['b', 'b'])


def test_a_failure_is_told_and_the_others_continue(go):
    found, called = go('bad', 'killed', 'a')
    assert found == {'bad': 'seed 0: it broke', 'killed': 'seed 0: ended by signal 9'}
    assert called == ['bad', 'killed', 'a', 'a']


def test_a_config_that_does_not_hold_together_is_a_failure(go):
    def resolve_variant(variant):
        if variant.name == 'b':
            raise ConfigError('no such head')
        return Config(dict(name=variant.name))

    assert go('b', 'a', resolve_variant=resolve_variant) == ({'b': 'no such head'}, ['a', 'a'])


def test_an_interrupted_run_is_resumed(go, tmp_path):
    folder = tmp_path / 'ablation/a/seed1'
    folder.mkdir(parents=True)
    (folder / 'iter_3.pth').write_text('')
    go('a')
    first, second = (tmp_path / 'calls.txt').read_text().splitlines()
    assert '--resume' not in first
    assert '--resume' in second
    assert second.endswith('randomness.seed=1')


def test_a_folder_of_another_config_is_refused(tmp_path):
    write_config(Config(dict(a=1)), tmp_path / 'x/config.py')
    write_config(Config(dict(a=1)), tmp_path / 'x/config.py')
    with pytest.raises(ConfigError, match='differs from what this ablation trains'):
        write_config(Config(dict(a=2)), tmp_path / 'x/config.py')


def test_variants_differ_in_their_overrides_alone_and_are_measured():
    config = Path(__file__).parents[2] / 'configs/vrt_spike_tiny.py'
    shared = {'train_cfg.max_iters': 50}
    variant = Variant('gated', {'model.fusion': {'_delete_': True, 'type': 'GatedFusion'}})
    base, gated = (resolve(each, config, shared, [], full_length=True) for each in (Variant('reference'), variant))
    assert gated.model.fusion == dict(type='GatedFusion')
    assert base.train_cfg.max_iters == gated.train_cfg.max_iters == 50
    assert [hook['type'] for hook in hooks_of(gated).values()].count('StageCostHook') == 1
    gated.model.fusion = base.model.fusion
    assert gated.to_dict() == base.to_dict()


@pytest.mark.parametrize(
    ('log', 'status', 'expected'),
    [('fine\nerror: broken', 1, 'broken'), ('ValueError: x\n', 1, 'ValueError: x'), ('', 3, 'exit status 3')],
)
def test_reasons(log, status, expected):
    assert reason(log, status) == expected
