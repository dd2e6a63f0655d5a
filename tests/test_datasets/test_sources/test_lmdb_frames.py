import shutil

import numpy as np
import pytest

from vrtspike.datasets import ClipDataset, GoProSpike, LMDBFrames
from vrtspike.errors import ConfigError, DataError
from vrtspike.testing.data_sets import write_gopro, write_lmdb

pytest.importorskip('lmdb')
NAMES = ('train_GT_blurred', 'train_GT', 'test_GT_blurred', 'test_GT')


@pytest.fixture
def both(tmp_path):
    """GoPro-Spike in folders, and a copy whose frames are in LMDBs alone."""
    folders = write_gopro(tmp_path / 'folders', 'svrt', frames=3)
    packed = shutil.copytree(folders, tmp_path / 'packed')
    for name in NAMES:
        write_lmdb(packed / 'GOPRO_Large' / name)
        shutil.rmtree(packed / 'GOPRO_Large' / name)
    return folders, packed


@pytest.mark.parametrize('split', ['train', 'val'])
def test_lmdbs_are_read_as_the_folders_they_were_made_from(both, split):
    one, other = (ClipDataset(GoProSpike(root, spike_size=(32, 32)), split, clip_len=3) for root in both)
    assert len(one) == len(other)
    for expected, found in zip((one[i] for i in range(len(one))), (other[i] for i in range(len(other))), strict=True):
        assert expected['meta'] == found['meta']
        for key in ('blur', 'sharp', 'spikes'):
            np.testing.assert_array_equal(expected[key], found[key])


def test_frames_alone(both):
    dataset = ClipDataset(LMDBFrames(both[1] / 'GOPRO_Large'), 'train', clip_len=2)
    assert [sequence.name for sequence in dataset.sequences] == ['GOPR0372_07_00', 'GOPR0374_11_01']
    assert set(dataset[0]) == {'blur', 'sharp', 'rng', 'meta'}


def test_a_sequence_in_both_splits_is_found(both):
    frames = both[1] / 'GOPRO_Large'
    source = LMDBFrames(frames, val=('train_GT_blurred.lmdb', 'train_GT.lmdb'))
    with pytest.raises(DataError, match="'GOPR0372_07_00' is in both train and val"):
        ClipDataset(source, 'train', clip_len=2)


def test_frames_that_are_missing_are_named(both):
    meta = both[1] / 'GOPRO_Large' / 'train_GT.lmdb' / 'meta_info.txt'
    lines = meta.read_text().splitlines()
    meta.write_text('\n'.join(lines[1:]))
    with pytest.raises(DataError, match=r'train_GT\.lmdb/GOPR0372_07_00/000001\.png is missing'):
        ClipDataset(LMDBFrames(meta.parents[1]), 'train', clip_len=2)


def test_bad_arguments_are_refused(both):
    with pytest.raises(ConfigError, match="val=\\('a',\\), expected two names"):
        LMDBFrames(both[1], val=('a',))
