import shutil

import numpy as np
import pytest

from vrtspike.datasets import ClipDataset, GoProSpike, read_spike_dat
from vrtspike.datasets.color import encode_light_uint8
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import CLIP_SOURCES
from vrtspike.testing.data_sets import DriftingPattern, write_gopro, write_gopro_all

SIZE = (32, 32)


@pytest.fixture(scope='module', params=['gopro', 'svrt'])
def root(request, tmp_path_factory):
    return write_gopro(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def copy(root, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(root, tmp_path / 'copy')


def test_both_layouts_are_found_by_themselves(root):
    source = CLIP_SOURCES.build({'type': 'GoProSpike', 'root': str(root), 'spike_size': SIZE})
    assert [sequence.name for sequence in source.sequences('train')] == ['GOPR0372_07_00', 'GOPR0374_11_01']
    assert [sequence.name for sequence in source.sequences('val')] == ['GOPR0384_11_00']
    assert source.layout in root.name


def test_the_centre_56_steps_are_the_exposure(root):
    seven, eleven = GoProSpike(root, spike_size=SIZE).sequences('train')
    assert (seven.file_steps, seven.start, seven.steps) == (56, 0, 56)
    assert (eleven.file_steps, eleven.start, eleven.steps) == (88, 16, 56)
    sample = ClipDataset(GoProSpike(root, spike_size=SIZE), 'train', clip_len=2)[6]
    assert sample['meta']['name'] == 'GOPR0374_11_01'
    whole = read_spike_dat(eleven.spike / '000002.dat', *SIZE)
    np.testing.assert_array_equal(sample['spikes'][0], whole[16:72])
    # The whole file shows the scene of 16 steps before and after as well.
    light = sample['blur'][0].mean(axis=-1)[::2, ::2]
    assert np.corrcoef(light.ravel(), sample['spikes'][0].mean(axis=0).ravel())[0, 1] > 0.9


def test_spikes_pair_with_the_gamma_corrected_blur(tmp_path):
    source = GoProSpike(write_gopro(tmp_path), spike_size=SIZE)
    assert source.sequences('train')[0].blur.name == 'blur_gamma'


def test_a_sound_data_set_builds(root):
    for split, clips in (('train', 4), ('val', 2)):
        assert len(ClipDataset(GoProSpike(root, spike_size=SIZE), split)) == clips


def test_all_that_is_wrong_comes_at_once(copy):
    spikes = copy / 'GOPRO_Large_spike_seq' / 'train'
    (spikes / 'GOPR0372_07_00' / 'spike' / '000003.dat').unlink()
    cut = spikes / 'GOPR0374_11_01' / 'spike' / '000002.dat'
    cut.write_bytes(cut.read_bytes()[:-1])
    next((copy / 'GOPRO_Large').glob('train*/GOPR0374_11_01/**/000005.png')).unlink()
    with pytest.raises(DataError) as caught:
        ClipDataset(GoProSpike(copy, spike_size=SIZE), 'train')
    for part in ('000003.dat is missing', '000002.dat has 11263 bytes', '000005.png is missing'):
        assert part in str(caught.value)


def test_a_clip_in_both_splits_is_an_error(copy):
    for folder in list(copy.glob('GOPRO_Large*/test*/GOPR0384_11_00')):
        train = folder.parent.name.replace('test', 'train')
        shutil.copytree(folder, folder.parents[1] / train / folder.name)
    with pytest.raises(DataError, match="'GOPR0384_11_00' is in both train and val"):
        ClipDataset(GoProSpike(copy, spike_size=SIZE), 'train')


def test_the_wrong_threshold_is_an_error(root):
    with pytest.raises(
        DataError, match=r'threshold: 4 and light: linear, but the spikes .* at threshold: 1\.0\d with light: linear'
    ):
        ClipDataset(GoProSpike(root, spike_size=SIZE, threshold=4), 'train')


def test_an_exposure_longer_than_the_files_is_an_error(root):
    with pytest.raises(DataError, match='the exposure has 60 steps, but its spike files have 56'):
        ClipDataset(GoProSpike(root, spike_size=SIZE, exposure_steps=60), 'train')


def test_clips_without_a_telling_name_are_named(copy):
    (copy / 'GOPRO_Large_spike_seq' / 'train' / 'backup').mkdir()
    with pytest.raises(DataError, match='contain backup: expected clips named like GOPR0372_07_00'):
        GoProSpike(copy).sequences('train')


def test_two_layouts_at_once_must_be_told_apart(tmp_path):
    write_gopro(tmp_path, 'gopro')
    write_gopro(tmp_path, 'svrt')
    with pytest.raises(DataError, match="has both layouts; choose one with layout=: 'gopro'"):
        GoProSpike(tmp_path)
    assert GoProSpike(tmp_path, layout='svrt').sequences('val')[0].blur.parent.name == 'test_GT_blurred'


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(DataError, match='GOPRO_Large has no frames'):
        GoProSpike(tmp_path)
    root = write_gopro(tmp_path / 'x')
    shutil.rmtree(root / 'GOPRO_Large_spike_seq')
    with pytest.raises(DataError, match=r'GOPRO_Large_spike_seq/train is missing'):
        GoProSpike(root).sequences('train')


@pytest.mark.parametrize('options', [{'layout': 'gopros'}, {'threshold': 0}, {'exposure_steps': 1.5}])
def test_bad_arguments_are_refused(root, options):
    with pytest.raises(ConfigError, match=r'GoProSpike( got|:) '):
        GoProSpike(root, **options)


def test_without_spikes_their_folder_may_be_absent(copy):
    shutil.rmtree(copy / 'GOPRO_Large_spike_seq')
    dataset = ClipDataset(GoProSpike(copy, spikes=False), 'train')
    assert len(dataset.sequences) == 2
    assert set(dataset[0]) == {'blur', 'sharp', 'meta', 'rng'}


def test_all_frames_beside_them_are_targets_of_other_instants(tmp_path):
    root = write_gopro_all(write_gopro(tmp_path))
    seven, eleven = GoProSpike(root, spike_size=SIZE).sequences('train')
    wanted = [(2 * i + 1) / 14 for i in range(7)]
    assert seven.target_instants == pytest.approx(wanted)
    assert eleven.target_instants == pytest.approx(wanted)
    data = ClipDataset(GoProSpike(root, spike_size=SIZE), 'val', clip_len=2, instants='targets')
    assert len(data) == 5 * 7
    samples = [data[i] for i in range(7)]
    assert [sample['instant'][0].item() for sample in samples] == pytest.approx(wanted)
    expected = encode_light_uint8(DriftingPattern((64, 64)).light(1 + 1 / 14), 'linear')
    np.testing.assert_array_equal(samples[0]['sharp'][1], expected)
    # 16 steps lie before the exposure of an 88-step file; 24 are wanted.
    assert samples[0]['known'][0].tolist() == [False] * 8 + [True] * 88 + [False] * 8


def test_frames_of_another_recording_are_refused(tmp_path):
    root = write_gopro_all(write_gopro(tmp_path))
    (root / 'GOPRO_Large_all/train/GOPR0372_07_00/000001.png').unlink()
    with pytest.raises(DataError, match='expected 7 for each of them in time order'):
        GoProSpike(root, spike_size=SIZE).sequences('train')
