from dataclasses import replace

import numpy as np
import pytest
import yaml

from vrtspike.datasets import ClipDataset, ProcessedClips, read_spike_dat, tfp
from vrtspike.datasets.color import decode_srgb, luminance
from vrtspike.datasets.io.images import read_image, write_image
from vrtspike.datasets.simulation import from_video as video_simulation
from vrtspike.datasets.simulation.from_video import (
    SimulationSettings,
    default_frames_per_exposure,
    fitted_size,
    simulate_sequence,
)
from vrtspike.errors import ConfigError, DataError
from vrtspike.testing.data_sets import DriftingPattern

SETTINGS = SimulationSettings(frames_per_exposure=2, steps_per_frame=12, interpolation='linear')


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    """41 frames of 33 x 33 pixels, of which 32 x 32 can be used with spikes of half the size."""
    folder = tmp_path_factory.mktemp('video')
    scene = DriftingPattern((33, 33))
    for i in range(41):
        write_image(folder / f'{i:03d}.png', np.rint(255 * scene.light(i / 8)).astype(np.uint8))
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def test_a_simulated_video_is_a_sound_data_set(video, tmp_path):
    calls = []
    for split, name in (('train', 'a'), ('val', 'b')):
        simulate_sequence(video, tmp_path, split, name, SETTINGS, lambda *call: calls.append(call))
    dataset = ClipDataset(ProcessedClips(tmp_path), 'train')
    assert len(dataset.sequences[0].stems) == 20
    sample = dataset[3]
    assert sample['blur'].shape == (5, 32, 32, 3)
    assert sample['spikes'].shape == (5, 12, 16, 16)
    assert calls[:21] == [(i, 20) for i in range(21)]
    assert {path.name for path in (tmp_path / 'train' / 'a').iterdir()} == {'blur', 'sharp', 'spike', 'simulation.yaml'}
    assert yaml.safe_load((tmp_path / 'train' / 'a' / 'simulation.yaml').read_text())['threshold'] == 1.0


@pytest.mark.parametrize('light', ['linear', 'encoded'])
def test_the_data_set_knows_its_light(video, tmp_path, light):
    simulate_sequence(video, tmp_path, 'val', 'a', replace(SETTINGS, light=light))
    assert ProcessedClips(tmp_path).sequences('val')[0].light == light


def test_blur_and_spikes_record_the_same_light(video, tmp_path):
    folder = simulate_sequence(video, tmp_path, 'train', 'a', replace(SETTINGS, steps_per_frame=48))
    for stem in ('000000', '000011'):
        light = luminance(decode_srgb(read_image(folder / 'blur' / f'{stem}.png') / 255))
        light = light.reshape(16, 2, 16, 2).mean(axis=(1, 3))
        played = tfp(read_spike_dat(folder / 'spike' / f'{stem}.dat', 16, 16), 1.0)
        assert np.abs(played - light).max() < 1 / 48 + 0.01


def test_the_sharp_frame_is_the_middle_of_the_exposure(video, tmp_path):
    settings = replace(SETTINGS, frames_per_exposure=3, interpolation='none')
    folder = simulate_sequence(video, tmp_path, 'train', 'a', settings)
    frame = read_image(video / '004.png')[:32, :32]
    np.testing.assert_allclose(read_image(folder / 'sharp' / '000001.png'), frame, atol=1)


@pytest.mark.parametrize('options', [{}, {'interpolation': 'flow', 'noise': 0.01, 'dead_time': 2, 'reset': 'zero'}])
@pytest.mark.parametrize(('stop', 'damaged', 'begin'), [(3, False, 0), (11, False, 8), (11, True, 0)])
def test_a_stopped_run_resumes_with_the_same_result(video, tmp_path, monkeypatch, options, stop, damaged, begin):
    settings = replace(SETTINGS, **options)
    whole = simulate_sequence(video, tmp_path / 'whole', 'train', 'a', settings)
    expose = video_simulation.expose

    def stopped(stream, camera, exposure, settings):
        if exposure == stop:
            raise KeyboardInterrupt
        return expose(stream, camera, exposure, settings)

    monkeypatch.setattr(video_simulation, 'expose', stopped)
    with pytest.raises(KeyboardInterrupt):
        simulate_sequence(video, tmp_path / 'parts', 'train', 'a', settings)
    assert not (tmp_path / 'parts' / 'train' / 'a').exists()
    assert ProcessedClips(tmp_path / 'parts').sequences('train') == []
    if damaged:
        (tmp_path / 'parts' / 'train' / '.a.growing' / 'state.npz').write_bytes(b'PK')
    begun = []
    monkeypatch.setattr(video_simulation, 'expose', lambda *args: begun.append(args[2]) or expose(*args))
    parts = simulate_sequence(video, tmp_path / 'parts', 'train', 'a', settings)
    assert begun[0] == begin
    assert contents(parts) == contents(whole)


def test_a_whole_sequence_is_kept(video, tmp_path, monkeypatch):
    folder = simulate_sequence(video, tmp_path, 'train', 'a', SETTINGS)
    before = contents(folder)
    monkeypatch.setattr(video_simulation, 'write_exposures', lambda *_: pytest.fail('it was simulated again'))
    assert simulate_sequence(video, tmp_path, 'train', 'a', SETTINGS) == folder
    assert contents(folder) == before


def test_other_settings_are_refused(video, tmp_path):
    simulate_sequence(video, tmp_path, 'train', 'a', SETTINGS)
    with pytest.raises(DataError, match=r'a was simulated with other settings \(noise: found 0\.0, expected 0\.1\)'):
        simulate_sequence(video, tmp_path, 'train', 'a', replace(SETTINGS, noise=0.1))
    with pytest.raises(DataError, match=r'does not fit .*config\.yaml \(threshold: found 1\.0, expected 2\.0\)'):
        simulate_sequence(video, tmp_path, 'train', 'c', replace(SETTINGS, threshold=2.0))


def test_names_are_free_and_in_one_split(video, tmp_path):
    simulate_sequence(video, tmp_path, 'train', 'a', SETTINGS)
    with pytest.raises(DataError, match='a sequence is in one split only'):
        simulate_sequence(video, tmp_path, 'val', 'a', SETTINGS)
    (tmp_path / 'train' / 'mine').mkdir()
    with pytest.raises(DataError, match='mine exists and was not simulated'):
        simulate_sequence(video, tmp_path, 'train', 'mine', SETTINGS)
    for name in ('.a', 'a/b', '..'):
        with pytest.raises(ConfigError, match='cannot be called'):
            simulate_sequence(video, tmp_path, 'train', name, SETTINGS)
    with pytest.raises(ConfigError, match="split='test'"):
        simulate_sequence(video, tmp_path, 'test', 'a', SETTINGS)


def test_a_video_shorter_than_an_exposure_is_refused(video, tmp_path):
    with pytest.raises(DataError, match='fewer than the 42 frames of one exposure'):
        simulate_sequence(video, tmp_path, 'train', 'a', replace(SETTINGS, frames_per_exposure=42))


def test_sizes_are_cut_to_whole_spike_pixels_and_bytes():
    assert fitted_size((720, 1280), 2) == (720, 1280)
    assert fitted_size((35, 35), 2) == (34, 32)
    assert fitted_size((35, 35), 1) == (35, 32)
    with pytest.raises(DataError, match='too small for spikes at 1/4'):
        fitted_size((12, 12), 4)


def test_an_exposure_is_a_thirtieth_of_a_second_by_default():
    assert [default_frames_per_exposure(fps) for fps in (24, 60, 240)] == [1, 2, 8]
    with pytest.raises(ConfigError, match='frame rate is unknown'):
        default_frames_per_exposure(None)


def test_counts_must_be_positive():
    with pytest.raises(ConfigError, match='steps_per_frame=0'):
        SimulationSettings(1, steps_per_frame=0)


def test_sharp_frames_of_several_instants(video, tmp_path):
    settings = replace(SETTINGS, frames_per_exposure=4, interpolation='none', sharp_instants=(0, 0.25, 0.5, 0.75, 1))
    folder = simulate_sequence(video, tmp_path / 'several', 'train', 'a', settings)
    alone = simulate_sequence(video, tmp_path / 'alone', 'train', 'a', replace(settings, sharp_instants=()))
    for stem in ('000000', '000003'):
        for kind in ('blur/{}.png', 'sharp/{}.png', 'spike/{}.dat'):
            assert (folder / kind.format(stem)).read_bytes() == (alone / kind.format(stem)).read_bytes()
        for instant in (0, 0.25, 0.75, 1):
            frame = read_image(video / f'{int(4 * (int(stem) + instant)):03d}.png')[:32, :32]
            np.testing.assert_allclose(read_image(folder / f'sharp/{stem}@{instant:g}.png'), frame, atol=1)
    assert len(list((folder / 'sharp').iterdir())) == 50
    sequence = ProcessedClips(tmp_path / 'several').sequences('train')[0]
    assert sequence.target_instants == (0, 0.25, 0.5, 0.75, 1)
    assert sequence.file_interval == 12
    assert ProcessedClips(tmp_path / 'alone').sequences('train')[0].file_interval == 12
    assert len(sequence.stems) == 10
