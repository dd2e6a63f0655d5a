"""Optimises as users do: the tool as a process of its own, on a network whose fusion is cut into tiny chunks."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tool_processes import run_tool

from vrtspike.config import load_config

ROOT = Path(__file__).parents[2]
SMALL_CHUNKS = 'fusion=dict(adaptive_chunk=False, chunk_size=2), fusion_stages=[1]'


def stopped_when(ready, by, arguments, folder):
    """Start the tool, send it a signal as soon as ``ready()`` holds, and return its status and what it said."""
    command = [sys.executable, str(ROOT / 'tools/optimize.py'), *map(str, arguments)]
    environment = os.environ | {'OMP_NUM_THREADS': '1'}
    with (folder / 'said.txt').open('w') as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + 600
            while not ready():
                waiting = process.poll() is None and time.monotonic() < deadline
                assert waiting, (folder / 'said.txt').read_text()[-2000:]
                time.sleep(0.05)
            process.send_signal(by)
            status = process.wait(90)
        finally:
            process.kill()
    return status, (folder / 'said.txt').read_text()


def still_running(folder):
    """Return the command lines of processes that name a folder."""
    lines = []
    for entry in Path('/proc').glob('[0-9]*/cmdline'):
        with suppress(OSError):
            lines.append(entry.read_bytes().replace(b'\0', b' ').decode())
    return [line for line in lines if str(folder) in line]


def written_at(folder):
    """Return when each trial's record, and the profile's, was written."""
    records = [*folder.glob('trials/*.json'), *folder.glob('profile/*/*/report.json')]
    return {path: path.stat().st_mtime_ns for path in records}


def test_objectives_do_not_write_over_each_other():
    folder = runpy.run_path(str(ROOT / 'tools/optimize.py'))['default_folder']
    assert folder('configs/a.py', 'train') == Path('work_dirs/optimize_a')
    assert folder('configs/a.py', 'infer') == Path('work_dirs/optimize_a_infer')


@pytest.mark.parametrize(
    ('arguments', 'status', 'said'),
    [
        (['configs/none.py'], 1, 'configs/none.py'),
        (['configs/vrt_spike_tiny.py', '--minutes', '0'], 2, 'expected a number above 0'),
        (['configs/vrt_spike_tiny.py', '--objective', 'both'], 2, 'invalid choice'),
        (['configs/vrt_spike_tiny.py', '--max-loss-db', '-1'], 1, 'is negative'),
    ],
)
def test_mistakes_are_told(arguments, status, said):
    result = run_tool('optimize', *arguments, cwd=ROOT)
    assert result.returncode == status
    assert said in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.slow
def test_a_planted_bottleneck_is_named_first_and_its_candidate_wins(tmp_path, write_small_config):
    write_small_config(tmp_path / 'planted.py', model=SMALL_CHUNKS)
    arguments = ['planted.py', '--minutes', 2, '--iterations', 2, '--work-dir', 'out']
    result = run_tool('optimize', *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads((tmp_path / 'out/report.json').read_text())
    assert found['profile']['bottlenecks'][0]['stage'] == 'fuse1'
    assert found['steps'][0]['added'] == 'fusion_chunks'
    assert found['steps'][0]['kept']
    assert 'The costliest stage is fuse1' in result.stdout
    optimized = load_config(tmp_path / 'out/planted_optimized.py')
    assert optimized.model.fusion.chunk_size == 256
    assert '最' in (tmp_path / 'out/report.zh-CN.md').read_text()

    # The same command measures nothing again.
    record = tmp_path / 'out/trials/fusion_chunks.json'
    before = record.stat().st_mtime_ns
    assert run_tool('optimize', *arguments, cwd=tmp_path).returncode == 0
    assert record.stat().st_mtime_ns == before


@pytest.mark.slow
def test_restoring_becomes_faster_with_a_config_that_trains_and_tests(tmp_path, write_small_config):
    write_small_config(tmp_path / 'planted.py', model=SMALL_CHUNKS)
    arguments = ['planted.py', '--objective', 'infer', '--minutes', 2, '--iterations', 2, '--work-dir', 'out']
    result = run_tool('optimize', *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads((tmp_path / 'out/report.json').read_text())
    assert found['profile']['bottlenecks'][0]['stage'] == 'fuse1'
    assert sum(entry['share'] for entry in found['profile']['bottlenecks']) == pytest.approx(1)
    assert found['steps'][0]['added'] == 'fusion_chunks'
    tried = {trial['name']: trial for trial in found['trials']}
    assert tried['restoring_amp']['overrides'] == {'model.tiling.precision': 'bfloat16'}
    assert not [name for name in tried if name.startswith(('data', 'checkpointing'))]
    assert 'Objective: restoring.' in result.stdout
    assert 'The costliest stage is fuse1' in result.stdout
    assert 'of restoring.' in result.stdout
    assert 'python tools/test.py out/planted_optimized.py CHECKPOINT' in result.stdout

    optimized = 'out/planted_optimized.py'
    shorter = ['--cfg-options', 'train_cfg.max_iters=2']
    trained = run_tool('train', optimized, '--work-dir', 'run', *shorter, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr[-2000:]
    tested = run_tool('test', optimized, 'run/iter_2.pth', cwd=tmp_path)
    assert tested.returncode == 0, tested.stderr[-2000:]


@pytest.mark.slow
def test_iterations_that_a_schedule_outlasts_are_an_error_at_once(tmp_path):
    result = run_tool('optimize', ROOT / 'configs/vrt_spike_tiny.py', '--iterations', 40, '--work-dir', tmp_path)
    assert result.returncode == 1
    assert 'begins at iteration 40' in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_stopped_search_is_resumed(tmp_path, write_small_config):
    deep = (1, 1, 12, 1, 1, 1, 1)
    write_small_config(tmp_path / 'deep.py', deep, 'tsa=None, fusion_stages=[1]', 'logger=dict(interval=1)')
    out = tmp_path / 'out'
    arguments = ['deep.py', '--minutes', 20, '--iterations', 100, '--work-dir', out]
    training = 'quality/*/reference/seed0'

    def logged(pattern, what):
        return any(what in path.read_text() for path in out.glob(f'{pattern}/train.log'))

    stops = [
        (signal.SIGTERM, lambda: logged('profile/*/seed0', 'Iter(train)')),
        (signal.SIGTERM, lambda: len(list(out.glob('trials/*.json'))) >= 2),
        (signal.SIGINT, lambda: logged(training, 'Iter(train) [  3/')),
    ]
    before = {}
    for by, ready in stops:
        status, said = stopped_when(ready, by, arguments, tmp_path)
        assert (status, 'error: interrupted' in said) == (130, True), said[-2000:]
        assert 'Traceback' not in said
        assert not still_running(out)
        assert not (out / 'report.json').exists()
        kept = written_at(out)
        assert before.items() <= kept.items()
        before = kept
    assert list(out.glob(f'{training}/iter_*.pth'))  # the training was told, and saved

    result = run_tool('optimize', *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert before.items() <= written_at(out).items()
    found = json.loads((out / 'report.json').read_text())
    assert not [trial['name'] for trial in found['trials'] if trial.get('skipped') == 'time_over']
    assert found['no_quality'] == 'no_gain'
    assert found['quality']['iterations'] == 100
    (log,) = out.glob(f'{training}/train.log')
    assert log.read_text().count('Iter(train) [  2/100]') == 1
    assert {path.suffix for path in out.glob('report.*')} == {'.md', '.html', '.json'}
