"""Videos as people have them: of odd sizes, with wrong headers, turned, cut off, and on full disks."""

import resource

import cv2
import numpy as np
import pytest

from vrtspike.datasets.io.video import ImageFolder, VideoFile, mean_rate, open_frames, write_video
from vrtspike.errors import DataError
from vrtspike.runtime.atomic_write import write_png

SIZE = (16, 24)


def images(count=5):
    """Frames whose level is 40 times their number."""
    return np.stack([np.full((*SIZE, 3), 40 * i, np.uint8) for i in range(count)])


@pytest.fixture
def folder(tmp_path):
    for i, image in enumerate(images()):
        write_png(tmp_path / 'blur' / f'{i:03d}.png', image)
    return tmp_path / 'blur'


@pytest.fixture
def video(tmp_path):
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 12, SIZE[::-1])
    for image in images():
        writer.write(image)
    writer.release()
    return path


def test_a_folder_in_the_order_of_names(folder):
    frames = open_frames(folder)
    assert (len(frames), frames.size, frames.names) == (5, SIZE, ['000', '001', '002', '003', '004'])
    assert frames.read(1, 4)[:, 0, 0, 0].tolist() == [40, 80, 120]


@pytest.mark.parametrize('spans', [[(0, 5)], [(0, 3), (1, 4), (2, 5)], [(3, 5), (0, 2)], [(2, 3), (2, 3), (4, 5)]])
def test_a_video_gives_any_window(video, spans):
    frames = open_frames(video)
    assert isinstance(frames, VideoFile)
    assert (len(frames), frames.size, frames.fps) == (5, SIZE, 12)
    for start, stop in spans:
        levels = frames.read(start, stop)[:, 0, 0, 0].astype(int)
        assert np.abs(levels - 40 * np.arange(start, stop)).max() <= 3  # JPEG
        assert len(frames._frames) <= stop - start  # no more is kept than was asked for


def test_frames_that_cannot_be_read_are_explained(folder, tmp_path):
    with pytest.raises(DataError, match='does not exist'):
        open_frames(tmp_path / 'absent')
    (tmp_path / 'clip.mp4').write_text('no video')
    with pytest.raises(DataError, match='not a video that OpenCV can open'):
        open_frames(tmp_path / 'clip.mp4')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DataError, match='has no files with one of the suffixes'):
        ImageFolder(tmp_path / 'empty')
    write_png(folder / '003.png', np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match=r'000\.png has 16 x 24 pixels, 003\.png has 8 x 8'):
        ImageFolder(folder)
    (folder / '002.png').write_bytes(b'half')
    with pytest.raises(DataError, match=r'002\.png is damaged'):
        ImageFolder(folder)


def test_a_video_is_read_as_rgb(tmp_path):
    red = np.zeros((16, 32, 3), np.uint8)
    red[..., 0] = 200
    write_video(tmp_path / 'red.avi', [red], 25)
    frame = open_frames(tmp_path / 'red.avi').read(0, 1)[0]
    assert frame[..., 0].mean() > 180
    assert frame[..., 1:].mean() < 20


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.mov', '.avi', '.MP4'])
@pytest.mark.parametrize('size', [(41, 99), (40, 99), (41, 98), (40, 98), (1, 1)])
def test_every_pixel_of_odd_sizes_is_written(tmp_path, suffix, size):
    frames = np.zeros((3, *size, 3), np.uint8)
    frames[:, -4:, -4:] = 255
    path = tmp_path / f'clip{suffix}'
    write_video(path, frames, 25)
    expected = size if suffix == '.avi' else tuple(side + side % 2 for side in size)
    found = VideoFile(path)
    assert (found.size, len(found), found.fps) == (expected, 3, 25)
    assert found.read(0, 3)[:, size[0] - 1, size[1] - 1].min() > 200


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.mov', '.avi'])
@pytest.mark.parametrize('fps', [0.5, 24000 / 1001, 29.97, 240])
def test_rates_are_kept(tmp_path, suffix, fps):
    for size in ((16, 24), (16, 23)):
        write_video(tmp_path / f'{size[1]}{suffix}', np.zeros((4, *size, 3), np.uint8), fps)
        assert VideoFile(tmp_path / f'{size[1]}{suffix}').fps == pytest.approx(fps, rel=1e-3)


@pytest.fixture
def full_disk():
    """Let no file grow beyond 30,000 bytes: writes fail half-way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.mov', '.avi'])
@pytest.mark.parametrize('width', [96, 97])
def test_a_video_that_does_not_fit_on_the_disk_is_an_error(tmp_path, full_disk, suffix, width):
    frames = np.random.default_rng(0).integers(0, 256, (24, 64, width, 3), np.uint8)
    with pytest.raises(DataError, match=r'clip\.\w+ was not written completely: .*The disk may be full'):
        write_video(tmp_path / f'clip{suffix}', frames, 25)
    assert list(tmp_path.iterdir()) == []


def test_videos_that_cannot_be_written_are_explained(tmp_path):
    frames = np.zeros((2, 16, 24, 3), np.uint8)
    with pytest.raises(DataError, match='90000 frames per second: choose another rate'):
        write_video(tmp_path / 'clip.mp4', frames, 90_000)
    with pytest.raises(DataError, match=r'frame 1 has \(8, 24\) pixels'):
        write_video(tmp_path / 'clip.mp4', [frames[0], frames[1, :8]], 25)
    with pytest.raises(DataError, match='no frames to write'):
        write_video(tmp_path / 'clip.mp4', [], 25)
    assert list(tmp_path.iterdir()) == []


def patched(path, old, new, offset=0):
    """Replace the bytes that begin ``offset`` bytes after ``old`` by ``new``, at every place."""
    content = bytearray(path.read_bytes())
    at = content.find(old)
    assert at >= 0
    while at >= 0:
        content[at + offset : at + offset + len(new)] = new
        at = content.find(old, at + offset + len(new))
    path.write_bytes(content)
    return path


@pytest.mark.parametrize('stated', [0, 1, 4])
def test_a_wrong_number_of_frames_in_the_header_is_corrected(video, stated):
    """In an AVI file, ``strh`` states the length 40 bytes on, and ``avih`` 24 bytes on."""
    number = stated.to_bytes(4, 'little')
    frames = VideoFile(patched(patched(video, b'strh', number, 40), b'avih', number, 24))
    assert len(frames) == 5
    assert frames.read(4, 5).mean() > 150


def test_fewer_frames_than_stated_are_read_with_a_warning(video):
    with pytest.warns(UserWarning, match='states 50 frames, but 5 can be decoded'):
        frames = VideoFile(patched(video, b'strh', (50).to_bytes(4, 'little'), 40))
    assert len(frames) == 5


@pytest.mark.parametrize('suffix', ['.avi', '.mkv'])
def test_a_video_that_breaks_off_is_read_as_far_as_it_goes(tmp_path, suffix):
    path = tmp_path / f'clip{suffix}'
    write_video(path, np.random.default_rng(0).integers(0, 256, (24, 64, 96, 3), np.uint8), 25)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match='if the file was cut off, copy it again'):
        frames = VideoFile(path)
    assert 2 < len(frames) < 22
    assert len(frames.read(0, len(frames))) == len(frames)


@pytest.mark.parametrize(
    ('stated', 'frames', 'seconds', 'expected'),
    [
        (30, 31, 1.0, 30),
        (29.97, 3, 0.067, 29.97),  # time stamps in milliseconds
        (240, 2, 0.004, 240),
        (90_000, 26, 1.0, 25),  # the unit of time in place of a rate
        (60, 31, 2.0, 15),  # a variable rate
        (0, 11, 0.5, 20),
        (float('nan'), 11, 0.5, 20),
        (25, 1, 0.0, 25),
        (0, 1, 0.0, None),
        (float('nan'), 5, 0.0, None),
        (float('inf'), 1, 0.0, None),
    ],
)
def test_the_rate_is_that_of_the_time_stamps(stated, frames, seconds, expected):
    assert mean_rate(stated, frames, seconds) == expected


def test_a_variable_rate_is_read_as_its_mean(tmp_path):
    """In an MP4 file, ``stts`` has runs of frames of one duration. Here one run of 5 becomes one of 2 and one of 3."""
    path = tmp_path / 'clip.mp4'
    write_video(path, images(), 25)
    content = path.read_bytes()
    at = content.index(b'stts')
    duration = int.from_bytes(content[at + 16 : at + 20], 'big')
    runs = b''.join(number.to_bytes(4, 'big') for number in (2, 2 * duration, 3, duration // 3))
    grown = content[: at + 8] + (2).to_bytes(4, 'big') + runs + content[at + 20 :]
    for name in (b'stts', b'stbl', b'minf', b'mdia', b'trak', b'moov'):  # the boxes around it grow by one run
        start = grown.index(name) - 4
        size = int.from_bytes(grown[start : start + 4], 'big') + 8
        grown = grown[:start] + size.to_bytes(4, 'big') + grown[start + 4 :]
    path.write_bytes(grown)
    frames = VideoFile(path)
    assert len(frames) == 5
    assert frames.fps == pytest.approx(4 / ((2 + 2 + 1 / 3 + 1 / 3) / 25), rel=0.01)


def test_a_video_from_a_turned_telephone_is_upright(tmp_path):
    """In an MP4 file, ``tkhd`` has a matrix that turns the frames, here by 90 degrees clockwise."""
    frames = np.zeros((3, 16, 24, 3), np.uint8)
    frames[:, :8, :8] = 255
    path = tmp_path / 'clip.mp4'
    write_video(path, frames, 25)
    one = 1 << 16
    matrix = b''.join(
        number.to_bytes(4, 'big', signed=True) for number in (0, one, 0, -one, 0, 0, 16 * one, 0, 1 << 30)
    )
    found = VideoFile(patched(path, b'tkhd', matrix, 44))
    assert found.size == (24, 16)
    turned = found.read(0, 1)[0]
    assert turned.shape == (24, 16, 3)
    assert turned[:4, -4:].min() > 200
    assert turned[-4:].max() < 50


def test_a_video_without_frames_is_refused(tmp_path):
    path = tmp_path / 'empty.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 12, SIZE[::-1])
    writer.release()
    with pytest.raises(DataError, match=r'empty\.avi (has no frames|is not a video)'):
        open_frames(path)
