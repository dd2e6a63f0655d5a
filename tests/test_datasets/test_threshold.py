from dataclasses import replace

import cv2
import numpy as np
import pytest

from vrtspike.datasets import IntegrateAndFire, ProcessedClips, Sequence, write_spike_dat
from vrtspike.datasets.color import decode_srgb, encode_srgb, luminance
from vrtspike.datasets.io.images import write_image
from vrtspike.datasets.simulation.photographs import load_photograph
from vrtspike.datasets.threshold import suggest_threshold, threshold_problems
from vrtspike.errors import DataError
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
    assert problem.startswith(f'video: the data are described by threshold: {wrong:g} and light: linear')
    assert f'at threshold: {suggest_threshold(sequence).linear:.2f} with light: linear' in problem
    assert 'their contrast is that of light: linear' in problem


def simulated(folder, light, threshold):
    """A sequence of a photograph whose spikes were simulated from light of that kind, described correctly."""
    values = encode_srgb(cv2.resize(load_photograph('coffee.png'), (128, 64), interpolation=cv2.INTER_AREA))
    seen = luminance(decode_srgb(values) if light == 'linear' else values)[::2, ::2]
    camera = IntegrateAndFire(32, 64, threshold, np.random.default_rng(0))
    for kind in ('blur', 'spike'):
        (folder / kind).mkdir()
    write_image(folder / 'blur' / '0.png', np.rint(values * 255).astype(np.uint8))
    write_spike_dat(folder / 'spike' / '0.dat', camera.run(np.broadcast_to(seen, (56, 32, 64))))
    described = {'spike_size': (32, 64), 'threshold': threshold, 'light': light}
    return Sequence('video', folder / 'blur', None, folder / 'spike', np.array(['0']), **described)


@pytest.mark.parametrize(('light', 'other'), [('linear', 'encoded'), ('encoded', 'linear')])
@pytest.mark.parametrize('threshold', [1.0, 2.0])
def test_the_contrast_of_the_spikes_tells_their_light(tmp_path, light, other, threshold):
    sequence = simulated(tmp_path, light, threshold)
    found = suggest_threshold(sequence)
    assert found.light == light
    assert getattr(found, light) == pytest.approx(threshold, rel=0.05)
    assert threshold_problems(sequence) == []
    # Also at the threshold at which the brightness would fit.
    wrong = replace(sequence, light=other, threshold=getattr(found, other))
    (problem,) = threshold_problems(wrong)
    assert f'threshold: {wrong.threshold:g} and light: {other}' in problem
    assert f'their contrast is that of light: {light}' in problem


def test_flat_grey_tells_no_light(sequence):
    for path in sequence.blur.iterdir():
        cv2.imwrite(str(path), np.full((64, 64, 3), 128, np.uint8))
    size = sequence.spike_size
    for path in sequence.spike.iterdir():
        write_spike_dat(path, (np.random.default_rng(0).random((56, *size)) < 0.2).astype(np.uint8))
    assert suggest_threshold(sequence).light is None


def test_darkness_tells_nothing(sequence):
    for path in sequence.blur.iterdir():
        cv2.imwrite(str(path), np.zeros((64, 64, 3), np.uint8))
    assert suggest_threshold(sequence) is None
    assert threshold_problems(declared(sequence, 100.0)) == []


def test_an_unreadable_frame_is_an_error(sequence):
    for path in sequence.blur.iterdir():
        path.write_bytes(b'no image')
    with pytest.raises(DataError, match='is damaged'):
        threshold_problems(sequence)
