import shutil

import cv2
import numpy as np
import pytest

from vrtspike.datasets import ClipDataset, X4KSpike
from vrtspike.errors import ConfigError, DataError
from vrtspike.testing.data_sets import write_x4k


@pytest.fixture(scope='module', params=[33, 65])
def steps(request):
    return request.param


@pytest.fixture(scope='module')
def root(steps, tmp_path_factory):
    return write_x4k(tmp_path_factory.mktemp('x4k'), steps)


def test_sequences_are_clip_and_sequence(root, steps):
    source = X4KSpike(root, steps)
    sequences = source.sequences('train')
    assert [sequence.name for sequence in sequences] == ['002/occ008', '003/occ010']
    assert [sequence.name for sequence in source.sequences('val')] == ['Type1/TEST01']
    assert (sequences[0].spike_size, sequences[0].file_steps) == ((32, 32), steps)


def test_blurred_frames_choose_among_the_sharp_ones(root, steps):
    dataset = ClipDataset(X4KSpike(root, steps), 'train', clip_len=3)
    assert len(dataset) == 8
    sample = dataset[1]
    assert sample['meta']['first_frame'] == f'{steps:04d}'
    assert sample['spikes'].shape == (3, steps, 32, 32)
    path = root / 'train_fullRGB' / '002' / 'occ008' / f'{steps:04d}.png'
    np.testing.assert_array_equal(sample['sharp'][0], cv2.imread(str(path))[..., ::-1])


def test_sharp_frames_that_are_missing_are_named(root, steps, tmp_path):
    copy = shutil.copytree(root, tmp_path / 'copy')
    (copy / 'train_fullRGB' / '002' / 'occ008' / '0000.png').unlink()
    with pytest.raises(DataError, match='5 in sharp, 6 in spike'):
        ClipDataset(X4KSpike(copy, steps), 'train')


def test_the_other_number_of_steps_has_its_own_folders(root, steps):
    with pytest.raises(DataError, match=rf'train_blurry_{98 - steps} is missing'):
        X4KSpike(root, 98 - steps).sequences('train')


def test_files_of_another_length_are_named(tmp_path):
    root = write_x4k(tmp_path, 33)
    for folder in root.glob('*_33'):
        folder.rename(folder.with_name(folder.name.replace('33', '65')))
    with pytest.raises(DataError, match='has 33 steps of 32 x 32 spikes, expected 65'):
        ClipDataset(X4KSpike(root, 65), 'train')


def test_a_split_without_frames_is_named(tmp_path):
    root = write_x4k(tmp_path, 33)
    for folder in (root / 'val_blurry_33' / 'Type1').iterdir():
        shutil.rmtree(folder)
    with pytest.raises(DataError, match='val_blurry_33 has no frames'):
        X4KSpike(root).sequences('val')


def test_bad_arguments_are_refused(root):
    with pytest.raises(ConfigError, match='steps=34, expected 33 or 65'):
        X4KSpike(root, 34)
    with pytest.raises(ConfigError, match='spike_size=16'):
        X4KSpike(root, spike_size=16)


def test_without_spikes_their_folders_may_be_absent(tmp_path):
    root = write_x4k(tmp_path, 33)
    for folder in root.glob('*_spike_*'):
        shutil.rmtree(folder)
    dataset = ClipDataset(X4KSpike(root, spikes=False), 'train', clip_len=3)
    assert len(dataset) == 8
    assert set(dataset[0]) == {'blur', 'sharp', 'meta', 'rng'}
