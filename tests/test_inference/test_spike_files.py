from dataclasses import replace

import numpy as np
import pytest

from vrtspike.datasets import write_spike_dat
from vrtspike.errors import DataError
from vrtspike.inference.spike_files import SpikeFileOptions, SpikeFiles


def spikes(count=5, steps=4):
    return np.random.default_rng(0).integers(0, 2, (count, steps, 8, 12), dtype=np.uint8)


@pytest.fixture
def spike_folder(tmp_path):
    (tmp_path / 'spike').mkdir()
    for i, each in enumerate(spikes()):
        write_spike_dat(tmp_path / 'spike' / f'{i:03d}.dat', each)
    return tmp_path / 'spike'


KNOWN = SpikeFileOptions(size=(8, 12), threshold=1.0)


def test_a_spike_file_per_frame(spike_folder):
    files = SpikeFiles(spike_folder, 5, [f'{i:03d}' for i in range(5)], options=KNOWN)
    assert np.array_equal(files.read(1, 3), spikes()[1:3])


def test_one_spike_file_for_all_frames(tmp_path):
    write_spike_dat(tmp_path / 'all.dat', spikes().reshape(20, 8, 12))
    files = SpikeFiles(tmp_path / 'all.dat', 5, options=KNOWN)
    assert np.array_equal(files.read(1, 3), spikes()[1:3])
    with pytest.raises(DataError, match='20 steps, which cannot be divided equally among 6 frames'):
        SpikeFiles(tmp_path / 'all.dat', 6, options=KNOWN)


def test_spikes_alone_are_divided_by_files_or_steps(spike_folder, tmp_path):
    files = SpikeFiles(spike_folder, None, options=KNOWN)
    assert (files.frames, files.steps) == (5, 4)
    write_spike_dat(tmp_path / 'all.dat', spikes().reshape(20, 8, 12))
    files = SpikeFiles(tmp_path / 'all.dat', None, options=replace(KNOWN, steps_per_frame=6))  # two steps are left
    assert files.frames == 3
    assert np.array_equal(files.read(1, 3), spikes().reshape(20, 8, 12)[6:18].reshape(2, 6, 8, 12))
    for steps in (None, 0, 21):
        with pytest.raises(DataError, match='give --steps-per-frame, from 1 to 20'):
            SpikeFiles(tmp_path / 'all.dat', None, options=replace(KNOWN, steps_per_frame=steps))


def test_an_exposure_in_the_middle_of_each_file(spike_folder):
    files = SpikeFiles(spike_folder, 5, options=replace(KNOWN, exposure_steps=2))
    assert (files.steps, files.steps_outside) == (2, 1)
    assert np.array_equal(files.read(1, 3), spikes()[1:3, 1:3])
    around = files.read_around(1, 3, 1)
    assert np.array_equal(around.spikes, spikes()[1:3])
    assert around.known.all()
    around = files.read_around(1, 3, 2)  # the files have one step less
    assert (around.margin, around.spikes.shape[1]) == (2, 6)
    assert around.known.tolist() == [[False, *[True] * 4, False]] * 2
    assert np.array_equal(around.spikes[:, 1:-1], spikes()[1:3])


@pytest.mark.parametrize('steps', [0, 3, 5])
def test_an_exposure_that_is_not_in_the_middle_is_an_error(spike_folder, steps):
    with pytest.raises(DataError, match=f'have 4 steps, got --exposure-steps {steps}'):
        SpikeFiles(spike_folder, 5, options=replace(KNOWN, exposure_steps=steps))


def test_a_folder_is_not_divided_into_exposures(spike_folder):
    with pytest.raises(DataError, match='got --steps-per-frame 2: leave it out, or give --exposure-steps'):
        SpikeFiles(spike_folder, None, options=replace(KNOWN, steps_per_frame=2))


def test_what_lies_beside_exposures_is_known_or_explained(spike_folder):
    files = SpikeFiles(spike_folder, 5, options=replace(KNOWN, exposure_steps=2))
    assert [files.knows(margin) for margin in (1, 2)] == [True, False]
    assert 'has 1 steps beside each exposure' in files.unknown_margin()
    files = SpikeFiles(spike_folder, 5, options=KNOWN)
    assert not files.knows(1)
    assert 'write interval: 4 beside spike_h' in files.unknown_margin()
    (spike_folder.parent / 'config.yaml').write_text('spike_h: 8\nspike_w: 12\nthreshold: 1.0\ninterval: 4\n')
    assert SpikeFiles(spike_folder, 5).knows(4)


def test_one_file_for_all_frames_has_no_steps_outside(tmp_path):
    write_spike_dat(tmp_path / 'all.dat', spikes().reshape(20, 8, 12))
    with pytest.raises(DataError, match='is one file, got --exposure-steps 2'):
        SpikeFiles(tmp_path / 'all.dat', 5, options=replace(KNOWN, exposure_steps=2))


@pytest.mark.parametrize('suffix', ['.npy', '.npz'])
def test_arrays_know_their_size(tmp_path, suffix):
    save = np.save if suffix == '.npy' else np.savez
    save(tmp_path / f'all{suffix}', spikes().reshape(20, 8, 12))
    files = SpikeFiles(tmp_path / f'all{suffix}', 5, options=SpikeFileOptions(threshold=1.0))
    assert files.size == (8, 12)
    assert np.array_equal(files.read(1, 3), spikes()[1:3])
    (tmp_path / 'folder').mkdir()
    for i, each in enumerate(spikes()):
        save(tmp_path / 'folder' / f'{i + 6}{suffix}', each)  # 10 comes after 9
    files = SpikeFiles(tmp_path / 'folder', 5, options=SpikeFileOptions(threshold=1.0))
    assert np.array_equal(files.read(0, 5), spikes())


def test_the_head_of_a_sensor_is_dropped(spike_folder, tmp_path):
    write_spike_dat(tmp_path / 'all.dat', spikes().reshape(20, 8, 12))
    for path in (spike_folder, tmp_path / 'all.dat'):
        files = SpikeFiles(path, 5, options=replace(KNOWN, keep_columns=9))
        assert files.size == (8, 9)
        assert np.array_equal(files.read(1, 3), spikes()[1:3, ..., :9])
    with pytest.raises(DataError, match='keep_columns=13, expected 1 to the 12 columns'):
        SpikeFiles(spike_folder, 5, options=replace(KNOWN, keep_columns=13))


def test_size_and_threshold_come_from_the_config_near(spike_folder):
    with pytest.raises(DataError, match=r'000\.dat does not contain its size.* as in --size 250 400'):
        SpikeFiles(spike_folder, 5)
    with pytest.raises(DataError, match=r'threshold of the spikes in .* is unknown.* give --threshold'):
        SpikeFiles(spike_folder, 5, options=SpikeFileOptions(size=(8, 12)))
    (spike_folder.parent / 'config.yaml').write_text('{spike_h: 8, spike_w: 12, threshold: 2.0}')
    files = SpikeFiles(spike_folder, 5)
    assert (files.size, files.threshold) == ((8, 12), 2.0)
    assert SpikeFiles(spike_folder, 5, options=SpikeFileOptions(threshold=3.0)).threshold == 3.0


def test_spikes_that_do_not_fit_are_explained(spike_folder, tmp_path):
    with pytest.raises(DataError, match='does not exist'):
        SpikeFiles(tmp_path / 'absent', 5, options=KNOWN)
    with pytest.raises(DataError, match=r'no spikes for 1 of 2 frames: 999; expected a file NAME\.dat'):
        SpikeFiles(spike_folder, 2, ['000', '999'], options=KNOWN)
    with pytest.raises(DataError, match='5 spike files, but there are 7 frames'):
        SpikeFiles(spike_folder, 7, options=KNOWN)
    with pytest.raises(DataError, match='expected a multiple of'):
        SpikeFiles(spike_folder, 5, options=SpikeFileOptions(size=(16, 40), threshold=1.0))
    write_spike_dat(spike_folder / '002.dat', spikes(1, 6)[0])
    with pytest.raises(DataError, match=r'000\.dat has 4, 002\.dat has 6'):
        SpikeFiles(spike_folder, 5, options=KNOWN)
