import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from vrtspike.datasets.io.images import (
    EXIF_ORIENTATION,
    image_size,
    read_image,
    read_images,
    write_image,
)
from vrtspike.errors import DataError
from vrtspike.runtime.device import MIB, peak_resident_memory

RED = np.array([255, 0, 0], np.uint8)


def image(height=4, width=6):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_images_are_rgb_and_read_back(tmp_path):
    write_image(tmp_path / 'red.png', np.broadcast_to(RED, (2, 2, 3)).copy())
    np.testing.assert_array_equal(read_image(tmp_path / 'red.png')[0, 0], RED)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'red.png'))[0, 0], RED[::-1])
    write_image(tmp_path / 'x.png', image())
    np.testing.assert_array_equal(read_image(tmp_path / 'x.png'), image())


def test_frames_of_a_clip_are_stacked(tmp_path):
    paths = [tmp_path / f'{i}.png' for i in range(3)]
    for path in paths:
        write_image(path, image())
    assert read_images(paths).shape == (3, 4, 6, 3)


def test_frames_of_two_sizes_are_refused(tmp_path):
    paths = [tmp_path / 'a.png', tmp_path / 'b.png']
    write_image(paths[0], image())
    write_image(paths[1], image(width=5))
    with pytest.raises(DataError, match=r'b\.png has 4 x 5 pixels, a\.png beside it 4 x 6'):
        read_images(paths)


def test_a_missing_or_damaged_image_is_named(tmp_path):
    for read in (read_image, image_size):
        with pytest.raises(DataError, match=r'x\.png cannot be read.*No such file'):
            read(tmp_path / 'x.png')
    for content in (b'', b'no image'):
        (tmp_path / 'x.png').write_bytes(content)
        with pytest.raises(DataError, match=r'x\.png is damaged'):
            read_image(tmp_path / 'x.png')


def test_a_damaged_copy_falls_back_to_the_file(tmp_path):
    write_image(tmp_path / 'x.png', image())
    (tmp_path / 'copy.png').write_bytes(b'half')
    np.testing.assert_array_equal(read_image(tmp_path / 'x.png', lambda path: tmp_path / 'copy.png'), image())


def test_an_image_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(DataError, match='could not be written'):
        write_image(tmp_path / 'absent' / 'x.png', image())


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_the_exif_orientation_decides_size_and_pixels(tmp_path, suffix, orientation):
    path, exif = tmp_path / f'x{suffix}', Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    # Blocks of 8 x 8 pixels survive JPEG compression.
    pixels = np.kron(image(2, 3), np.ones((8, 8, 1), np.uint8))
    Image.fromarray(pixels).save(path, exif=exif, quality=100, subsampling=0)
    with Image.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert image_size(path) == expected.shape[:2]
    assert np.abs(read_image(path).astype(int) - expected).max() <= 3


def test_a_turned_tiff_is_refused(tmp_path):
    Image.fromarray(image()).save(tmp_path / 'x.tif', tiffinfo={EXIF_ORIENTATION: 6})
    for read in (read_image, image_size):
        with pytest.raises(DataError, match='TIFF with the orientation 6'):
            read(tmp_path / 'x.tif')


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp', '.tif'])
@pytest.mark.parametrize('fraction', [0.02, 0.3, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_named(tmp_path, suffix, fraction):
    path = tmp_path / f'x{suffix}'
    write_image(path, image(64, 64))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    with pytest.raises(DataError, match=rf'x\{suffix} is damaged'):
        read_image(path)


def test_a_jpeg_whose_end_was_never_copied_is_named(tmp_path):
    path = tmp_path / 'x.jpg'
    preview, exif = io.BytesIO(), Image.Exif()
    Image.fromarray(image()).save(preview, 'JPEG')
    exif[0x927C] = preview.getvalue()  # with an end marker of its own
    Image.fromarray(image(64, 64)).save(path, exif=exif)
    np.testing.assert_equal(read_image(path).shape, (64, 64, 3))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2].ljust(len(whole), b'\0'))
    with pytest.raises(DataError, match=r'x\.jpg is damaged'):
        read_image(path)


def test_a_png_chunk_that_states_gigabytes_is_refused_without_allocating_them(tmp_path):
    path = tmp_path / 'x.png'
    write_image(path, image())
    data = bytearray(path.read_bytes())
    at = data.index(b'IDAT')
    data[at - 4 : at] = b'\xff\xff\xff\xf0'
    path.write_bytes(data)
    before = peak_resident_memory()
    with pytest.raises(DataError, match=r'x\.png is damaged'):
        read_image(path)
    assert peak_resident_memory() - before < 64 * MIB


def test_gray_palette_and_opaque_images_are_rgb(tmp_path):
    gray = image()[..., 0]
    for mode in ('L', 'LA', 'RGBA'):
        Image.fromarray(gray).convert(mode).save(tmp_path / 'x.png')
        np.testing.assert_array_equal(read_image(tmp_path / 'x.png'), np.stack([gray] * 3, axis=-1))
    palette = Image.fromarray(image()).quantize(16)
    palette.save(tmp_path / 'x.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'x.png'), np.asarray(palette.convert('RGB')))
    Image.fromarray(gray > 100).save(tmp_path / 'x.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'x.png')[..., 1], (gray > 100) * np.uint8(255))


@pytest.mark.parametrize('mode', ['LA', 'RGBA'])
def test_transparent_pixels_are_refused(tmp_path, mode):
    transparent = Image.fromarray(image()).convert(mode)
    transparent.putalpha(254)
    transparent.save(tmp_path / 'x.png')
    with pytest.raises(DataError, match='has transparent pixels'):
        read_image(tmp_path / 'x.png')


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
@pytest.mark.parametrize('channels', [1, 3])
def test_16_bits_are_scaled_to_8(tmp_path, suffix, channels):
    path, pixels = tmp_path / f'x{suffix}', image()[..., :channels]
    cv2.imwrite(str(path), pixels[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(path), np.broadcast_to(pixels, (4, 6, 3)))
    cv2.imwrite(str(path), np.full((4, 6, channels), 32767, np.uint16))
    assert np.unique(read_image(path)).tolist() == [127]


@pytest.mark.parametrize('bits', [8, 10, 12])
def test_16_bits_that_were_not_scaled_are_refused(tmp_path, bits):
    cv2.imwrite(str(tmp_path / 'x.png'), np.linspace(0, 2**bits - 1, 24).astype(np.uint16).reshape(4, 6))
    with pytest.raises(DataError, match=rf'its {bits}-bit values were probably not scaled'):
        read_image(tmp_path / 'x.png')


@pytest.mark.parametrize('level', [0, 257, 10 * 257])
def test_dark_frames_of_16_bits_are_read(tmp_path, level):
    cv2.imwrite(str(tmp_path / 'x.png'), np.full((4, 6, 3), level, np.uint16))
    assert np.unique(read_image(tmp_path / 'x.png')).tolist() == [level // 257]


def test_float_images_are_refused(tmp_path):
    Image.fromarray(image()[..., 0].astype(np.float32)).save(tmp_path / 'gray.tif')
    with pytest.raises(DataError, match='has float32 values, expected 8 or 16 bits'):
        read_image(tmp_path / 'gray.tif')
    cv2.imwrite(str(tmp_path / 'rgb.tif'), image().astype(np.float32))
    with pytest.raises(DataError, match='is damaged, or not an image of 8 or 16 bits'):
        read_image(tmp_path / 'rgb.tif')


def test_several_pages_are_refused(tmp_path):
    page = Image.fromarray(image())
    page.save(tmp_path / 'x.tif', save_all=True, append_images=[page, page])
    for read in (read_image, image_size):
        with pytest.raises(DataError, match='contains 3 images, expected one'):
            read(tmp_path / 'x.tif')


def test_a_size_in_a_header_is_not_believed(tmp_path):
    path = tmp_path / 'x.png'
    write_image(path, image())
    data = bytearray(path.read_bytes())
    data[16:24] = (20000).to_bytes(4, 'big') * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
    path.write_bytes(data)
    for read in (read_image, image_size):
        with pytest.raises(DataError, match='damaged'):
            read(path)
