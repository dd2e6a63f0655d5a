"""Two processes train and validate as one does."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vrtspike.testing.training import WITHOUT_REPORTS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LITE = ROOT / 'configs/vrt_spike_lite.py'
SMALL = {
    'model.backbone.embed_dims': [8] * 7,
    'model.backbone.depths': [0] * 7,
    'model.spike_encoder.channels': 8,
    'model.fusion_stages': [1],
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.dataset.clip_len': 3,
    'train_dataloader.dataset.pipeline.0.size': 16,
    'val_dataloader.dataset.clip_len': 3,
    'val_dataloader.dataset.stride': 3,
    'train_cfg.val_interval': 1000,
    'default_hooks.checkpoint.interval': 1000,
    'default_hooks.logger.interval': 1,
    'log_processor.window_size': 1,
    'optim_wrapper.accumulative_counts': 3,
    # Flow is trained after four iterations: a resumed run and one that is not must release it alike.
    'default_hooks.freeze.iters': 4,
    **{key: None for key in WITHOUT_REPORTS if key != 'default_hooks.training_report'},
    'param_scheduler': [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=5)],
}


def command_of_two(script, port):
    module = ['-m', 'torch.distributed.run', '--nproc-per-node', '2', '--master-port', str(port)]
    return [sys.executable, *module, str(script)]


def run(command, cwd, **environment):
    environment = os.environ | {'OMP_NUM_THREADS': '1'} | environment
    process = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    return process


@pytest.fixture(scope='module')
def port():
    return 29000 + os.getpid() % 900


def losses(folder):
    return [float(line) for line in (folder / 'losses.txt').read_text().splitlines()]


def test_two_processes_equal_one_at_the_same_global_batch(demo_data, tmp_path, port):
    """Over 20 iterations with accumulation, the two stopped by a signal to one of them after ten, between two steps.

    The fourteenth batch gives one process a loss that is no number: both leave out the step.
    """
    script = str(HERE / 'parallel_training.py')
    for name, batch, command, launcher in (
        ('one', 2, [sys.executable, script], ['none']),
        ('two', 1, command_of_two(script, port), ['pytorch', '9']),
    ):
        overrides = json.dumps(demo_data | SMALL | {'train_cfg.max_iters': 20, 'train_dataloader.batch_size': batch})
        run([*command, str(tmp_path / name), overrides, str(LITE), *launcher], tmp_path)
    assert (tmp_path / 'two/float64/iter_10.pth').exists()
    for dtype, tolerance in (('float64', 1e-9), ('float32', 1e-5)):
        one, two = (losses(tmp_path / name / dtype) for name in ('one', 'two'))
        assert len(one) == len(two) == 20
        assert len(set(one)) > 10
        assert math.isnan(one[13])
        assert two == pytest.approx(one, rel=0, abs=tolerance, nan_ok=True)
        (clip,) = json.loads((tmp_path / f'two/{dtype}/nonfinite_rank1.jsonl').read_text().splitlines()[0])['samples']
        assert clip['ordinal'] == 27


def test_the_shell_script_trains_and_validates_uneven_shards_once(demo_data, tmp_path, port):
    """Three clips on two processes: the scores and rows of one process."""
    options = demo_data | SMALL | {'train_cfg.max_iters': 2, 'train_dataloader.batch_size': 1, 'data.val_clips': 3}
    options = {key: value for key, value in options.items() if key not in (*WITHOUT_REPORTS, 'param_scheduler')}
    arguments = ['--cfg-options', *(f'{key}={str(value).replace(" ", "")}' for key, value in options.items())]
    script = [str(ROOT / 'tools/dist_train.sh'), str(LITE), '2', '--work-dir', str(tmp_path / 'run'), *arguments]
    run(script, tmp_path, PYTHON=sys.executable, PORT=str(port + 1))
    validation = json.loads((tmp_path / 'run/report.json').read_text())['validation']
    names = [row['clip'] for row in validation['clips']]
    assert len(names) == len(set(names)) == 3
    mean = sum(row['psnr_db'] for row in validation['clips']) / 3
    assert validation['mean']['psnr_db'] == pytest.approx(mean)
    assert not (tmp_path / '.dist_test').exists()


def test_the_shell_scripts_say_how_they_are_used():
    for name in ('dist_train.sh', 'slurm_train.sh'):
        process = subprocess.run([ROOT / 'tools' / name], capture_output=True, text=True)
        assert process.returncode == 2
        assert f'tools/{name} CONFIG' in process.stderr
