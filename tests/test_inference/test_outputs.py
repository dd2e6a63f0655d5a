"""A folder of restored frames: a run resumes into its own folder and into no other."""

import resource

import cv2
import msgspec
import numpy as np
import pytest

from vrtspike.errors import DataError
from vrtspike.inference.outputs import FrameFolder, frame_folder, record_inputs, video_of_frames


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
    with pytest.raises(DataError, match='contains other files'):
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


def test_the_suffix_decides_between_a_video_and_a_folder(tmp_path):
    assert frame_folder(tmp_path / 'a.MP4') == tmp_path / '.a.MP4.frames'
    for name in ('a', 'run.v2', 'gain_0.5', 'of.2024'):
        assert frame_folder(tmp_path / name) == tmp_path / name


@pytest.mark.parametrize('name', ['a.webm', 'a.gif', 'a.m4v', 'a.WMV', 'a.3gp', 'a.png', 'a.mpeg'])
def test_names_of_other_files_are_refused_unless_they_are_folders(tmp_path, name):
    with pytest.raises(DataError, match=r'expected a video \(\.mp4, \.mkv, \.mov, \.avi\) or a folder'):
        frame_folder(tmp_path / name)
    (tmp_path / name).mkdir()
    assert frame_folder(tmp_path / name) == tmp_path / name


def test_frames_are_kept_until_the_video_is_whole(tmp_path):
    folder = FrameFolder(tmp_path / 'frames', ['a', 'b'])
    folder.write(0, np.zeros((2, 16, 24, 3), np.uint8))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(DataError, match=r'not written completely.*run the same command again to write the video'):
            video_of_frames(tmp_path / 'a.avi', folder, 25)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert folder.done() == 2
    video_of_frames(tmp_path / 'a.avi', folder, 25)
    assert [path.name for path in tmp_path.iterdir()] == ['a.avi']
