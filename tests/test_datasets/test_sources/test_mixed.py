import pytest

from vrtspike.datasets import ClipDataset, MixedClips, ProcessedClips
from vrtspike.errors import ConfigError


@pytest.fixture
def mixed(tiny_demo, tiny_copy):
    return MixedClips([dict(type='ProcessedClips', root=tiny_demo), ProcessedClips(tiny_copy, sharp=None)])


def test_trains_on_every_source_and_validates_on_the_first(mixed):
    train = mixed.sequences('train')
    assert [(sequence.name[:2], sequence.sharp is None) for sequence in train] == [
        ('0/', False),
        ('0/', False),
        ('1/', True),
        ('1/', True),
    ]
    assert [sequence.name[:2] for sequence in mixed.sequences('val')] == ['0/', '0/']


def test_only_clips_with_sharp_frames_have_them(mixed):
    clips = ClipDataset(mixed, 'train', clip_len=4)
    assert ['sharp' in clips.read(i) for i in range(len(clips))] == [True, True, False, False]


@pytest.mark.parametrize(('sources', 'val'), [([], ()), (['one'], (1,))])
def test_indices_of_sources_are_checked(sources, val):
    with pytest.raises(ConfigError, match='MixedClips'):
        MixedClips(sources, val)
