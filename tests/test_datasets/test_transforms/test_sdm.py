import numpy as np
import pytest

from vrtspike.datasets import (
    AddNeighbourSDM,
    AddSDM,
    BinSpikes,
    DropSpikes,
    PackClip,
    PairedRandomCrop,
    PairedRandomFlip,
    SDMTargets,
)
from vrtspike.datasets.instants import margin_of, spikes_around, windows_of_stream
from vrtspike.datasets.sdm import sdm
from vrtspike.errors import ConfigError


def sample(light='linear'):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 2, 16, 16, 3), np.uint8)
    spikes = rng.integers(0, 2, (2, 32, 8, 8), np.uint8)
    meta = {'threshold': 1.0, 'light': light}
    return {'blur': frames[0], 'sharp': frames[1], 'spikes': spikes, 'meta': meta, 'rng': np.random.default_rng(1)}


@pytest.mark.parametrize('light', ['linear', 'encoded'])
def test_every_frame_gets_the_estimate_from_its_own_spikes(light):
    given = sample(light)
    added = AddSDM()(given)
    for estimate, blur, spikes in zip(added['sdm'], given['blur'], given['spikes'], strict=True):
        np.testing.assert_array_equal(estimate, sdm(blur, spikes, light))


def at(instant, frames=3, steps=32):
    """Return a sample at an instant, with spikes beside each exposure as they are in one recording."""
    rng = np.random.default_rng(0)
    stream = rng.integers(0, 2, (frames * steps, 8, 8), np.uint8)
    blur = rng.integers(0, 256, (frames, 16, 16, 3), np.uint8)
    spikes = windows_of_stream(stream, 0, frames, steps, margin_of([instant], steps))
    instants = np.full(frames, instant, np.float32)
    return {'blur': blur, **spikes.entries(), 'instant': instants, 'meta': {'threshold': 1.0, 'light': 'linear'}}


@pytest.mark.parametrize(('instant', 'first', 'neighbour'), [(0.25, 1, -1), (0.0, 1, -1), (0.75, 0, 1), (1.0, 0, 1)])
def test_the_neighbour_is_the_frame_next_in_time(instant, first, neighbour):
    given = at(instant)
    added = AddNeighbourSDM()(AddSDM()(given))
    around = list(spikes_around(given))
    for position in range(first, first + 2):
        beside = position + neighbour
        expected = sdm(given['blur'][beside], around[position], exposure=around[beside].exposure)
        np.testing.assert_array_equal(added['sdm_neighbour'][position], expected)
    alone = 2 if neighbour == 1 else 0
    np.testing.assert_array_equal(added['sdm_neighbour'][alone], added['sdm'][alone])


def test_the_middle_needs_no_neighbour():
    added = AddNeighbourSDM()(AddSDM()(at(0.5)))
    np.testing.assert_array_equal(added['sdm_neighbour'], added['sdm'])
    assert AddNeighbourSDM()({'blur': added['blur']}).keys() == {'blur'}  # without spikes


def test_the_frames_own_estimate_comes_first():
    with pytest.raises(ConfigError, match='put it after AddSDM'):
        AddNeighbourSDM()(at(0.25))


def test_repeated_clips_have_no_neighbours():
    middle = {key: value for key, value in at(0.5).items() if key in ('blur', 'spikes', 'meta')}
    with pytest.raises(ConfigError, match='does not go with SDMTargets'):
        AddNeighbourSDM()(SDMTargets(3)(middle))
    with pytest.raises(ConfigError, match='does not go with AddNeighbourSDM'):
        SDMTargets(3)(AddNeighbourSDM()(AddSDM()(middle)))


def test_the_end_of_an_exposure_is_the_start_of_the_next():
    end, start = (AddNeighbourSDM()(AddSDM()(at(instant))) for instant in (1.0, 0.0))
    np.testing.assert_array_equal(end['sdm_neighbour'][:2], start['sdm'][1:])
    np.testing.assert_array_equal(start['sdm_neighbour'][1:], end['sdm'][:2])


def test_spikes_are_not_dropped_after_the_neighbours_estimate():
    with pytest.raises(ConfigError, match='before AddNeighbourSDM'):
        DropSpikes()(AddNeighbourSDM()(AddSDM()(at(0.25))))


def test_the_estimate_is_packed_cropped_and_flipped_with_the_frames():
    added = PairedRandomFlip(time=0)(PairedRandomCrop(8)(AddSDM()(sample())))
    marked = PairedRandomFlip(time=0)(PairedRandomCrop(8)({**sample(), 'sdm': sample()['blur']}))
    assert added['sdm'].shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(marked['sdm'], marked['blur'])
    assert PackClip()(BinSpikes()(added))['sdm'].shape == (2, 3, 8, 8)


def test_dropped_spikes_leave_the_blurred_frames():
    for steps in ((AddSDM(), DropSpikes()), (DropSpikes(), AddSDM()), (AddSDM(), BinSpikes(), DropSpikes())):
        dropped = sample()
        for step in steps:
            dropped = step(dropped)
        np.testing.assert_array_equal(dropped['sdm'], dropped['blur'])


def test_clips_without_spikes_stay_as_they_are():
    clip = {'blur': sample()['blur'], 'meta': {}}
    assert AddSDM()(clip) == clip


def test_binned_spikes_are_an_error():
    with pytest.raises(ConfigError, match='before BinSpikes'):
        AddSDM()(BinSpikes()(sample()))
