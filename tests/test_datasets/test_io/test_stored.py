import sys

import numpy as np
import pytest

from vrtspike.datasets.io import stored
from vrtspike.datasets.io.images import image_size, read_image, write_image
from vrtspike.errors import DataError
from vrtspike.testing.data_sets import write_lmdb

pytest.importorskip('lmdb')


@pytest.fixture
def database(tmp_path):
    for name in ('a/1', 'a/2', 'b/1'):
        (tmp_path / 'frames' / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / 'frames' / f'{name}.png', np.full((4, 6, 3), len(name), np.uint8))
    return write_lmdb(tmp_path / 'frames')


def test_paths_in_an_lmdb_are_those_of_its_folder(database):
    folder = database.with_suffix('')
    assert stored.place_in_lmdb(folder / 'a') is None
    for path in ('a', 'b'):
        assert sorted(stored.names_in(database / path)) == sorted(stored.names_in(folder / path))
    for path, there in {'a': True, 'c': False, 'a/1.png': False}.items():
        assert stored.is_folder(database / path) is stored.is_folder(folder / path) is there
    for path, there in {'a/1.png': True, 'a/3.png': False, 'a': False}.items():
        assert stored.is_file(database / path) is stored.is_file(folder / path) is there
    assert stored.read_file(database / 'b/1.png') == (folder / 'b/1.png').read_bytes()


def test_images_are_read_by_their_paths(database):
    assert image_size(database / 'a/1.png') == (4, 6)
    np.testing.assert_array_equal(read_image(database / 'a/1.png'), read_image(database.with_suffix('') / 'a/1.png'))


def test_a_changed_list_is_read_again(database):
    assert stored.is_file(database / 'b/1.png')
    (database / 'meta_info.txt').write_text('a/1.png (4,6,3) 1\n')
    assert not stored.is_file(database / 'b/1.png')


def test_a_key_that_is_listed_and_missing_is_named(database):
    with pytest.raises(DataError, match=r"has no key 'a/9', which its meta_info\.txt names"):
        stored.read_file(database / 'a/9.png')


def test_damaged_files_end_in_one_error(database):
    (database / 'meta_info.txt').write_text('no image\n')
    with pytest.raises(DataError, match="line 1 is 'no image', expected"):
        stored.names_in(database / 'a')
    (database / 'meta_info.txt').unlink()
    with pytest.raises(DataError, match=r'meta_info\.txt cannot be read'):
        stored.names_in(database / 'a')
    (database / 'data.mdb').write_bytes(b'no database' * 1000)
    with pytest.raises(DataError, match='cannot be read as an LMDB'):
        stored.read_file(database / 'a/1.png')


def test_the_package_is_named_if_it_is_missing(database, monkeypatch):
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    stored.environment.cache_clear()
    with pytest.raises(DataError, match='needs the package lmdb: pip install lmdb'):
        stored.read_file(database / 'a/1.png')
