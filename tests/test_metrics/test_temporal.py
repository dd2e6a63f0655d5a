import cv2
import numpy as np
import pytest

from vrtspike.metrics.temporal import TemporalConsistency


def scene(size=64):
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 256, (size, size, 3), dtype=np.uint8), (0, 0), 3).astype(np.uint8)


def scores(restored, sharp):
    consistency = TemporalConsistency()
    for pair in zip(restored, sharp, strict=True):
        consistency.add(*pair)
    return consistency.scores()


def test_a_still_scene_is_consistent_and_injected_flicker_is_measured():
    still = [scene()] * 4
    assert scores(still, still) == {'warping_error': 0, 'flicker': 0}
    flickering = [np.clip(frame, 10, 245) + np.uint8(6 * (i % 2)) for i, frame in enumerate(still)]
    found = scores(flickering, still)
    assert found['flicker'] == pytest.approx(6)
    assert found['warping_error'] == pytest.approx((6 / 255) ** 2)


def test_motion_is_no_inconsistency_but_a_frame_that_stands_still_is():
    wide = scene(96)
    moving = [np.ascontiguousarray(wide[:64, 3 * i : 3 * i + 64]) for i in range(4)]
    follows, stands = scores(moving, moving), scores([moving[0]] * 4, moving)
    assert follows['warping_error'] < stands['warping_error'] / 5


def test_one_frame_has_no_scores():
    assert scores([scene()], [scene()]) == {}
