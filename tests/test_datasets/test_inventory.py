import numpy as np
import pytest

from vrtspike.datasets.inventory import damaged_frames, take_inventory
from vrtspike.datasets.io.images import write_image
from vrtspike.datasets.sources.processed import ProcessedClips
from vrtspike.errors import DataError


def test_counts_of_a_sound_data_set(tiny_demo):
    train, val = take_inventory(ProcessedClips(tiny_demo), clip_len=3)
    assert (train.split, val.split) == ('train', 'val')
    assert len(val.sequences) == 2
    assert val.frames == 8
    assert val.clips(3) == 4
    assert val.clips(9) == 0
    assert val.frame_sizes == [(32, 32)]
    assert not val.problems
    assert val.suggestion.linear == pytest.approx(1.0, abs=0.25)


def test_problems_of_one_split_leave_the_other_alone(tiny_copy):
    next(tiny_copy.glob('val/*/spike/00001.dat')).unlink()
    train, val = take_inventory(ProcessedClips(tiny_copy), clip_len=3)
    assert not train.problems
    assert any('00001.dat is missing' in problem for problem in val.problems)
    assert val.suggestion is None


def test_a_split_that_cannot_be_listed_is_a_problem():
    class Broken:
        def sequences(self, split):
            raise DataError('no such split')

    assert [each.problems for each in take_inventory(Broken(), 3)] == [['no such split']] * 2


@pytest.mark.parametrize('stem', ['00000', '00002'])
def test_every_damaged_frame_is_named_at_its_position(tiny_copy, stem):
    sequence = ProcessedClips(tiny_copy).sequences('val')[0]
    path = sequence.image_path('sharp', stem)
    path.write_bytes(path.read_bytes()[:-20])
    found = list(damaged_frames(sequence))
    assert [position for position, problem in enumerate(found) if problem] == [int(stem)]
    assert f'{stem}.png is damaged' in found[int(stem)]


def test_a_frame_of_another_size_is_named(tiny_copy):
    sequence = ProcessedClips(tiny_copy).sequences('val')[0]
    for kind in ('blur', 'sharp'):
        write_image(sequence.image_path(kind, '00002'), np.zeros((16, 32, 3), np.uint8))
    (problem,) = filter(None, damaged_frames(sequence))
    assert problem.endswith(
        'blur/00002.png has 16 x 32 pixels, but the frames before it have 32 x 32: '
        'the frames of a sequence must have one size'
    )
