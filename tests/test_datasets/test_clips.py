import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader

from vrtspike.datasets import OrdinalSampler, ProcessedClips, SampleKey, read_spike_dat
from vrtspike.datasets.io.spike_formats import read_spikes
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import DATASETS

PIPELINE = [
    {'type': 'PairedRandomCrop', 'size': 16},
    {'type': 'PairedRandomFlip'},
    {'type': 'BinSpikes', 'representation': {'type': 'Voxel', 'bins': 8}},
    {'type': 'PackClip'},
]


def build(root, split='train', **options):
    source = {'type': 'ProcessedClips', 'root': str(root)}
    return DATASETS.build({'type': 'ClipDataset', 'source': source, 'split': split, 'clip_len': 3, **options})


def assert_same(one, other):
    assert one['meta'] == other['meta']
    for key in ('blur', 'sharp', 'spikes'):
        torch.testing.assert_close(one[key], other[key], rtol=0, atol=0)


def test_a_sample_without_pipeline_is_what_lies_on_disk(tiny_demo):
    sample = build(tiny_demo)[3]
    where = {'name': '001_motorcycle_left', 'index': 3, 'first_frame': '00001'}
    assert sample['meta'] == {**where, 'threshold': 1.0, 'light': 'linear'}
    folder = tiny_demo / 'train' / '001_motorcycle_left'
    for kind in ('blur', 'sharp'):
        assert sample[kind].shape == (3, 32, 32, 3)
        np.testing.assert_array_equal(sample[kind][2], cv2.imread(str(folder / kind / '00003.png'))[..., ::-1])
    np.testing.assert_array_equal(sample['spikes'][0], read_spike_dat(folder / 'spike' / '00001.dat', 16, 16))


def test_samples_and_batches_have_the_documented_form(tiny_demo):
    dataset = build(tiny_demo, pipeline=PIPELINE)
    batch = default_collate([dataset[0], dataset[2]])
    assert batch['blur'].shape == batch['sharp'].shape == (2, 3, 3, 16, 16)
    assert batch['blur'].dtype == batch['sharp'].dtype == torch.uint8
    assert batch['spikes'].shape == (2, 3, 8, 8, 8)
    assert batch['spikes'].dtype == torch.float32
    assert batch['meta']['name'] == ['000_astronaut', '001_motorcycle_left']
    assert set(batch) == {'blur', 'sharp', 'spikes', 'meta'}


def test_stride_and_limit_choose_the_clips(tiny_demo):
    assert len(build(tiny_demo)) == 4
    assert len(build(tiny_demo, stride=2)) == 2
    assert len(build(tiny_demo, clip_len=1, stride=3)) == 4
    assert [build(tiny_demo, clip_len=1, stride=3)[i]['meta']['first_frame'] for i in (1, 2)] == ['00003', '00000']
    assert len(build(tiny_demo, limit=1)) == 1
    assert len(build(tiny_demo, limit=100)) == 4


def test_indices_end_with_the_data_set(tiny_demo):
    dataset = build(tiny_demo, limit=3)
    assert len(list(dataset)) == 3
    with pytest.raises(IndexError, match='clip 3 of a data set of 3 clips'):
        dataset[3]


def test_randomness_follows_from_seed_and_ordinal_alone(tiny_demo):
    dataset, other = (build(tiny_demo, pipeline=PIPELINE) for _ in range(2))
    key = SampleKey(1, ordinal=17, seed=5)
    dataset[0]
    assert_same(dataset[key], other[key])
    assert_same(dataset[1], other[SampleKey(1, ordinal=1, seed=0)])
    draws = {dataset[SampleKey(1, ordinal, seed)]['spikes'].numpy().tobytes() for ordinal in (1, 2) for seed in (0, 1)}
    assert len(draws) == 4


def test_workers_make_the_samples_of_one_process(tiny_demo):
    dataset = build(tiny_demo, pipeline=PIPELINE)
    batches = []
    for workers in (0, 2):
        sampler = OrdinalSampler(dataset, seed=3)
        loader = DataLoader(dataset, 2, sampler=sampler, num_workers=workers, collate_fn=default_collate)
        batches.append([batch['spikes'] for batch, _ in zip(loader, range(3), strict=False)])
    for one, other in zip(*batches, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_index_that_workers_copy_is_small(tiny_demo):
    source = ProcessedClips(tiny_demo)
    sequences = source.sequences('train')
    object.__setattr__(sequences[0], 'stems', np.array([f'{i:05d}' for i in range(10_000)]))
    assert len(pickle.dumps(sequences)) < 10_000 * 5 * 4 + 10_000
    assert isinstance(build(tiny_demo).sequences[0].stems, np.ndarray)


def test_a_frame_damaged_later_is_named(tiny_copy):
    dataset = build(tiny_copy)
    path = tiny_copy / 'train' / '000_astronaut' / 'sharp' / '00001.png'
    path.write_bytes(b'no image')
    with pytest.raises(DataError, match=r'sharp/00001\.png is damaged'):
        dataset[0]


def test_frames_of_two_sizes_are_named(tiny_copy):
    dataset = build(tiny_copy)
    for name in ('00001', '00002'):
        path = tiny_copy / 'train' / '000_astronaut' / 'blur' / f'{name}.png'
        cv2.imwrite(str(path), np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(DataError, match=r'00001\.png has 16 x 16 pixels, 00000\.png beside it 32 x 32'):
        dataset[0]


def test_blur_and_sharp_of_two_sizes_are_named(tiny_copy):
    for path in (tiny_copy / 'train' / '000_astronaut' / 'blur').iterdir():
        cv2.imwrite(str(path), np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(DataError, match=r'frames of 32 x 32 and .* of 16 x 16'):
        build(tiny_copy)[0]


@pytest.mark.parametrize('options', [{'split': 'test'}, {'clip_len': 0}, {'stride': 0}, {'limit': 0}])
def test_bad_arguments_are_refused(tiny_demo, options):
    with pytest.raises(ConfigError, match='ClipDataset got'):
        build(tiny_demo, **options)


class TestBadSamples:
    @pytest.fixture
    def damaged(self, tiny_copy):
        """The demo, one of whose frames was damaged after it was checked, as a data set that skips."""
        dataset = build(tiny_copy, pipeline=PIPELINE, on_bad_sample='skip', max_bad_samples=3)
        (tiny_copy / 'train' / '000_astronaut' / 'sharp' / '00000.png').write_bytes(b'no image')
        return dataset

    def test_an_unreadable_sample_is_an_error_by_default(self, tiny_copy):
        dataset = build(tiny_copy)
        (tiny_copy / 'train' / '000_astronaut' / 'spike' / '00001.dat').unlink()
        with pytest.raises(DataError, match=r'00001\.dat is missing'):
            dataset[0]

    def test_another_one_stands_in_and_says_so(self, damaged):
        sample = damaged[SampleKey(0, ordinal=5, seed=1)]
        assert sample['meta']['index'] != 0
        message, *others = sample['meta']['skipped'].splitlines()
        assert message.startswith('clip 0: ')
        assert '00000.png is damaged' in message
        assert all(other.startswith('clip 0: ') for other in others)

    def test_the_substitute_follows_from_seed_and_ordinal(self, damaged):
        one, other = (damaged[SampleKey(0, ordinal=5, seed=1)] for _ in range(2))
        assert_same(one, other)
        chosen = {damaged[SampleKey(0, ordinal, 0)]['meta']['index'] for ordinal in range(40)}
        assert chosen == {1, 2, 3}

    def test_sound_samples_are_those_of_a_data_set_that_does_not_skip(self, damaged, tiny_demo):
        sample = damaged[SampleKey(3, ordinal=2, seed=0)]
        assert sample['meta'].pop('skipped') == ''
        assert_same(sample, build(tiny_demo, pipeline=PIPELINE)[SampleKey(3, ordinal=2, seed=0)])

    def test_substitutes_are_collated_with_the_others(self, damaged):
        batch = default_collate([damaged[0], damaged[3]])
        assert batch['meta']['skipped'][0].startswith('clip 0')
        assert batch['meta']['skipped'][1] == ''

    def test_where_nothing_can_be_read_it_ends(self, tiny_copy):
        dataset = build(tiny_copy, on_bad_sample='skip', max_bad_samples=3)
        for path in tiny_copy.glob('train/*/blur/*.png'):
            path.write_bytes(b'no image')
        with pytest.raises(
            DataError, match=r'4 samples could not be read, more than max_bad_samples=3; the last one is'
        ):
            dataset[0]

    def test_validation_skips_nothing(self, tiny_demo):
        with pytest.raises(ConfigError, match='validation must score every clip'):
            build(tiny_demo, 'val', on_bad_sample='skip')

    @pytest.mark.parametrize('options', [{'on_bad_sample': 'ignore'}, {'max_bad_samples': -1}])
    def test_bad_arguments_are_refused(self, tiny_demo, options):
        with pytest.raises(ConfigError, match='ClipDataset got on_bad_sample='):
            build(tiny_demo, **options)


def test_only_what_a_crop_keeps_is_read(tiny_demo, monkeypatch):
    """Spikes stay packed until the crop has said which rows and columns are needed."""
    parts = []

    def read(*file, rows, columns, **window):
        parts.append((rows[1] - rows[0], columns[1] - columns[0]))
        return read_spikes(*file, rows=rows, columns=columns, **window)

    dataset = build(tiny_demo, pipeline=PIPELINE)
    monkeypatch.setattr('vrtspike.datasets.io.packed_spikes.read_spikes', read)
    dataset[0]
    assert parts == [(8, 8)] * 3


def test_a_large_index_is_no_burden_to_a_worker(tiny_demo):
    """Of 4,000 sequences with 65 frames each a worker copies less than 5 MB."""
    dataset = build(tiny_demo)
    stems = [np.array([f'{i:04d}' for i in range(65)]) for _ in range(4000)]
    dataset.sequences = [replace(dataset.sequences[0], name=f'{i:03d}/x', stems=each) for i, each in enumerate(stems)]
    assert len(pickle.dumps(dataset)) < 5e6
