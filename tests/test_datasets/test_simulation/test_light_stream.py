import cv2
import numpy as np
import pytest

from vrtspike.datasets.color import decode_srgb
from vrtspike.datasets.simulation.light_stream import LightStream
from vrtspike.errors import ConfigError


def flat(*values):
    return [np.full((8, 16, 3), value, np.uint8) for value in values]


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
