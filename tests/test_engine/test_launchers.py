"""Several processes and machines, by stand-ins on this one: torchrun, and an srun that sets SLURM's variables."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vrtspike.testing.training import WITHOUT_REPORTS

ROOT = Path(__file__).parents[2]
LITE = ROOT / 'configs/vrt_spike_lite.py'
PORT = 28000 + os.getpid() % 900

SRUN = f'''#!{sys.executable}
"""Starts two tasks, as srun does, and sends SIGUSR1 to both once the file $SIGNAL_AFTER exists."""
import os, pathlib, signal, subprocess, sys, time

command = [argument for argument in sys.argv[1:] if not argument.startswith('--kill-on-bad-exit')]
slurm = dict(SLURM_NTASKS='2', SLURM_NODELIST='node[0-1]')
tasks = [
    subprocess.Popen(command, env=os.environ | slurm | dict(SLURM_PROCID=str(i), SLURM_LOCALID='0')) for i in range(2)
]
awaited = os.environ.get('SIGNAL_AFTER')
while awaited and not pathlib.Path(awaited).exists() and all(task.poll() is None for task in tasks):
    time.sleep(0.05)
if awaited:
    for task in tasks:
        task.send_signal(signal.SIGUSR1)
sys.exit(max(task.wait() for task in tasks))
'''

SCONTROL = """#!/usr/bin/env bash
# Knows one machine, and writes down which jobs are queued again.
case $1 in
show) echo 127.0.0.1 ;;
requeue) echo "$2" >> "$REQUEUED" ;;
esac
"""


@pytest.fixture
def options(small_lite):
    """Arguments of tools/train.py for a training of moments, with its usual report."""
    options = {key: value for key, value in small_lite.items() if key not in (*WITHOUT_REPORTS, 'param_scheduler')}
    return ['--cfg-options', *(f'{key}={str(value).replace(" ", "")}' for key, value in options.items())]


def environment(**variables):
    return os.environ | {'OMP_NUM_THREADS': '1', 'PYTHON': sys.executable} | variables


def dist_train(processes, *arguments, **variables):
    command = [ROOT / 'tools/dist_train.sh', LITE, str(processes), *arguments]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return subprocess.Popen(command, env=environment(**variables), **pipes)


def test_two_processes_validate_uneven_shards_once(options, tmp_path):
    """Three clips on two processes: the scores and rows of one process."""
    run = tmp_path / 'run'
    process = dist_train(2, '--work-dir', run, *options, 'train_cfg.max_iters=2', 'data.val_clips=3', PORT=str(PORT))
    output, _ = process.communicate()
    assert process.returncode == 0, output[-4000:]
    validation = json.loads((run / 'report.json').read_text())['validation']
    names = [row['clip'] for row in validation['clips']]
    assert len(names) == len(set(names)) == 3
    mean = sum(row['psnr_db'] for row in validation['clips']) / 3
    assert validation['mean']['psnr_db'] == pytest.approx(mean)
    assert not (tmp_path / '.dist_test').exists()


def test_two_machines_train_as_one(options, tmp_path):
    run = tmp_path / 'run'
    machines = [
        dist_train(
            *(1, '--work-dir', run, *options, 'train_cfg.max_iters=2'),
            **dict(NNODES='2', NODE_RANK=str(rank), PORT=str(PORT + 1)),
        )
        for rank in range(2)
    ]
    outputs = [machine.communicate()[0][-4000:] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], outputs
    (start,) = json.loads((run / 'run.json').read_text())['starts']
    assert (start['processes'], start['effective_batch']) == (2, 6)
    assert sorted(path.name for path in run.glob('iter_*')) == ['iter_2.pth']
    assert len(list(run.glob('*/vis_data/config.py'))) == 1


@pytest.fixture
def slurm_job(options, tmp_path):
    """Runs tools/slurm_train.sh as job 17; the stand-ins write the jobs that are queued again to 'requeued'."""
    tools = tmp_path / 'bin'
    tools.mkdir()
    for name, script in (('srun', SRUN), ('scontrol', SCONTROL)):
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    slurm = dict(
        PATH=f'{tools}:{os.environ["PATH"]}',
        SLURM_JOB_ID='17',
        SLURM_JOB_NODELIST='node[0-1]',
        SLURM_SUBMIT_DIR=str(ROOT),
        MASTER_PORT=str(PORT + 2),
        REQUEUED=str(tmp_path / 'requeued'),
    )
    training = ['train_cfg.max_iters=60', 'default_hooks.checkpoint.interval=4', 'default_hooks.logger.interval=60']
    command = [ROOT / 'tools/slurm_train.sh', LITE, '--work-dir', tmp_path / 'run', *options, *training]

    def start(**variables):
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return subprocess.run(command, env=environment(**slurm, **variables), cwd=tmp_path, **pipes)

    return start


def test_a_slurm_job_is_queued_again_until_it_is_done(slurm_job, tmp_path):
    run, requeued = tmp_path / 'run', tmp_path / 'requeued'
    stopped = slurm_job(SIGNAL_AFTER=str(run / 'iter_4.pth'))
    assert stopped.returncode == 75, stopped.stdout[-4000:]
    assert not (run / 'iter_60.pth').exists()
    done = slurm_job()
    assert done.returncode == 0, done.stdout[-4000:]
    assert (run / 'iter_60.pth').exists()
    assert requeued.read_text() == '17\n'
    first, second = json.loads((run / 'run.json').read_text())['starts']
    assert (first['processes'], second['processes'], first['from_iteration']) == (2, 2, 0)
    assert second['from_iteration'] > 0


def test_the_shell_scripts_say_how_they_are_used():
    for name in ('dist_train.sh', 'slurm_train.sh'):
        process = subprocess.run([ROOT / 'tools' / name], capture_output=True, text=True)
        assert process.returncode == 2
        assert f'tools/{name} CONFIG' in process.stderr
