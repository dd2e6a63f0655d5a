import cv2
import numpy as np
import pytest

from vrtspike.datasets import write_spike_dat
from vrtspike.errors import DataError
from vrtspike.inference.sources import ImageFolder, SpikeFiles, VideoFile, open_frames
from vrtspike.runtime.atomic_write import write_png

SIZE = (16, 24)


def images(count=5):
    """Frames whose level is 40 times their number."""
    return np.stack([np.full((*SIZE, 3), 40 * i, np.uint8) for i in range(count)])


def spikes(count=5, steps=4):
    return np.random.default_rng(0).integers(0, 2, (count, steps, 8, 12), dtype=np.uint8)


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


@pytest.fixture
def spike_folder(tmp_path):
    (tmp_path / 'spike').mkdir()
    for i, each in enumerate(spikes()):
        write_spike_dat(tmp_path / 'spike' / f'{i:03d}.dat', each)
    return tmp_path / 'spike'


KNOWN = dict(size=(8, 12), threshold=1.0)


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
    with pytest.raises(DataError, match='no video that OpenCV can open'):
        open_frames(tmp_path / 'clip.mp4')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DataError, match='holds no images'):
        ImageFolder(tmp_path / 'empty')
    write_png(folder / '003.png', np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match=r'000\.png has 16 x 24 pixels, 003\.png has 8 x 8'):
        ImageFolder(folder)
    (folder / '002.png').write_bytes(b'half')
    with pytest.raises(DataError, match=r'002\.png is damaged'):
        ImageFolder(folder)


def test_a_spike_file_per_frame(spike_folder):
    files = SpikeFiles(spike_folder, 5, [f'{i:03d}' for i in range(5)], **KNOWN)
    assert np.array_equal(files.read(1, 3), spikes()[1:3])


def test_one_spike_file_for_all_frames(tmp_path):
    write_spike_dat(tmp_path / 'all.dat', spikes().reshape(20, 8, 12))
    files = SpikeFiles(tmp_path / 'all.dat', 5, **KNOWN)
    assert np.array_equal(files.read(1, 3), spikes()[1:3])
    with pytest.raises(DataError, match='20 steps, which 6 frames cannot share equally'):
        SpikeFiles(tmp_path / 'all.dat', 6, **KNOWN)


def test_size_and_threshold_come_from_the_config_near(spike_folder):
    with pytest.raises(DataError, match='--spike-size HEIGHT WIDTH and --threshold'):
        SpikeFiles(spike_folder, 5)
    (spike_folder.parent / 'config.yaml').write_text('{spike_h: 8, spike_w: 12, threshold: 2.0}')
    files = SpikeFiles(spike_folder, 5)
    assert (files.size, files.threshold) == ((8, 12), 2.0)
    assert SpikeFiles(spike_folder, 5, threshold=3.0).threshold == 3.0


def test_spikes_that_do_not_fit_are_explained(spike_folder, tmp_path):
    with pytest.raises(DataError, match='does not exist'):
        SpikeFiles(tmp_path / 'absent', 5, **KNOWN)
    with pytest.raises(DataError, match=r'no spikes for 1 of 2 frames: 999; expected a file NAME\.dat'):
        SpikeFiles(spike_folder, 2, ['000', '999'], **KNOWN)
    with pytest.raises(DataError, match='5 spike files, but there are 7 frames'):
        SpikeFiles(spike_folder, 7, **KNOWN)
    with pytest.raises(DataError, match='expected a multiple of'):
        SpikeFiles(spike_folder, 5, size=(16, 40), threshold=1.0)
    write_spike_dat(spike_folder / '002.dat', spikes(1, 6)[0])
    with pytest.raises(DataError, match=r'000\.dat has 4, 002\.dat has 6'):
        SpikeFiles(spike_folder, 5, **KNOWN)
