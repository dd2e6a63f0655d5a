import numpy as np
import pytest

from vrtspike.reporting.clip_strip import BACKGROUND, CAPTION_HEIGHT, GAP, clip_strip, enlargement


def make_panels(height=20, width=30, count=4):
    rng = np.random.default_rng(0)
    return [(f'panel {i}', rng.integers(0, 256, (height, width, 3), np.uint8)) for i in range(count)]


def test_pixels_are_repeated_unchanged():
    panels = make_panels()
    strip, factor = clip_strip(panels), enlargement(30, 4)
    left = GAP
    for _, image in panels:
        drawn = strip[CAPTION_HEIGHT : CAPTION_HEIGHT + 20 * factor, left : left + 30 * factor]
        np.testing.assert_array_equal(drawn[::factor, ::factor], image)
        np.testing.assert_array_equal(drawn[factor - 1 :: factor, factor - 1 :: factor], image)
        left += 30 * factor + GAP
    assert left == strip.shape[1]


def test_every_panel_has_a_caption_of_its_own():
    panels = make_panels()
    bars = np.hsplit(clip_strip(panels)[:CAPTION_HEIGHT, GAP:], 4)
    assert all((bar != BACKGROUND).any() for bar in bars)
    assert (clip_strip([('', panels[0][1])])[:CAPTION_HEIGHT] == BACKGROUND).all()


def test_gray_images_stay_gray():
    gray = np.arange(200, dtype=np.uint8).reshape(10, 20)
    strip = clip_strip([('TFP', gray), ('RGB', np.repeat(gray[..., None], 3, 2))])
    left, right = np.hsplit(strip[CAPTION_HEIGHT:, GAP:], 2)
    np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    ('width', 'panels', 'factor'), [(1280, 4, 1), (480, 4, 1), (128, 4, 3), (64, 4, 7), (24, 4, 20)]
)
def test_the_largest_whole_factor_that_fits(width, panels, factor):
    assert enlargement(width, panels) == factor


def test_captions_find_room_beside_many_small_images():
    assert 60 * enlargement(60, 40) >= 192
