import pytest

from vrtspike.datasets.inventory import damaged_frames, take_inventory
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


def test_every_damaged_frame_is_named_at_its_position(tiny_copy):
    sequence = ProcessedClips(tiny_copy).sequences('val')[0]
    sequence.image_path('sharp', '00002').write_bytes(b'half an image')
    found = list(damaged_frames(sequence))
    assert [position for position, problem in enumerate(found) if problem] == [2]
    assert '00002.png is damaged' in found[2]
