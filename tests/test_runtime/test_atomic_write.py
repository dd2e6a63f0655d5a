import errno
import os

import cv2
import numpy as np
import pytest

from vrtspike.runtime.atomic_write import atomic_write, write_png, write_text


def test_the_file_appears_whole_and_alone(tmp_path):
    path = tmp_path / 'new' / 'picture.png'
    with atomic_write(path) as aside:
        assert aside.suffix == '.png'
        assert aside.parent == path.parent
        aside.write_bytes(b'half')
        assert not path.exists()
        aside.write_bytes(b'whole')
    assert path.read_bytes() == b'whole'
    assert list(path.parent.iterdir()) == [path]


def write_half(path):
    with atomic_write(path) as aside:
        aside.write_text('ne')
        raise KeyboardInterrupt


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / 'report.json'
    path.write_text('old')
    with pytest.raises(KeyboardInterrupt):
        write_half(path)
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('name', [None, 'aside', '/another/file'])
def test_errors_of_the_system_name_the_file_that_was_asked_for(tmp_path, name):
    def write(path):
        with atomic_write(path) as aside:
            raise OSError(errno.ENOSPC, 'No space left on device', str(aside) if name == 'aside' else name)

    with pytest.raises(OSError, match='No space') as caught:
        write(tmp_path / 'a.png')
    assert caught.value.filename == (name if name == '/another/file' else str(tmp_path / 'a.png'))


def test_names_that_are_not_utf_8_are_written_as_escapes(tmp_path):
    write_text(tmp_path / 'a.json', os.fsdecode(b'"\xff"'))
    assert (tmp_path / 'a.json').read_bytes() == rb'"\udcff"'


def test_pictures_are_rgb(tmp_path):
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    write_png(tmp_path / 'red.png', red)
    assert cv2.imread(str(tmp_path / 'red.png'))[0, 0].tolist() == [0, 0, 255]
