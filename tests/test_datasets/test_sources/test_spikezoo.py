import shutil

import cv2
import numpy as np
import pytest
from real_files import real_file

from vrtspike.datasets import ClipDataset, SpikeZooBase, detect_source, read_spike_dat, tfp
from vrtspike.datasets.inventory import take_inventory
from vrtspike.errors import ConfigError, DataError
from vrtspike.metrics import psnr
from vrtspike.testing.data_sets import write_spikezoo

SIZE = (32, 32)


@pytest.fixture
def root(tmp_path):
    return write_spikezoo(tmp_path / 'data', SIZE)


def test_every_stream_is_a_clip_of_its_middle_frame(root):
    dataset = ClipDataset(SpikeZooBase(root, SIZE, steps=21), 'train', clip_len=1)
    assert len(dataset) == 2
    sample = dataset[1]
    assert sample['meta'] == {
        'name': '001_part1',
        'index': 1,
        'first_frame': '001_part1',
        'threshold': 1 / 0.6,
        'light': 'encoded',
    }
    stream = read_spike_dat(root / 'train/spike/001_part1.dat', *SIZE)
    np.testing.assert_array_equal(sample['spikes'], stream[None, 30:51])  # step 40 of 81 is the middle
    target = cv2.imread(str(root / 'train/gt/001_part1.png'))
    np.testing.assert_array_equal(sample['sharp'], target[None])
    # Its own values, as light, are what the stream shows.
    assert psnr(np.rint(255 * tfp(sample['spikes'][0], 1 / 0.6)).clip(0, 255).astype(np.uint8), target[..., 0]) > 25


def test_the_test_split_validates_and_whole_streams_can_be_read(root):
    sequence = SpikeZooBase(root, SIZE, steps=None).sequences('val')[0]
    assert (sequence.spike, sequence.start, sequence.steps) == (root / 'test/spike', 0, None)
    assert ClipDataset(SpikeZooBase(root, SIZE, steps=None), 'val', clip_len=1)[0]['spikes'].shape == (1, 81, *SIZE)


def test_the_layout_is_told_by_its_folders_and_has_no_problems(root):
    source = detect_source(root, {'spike_size': SIZE})
    assert isinstance(source, SpikeZooBase)
    assert [(split.problems, split.frames) for split in take_inventory(source, 1)] == [([], 2), ([], 2)]


def test_neighbouring_streams_are_no_clip(root):
    with pytest.raises(DataError, match='001_part1 has 1 frames, fewer than clip_len=2'):
        ClipDataset(SpikeZooBase(root, SIZE), 'train', clip_len=2)


def test_streams_alone_need_no_targets(root):
    shutil.rmtree(root / 'test/gt')
    with pytest.raises(DataError, match='gt is missing'):
        SpikeZooBase(root, SIZE).sequences('val')
    assert 'sharp' not in ClipDataset(SpikeZooBase(root, SIZE, targets=False), 'val', clip_len=1)[0]


def test_files_that_do_not_fit_are_named(root):
    (root / 'train/gt/000_part1.png').unlink()
    whole = (root / 'train/spike/001_part1.dat').read_bytes()
    (root / 'train/spike/001_part1.dat').write_bytes(whole[: 70 * 128])
    with pytest.raises(DataError) as error:
        ClipDataset(SpikeZooBase(root, SIZE), 'train', clip_len=1)
    assert '000_part1.png is missing' in str(error.value)
    assert '001_part1.dat has 70 steps of 32 x 32 spikes, expected 81' in str(error.value)
    with pytest.raises(DataError, match='the exposure has 91 steps, but its spike files have 81'):
        ClipDataset(SpikeZooBase(root, SIZE, steps=91), 'val', clip_len=1)


def test_bad_arguments_are_refused(root):
    with pytest.raises(ConfigError, match="light='lineal'; did you mean 'linear'"):
        SpikeZooBase(root, SIZE, light='lineal')
    with pytest.raises(ConfigError, match=r'SpikeZooBase: steps=0'):
        SpikeZooBase(root, SIZE, steps=0)


def test_the_published_streams(tmp_path):
    """TFP over 41 steps around the middle, as light, is 31.6 and 28.9 dB from the published frames."""
    for path in real_file('spikezoo').glob('200_*'):
        folder = tmp_path / 'test' / ('gt' if path.suffix == '.png' else 'spike')
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).symlink_to(path)
    dataset = ClipDataset(SpikeZooBase(tmp_path), 'val', clip_len=1)
    assert [sequence.file_steps for sequence in dataset.sequences] == [301, 301]
    found = []
    for sample in (dataset[0], dataset[1]):
        values = tfp(np.asarray(sample['spikes'])[0], sample['meta']['threshold'])
        found.append(psnr(np.rint(values.clip(0, 1) * 255).astype(np.uint8), sample['sharp'][0, ..., 0]))
    assert found == pytest.approx([31.6, 28.9], abs=0.05)
