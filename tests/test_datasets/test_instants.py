"""Samples at any instant of the exposure: windows, what is unknown, and agreement with the middle."""

import numpy as np
import pytest

from vrtspike.datasets import ClipDataset, ProcessedClips
from vrtspike.datasets.clips import SampleKey
from vrtspike.datasets.instants import SpikesAround, margin_of, require_instants, with_unknown_margin
from vrtspike.datasets.representations import RawWindow, Voxel
from vrtspike.datasets.sdm import rate_ratio
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.datasets.spike_dat import write_spike_dat
from vrtspike.datasets.transforms import AddSDM, BinSpikes, PackClip, PairedRandomFlip, RandomThreshold
from vrtspike.errors import ConfigError, DataError

STEPS = 16


class OneRecording:
    """A clip source of one recording of four exposures, without sharp frames."""

    def __init__(self, spike, start=0, interval=STEPS):
        self.arguments = {'start': start, 'interval': interval}
        self.spike = spike

    def sequences(self, split):
        if split == 'val':
            raise DataError('one split only')
        stems = np.array([f'{i:02d}' for i in range(3)])
        return [Sequence('r', None, None, self.spike, stems, (8, 8), 1.0, steps=STEPS, **self.arguments)]


@pytest.fixture
def recording(tmp_path):
    spikes = np.random.default_rng(0).integers(0, 2, (4 * STEPS, 8, 8), dtype=np.uint8)
    write_spike_dat(tmp_path / 'r.dat', spikes)
    return tmp_path / 'r.dat', spikes


@pytest.mark.parametrize('instant', [0.0, 0.25, 0.3, 0.5, 0.9, 1.0])
def test_window_has_the_length_of_the_exposure_and_its_centre_at_the_instant(instant):
    margin = margin_of([instant], STEPS)
    around = SpikesAround(np.arange(STEPS + 2 * margin)[:, None, None], margin, None, instant)
    window = around.spikes[around.window]
    assert len(window) == STEPS
    assert len(around.exposure) == STEPS
    middle = around.window.start + STEPS / 2
    assert abs(middle - around.centre) <= 0.5


def test_windows_of_a_recording_are_read_from_the_file(recording):
    path, _spikes = recording
    data = ClipDataset(
        OneRecording(path, start=8), 'train', clip_len=3, instants=[0.0], pipeline=[BinSpikes(RawWindow(15))]
    )
    middle = ClipDataset(OneRecording(path), 'train', clip_len=3, pipeline=[BinSpikes(RawWindow(15))])
    np.testing.assert_array_equal(data[0]['spikes'], middle[0]['spikes'])
    assert data[0]['instant'].tolist() == [0, 0, 0]
    assert data[0]['instant'].dtype == np.float32
    assert 'known' not in data[0]
    assert 'instant' not in middle[0]


def test_steps_outside_of_the_file_are_unknown(recording):
    path, spikes = recording
    data = ClipDataset(OneRecording(path), 'train', clip_len=3, instants=[0.0])
    sample = data.read(0, 0.0)
    assert sample['margin'] == STEPS // 2
    assert sample['known'][0].tolist() == [False] * 8 + [True] * 24
    assert sample['known'][1:].all()
    raw = np.asarray(sample['spikes'])
    assert not raw[0, :8].any()
    np.testing.assert_array_equal(raw[0, 8:], spikes[:24])
    np.testing.assert_array_equal(raw[1], spikes[8:40])


def test_rates_of_partly_known_bins_are_means_over_known_steps():
    spikes = np.ones((2, STEPS, 4, 4), np.uint8)
    sample = {
        **with_unknown_margin(spikes, 7).entries(),
        'instant': np.full(2, 1 / 16, np.float32),
        'meta': {'threshold': 1.0},
    }
    binned = BinSpikes(Voxel(4))(sample)['spikes']
    np.testing.assert_array_equal(binned[0, :, 0, 0], [0, 1, 1, 1])  # seven steps are unknown: one bin, and 3 of 4


def test_the_middle_is_bit_equal_to_a_data_set_without_instants(tiny_demo):
    pipeline = [PairedRandomFlip(), AddSDM(), BinSpikes(Voxel(4)), PackClip()]
    source = ProcessedClips(tiny_demo)
    plain, middle = (
        ClipDataset(source, 'train', clip_len=3, pipeline=pipeline, instants=instants)[1] for instants in (None, [0.5])
    )
    assert middle.pop('instant').tolist() == [0.5] * 3
    assert plain.keys() == middle.keys()
    for key in ('blur', 'sharp', 'sdm', 'spikes'):
        assert plain[key].equal(middle[key])


def test_reversed_time_reverses_instants_and_what_is_known(recording):
    path, _ = recording
    data = ClipDataset(OneRecording(path), 'train', clip_len=3, instants=[0.25])
    sample = {**data.read(0, 0.25), 'rng': np.random.default_rng(0)}
    back = PairedRandomFlip(0, 0, 0, time=1)(sample)
    np.testing.assert_array_equal(back['instant'], [0.75] * 3)
    np.testing.assert_array_equal(back['known'], sample['known'][::-1, ::-1])
    forwards, backwards = (BinSpikes(Voxel(8))(each)['spikes'] for each in (sample, back))
    np.testing.assert_array_equal(backwards, forwards[::-1, ::-1])


def test_sdm_follows_a_brightening_pixel():
    steps = 64
    fired = np.diff(np.floor(np.cumsum(np.linspace(0.1, 0.9, steps))), prepend=0) > 0
    spikes = np.broadcast_to(fired[:, None, None], (steps, 9, 9)).astype(np.uint8)
    around = with_unknown_margin(spikes[None], 32)
    early, middle, late = (
        rate_ratio(SpikesAround(around.spikes[0], 32, around.known[0], instant))[4, 4] for instant in (0, 0.5, 1)
    )
    assert early < 0.6
    assert middle == pytest.approx(1, abs=0.1)
    assert late > 1.4


def test_a_raised_threshold_keeps_what_is_unknown(recording):
    path, _ = recording
    data = ClipDataset(OneRecording(path), 'train', clip_len=3, instants=[0.0], pipeline=[RandomThreshold((2, 2))])
    sample = data[0]
    assert not sample['spikes'][0, :8].any()
    assert sample['known'].shape == (3, 2 * STEPS)


def test_instants_are_numbers_from_0_to_1():
    assert require_instants('x', [0, 1]) == (0.0, 1.0)
    with pytest.raises(ConfigError, match=r'x got instants=0\.5, expected a list'):
        require_instants('x', 0.5)
    for wrong in ([], [0.5, 0.5], [-0.1], [1.5], [float('nan')]):
        with pytest.raises(ConfigError, match='expected different numbers from 0'):
            require_instants('x', wrong)


def test_training_draws_instants_by_seed_and_ordinal(recording):
    path, _ = recording
    data = ClipDataset(OneRecording(path), 'train', clip_len=3, instants=[0, 0.25, 1])
    drawn = [data[SampleKey(0, ordinal, seed=5)]['instant'][0].item() for ordinal in range(40)]
    assert set(drawn) == {0, 0.25, 1}
    assert drawn == [data[SampleKey(0, ordinal, seed=5)]['instant'][0].item() for ordinal in range(40)]
