"""VRT's arguments: every problem is named in one error."""

import pytest

from vrtspike.errors import ConfigError
from vrtspike.models.backbones.vrt_checks import check_frames, check_groups, check_sizes, warping_problems

GOOD = dict(embed_dims=[8] * 8, num_heads=[2] * 8, deformable_groups=4, pa_frames=2, upscale=1, window_size=(2, 4, 4))


def test_arguments_that_work_pass():
    check_groups([1] * 9, [8] * 9, [2] * 9, [7, 8])
    check_sizes(**GOOD)
    check_sizes(**GOOD | {'pa_frames': 0, 'upscale': 4})


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'num_heads': [3] + [2] * 7}, r'embed_dims\[0\] = 8 is not a multiple of num_heads\[0\] = 3'),
        ({'embed_dims': [16] + [8] * 7}, r'stages 7 and 1 are added, but embed_dims\[6\] = 8 and embed_dims\[0\] = 16'),
        ({'pa_frames': 3}, 'pa_frames = 3 is not one of 0, 2, 4, 6'),
        ({'upscale': 3}, 'upscale = 3 is not a power of 2'),
        ({'upscale': 0}, 'upscale = 0 is not a power of 2'),
        ({'window_size': (4, 4)}, r'window_size = \[4, 4\] is not three positive lengths'),
    ],
)
def test_sizes_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        check_sizes(**GOOD | changes)


def test_all_problems_stand_in_one_error():
    with pytest.raises(ConfigError, match=r'pa_frames = 3 .*; upscale = 3 '):
        check_sizes(**GOOD | {'pa_frames': 3, 'upscale': 3})


def test_interpolation_merges_a_fixed_number_of_frames():
    check_frames(4, 4)
    with pytest.raises(ConfigError, match=r'takes clips of img_size\[0\] = 4 frames, found 5'):
        check_frames(5, 4)


@pytest.mark.parametrize('lengths', [(8, 8, 9), (7, 7, 7)])
def test_lists_of_groups_must_agree(lengths):
    with pytest.raises(ConfigError, match=f'found: depths has {lengths[0]}, .*num_heads has {lengths[2]}'):
        check_groups(*([2] * length for length in lengths), [])


def test_only_groups_of_stage_8_reconstruct_by_themselves():
    with pytest.raises(ConfigError, match=r'are not groups of stage 8: \[6, 9\]; valid indices are \[7, 8\]'):
        check_groups([1] * 9, [8] * 9, [2] * 9, [6, 8, 9])


def test_channels_of_a_warp_divide_among_neighbours_and_groups():
    assert warping_problems([12], 3, 4) == []
    assert len(warping_problems([10], 3, 4)) == 2
    assert warping_problems([8], 1, 16) == ['8 channels x 1 do not divide into 16 deformable_groups']
