import numpy as np
import pytest

from vrtspike.datasets import ClipDataset, GoProSpike, read_spike_dat
from vrtspike.datasets.io.artefacts import artefact_maker
from vrtspike.datasets.transforms import BinSpikes, PairedCenterCrop, PairedRandomFlip, ReadArtefact
from vrtspike.errors import ConfigError, DataError
from vrtspike.testing.data_sets import write_gopro

SIZE = (32, 32)


def write_artefacts(root, folder, stored):
    """Write the artefacts of every spike file, as ``stored`` turns those of (K, H, W) in [0, 1] into arrays."""
    for path in root.glob('GOPRO_Large_spike_seq/*/*/spike/*.dat'):
        (path.parents[1] / folder).mkdir(exist_ok=True)
        values = artefact_maker(folder)(read_spike_dat(path, *SIZE))
        np.save(path.parents[1] / folder / f'{path.stem}.npy', stored(values))


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = write_gopro(tmp_path_factory.mktemp('artefacts'), frames=2)
    write_artefacts(root, 'tfp_b4_hw20', lambda values: np.rint(values * 255).astype(np.uint8))
    write_artefacts(root, 'raw_window_l21', lambda values: values.astype(np.uint8))
    write_artefacts(root, 'encoding25_dt10_s4', lambda values: values.reshape(4, 25, *SIZE).astype(bool))
    return root


def clips(root, *pipeline):
    source = GoProSpike(root, spike_size=SIZE, threshold=1.2)
    return ClipDataset(source, 'train', clip_len=2, pipeline=pipeline)


@pytest.mark.parametrize(('folder', 'maps'), [('tfp_b4_hw20', 4), ('raw_window_l21', 21), ('encoding25_dt10_s4', 100)])
def test_artefacts_are_cropped_and_scaled_like_spikes(root, folder, maps):
    dataset = clips(root, PairedCenterCrop(32), ReadArtefact(folder))
    for index, clip in enumerate(('GOPR0372_07_00', 'GOPR0374_11_01')):
        found = dataset[index]['spikes']
        assert (found.shape, found.dtype) == ((2, maps, 16, 16), np.float32)
        stream = read_spike_dat(root / f'GOPRO_Large_spike_seq/train/{clip}/spike/000002.dat', *SIZE)
        np.testing.assert_allclose(found[1], 1.2 * artefact_maker(folder)(stream)[:, 8:24, 8:24], atol=1e-6)


def test_raw_windows_are_those_of_the_representation(root):
    binned = clips(root, PairedCenterCrop(32), BinSpikes({'type': 'RawWindow', 'length': 21}))
    read = clips(root, PairedCenterCrop(32), ReadArtefact('raw_window_l21'))
    for index in range(len(read)):
        np.testing.assert_array_equal(read[index]['spikes'], binned[index]['spikes'])


def test_artefacts_of_other_spikes_are_never_used(root, tmp_path):
    other = write_gopro(tmp_path, frames=2)
    write_artefacts(other, 'raw_window_l21', lambda values: 1 - values.astype(np.uint8))
    with pytest.raises(DataError, match=r'000001\.npy was not made from .*000001\.dat: row 16 differs'):
        clips(other, ReadArtefact('raw_window_l21'))[0]
    with pytest.raises(DataError, match=r'tfp_b4_hw20/000001\.npy cannot be read'):
        clips(other, ReadArtefact('tfp_b4_hw20'))[0]
    # Of another length than the name says: those of 21 steps in a folder for 9.
    write_artefacts(other, 'raw_window_l9', lambda values: np.concatenate([values, values]).astype(np.uint8))
    with pytest.raises(DataError, match='was not made from'):
        clips(other, ReadArtefact('raw_window_l9'))[0]


def test_it_comes_directly_after_the_crop(root):
    with pytest.raises(ConfigError, match='put it directly after the crop'):
        clips(root, PairedRandomFlip(horizontal=1.0), ReadArtefact('tfp_b4_hw20'))[0]
