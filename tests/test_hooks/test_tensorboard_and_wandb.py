"""What TensorBoard and W&B get, by the configs that ship."""

from pathlib import Path

import pytest
from mmengine.config import Config

from vrtspike.hooks.clip_pictures_hook import show

CONFIGS = Path(__file__).parents[2] / 'configs/_base_'


def test_tensorboard_gets_scalars_and_the_pictures_of_every_validation(make_runner, tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    visualizer = dict(Config.fromfile(CONFIGS / 'tensorboard.py').visualizer)
    loop = {'type': 'IterBasedTrainLoop', 'max_iters': 4, 'val_interval': 2}
    runner = make_runner(hooks=[{'type': 'ClipPicturesHook', 'max_clips': 1}], visualizer=visualizer, train_cfg=loop)
    runner.train()
    runner.visualizer.close()
    (folder,) = {path.parent for path in (tmp_path / 'run').rglob('events.out.tfevents*')}
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()
    assert {'loss', 'lr', 'psnr'} <= set(tags['scalars'])
    (picture,) = tags['images']
    assert picture.startswith('pictures/street')
    assert [event.step for event in events.Images(picture)] == [2, 4]


def test_wandb_gets_the_same_without_a_network(make_runner, tmp_path, monkeypatch):
    wandb = pytest.importorskip('wandb')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_SILENT', 'true')
    visualizer = dict(Config.fromfile(CONFIGS / 'wandb.py').visualizer)
    loop = {'type': 'IterBasedTrainLoop', 'max_iters': 4, 'val_interval': 2}
    runner = make_runner(hooks=[{'type': 'ClipPicturesHook', 'max_clips': 1}], visualizer=visualizer, train_cfg=loop)
    runner.train()
    wandb.finish()
    wandb.teardown()  # as at the end of a process: the service that writes the file ends too
    (folder,) = (tmp_path / 'run').rglob('offline-run-*')
    assert len(list(folder.glob('files/media/images/pictures/street*.png'))) == 2
    (log,) = folder.glob('run-*.wandb')
    names = (b'vrtspike', b'loss', b'lr', b'psnr')
    assert [name for name in names if name not in log.read_bytes()] == []


def test_local_backends_do_not_pile_up_pictures(make_runner, tmp_path):
    runner = make_runner(1, hooks=[{'type': 'ClipPicturesHook'}])
    runner.train()
    assert not list((tmp_path / 'run').rglob('vis_image'))


def test_every_other_backend_is_told():
    told = []

    class Backend:
        def add_image(self, name, image, step):
            told.append((name, step))

    visualizer = type('Visualizer', (), {'_vis_backends': {'wandb': Backend()}})
    show(type('Runner', (), {'visualizer': visualizer, 'iter': 7}), 'pictures/a', None)
    assert told == [('pictures/a', 7)]
    backends = Config.fromfile(CONFIGS / 'wandb.py').visualizer.vis_backends
    assert [backend.type for backend in backends] == ['LocalVisBackend', 'WandbVisBackend']
