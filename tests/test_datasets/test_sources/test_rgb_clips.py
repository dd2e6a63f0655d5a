import shutil

import cv2
import numpy as np
import pytest

from vrtspike.datasets import (
    BinSpikes,
    ClipDataset,
    DropSpikes,
    PackClip,
    PairedCenterCrop,
    PairedRandomCrop,
    PairedRandomFlip,
    RandomThreshold,
    RGBClips,
)
from vrtspike.errors import DataError
from vrtspike.testing.data_sets import write_gopro, write_rgb


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_rgb(tmp_path_factory.mktemp('rgb'))


def test_the_whole_pipeline_passes_clips_without_spikes(root):
    pipeline = [PairedRandomCrop(20), PairedRandomFlip(), RandomThreshold(), DropSpikes(), BinSpikes()]
    dataset = ClipDataset(RGBClips(root), 'train', pipeline=[*pipeline, PairedCenterCrop(16), PackClip()])
    sample = dataset[0]
    assert set(sample) == {'blur', 'sharp', 'meta'}
    assert sample['blur'].shape == sample['sharp'].shape == (5, 3, 16, 16)
    assert sample['meta'] == {'name': 'train_video', 'index': 0, 'first_frame': '00000'}


def test_gopro_without_its_spikes(tmp_path):
    source = RGBClips(write_gopro(tmp_path) / 'GOPRO_Large', val='test', blur='blur_gamma')
    assert len(ClipDataset(source, 'val')) == 2


def test_frames_of_two_sizes_are_named(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / 'copy')
    cv2.imwrite(str(copy / 'train' / 'train_video' / 'sharp' / '00000.png'), np.zeros((32, 64, 3), np.uint8))
    with pytest.raises(DataError, match=r'blur/00000\.png has 64 x 64, .*sharp/00000\.png has 32 x 64 pixels'):
        ClipDataset(RGBClips(copy), 'train')


def test_missing_frames_and_splits_are_named(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / 'copy')
    (copy / 'train' / 'train_video' / 'sharp' / '00002.png').unlink()
    with pytest.raises(DataError, match=r'6 in blur, 5 in sharp[\s\S]*00002\.png is missing'):
        ClipDataset(RGBClips(copy), 'train')
    with pytest.raises(DataError, match='held_out is missing'):
        RGBClips(root, val='held_out').sequences('val')
