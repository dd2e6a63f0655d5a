import cv2
import numpy as np
import pytest

from vrtspike.datasets.color import decode_srgb
from vrtspike.datasets.io.images import write_image
from vrtspike.datasets.io.video import LightStream, video_frames, video_info
from vrtspike.errors import ConfigError, DataError


def write_video(path, frames, fps=30):
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), fps, (width, height))
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()
    return path


def flat(*values):
    return [np.full((8, 16, 3), value, np.uint8) for value in values]


@pytest.fixture
def folder(tmp_path):
    for i, frame in enumerate(flat(0, 50, 100, 150)):
        write_image(tmp_path / f'{i:03d}.png', frame)
    return tmp_path


def test_a_folder_of_frames_comes_in_order(folder):
    assert video_info(folder) == ((8, 16), 4, None)
    assert [frame[0, 0, 0] for frame in video_frames(folder)] == [0, 50, 100, 150]
    assert [frame[0, 0, 0] for frame in video_frames(folder, 2)] == [100, 150]


def test_a_video_file_comes_in_rgb(tmp_path):
    red = np.zeros((16, 32, 3), np.uint8)
    red[..., 0] = 200
    path = write_video(tmp_path / 'red.avi', [red, red, red // 2, red // 2], fps=25)
    assert video_info(path) == ((16, 32), 4, 25.0)
    frames = list(video_frames(path))
    assert len(frames) == 4
    assert frames[0][..., 0].mean() > 180
    assert frames[0][..., 1:].mean() < 20
    np.testing.assert_array_equal(list(video_frames(path, 2)), frames[2:])
    assert list(video_frames(path, 4)) == []


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda path: None, 'does not exist: expected a video file'),
        (lambda path: path.write_bytes(b'no video'), 'cannot be read as a video'),
        (lambda path: path.mkdir(), 'holds no frames'),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, make, message):
    make(tmp_path / 'x.mp4')
    with pytest.raises(DataError, match=message):
        video_info(tmp_path / 'x.mp4')


def stream(frames, interpolation='linear', light='encoded'):
    return LightStream(iter(frames), 0, interpolation, light)


def test_frames_are_held_or_blended_around_their_instants():
    held, blended = (stream(flat(0, 51, 102), kind) for kind in ('none', 'linear'))
    times = (0, 0.5, 0.9, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
    found = [[float(light.at(time)[0, 0, 0]) for time in times] for light in (held, blended)]
    np.testing.assert_allclose(found[0], [0, 0, 0, 0.2, 0.2, 0.2, 0.4, 0.4, 0.4], atol=1e-6)
    np.testing.assert_allclose(found[1], [0, 0, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.4], atol=1e-6)


def test_light_is_linear_unless_it_is_said_to_be_encoded():
    np.testing.assert_allclose(stream(flat(100), light='linear').at(0), decode_srgb(np.float32(100 / 255)))
    np.testing.assert_allclose(stream(flat(100)).at(0), 100 / 255)


def test_flow_moves_what_blending_doubles():
    # A texture that moves by 6 pixels: half-way it has moved by 3 and is as crisp as at either end.
    texture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (96, 108, 3)).astype(np.uint8), (0, 0), 2)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    frames = [np.ascontiguousarray(texture[:, start : start + 96]) for start in (6, 3, 0)]
    middle = (slice(16, -16), slice(16, -16))
    errors = {
        kind: np.abs(stream(frames[::2], kind).at(1.0) - frames[1] / 255)[middle].mean() for kind in ('flow', 'linear')
    }
    assert errors['flow'] < errors['linear'] / 5


def test_frames_are_counted_as_they_come():
    light = stream(flat(0, 1, 2))
    assert light.has(0)
    assert light.has(1)
    assert light.reach(2)
    assert not light.has(3)
    assert not light.reach(3)
    assert not stream([]).has(0)


@pytest.mark.parametrize(
    ('options', 'message'), [({'interpolation': 'flows'}, "'flow'"), ({'light': 'lin'}, "'linear'")]
)
def test_unknown_kinds_are_refused(options, message):
    with pytest.raises(ConfigError, match=f'did you mean {message}'):
        stream(flat(0), **options)
