import shutil

import cv2
import numpy as np
import pytest

from vrtspike.datasets import ClipDataset, ProcessedClips, write_spike_dat
from vrtspike.datasets.checks import find_problems, ratio_problems
from vrtspike.errors import DataError


def problems(root, split='train', clip_len=2, **options):
    source = ProcessedClips(root, **options)
    return find_problems(source, split, source.sequences(split), clip_len)


def test_a_sound_data_set_has_no_problems(tiny_demo):
    assert problems(tiny_demo) == []
    assert problems(tiny_demo, 'val') == []


@pytest.mark.parametrize('kind', ['blur', 'sharp', 'spike'])
def test_a_missing_frame_is_named_and_the_lengths_are_told(tiny_copy, kind):
    path = next((tiny_copy / 'train' / '001_motorcycle_left' / kind).glob('00002.*'))
    path.unlink()
    found = problems(tiny_copy)
    assert len(found) == 2
    assert f'3 in {kind}' in found[0]
    assert found[1] == f'{path} is missing: the other folders have that frame'


def test_a_missing_folder_is_named(tiny_copy):
    folder = tiny_copy / 'train' / '000_astronaut' / 'sharp'
    shutil.rmtree(folder)
    assert problems(tiny_copy) == [f'{folder} is missing: expected a folder']


def test_spike_files_of_the_wrong_length_are_named(tiny_copy):
    spike = tiny_copy / 'train' / '000_astronaut' / 'spike'
    (spike / '00000.dat').write_bytes(bytes(100))
    write_spike_dat(spike / '00001.dat', np.zeros((9, 16, 16), np.uint8))
    found = problems(tiny_copy)
    assert len(found) == 2
    assert '00000.dat has 100 bytes, expected a multiple of 32' in found[0]
    assert '00001.dat has 9 steps of 16 x 16 spikes, expected 16' in found[1]


def test_without_a_known_length_the_odd_file_of_a_sequence_is_named(tiny_copy):
    (tiny_copy / 'config.yaml').unlink()
    write_spike_dat(tiny_copy / 'train' / '000_astronaut' / 'spike' / '00002.dat', np.zeros((9, 16, 16), np.uint8))
    found = problems(tiny_copy, spike_size=(16, 16), threshold=1.0)
    assert len(found) == 1
    assert '00002.dat has 9 steps of 16 x 16 spikes, expected 16' in found[0]


def test_a_wrong_sensor_size_shows_in_files_and_frames(tiny_demo):
    found = '\n'.join(problems(tiny_demo, spike_size=(16, 8)))
    assert 'has 32 steps of 16 x 8 spikes, expected 16' in found
    assert '00000.png has 32 x 32 pixels, expected a multiple of the 16 x 8 spikes' in found


def test_an_undefined_sensor_size_is_reported_once_per_sequence(tiny_demo):
    found = [problem for problem in problems(tiny_demo, spike_size=(3, 3)) if 'undefined' in problem]
    assert len(found) == 2


def test_a_damaged_first_frame_is_named(tiny_copy):
    path = tiny_copy / 'train' / '000_astronaut' / 'blur' / '00000.png'
    path.write_bytes(b'no image')
    assert problems(tiny_copy) == [f'{path} is damaged, or not an image of 8 or 16 bits per channel: write it again']


def test_frames_that_are_no_multiple_of_the_spikes_are_named(tiny_copy):
    path = tiny_copy / 'train' / '000_astronaut' / 'sharp' / '00000.png'
    cv2.imwrite(str(path), np.zeros((40, 32, 3), np.uint8))
    assert [problem.split(',')[0] for problem in problems(tiny_copy)] == [f'{path} has 40 x 32 pixels']


def test_short_sequences_are_named(tiny_demo):
    assert problems(tiny_demo, clip_len=5) == [
        f'{name} has 4 frames, fewer than clip_len=5: remove it, or choose a smaller clip_len'
        for name in ('000_astronaut', '001_motorcycle_left')
    ]


def test_an_exposure_beyond_the_file_is_named(tiny_demo):
    source = ProcessedClips(tiny_demo)
    sequences = source.sequences('train')
    object.__setattr__(sequences[0], 'start', 10)
    object.__setattr__(sequences[0], 'steps', 7)
    assert find_problems(source, 'train', sequences, 2) == [
        '000_astronaut: the exposure ends at step 17, but its spike files have 16 steps'
    ]


def test_a_sequence_in_both_splits_is_named(tiny_copy):
    shutil.copytree(tiny_copy / 'train' / '000_astronaut', tiny_copy / 'val' / '000_astronaut')
    expected = "sequence '000_astronaut' is in both train and val: keep it in one of them"
    assert problems(tiny_copy, 'train') == problems(tiny_copy, 'val') == [expected]


def test_a_data_set_may_lack_the_other_split(tiny_copy):
    shutil.rmtree(tiny_copy / 'val')
    assert problems(tiny_copy) == []


def test_all_problems_come_in_one_error(tiny_copy):
    train = tiny_copy / 'train'
    (train / '000_astronaut' / 'blur' / '00001.png').unlink()
    (train / '001_motorcycle_left' / 'spike' / '00003.dat').write_bytes(bytes(5))
    shutil.copytree(tiny_copy / 'val' / '000_chelsea', train / '000_chelsea')
    with pytest.raises(DataError) as caught:
        ClipDataset(ProcessedClips(tiny_copy), 'train', clip_len=2)
    message = str(caught.value)
    assert message.startswith('the data set has 4 problem(s):')
    for part in ("'000_chelsea' is in both", '3 in blur', '00001.png is missing', '00003.dat has 5 bytes'):
        assert part in message


def test_an_empty_split_is_reported(tiny_copy):
    shutil.rmtree(tiny_copy / 'val')
    (tiny_copy / 'val').mkdir()
    with pytest.raises(DataError, match="split 'val' has no sequences"):
        ClipDataset(ProcessedClips(tiny_copy), 'val')


@pytest.mark.parametrize(
    ('size', 'sound'), [((24, 24), True), ((20, 20), True), ((24, 32), False), ((4112, 4112), False)]
)
def test_frames_and_spikes_are_related_by_one_simple_ratio(tiny_demo, tmp_path, size, sound):
    path = tmp_path / 'frame.png'
    cv2.imwrite(str(path), np.zeros((*size, 3), np.uint8))
    sequence = ProcessedClips(tiny_demo).sequences('train')[0]
    found = ratio_problems(path, size, sequence)
    assert bool(found) is not sound
