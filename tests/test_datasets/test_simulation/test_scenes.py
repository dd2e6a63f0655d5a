import cv2
import numpy as np
import pytest

from vrtspike.datasets.simulation.photographs import TRAIN_PHOTOGRAPHS, VAL_PHOTOGRAPHS
from vrtspike.datasets.simulation.scenes import Layer, Scene, Trajectory, random_motion_pair, random_scene

SIZE = (64, 80)


def still(x=0.0, y=0.0):
    """A trajectory that stays at (x, y): a wave of frequency zero at its crest."""
    amplitude = np.array([[x], [y], [0], [0]])
    return Trajectory(amplitude, np.zeros((4, 1)), np.full((4, 1), np.pi / 2))


def smooth_scene(seed, **options):
    """A random scene whose textures are blurred, so that sampling them twice costs little."""
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, TRAIN_PHOTOGRAPHS[2:], SIZE, duration=1, **{'speeds': (1, 8), **options})
    layers = [
        Layer(cv2.GaussianBlur(layer.texture, (0, 0), 4), layer.anchor, layer.trajectory) for layer in scene.layers
    ]
    return Scene(tuple(layers), SIZE)


def warp(frame, flow):
    rows, columns = np.indices(flow.shape[1:], dtype=np.float32)
    return cv2.remap(frame, columns + flow[0], rows + flow[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def inside_one_layer(scene, time):
    """Pixels whose whole neighbourhood shows one layer, and that layer's index."""
    seen = scene.visible_layer(time)
    near = np.ones((9, 9), np.uint8)
    same = cv2.erode(seen.astype(np.uint8), near) == cv2.dilate(seen.astype(np.uint8), near)
    return seen, same


@pytest.mark.parametrize('seed', range(6))
def test_warping_the_later_frame_by_the_flow_gives_the_earlier_one(seed):
    scene = smooth_scene(seed)
    flow = scene.flow(0, 1)
    seen, same = inside_one_layer(scene, 0)
    later_seen, later_same = inside_one_layer(scene, 1)
    visible = same & (warp(later_same.astype(np.float32), flow) > 0.999)
    visible &= np.abs(warp(later_seen.astype(np.float32), flow) - seen) < 0.01
    rows, columns = np.indices(SIZE)
    visible &= (columns + flow[0] >= 2) & (columns + flow[0] < SIZE[1] - 3)
    visible &= (rows + flow[1] >= 2) & (rows + flow[1] < SIZE[0] - 3)
    error = np.abs(warp(scene.render(1), flow) - scene.render(0)).max(axis=-1)
    assert visible.mean() > 0.3
    assert error[visible].max() < 0.02
    assert error[visible].mean() < 0.002


@pytest.mark.parametrize('moved', [1, 0])
def test_flow_is_that_of_the_surface_seen(moved):
    texture = np.full((200, 200, 4), 0.5, np.float32)
    texture[..., 3] = 1
    back = Layer(texture, np.array([20.0, 20.0]), still())
    disc = Layer(texture[:20, :20], np.array([20.0, 20.0]), still())
    waves = Trajectory(np.array([[3.0], [-2], [0], [0]]), np.full((4, 1), 0.25), np.zeros((4, 1)))
    layers = [back, disc]
    layers[moved] = Layer(layers[moved].texture, layers[moved].anchor, waves)
    flow = Scene(tuple(layers), (40, 40)).flow(0, 1)
    expected = np.zeros((2, 40, 40))
    expected[:, 15:25, 15:25] = 1
    expected = (expected if moved else 1 - expected) * np.array([3, -2])[:, None, None]
    # Leave out the disc's edge, which is half covered.
    border = np.zeros((40, 40), bool)
    border[14:27, 14:27] = True
    border[17:23, 17:23] = False
    np.testing.assert_allclose(flow[:, ~border], expected[:, ~border], atol=1e-4)


def test_pairs_have_the_documented_form():
    frame0, frame1, flow = random_motion_pair(np.random.default_rng(0), SIZE)
    assert frame0.shape == frame1.shape == (3, *SIZE)
    assert flow.shape == (2, *SIZE)
    assert frame0.dtype == frame1.dtype == flow.dtype == np.float32
    assert frame0.min() >= 0
    assert frame0.max() <= 1


def test_pairs_cover_small_and_large_motion_and_follow_the_seed():
    rng = np.random.default_rng(3)
    lengths = [np.hypot(*random_motion_pair(rng, 32)[2]).max() for _ in range(30)]
    assert min(lengths) < 2
    assert 6 < max(lengths) < 20
    first, second = (random_motion_pair(np.random.default_rng(5), 32) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_pairs_may_be_blurred_around_the_same_motion():
    sharp = random_motion_pair(np.random.default_rng(1), 48, max_speed=8)
    blurred = random_motion_pair(np.random.default_rng(1), 48, max_speed=8, exposure=1.0)
    np.testing.assert_array_equal(sharp[2], blurred[2])
    assert np.abs(np.diff(blurred[0])).mean() < np.abs(np.diff(sharp[0])).mean()


@pytest.mark.parametrize('duration', [1, 5])
def test_trajectories_have_the_speed_asked_for(duration):
    motion = Trajectory.random(np.random.default_rng(0), speed=7.0, radius=64, duration=duration)
    path = motion(np.linspace(0, duration, 2001))
    length = np.hypot(*np.diff(path[:2], axis=1)).sum()
    assert length / duration == pytest.approx(7, rel=0.02)


def test_a_trajectory_is_the_same_at_one_time_and_at_many():
    motion = Trajectory.random(np.random.default_rng(0), speed=7.0, radius=64, duration=5)
    np.testing.assert_allclose(motion(np.array([0.3, 4.0]))[:, 1], motion(4.0))


def test_an_exposure_is_the_mean_of_instants():
    scene = smooth_scene(1)
    instants = [scene.render(time) for time in (0.25, 0.75)]
    np.testing.assert_allclose(scene.expose(0, 1, instants=2), np.mean(instants, axis=0), atol=1e-6)


def test_objects_hide_what_lies_behind_them():
    scene = smooth_scene(2, objects=(3, 3))
    behind = Scene(scene.layers[:1], SIZE)
    seen, same = inside_one_layer(scene, 0)
    np.testing.assert_allclose(scene.render(0)[(seen == 0) & same], behind.render(0)[(seen == 0) & same], atol=0.1)
    assert set(np.unique(seen)) > {0}


@pytest.mark.parametrize('varied', [False, True])
def test_photographs_keep_their_colours_unless_varied(varied):
    grey = VAL_PHOTOGRAPHS[2:]
    scene = random_scene(np.random.default_rng(4), grey, SIZE, duration=1, speeds=(1, 2), varied=varied)
    is_grey = np.ptp(scene.render(0), axis=-1).max() < 1e-4
    assert bool(is_grey) != varied
