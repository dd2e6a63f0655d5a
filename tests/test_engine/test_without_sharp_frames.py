"""Trainings on clips without sharp frames, and on clips with and without them together."""

import shutil

import pytest
import torch
from tiny_networks import TRAINING

from vrtspike.config import load_config
from vrtspike.engine.training import train
from vrtspike.plugins import configs_folder
from vrtspike.testing.training import WITHOUT_REPORTS

PIPELINE = 'train_dataloader.dataset.pipeline'
TINY = TRAINING | WITHOUT_REPORTS
TINY |= {
    'model.backbone.channels': 8,
    'model.backbone.depths': [1],
    'train_dataloader.dataset.clip_len': 2,
    'val_dataloader.dataset.clip_len': 3,
    'val_dataloader.dataset.stride': 3,
    'train_cfg.max_iters': 2,
}
RECIPES = {
    'recipes/reblur': TINY | {f'{PIPELINE}.1.instants': 3},
    'recipes/resimulate': TINY | {f'{PIPELINE}.0.size': 32, f'{PIPELINE}.1.size': 16},
}


@pytest.fixture
def without_sharp(demo, tmp_path):
    """Demo clips whose sharp frames of the training split are not even there."""
    root = shutil.copytree(demo, tmp_path / 'demo')
    for folder in (root / 'train').glob('*/sharp'):
        shutil.rmtree(folder)
    return root


@pytest.fixture
def run(tmp_path):
    """Return a function that trains a recipe for two iterations and returns its runner."""

    def run(name, **changes):
        config = load_config(configs_folder() / f'{name}.py', overrides=RECIPES[name] | changes)
        config.experiment_name = name
        return train(config, work_dir=str(tmp_path / name))

    return run


@pytest.mark.parametrize('name', RECIPES)
def test_trains_without_sharp_frames_and_scores_with_them(name, without_sharp, demo, run):
    withheld = {'data.type': 'ProcessedClips', 'data.root': str(without_sharp)}
    held_out = {'val_dataloader.dataset.source': dict(type='ProcessedClips', root=str(demo))}
    runner = run(name, **withheld, **held_out)
    assert any(parameter.any() for parameter in runner.model.backbone.last.parameters())
    assert runner.message_hub.get_scalar('val/psnr').current() > 0


def test_clips_with_and_without_sharp_frames_train_together(without_sharp, demo, run):
    sources = [
        dict(type='ProcessedClips', root=str(demo)),
        dict(type='ProcessedClips', root=str(without_sharp), sharp=None),
    ]
    mixed = dict(type='MixedClips', sources=sources)
    seen = []
    runner = run(
        'recipes/reblur',
        **{
            'data': dict(_delete_=True, **mixed),
            'val_dataloader.dataset.source': mixed,
            'train_dataloader.batch_size': 4,
        },
    )
    for batch in (next(iter(runner.train_dataloader)) for _ in range(2)):
        seen += batch['meta']['supervised'].any(dim=1).tolist()
        losses = runner.model(**runner.model.data_preprocessor(batch, True), mode='loss')
        assert all(torch.isfinite(loss) for loss in losses.values())
    assert set(seen) == {True, False}
