"""Snapshots with a patched torch.cuda."""

import pickle
from pathlib import Path

import pytest
import torch

from vrtspike.profiling.memory_snapshot import record_history, snapshot_path, stop_history, write_snapshot


@pytest.mark.parametrize(('rank', 'name'), [(0, 'memory_snapshot.pickle'), (2, 'memory_snapshot_rank2.pickle')])
def test_every_process_has_its_own_file(rank, name):
    assert snapshot_path('run', rank) == Path('run', name)


def test_a_snapshot_is_written_aside_and_renamed(tmp_path, monkeypatch):
    path, seen = tmp_path / 'memory_snapshot.pickle', []

    def dump(name):
        seen.append(Path(name))
        assert not path.exists()
        Path(name).write_bytes(pickle.dumps({'segments': []}))

    monkeypatch.setattr(torch.cuda.memory, '_dump_snapshot', dump)
    write_snapshot(path)
    assert pickle.loads(path.read_bytes()) == {'segments': []}
    assert [aside.parent for aside in seen] == [tmp_path]
    assert seen != [path]
    assert list(tmp_path.iterdir()) == [path]


def test_a_snapshot_that_fails_leaves_the_earlier_one(tmp_path, monkeypatch):
    path = tmp_path / 'memory_snapshot.pickle'
    path.write_bytes(b'earlier')

    def dump(name):
        Path(name).write_bytes(b'half')
        raise RuntimeError('no device')

    monkeypatch.setattr(torch.cuda.memory, '_dump_snapshot', dump)
    with pytest.raises(RuntimeError):
        write_snapshot(path)
    assert path.read_bytes() == b'earlier'
    assert list(tmp_path.iterdir()) == [path]


def test_a_history_is_of_limited_length_and_of_one_device(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda.memory, '_record_memory_history', lambda **settings: calls.append(settings))
    record_history(torch.device('cuda', 1))
    stop_history()
    assert calls == [
        {'stacks': 'python', 'max_entries': 100_000, 'device': torch.device('cuda', 1)},
        {'enabled': None},
    ]
