from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.datasets.transforms import PairedCenterCrop, PairedRandomCrop
from vrtspike.errors import ConfigError, DataError


def coordinate_sample(height=12, width=16, ratio=2, seed=0):
    """Frames that hold their own (row, column), and spikes that hold those of the RGB pixel at their corner."""
    rows, columns = np.indices((height, width), dtype=np.uint8)
    frames = np.stack([rows, columns, rows], axis=-1)[None].repeat(2, axis=0)
    spikes = np.stack([rows, columns])[None, :, ::ratio, ::ratio].repeat(2, axis=0)
    meta = {'name': 'seq', 'first_frame': '00'}
    return {'blur': frames, 'sharp': frames, 'spikes': spikes, 'rng': np.random.default_rng(seed), 'meta': meta}


def assert_aligned(sample, size, ratio):
    assert sample['blur'].shape == sample['sharp'].shape == (2, *size, 3)
    assert sample['spikes'].shape == (2, 2, size[0] // ratio, size[1] // ratio)
    np.testing.assert_array_equal(sample['blur'], sample['sharp'])
    np.testing.assert_array_equal(sample['blur'][:, ::ratio, ::ratio, 0], sample['spikes'][:, 0])
    np.testing.assert_array_equal(sample['blur'][:, ::ratio, ::ratio, 1], sample['spikes'][:, 1])


@given(ratio=st.integers(1, 4), data=st.data(), seed=st.integers(0, 99))
def test_crops_show_the_same_part_of_the_scene(ratio, data, seed):
    height, width, rows, columns = (data.draw(st.integers(1, 8)) for _ in range(4))
    size = (min(rows, height) * ratio, min(columns, width) * ratio)
    for transform in (PairedRandomCrop(size), PairedCenterCrop(size)):
        sample = coordinate_sample(height * ratio, width * ratio, ratio, seed)
        assert_aligned(transform(sample), size, ratio)


def test_random_crops_reach_every_place_and_follow_the_generator():
    corners = {tuple(PairedRandomCrop(8)(coordinate_sample(seed=seed))['blur'][0, 0, 0, :2]) for seed in range(200)}
    assert corners == {(row, column) for row in (0, 2, 4) for column in (0, 2, 4, 6, 8)}
    one, other = (PairedRandomCrop(8)(coordinate_sample(seed=3)) for _ in range(2))
    np.testing.assert_array_equal(one['blur'], other['blur'])


def test_the_centre_crop_is_centred():
    assert PairedCenterCrop((8, 4))(coordinate_sample())['blur'][0, 0, 0, :2].tolist() == [2, 6]


def test_no_size_keeps_the_whole_frame():
    assert PairedCenterCrop()(coordinate_sample())['blur'].shape == (2, 12, 16, 3)


def test_a_random_crop_larger_than_the_frame_names_both():
    with pytest.raises(DataError, match=r"14 x 14 does not fit into the 12 x 16 frames of 'seq'"):
        PairedRandomCrop(14)(coordinate_sample())


def test_a_centre_crop_larger_than_the_frame_keeps_the_whole_length():
    cropped = PairedCenterCrop(14)(coordinate_sample())
    assert_aligned(cropped, (12, 14), 2)
    assert cropped['blur'][0, 0, 0, :2].tolist() == [0, 0]


def test_a_crop_between_spike_pixels_is_refused():
    with pytest.raises(ConfigError, match='expected multiples of 2'):
        PairedRandomCrop(7)(coordinate_sample())


def test_frames_that_do_not_correspond_to_the_spikes_are_refused():
    sample = coordinate_sample()
    sample['spikes'] = sample['spikes'][..., :-1]
    with pytest.raises(DataError, match='frames of 12 x 16 and spikes of 6 x 7'):
        PairedRandomCrop(4)(sample)


@pytest.mark.parametrize('size', [0, (4,), (4, -2)])
def test_bad_sizes_are_refused(size):
    with pytest.raises(ConfigError, match='a crop: size'):
        PairedRandomCrop(size)


def marked_sample(rows, columns, ratio, seed):
    """Frames and spikes whose pixels hold the place of their centre in the scene, in spike pixels times 840."""
    size = (rows * ratio.numerator, columns * ratio.numerator)
    spike_size = (rows * ratio.denominator, columns * ratio.denominator)
    scale = [840 // ratio.numerator, 840 // ratio.denominator]
    frames, spikes = (
        np.stack([(2 * places + 1) * step for places in np.indices(shape)]).astype(np.int64)
        for shape, step in zip((size, spike_size), scale, strict=True)
    )
    frames = np.stack([frames[0], frames[1], frames[0]], axis=-1)[None]
    meta = {'name': 'seq', 'first_frame': '00'}
    rng = np.random.default_rng(seed)
    return {'blur': frames, 'sharp': frames, 'spikes': spikes[None], 'rng': rng, 'meta': meta}


@given(
    ratio=st.tuples(st.integers(1, 7), st.integers(1, 4)).map(lambda pair: Fraction(*pair)),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_at_any_ratio_crops_cover_exactly_the_same_part_of_the_scene(ratio, seed, data):
    rows, columns, crop_rows, crop_columns = (data.draw(st.integers(1, 6)) for _ in range(4))
    size = (min(rows, crop_rows) * ratio.numerator, min(columns, crop_columns) * ratio.numerator)
    for transform in (PairedRandomCrop(size), PairedCenterCrop(size)):
        cropped = transform(marked_sample(rows, columns, ratio, seed))
        frames, spikes = cropped['blur'], cropped['spikes']
        assert frames.shape[1:3] == size
        assert Fraction(size[0], spikes.shape[2]) == Fraction(size[1], spikes.shape[3]) == ratio
        for axis in (0, 1):
            of_frames, of_spikes = frames[0, ..., axis], spikes[0, axis]
            half = [840 // ratio.numerator, 840 // ratio.denominator]
            edges = [
                (part.min() - each, part.max() + each) for part, each in zip((of_frames, of_spikes), half, strict=True)
            ]
            assert edges[0] == edges[1]


def test_without_spikes_any_size_is_cropped():
    sample = coordinate_sample()
    del sample['spikes']
    cropped = PairedRandomCrop((7, 5))(sample)
    assert cropped['blur'].shape == cropped['sharp'].shape == (2, 7, 5, 3)
    assert 'spikes' not in cropped
