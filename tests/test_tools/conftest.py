"""What tests of several tools share: one short training."""

from pathlib import Path
from typing import NamedTuple

import pytest
from tiny_networks import TRAINING
from tool_processes import run_tool

from vrtspike.datasets import write_demo

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/vrt_spike_tiny.py'
DEMO = dict(train_clips=4, val_clips=2, size=32, steps_per_frame=32)
SHORT = TRAINING | {
    'train_cfg.max_iters': 3,
    'optim_wrapper.optimizer.lr': 0.02,
    'param_scheduler.0.start_factor': 1.0,
}


class TinyRun(NamedTuple):
    """A finished training: its folder, its data, and the options that name both."""

    folder: Path
    demo: Path
    options: list[str]

    @property
    def checkpoint(self) -> Path:
        return self.folder / 'iter_3.pth'


@pytest.fixture(scope='session')
def tiny_run(tmp_path_factory) -> TinyRun:
    """A training of three iterations on clips of 32 x 32 pixels, after which the network changes its input."""
    demo = write_demo(tmp_path_factory.mktemp('data') / 'demo', **DEMO, progress=False)
    values = SHORT | {f'data.{key}': value for key, value in (DEMO | {'root': demo}).items()}
    options = ['--cfg-options', *(f'{key}={value}' for key, value in values.items())]
    folder = tmp_path_factory.mktemp('tiny') / 'run'
    process = run_tool('train', CONFIG, '--work-dir', folder, *options, cwd=folder.parent)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    return TinyRun(folder, demo, options)


def the_error(process):
    """Return the one message of a tool that failed as at a user's mistake."""
    assert process.returncode == 1, process.stdout[-1000:] + process.stderr[-3000:]
    assert 'Traceback' not in process.stdout + process.stderr
    assert process.stderr.count('error: ') == 1
    return process.stderr.partition('error: ')[2]


SMALL_CLIPS = dict(train_clips=2, val_clips=1, size=32, steps_per_frame=32)
SMALL_CONFIG = """
_base_ = '{root}/configs/vrt_spike_tiny.py'
model = dict(
    backbone=dict(_delete_=True, type='VRTLite', embed_dims=[8] * 7, depths={depths}),
    spike_encoder=dict(channels=8),
    {model}
)
data = dict({data})
train_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False)
param_scheduler = [dict(type='ConstantLR', factor=1.0, by_epoch=False)]
default_hooks = dict(
    network_summary=None, clip_pictures=None, flops=None, freeze=None,
    stage_cost=dict(interval=1, warmup=1, roofline=False),
    {hooks}
)
"""


@pytest.fixture(scope='session')
def write_small_config(tmp_path_factory):
    """Return a function that writes a config: a light network on two tiny clips, with changes of model and hooks."""
    demo = write_demo(tmp_path_factory.mktemp('data') / 'small', **SMALL_CLIPS, progress=False)
    data = ', '.join(f'{key}={value!r}' for key, value in dict(root=str(demo), **SMALL_CLIPS).items())

    def write(path, depths=(1,) * 7, model='', hooks=''):
        path.write_text(SMALL_CONFIG.format(root=ROOT, data=data, depths=list(depths), model=model, hooks=hooks))

    return write


@pytest.fixture(scope='session')
def error_of():
    return the_error
