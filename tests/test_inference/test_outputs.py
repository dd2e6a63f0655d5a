"""A folder of restored frames: a run resumes into its own folder and into no other."""

import cv2
import msgspec
import numpy as np
import pytest

from vrtspike.errors import DataError
from vrtspike.inference.outputs import FrameFolder, record_inputs, video_code


class Inputs(msgspec.Struct):
    checkpoint: str
    tile: int = 64


def test_the_same_inputs_resume_and_others_are_named(tmp_path):
    folder = tmp_path / 'out'
    record_inputs(folder, Inputs('a.pth'), 'made_from.json')
    record_inputs(folder, Inputs('a.pth'), 'made_from.json')
    with pytest.raises(DataError, match=r'\(tile: 64 there, 32 now\)'):
        record_inputs(folder, Inputs('a.pth', 32), 'made_from.json')


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / 'photo.png').touch()
    with pytest.raises(DataError, match='holds other files'):
        record_inputs(tmp_path, Inputs('a.pth'), 'made_from.json')


def test_frames_are_rgb_and_counted_to_the_first_missing_one(tmp_path):
    folder = FrameFolder(tmp_path, ['a', 'b', 'c'])
    red = np.zeros((2, 3, 3), np.uint8)
    red[..., 0] = 255
    folder.write(0, [red])
    folder.write(2, [red])
    assert folder.done() == 1
    folder.write(1, [red])
    assert folder.done() == 3
    assert cv2.imread(str(folder.path('b')))[0, 0].tolist() == [0, 0, 255]  # OpenCV reads BGR


def test_the_suffix_decides_about_the_codec(tmp_path):
    assert [video_code(tmp_path / name) for name in ('a.MP4', 'a.avi', 'a')] == ['mp4v', 'MJPG', None]
