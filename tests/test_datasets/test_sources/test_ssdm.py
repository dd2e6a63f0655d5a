import shutil

import numpy as np
import pytest

from vrtspike.datasets import ClipDataset, SSDMGoPro, SSDMReal, detect_source, read_spike_dat
from vrtspike.datasets.inventory import take_inventory
from vrtspike.errors import ConfigError, DataError
from vrtspike.testing.data_sets import write_ssdm

SIZE = (16, 16)
REAL = {'kinds': ('blur', 'spike'), 'suffix': '.jpg', 'light': 'linear'}


@pytest.fixture
def gopro(tmp_path):
    return write_ssdm(tmp_path / 'gopro')


@pytest.fixture
def real(tmp_path):
    return write_ssdm(tmp_path / 'real', **REAL)


def test_the_exposure_lies_between_the_steps_outside(gopro):
    dataset = ClipDataset(SSDMGoPro(gopro, spike_size=SIZE), 'val', clip_len=5)
    sample = dataset[1]
    assert (sample['meta']['name'], sample['meta']['first_frame']) == ('GOPR0384_11_00', '000014')
    assert (sample['blur'].shape, sample['sharp'].shape) == ((5, 64, 64, 3), (5, 64, 64, 3))
    whole = read_spike_dat(gopro / 'test/spike_data/GOPR0384_11_00/000014.dat', *SIZE)
    assert whole.shape == (137, *SIZE)
    np.testing.assert_array_equal(sample['spikes'][0], whole[20:117])


def test_light_and_threshold_are_those_of_the_source(gopro):
    meta = ClipDataset(SSDMGoPro(gopro, spike_size=SIZE, threshold=1.2), 'train', 1)[0]['meta']
    assert (meta['threshold'], meta['light']) == (1.2, 'encoded')
    assert SSDMGoPro(gopro, spike_size=SIZE, light='linear').sequences('train')[0].light == 'linear'


def test_real_recordings_have_jpegs_and_no_sharp_frames(real):
    dataset = ClipDataset(SSDMReal(real, spike_size=SIZE), 'train', clip_len=2)
    assert len(dataset) == 5
    assert set(dataset[0]) >= {'blur', 'spikes'}
    assert 'sharp' not in dataset[0]
    assert dataset.sequences[0].blur_suffix == '.jpg'


def test_a_root_without_splits_is_named_by_a_dot(real):
    source = SSDMReal(real / 'test', val='.', spike_size=SIZE)
    assert [sequence.name for sequence in source.sequences('val')] == ['GOPR0384_11_00']
    with pytest.raises(DataError, match='blur_data is missing'):
        source.sequences('train')


@pytest.mark.parametrize(('options', 'kind'), [({}, SSDMGoPro), (REAL, SSDMReal)])
def test_the_layout_is_told_by_its_folders_and_has_no_problems(tmp_path, options, kind):
    source = detect_source(write_ssdm(tmp_path, **options), {'spike_size': SIZE})
    assert type(source) is kind
    assert [split.problems for split in take_inventory(source, 5)] == [[], []]


def test_sharp_frames_between_the_blurred_ones_are_left_out(gopro):
    folder = gopro / 'train/sharp_data/GOPR0372_07_00'
    shutil.copy(folder / '000007.png', folder / '000008.png')
    assert SSDMGoPro(gopro, spike_size=SIZE).sequences('train')[0].stems.tolist()[:2] == ['000007', '000014']


def test_networks_without_fusion_need_no_spikes(gopro):
    shutil.rmtree(gopro / 'train/spike_data')
    assert 'spikes' not in ClipDataset(SSDMGoPro(gopro, spikes=False), 'train', clip_len=2)[0]
    with pytest.raises(DataError, match='spike_data is missing'):
        SSDMGoPro(gopro, spike_size=SIZE).sequences('train')


def test_files_of_another_length_are_named(gopro):
    path = gopro / 'train/spike_data/GOPR0372_07_00/000014.dat'
    path.write_bytes(path.read_bytes()[: 97 * 32])
    with pytest.raises(DataError, match=r'000014\.dat has 97 steps of 16 x 16 spikes, expected 137'):
        ClipDataset(SSDMGoPro(gopro, spike_size=SIZE), 'train', clip_len=2)


def test_bad_arguments_are_refused(gopro):
    with pytest.raises(ConfigError, match='SSDMReal got steps_outside=-1'):
        SSDMReal(gopro, steps_outside=-1)
