import cv2
import pytest
import torch

from vrtspike.hooks.clip_pictures_hook import clip_panels


def pictures(tmp_path):
    return sorted(path.name for path in (tmp_path / 'run' / 'pictures').glob('*'))


@pytest.mark.parametrize(('max_clips', 'expected'), [(None, 3), (2, 2), (1, 1)])
def test_writes_a_picture_per_clip(make_runner, log_of, tmp_path, max_clips, expected):
    runner = make_runner(1, hooks=[{'type': 'ClipPicturesHook', 'max_clips': max_clips}])
    runner.train()
    assert pictures(tmp_path) == [f'street_{i}_0000.png' for i in range(expected)]
    image = cv2.imread(str(tmp_path / 'run' / 'pictures' / 'street_0_0000.png'))
    assert image.shape[1] > 3 * image.shape[0]  # four square panels side by side
    assert f'Pictures of {expected} clips' in log_of(runner)


def test_the_next_validation_replaces_them(make_runner, tmp_path):
    every_iteration = {'type': 'IterBasedTrainLoop', 'max_iters': 2, 'val_interval': 1}
    make_runner(hooks=[{'type': 'ClipPicturesHook', 'max_clips': 2}], train_cfg=every_iteration).train()
    assert pictures(tmp_path) == ['street_0_0000.png', 'street_1_0000.png']


def test_none_are_written_when_none_are_wanted(make_runner, tmp_path):
    make_runner(1, hooks=[{'type': 'ClipPicturesHook', 'max_clips': 0}]).train()
    assert not (tmp_path / 'run' / 'pictures').exists()


def make_batch(frames=3):
    """Two clips whose frame t is 10 * t, the sharp ones one more."""
    levels = (10 * torch.arange(frames, dtype=torch.uint8)).view(1, frames, 1, 1, 1).expand(2, frames, 3, 4, 6)
    spikes = torch.ones(2, frames, 4, 2, 3)
    batch = {'blur': levels, 'sharp': levels + 1, 'spikes': spikes, 'meta': {'light': ['linear', 'linear']}}
    return batch, {'restored': (levels[1] + 1) / 255}


def test_panels_show_the_middle_frame_with_its_psnr():
    batch, sample = make_batch()
    panels = clip_panels(batch, 1, sample)
    assert [caption for caption, _ in panels] == ['blurred 48.13 dB', 'TFP 0.38 dB', 'restored inf dB', 'sharp']
    assert [image.max() for _, image in panels] == [10, 255, 11, 11]
    assert {image.shape[:2] for _, image in panels} == {(4, 6)}


def test_panels_of_a_batch_without_spikes_and_targets():
    batch, sample = make_batch()
    panels = clip_panels({'blur': batch['blur']}, 0, sample)
    assert [caption for caption, _ in panels] == ['blurred', 'restored']
