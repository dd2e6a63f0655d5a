"""What happens to a training from outside: kills, signals, a full disk, dead workers. The tool as a process."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from tiny_networks import LITE_TRAINING
from tool_processes import ForkedProcess

from vrtspike.datasets import write_demo
from vrtspike.engine.run_folder import checkpoints_in
from vrtspike.runtime.checkpoint_files import load_checkpoint_file

ROOT = Path(__file__).parents[2]
DEMO = dict(train_clips=4, val_clips=1, size=32, steps_per_frame=32, frames=3)
ITERS = 8
SMALL = LITE_TRAINING | {
    'train_cfg.max_iters': ITERS,
    'train_cfg.val_interval': ITERS,
    'default_hooks.checkpoint.interval': 2,
}


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    """Clips of three frames, written once."""
    return write_demo(tmp_path_factory.mktemp('data') / 'demo', **DEMO, progress=False)


@pytest.fixture
def start(demo):
    """Return a function that starts a training in a folder and returns the process, its output in ``folder/out``."""
    processes = []

    def start(folder, *arguments, **changes):
        values = {f'data.{key}': value for key, value in dict(DEMO, root=demo).items()} | SMALL | changes
        options = [f'{key}={str(value).replace(" ", "")}' for key, value in values.items()]
        command = [ROOT / 'tools/train.py', ROOT / 'configs/vrt_spike_lite.py']
        command += ['--work-dir', folder, *arguments, '--cfg-options', *options]
        folder.mkdir(exist_ok=True)
        out = folder / 'out'
        out.write_bytes(b'')
        process = ForkedProcess(command, out, out, folder, session=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def output(folder):
    return (folder / 'out').read_text(errors='replace')


def wait_until(condition, process, folder, seconds=120):
    """Wait for a condition while the process lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, output(folder)[-3000:]
        if time.monotonic() > deadline:
            raise TimeoutError(f'waited {seconds} s in vain\n{output(folder)[-3000:]}')
        time.sleep(0.01)


def iterations(folder):
    """Return the iterations that the newest log holds."""
    newest = max(folder.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime_ns)
    return [record['iter'] for record in map(json.loads, newest.read_text().splitlines()) if 'loss' in record]


def finish(start, folder, *arguments, **changes):
    process = start(folder, *arguments, **changes)
    assert process.wait(300) == 0, output(folder)[-3000:]


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(('kills', 'iters'), [(2, 24), pytest.param(20, 400, marks=pytest.mark.slow)])
def test_kills_at_random_moments_lose_nothing_but_the_latest_iterations(start, tmp_path, kills, iters):
    changes = {'train_cfg.max_iters': iters, 'train_cfg.val_interval': iters}
    finish(start, tmp_path / 'whole', **changes)
    folder, moments, saved = tmp_path / 'killed', random.Random(0), 0
    for kill in range(kills):
        process = start(folder, '--resume', 'auto', **changes)
        wait_until(lambda: 'Iter(train)' in output(folder), process, folder)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.wait()
        first, last = iterations(folder)[0], iterations(folder)[-1]
        assert first == saved + 1
        kept = checkpoints_in(folder)
        for path in kept:
            load_checkpoint_file(path)
        saved = int(kept[0].stem.removeprefix('iter_')) if kept else 0
        assert last - saved <= SMALL['default_hooks.checkpoint.interval']
        if kill == kills // 2 and len(kept) > 1:
            flip_a_byte(kept[0])
            saved = int(kept[1].stem.removeprefix('iter_'))
    finish(start, folder, '--resume', 'auto', **changes)
    assert iterations(folder)[0] == saved + 1
    one, other = (load_checkpoint_file(run / f'iter_{iters}.pth') for run in (tmp_path / 'whole', folder))
    for name, value in one['state_dict'].items():
        assert torch.equal(value, other['state_dict'][name]), name
    assert not list(folder.glob('.*partial*'))


def test_sigterm_saves_and_exits_with_its_own_status(start, tmp_path):
    """Sent to all processes of the job, as schedulers do, workers included."""
    long = {'train_cfg.max_iters': 5000, 'default_hooks.checkpoint.interval': 5000}
    process = start(tmp_path / 'run', **long, **{'train_dataloader.num_workers': 2})
    wait_until(lambda: 'Iter(train)' in output(tmp_path / 'run'), process, tmp_path / 'run')
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(60) == 75
    (saved,) = checkpoints_in(tmp_path / 'run')
    assert load_checkpoint_file(saved)['meta']['iter'] == iterations(tmp_path / 'run')[-1]
    assert output(tmp_path / 'run').splitlines()[-1].startswith('error: SIGTERM stopped the training after iteration')


def children(process):
    """Return the processes that a process has started, by /proc."""
    found = Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
    return [int(pid) for pid in found]


@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='finds the workers by /proc')
def test_a_dead_worker_is_one_error(start, tmp_path):
    folder = tmp_path / 'run'
    process = start(folder, **{'train_cfg.max_iters': 5000, 'train_dataloader.num_workers': 1})
    wait_until(lambda: 'Iter(train)' in output(folder), process, folder)
    (worker,) = [pid for pid in children(process) if b'multiprocessing' not in command_of(pid)]
    os.kill(worker, signal.SIGKILL)
    assert process.wait(60) == 1
    last = output(folder).splitlines()[-1]
    assert last.startswith('error: a process that reads data died (')
    assert 'lower train_dataloader.num_workers' in last


def command_of(pid):
    return Path(f'/proc/{pid}/cmdline').read_bytes()
