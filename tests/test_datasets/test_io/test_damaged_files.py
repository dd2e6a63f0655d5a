"""Every reader of data files meets damaged ones: ``--fuzz-seconds 60`` for a long run."""

import cv2
import numpy as np
import pytest
import scipy.io
from PIL import Image

from vrtspike.datasets.io.images import EXIF_ORIENTATION, image_size, read_image
from vrtspike.datasets.io.spike_formats import read_spikes, spike_array_size
from vrtspike.datasets.spike_dat import read_spike_dat, write_spike_dat
from vrtspike.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
SPIKES = np.random.default_rng(0).integers(0, 2, (20, 8, 12), dtype=np.uint8)


def jpegs(folder):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    Image.fromarray(PIXELS).save(folder / 'turned.jpg', exif=exif)
    Image.fromarray(PIXELS).save(folder / 'progressive.jpg', progressive=True)


def pngs(folder):
    cv2.imwrite(str(folder / '16.png'), PIXELS.astype(np.uint16) * 257)
    Image.fromarray(PIXELS).quantize(16).save(folder / 'palette.png')
    Image.fromarray(PIXELS).convert('RGBA').save(folder / 'alpha.png')


def tiffs(folder):
    Image.fromarray(PIXELS).save(folder / 'raw.tif')
    Image.fromarray(PIXELS).save(folder / 'lzw.tif', compression='tiff_lzw')
    cv2.imwrite(str(folder / '16.tif'), PIXELS.astype(np.uint16) * 257)


def bmps(folder):
    Image.fromarray(PIXELS).save(folder / 'x.bmp')


@pytest.mark.filterwarnings('ignore')  # Pillow's, about what it found in a header
@pytest.mark.parametrize('write', [jpegs, pngs, tiffs, bmps])
def test_images(write, tmp_path, fuzz_reader):
    write(tmp_path)

    def read(path):
        try:
            size = image_size(path)
        except DataError:
            with pytest.raises(DataError):  # what a check refuses, a training does not read
                read_image(path)
            raise
        assert read_image(path).shape == (*size, 3)

    fuzz_reader(read)


def dats(folder):
    write_spike_dat(folder / 'x.dat', SPIKES)


def npys(folder):
    np.save(folder / 'x.npy', SPIKES)
    np.save(folder / 'fortran.npy', np.asfortranarray(SPIKES.astype(np.float32)))


def npzs(folder):
    np.savez(folder / 'x.npz', spk=SPIKES)
    np.savez_compressed(folder / 'packed.npz', spk=SPIKES.astype(bool), labels=np.arange(3))


def mats(folder):
    scipy.io.savemat(folder / 'x.mat', {'spk': SPIKES})
    scipy.io.savemat(folder / 'packed.mat', {'spk': SPIKES.astype(float), 'text': 'x'}, do_compression=True)


def hdf5s(folder):
    h5py = pytest.importorskip('h5py')
    for name, options in dict(plain={}, packed=dict(chunks=True, compression='gzip', shuffle=True)).items():
        with h5py.File(folder / f'{name}.h5', 'w') as file:
            file.create_dataset('camera/spk', data=SPIKES, **options)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('write', [dats, npys, npzs, mats, hdf5s])
def test_spikes(write, tmp_path, fuzz_reader):
    write(tmp_path)

    def read(path):
        size = spike_array_size(path) or SPIKES.shape[1:]
        spikes = read_spikes(path, *size)
        assert spikes.shape[1:] == size
        assert spikes.max() <= 1

    fuzz_reader(read)


def test_raw_bits(tmp_path, fuzz_reader):
    dats(tmp_path)
    fuzz_reader(lambda path: read_spike_dat(path, 8, 12))
