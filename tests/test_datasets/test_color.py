import numpy as np

from vrtspike.datasets.color import decode_srgb, encode_light_uint8, encode_srgb, luminance


def test_srgb_has_its_published_values_and_inverts():
    np.testing.assert_allclose(decode_srgb(np.array([0, 0.04, 0.5, 1])), [0, 0.0030960, 0.2140411, 1], atol=1e-6)
    levels = np.arange(256) / 255
    np.testing.assert_allclose(encode_srgb(decode_srgb(levels)), levels, atol=1e-6)


def test_white_has_a_luminance_of_one():
    np.testing.assert_allclose(luminance(np.ones((2, 2, 3), np.float32)), 1, atol=1e-6)


def test_light_outside_the_range_is_clipped():
    np.testing.assert_array_equal(encode_srgb(np.array([-1.0, 2.0])), [0, 1])


def test_luminance_weighs_the_channels_as_rec_709_does():
    np.testing.assert_allclose(luminance(np.eye(3, dtype=np.float32)), [0.2126, 0.7152, 0.0722])


def test_only_linear_light_is_encoded():
    seen = np.array([-0.1, 0.21586, 0.5, 1.2])
    np.testing.assert_array_equal(encode_light_uint8(seen, 'linear'), [0, 128, 188, 255])
    np.testing.assert_array_equal(encode_light_uint8(seen, 'encoded'), [0, 55, 128, 255])
