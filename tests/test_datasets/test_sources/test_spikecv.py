import shutil

import numpy as np
import pytest
import yaml

from vrtspike.datasets import ClipDataset, SpikeCVRecording, read_spike_dat, write_spike_dat
from vrtspike.errors import ConfigError, DataError
from vrtspike.testing.data_sets import write_recordings

STEPS = 40


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp('recordings'))


@pytest.fixture
def bare(tmp_path):
    """A recording of 250 x 416 with its head, without frames beside it."""
    spikes = np.random.default_rng(0).integers(0, 2, (70, 250, 416)).astype(np.uint8)
    write_spike_dat(tmp_path / 'car.dat', spikes)
    config = {'filename': 'car.dat', 'spike_w': 416, 'spike_h': 250, 'is_labeled': False}
    (tmp_path / 'config.yaml').write_text(yaml.safe_dump(config))
    return tmp_path, spikes


def test_exposures_follow_each_other_in_the_one_file(root):
    dataset = ClipDataset(SpikeCVRecording(root, STEPS, train=['one'], val=['two']), 'train', clip_len=2)
    assert len(dataset) == 5
    sample = dataset[3]
    whole = read_spike_dat(root / 'one' / 'spikes.dat', 32, 32)
    np.testing.assert_array_equal(sample['spikes'][1], whole[4 * STEPS : 5 * STEPS])
    assert sample['meta']['first_frame'] == '00003'


def test_first_step_and_interval_place_the_exposures(root):
    source = SpikeCVRecording(root, 8, train=['one'], first_step=5, interval=STEPS)
    window = source.sequences('train')[0].window(2)
    assert (window.start, window.steps) == (5 + 2 * STEPS, 8)


def test_without_frames_the_exposures_are_played_back(bare):
    folder, spikes = bare
    source = SpikeCVRecording(folder, 20, blur=None, sharp=None, keep_columns=400)
    dataset = ClipDataset(source, 'val', clip_len=3)
    sample = dataset[0]
    assert len(dataset) == 1
    assert set(sample) == {'blur', 'spikes', 'meta', 'rng'}
    assert sample['blur'].shape == (3, 250, 400, 3)
    np.testing.assert_array_equal(sample['spikes'][2], spikes[40:60, :, :400])


def test_a_recording_shorter_than_its_frames_is_named(root):
    with pytest.raises(DataError, match='has 240 steps, but its 6 frames end at step 246'):
        ClipDataset(SpikeCVRecording(root, 41, train=['one']), 'train')


def test_a_recording_of_another_size_is_named(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / 'copy')
    (copy / 'config.yaml').write_text('{filename: one, spike_h: 56, spike_w: 32}')
    with pytest.raises(DataError, match=r'spikes\.dat has 30720 bytes, expected a multiple of 224'):
        ClipDataset(SpikeCVRecording(copy, STEPS, train=['one']), 'train')


def test_one_recording_cannot_be_in_both_splits(root):
    with pytest.raises(DataError, match="'one' is in both"):
        ClipDataset(SpikeCVRecording(root, STEPS, train=['one'], val=['one', 'two']), 'train')


def test_only_the_named_recordings_are_used(root):
    assert [each.name for each in SpikeCVRecording(root, STEPS).sequences('val')] == ['one']
    assert SpikeCVRecording(root, STEPS).sequences('train') == []
    assert SpikeCVRecording(root, STEPS, train=['one']).sequences('val') == []


def test_missing_and_ambiguous_recordings_are_named(root, tmp_path):
    with pytest.raises(DataError, match=r"no single recording 'three' \(found: none\)"):
        SpikeCVRecording(root, STEPS, val=['three']).sequences('val')
    copy = shutil.copytree(root, tmp_path / 'copy')
    shutil.copy(copy / 'one' / 'spikes.dat', copy / 'one' / 'more.dat')
    with pytest.raises(DataError, match=r'found: more\.dat, spikes\.dat'):
        SpikeCVRecording(copy, STEPS).sequences('val')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'keep_columns': 33}, 'keep_columns=33'),
        ({'threshold': -1}, 'threshold=-1'),
        ({'first_step': -1}, 'first_step=-1'),
        ({'interval': 0}, 'interval=0'),
    ],
)
def test_bad_arguments_are_refused(root, options, message):
    with pytest.raises(ConfigError, match=message):
        SpikeCVRecording(root, STEPS, **options)


def test_a_config_without_size_is_named(tmp_path):
    (tmp_path / 'config.yaml').write_text('filename: one')
    with pytest.raises(DataError, match="'spike_h' is missing"):
        SpikeCVRecording(tmp_path, STEPS)
