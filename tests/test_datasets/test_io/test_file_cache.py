import errno
import json
import multiprocessing
import os

import numpy as np
import pytest

from vrtspike.datasets import ClipDataset, FileCache, ProcessedClips
from vrtspike.datasets.io import file_cache as cache
from vrtspike.datasets.io.file_cache import GIB
from vrtspike.errors import ConfigError

KIB = 1024 / GIB


def write_files(folder, count, size=1024):
    folder.mkdir(exist_ok=True)
    paths = [folder / f'{i}.dat' for i in range(count)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i % 256]) * size)
    return paths


def copies(folder):
    return [path for path in folder.iterdir() if not path.name.startswith('ledger')]


def test_a_copy_has_the_content_and_serves_from_then_on(tmp_path):
    (path,) = write_files(tmp_path / 'slow', 1)
    store = FileCache(tmp_path / 'fast', 10 * KIB)
    copy = store.local(path)
    assert copy != path
    assert copy.suffix == '.dat'
    assert copy.read_bytes() == path.read_bytes()
    assert FileCache(tmp_path / 'fast', 10 * KIB).local(path) == copy


def test_a_changed_file_is_copied_anew(tmp_path):
    (path,) = write_files(tmp_path / 'slow', 1)
    store = FileCache(tmp_path / 'fast', 10 * KIB)
    old = store.local(path)
    path.write_bytes(b'new')
    assert store.local(path) != old
    assert store.local(path).read_bytes() == b'new'


def test_beyond_the_limit_files_are_read_where_they_are(tmp_path):
    paths = write_files(tmp_path / 'slow', 5)
    store = FileCache(tmp_path / 'fast', 3.5 * KIB)
    assert [store.local(path) != path for path in paths] == [True, True, True, False, False]
    assert sum(path.stat().st_size for path in copies(tmp_path / 'fast')) == 3 * 1024


def test_what_nobody_uses_makes_room(tmp_path, monkeypatch):
    paths = write_files(tmp_path / 'slow', 4)
    store = FileCache(tmp_path / 'fast', 2.5 * KIB)
    old, used = store.local(paths[0]), store.local(paths[1])
    os.utime(old, (0, 0))
    assert store.local(paths[2]) == paths[2]  # the last recount is too young
    monkeypatch.setattr(cache, 'RECOUNT_EVERY_S', -1)
    assert store.local(paths[2]) != paths[2]
    assert not old.exists()
    assert used.exists()
    assert store.local(paths[3]) == paths[3]


def test_missing_files_stay_the_reader_s_to_report(tmp_path):
    assert FileCache(tmp_path / 'fast', 1).local(tmp_path / 'none.dat') == tmp_path / 'none.dat'


def test_a_copy_that_fails_leaves_no_trace(tmp_path, monkeypatch):
    (path,) = write_files(tmp_path / 'slow', 1)
    store = FileCache(tmp_path / 'fast', 10 * KIB)

    def full(*_):
        raise OSError('no space left')

    monkeypatch.setattr(cache.shutil, 'copyfile', full)
    assert store.local(path) == path
    assert copies(tmp_path / 'fast') == []
    assert json.loads((tmp_path / 'fast' / 'ledger.json').read_text())['bytes'] == 0


def test_a_full_disk_of_the_cache_stops_nothing(tmp_path, monkeypatch):
    store, path = FileCache(tmp_path / 'cache', 1), tmp_path / 'x'
    path.write_bytes(b'content')

    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(FileCache, 'claim', full)
    assert store.local(path) == path


def test_a_lost_ledger_is_counted_again(tmp_path):
    paths = write_files(tmp_path / 'slow', 3)
    store = FileCache(tmp_path / 'fast', 2.5 * KIB)
    store.local(paths[0])
    (tmp_path / 'fast' / 'ledger.json').write_text('{"byt')
    assert store.local(paths[1]) != paths[1]
    assert store.local(paths[2]) == paths[2]


def use(folder, paths, limit, results):
    store = FileCache(folder, limit)
    results.put(all(store.local(path).read_bytes() == path.read_bytes() for path in paths))


def test_processes_share_one_limit(tmp_path):
    paths = write_files(tmp_path / 'slow', 40)
    context = multiprocessing.get_context('fork')
    results = context.Queue()
    users = [
        context.Process(target=use, args=(tmp_path / 'fast', order.permutation(paths), 20.5 * KIB, results))
        for order in map(np.random.default_rng, range(4))
    ]
    for user in users:
        user.start()
    assert [results.get(timeout=60) for _ in users] == [True] * 4
    for user in users:
        user.join(timeout=60)
    found = copies(tmp_path / 'fast')
    assert len(found) == 20
    assert not [path for path in found if path.suffix == '.partial']
    assert json.loads((tmp_path / 'fast' / 'ledger.json').read_text())['bytes'] == 20 * 1024


def test_a_data_set_reads_the_same_through_a_cache(tiny_demo, tmp_path):
    plain = ClipDataset(ProcessedClips(tiny_demo), 'train', clip_len=2)
    cached = ClipDataset(ProcessedClips(tiny_demo), 'train', clip_len=2, cache_dir=str(tmp_path / 'fast'), cache_gib=1)
    for _ in range(2):
        one, other = plain[1], cached[1]
        for key in ('blur', 'sharp', 'spikes'):
            np.testing.assert_array_equal(one[key], other[key])
    assert len(copies(tmp_path / 'fast')) == 6


@pytest.mark.parametrize('limit', [0, -1, float('nan')])
def test_a_limit_must_be_positive(tmp_path, limit):
    with pytest.raises(ConfigError, match='limit_gib='):
        FileCache(tmp_path / 'fast', limit)
