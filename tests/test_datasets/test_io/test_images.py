import cv2
import numpy as np
import pytest

from vrtspike.datasets.io.images import read_image, read_images, write_image
from vrtspike.errors import DataError

RED = np.array([255, 0, 0], np.uint8)


def image(height=4, width=6):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_images_are_rgb_and_read_back(tmp_path):
    write_image(tmp_path / 'red.png', np.broadcast_to(RED, (2, 2, 3)).copy())
    np.testing.assert_array_equal(read_image(tmp_path / 'red.png')[0, 0], RED)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'red.png'))[0, 0], RED[::-1])
    write_image(tmp_path / 'x.png', image())
    np.testing.assert_array_equal(read_image(tmp_path / 'x.png'), image())


def test_frames_of_a_clip_are_stacked(tmp_path):
    paths = [tmp_path / f'{i}.png' for i in range(3)]
    for path in paths:
        write_image(path, image())
    assert read_images(paths).shape == (3, 4, 6, 3)


def test_frames_of_two_sizes_are_refused(tmp_path):
    paths = [tmp_path / 'a.png', tmp_path / 'b.png']
    write_image(paths[0], image())
    write_image(paths[1], image(width=5))
    with pytest.raises(DataError, match=r'b\.png has 4 x 5 pixels, a\.png beside it 4 x 6'):
        read_images(paths)


@pytest.mark.parametrize('content', [None, b'no image'])
def test_a_missing_or_damaged_image_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / 'x.png').write_bytes(content)
    with pytest.raises(DataError, match=r'x\.png is missing or damaged'):
        read_image(tmp_path / 'x.png')


def test_a_damaged_copy_falls_back_to_the_file(tmp_path):
    write_image(tmp_path / 'x.png', image())
    (tmp_path / 'copy.png').write_bytes(b'half')
    np.testing.assert_array_equal(read_image(tmp_path / 'x.png', lambda path: tmp_path / 'copy.png'), image())


def test_an_image_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(DataError, match='could not be written'):
        write_image(tmp_path / 'absent' / 'x.png', image())
