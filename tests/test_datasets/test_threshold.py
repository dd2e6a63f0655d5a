import cv2
import numpy as np
import pytest

from vrtspike.datasets import ProcessedClips
from vrtspike.datasets.threshold import suggest_threshold, threshold_problems
from vrtspike.testing.data_sets import write_frames


@pytest.fixture(params=[1.0, 2.5])
def sequence(request, tmp_path):
    """A video recorded at a threshold, declared as such."""
    folders = {kind: tmp_path / 'train' / 'video' / kind for kind in ('blur', 'sharp', 'spike')}
    write_frames(folders, ['0', '1'], (64, 64), 56, threshold=request.param)
    return ProcessedClips(tmp_path, (32, 32), request.param).sequences('train')[0]


def declared(sequence, threshold):
    object.__setattr__(sequence, 'threshold', threshold)
    return sequence


def test_the_light_suggests_the_threshold_of_the_recording(sequence):
    found = suggest_threshold(sequence)
    assert found.linear == pytest.approx(sequence.threshold, rel=0.03)
    assert found.encoded > found.linear
    assert threshold_problems(sequence) == []


@pytest.mark.parametrize('factor', [0.5, 3.0])
def test_another_threshold_is_a_problem(sequence, factor):
    wrong = sequence.threshold * factor
    (problem,) = threshold_problems(declared(sequence, wrong))
    assert problem.startswith(f'video: the threshold is {wrong:g}, but its spikes are as bright')


def test_darkness_tells_nothing(sequence):
    for path in sequence.blur.iterdir():
        cv2.imwrite(str(path), np.zeros((64, 64, 3), np.uint8))
    assert suggest_threshold(sequence) is None
    assert threshold_problems(declared(sequence, 100.0)) == []


def test_an_unreadable_frame_is_the_problem(sequence):
    for path in sequence.blur.iterdir():
        path.write_bytes(b'no image')
    assert 'is damaged' in threshold_problems(sequence)[0]
