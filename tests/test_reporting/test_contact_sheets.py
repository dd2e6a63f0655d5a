"""What strips become; the tools' tests look at the panels of real data sets."""

import cv2
import numpy as np
import pytest
from PIL import Image

from vrtspike.datasets.io.video import VideoFile
from vrtspike.errors import ConfigError
from vrtspike.reporting.contact_sheets import same_width, write_strips


def make_strips(*widths):
    return [np.full((6, width, 3), 40 * (i + 1), np.uint8) for i, width in enumerate(widths)]


def test_narrow_strips_are_padded_with_black():
    narrow, wide = same_width(make_strips(4, 9))
    assert narrow.shape == wide.shape == (6, 9, 3)
    assert (narrow[:, :4] == 40).all()
    assert (narrow[:, 4:] == 0).all()


def test_a_sheet_has_the_strips_below_each_other(tmp_path):
    write_strips(tmp_path / 'sheet.png', make_strips(8, 8))
    sheet = cv2.imread(str(tmp_path / 'sheet.png'))
    assert sheet.shape == (12, 8, 3)
    assert (sheet[:6] == 40).all()
    assert (sheet[6:] == 80).all()


def test_a_gif_has_one_frame_for_each_strip(tmp_path):
    write_strips(tmp_path / 'clip.gif', make_strips(8, 8, 8), fps=10.0)
    with Image.open(tmp_path / 'clip.gif') as image:
        assert image.n_frames == 3
        assert image.info['duration'] == 100


def test_a_video_has_the_strips_one_after_the_other(tmp_path):
    write_strips(tmp_path / 'clip.mp4', [np.zeros((33, 65, 3), np.uint8)] * 2)
    assert VideoFile(tmp_path / 'clip.mp4').read(0, 2).shape == (2, 34, 66, 3)


def test_another_suffix_is_refused_before_anything_is_drawn(tmp_path):
    with pytest.raises(ConfigError, match='has no suffix of a picture'):
        write_strips(tmp_path / 'clip.avi', iter(()))
    assert list(tmp_path.iterdir()) == []
