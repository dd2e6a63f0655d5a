"""Trainings of seconds: the real restorer, minimal, on demo clips of 32 x 32 pixels."""

import itertools
import json
from pathlib import Path

import pytest
from tiny_networks import LITE_TRAINING

from vrtspike.config import load_config
from vrtspike.datasets import write_demo
from vrtspike.engine.training import train
from vrtspike.testing.training import WITHOUT_REPORTS

CONFIGS = Path(__file__).parents[2] / 'configs'
DEMO = dict(train_clips=5, val_clips=3, size=32, steps_per_frame=32, frames=3)
_runs = itertools.count()

#: Stochastic depth, accumulation, averaged weights, workers and validation: all that a resumed run could get wrong.
MINIMAL = {
    'model.backbone.depths': [1, 1, 1, 1, 1, 1, 1, 1],
    'model.backbone.img_size': [3, 16, 16],
    'model.backbone.window_size': [3, 4, 4],
    'model.backbone.embed_dims': [8] * 8,
    'model.backbone.num_heads': [1] * 8,
    'model.backbone.drop_path_rate': 0.5,
    'model.spike_encoder.channels': 8,
    'model.fusion_stages': [1],
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.dataset.clip_len': 3,
    'train_dataloader.dataset.pipeline.0.size': 16,
    'val_dataloader.dataset.limit': 1,
    'val_dataloader.dataset.clip_len': 3,
    'val_dataloader.dataset.stride': 3,
    'val_dataloader.dataset.pipeline.0.size': 16,
    **WITHOUT_REPORTS,
    'default_hooks.freeze': None,
    'default_hooks.ema': dict(type='EMAHook'),
    'train_cfg.max_iters': 6,
    'train_cfg.val_interval': 3,
    'warm_up.ratio': 1 / 3,
    'default_hooks.checkpoint.interval': 1,
    'default_hooks.checkpoint.max_keep_ckpts': -1,
    'default_hooks.checkpoint.save_best': None,
    'default_hooks.logger.interval': 1,
    'log_processor.window_size': 1,
    'optim_wrapper.accumulative_counts': 4,
}

SMALL = LITE_TRAINING | {
    'train_cfg.val_interval': 1000,
    'default_hooks.checkpoint.interval': 1000,
    'optim_wrapper.accumulative_counts': 3,
    # Flow is trained after four iterations: a resumed run and one that is not must release it alike.
    'default_hooks.freeze.iters': 4,
    **{key: None for key in WITHOUT_REPORTS if key != 'default_hooks.training_report'},
    'param_scheduler': [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=5)],
}


@pytest.fixture(scope='session')
def demo(tmp_path_factory):
    """Clips of three frames, written once."""
    return write_demo(tmp_path_factory.mktemp('data') / 'demo', **DEMO, progress=False)


@pytest.fixture(scope='session')
def demo_data(demo):
    """The overrides that select these clips."""
    return {f'data.{key}': value for key, value in dict(DEMO, root=str(demo)).items()}


@pytest.fixture
def minimal_config(demo_data):
    """Return a function that resolves the minimal training with other settings."""

    def resolve(name='vrt_spike_tiny', **changes):
        config = load_config(CONFIGS / f'{name}.py', overrides={**demo_data, **MINIMAL, **changes})
        config.experiment_name = f'minimal{next(_runs)}'  # MMEngine keeps loggers and message hubs by this name
        return config

    return resolve


@pytest.fixture
def run_minimal(minimal_config):
    """Return a function that trains the minimal config in a folder."""

    def run(work_dir, start=None, load_from=None, new_schedule=False, **changes):
        config = minimal_config(**changes)
        return train(config, work_dir=str(work_dir), resume=start, load_from=load_from, new_schedule=new_schedule)

    return run


@pytest.fixture(scope='session')
def whole_folder(tmp_path_factory):
    return tmp_path_factory.mktemp('whole')


@pytest.fixture
def whole(run_minimal, whole_folder):
    """The folder of one training of six iterations with a checkpoint after each, and the best one; trained once."""
    if not (whole_folder / 'iter_6.pth').exists():
        run_minimal(whole_folder, **{'default_hooks.checkpoint.save_best': 'psnr'})
    return whole_folder


@pytest.fixture
def logged():
    """Return a function that reads from a run's newest log {iteration: {loss, lr, grad_norm}}."""
    return read_scalars


def read_scalars(work_dir):
    newest = max(Path(work_dir).glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime_ns)
    records = map(json.loads, newest.read_text().splitlines())
    kept = ('loss', 'lr', 'grad_norm')
    return {record['iter']: {name: record.get(name) for name in kept} for record in records if 'loss' in record}


@pytest.fixture(scope='session')
def small_lite(demo_data):
    """Overrides of configs/vrt_spike_lite.py: a network that trains an iteration in a moment, batch 1, no reports."""
    return demo_data | SMALL
