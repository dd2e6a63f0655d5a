import numpy as np
import pytest
import torch

from vrtspike.metrics import luma, playback_frames, to_uint8_frames


def test_floats_are_rounded_and_clamped():
    frames = torch.tensor([-0.1, 0.0, 0.49 / 255, 0.51 / 255, 1.0, 1.2]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert to_uint8_frames(frames)[0, 0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]


def test_bytes_pass_through_with_channels_last():
    frames = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    np.testing.assert_array_equal(to_uint8_frames(frames), frames.permute(0, 2, 3, 1))


def test_playback_encodes_the_mean_over_bins_as_srgb():
    spikes = torch.zeros(2, 4, 3, 5)
    spikes[1, ::2] = 2 * 0.21586  # so the mean is the linear intensity of the sRGB value 128
    frames = playback_frames(spikes, (6, 10))
    assert frames.shape == (2, 6, 10)
    assert frames.dtype == np.uint8
    assert (frames[0] == 0).all()
    assert (frames[1] == 128).all()


def test_playback_of_encoded_values_shows_them_as_they_are():
    assert (playback_frames(torch.full((1, 4, 3, 5), 128 / 255), (6, 10), light='encoded') == 128).all()


def test_playback_is_resized_bilinearly_with_aligned_areas():
    spikes = torch.tensor([[0.0, 1.0]]).view(1, 1, 1, 2)
    expected = torch.nn.functional.interpolate(spikes, (2, 8), mode='bilinear', align_corners=False)
    np.testing.assert_allclose(playback_frames(spikes, (2, 8))[0], expected[0, 0] * 255, atol=0.5)


def test_playback_saturates():
    assert (playback_frames(torch.full((1, 2, 2, 2), 1.5), (2, 2)) == 255).all()


@pytest.mark.parametrize(('colour', 'expected'), [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)])
def test_luma_takes_rgb(colour, expected):
    assert luma(np.full((1, 1, 1, 3), colour, np.uint8)).item() == expected
