import numpy as np
import pytest

from vrtspike.profiling import memory_replay
from vrtspike.profiling.memory_replay import MemoryReplay, stage_at
from vrtspike.records.memory import Holder
from vrtspike.runtime.device import MIB

WEIGHTS, SAVED, OTHER = Holder('parameters'), Holder('saved', 'body'), Holder('temporary', 'body')


def replay(*changes):
    return MemoryReplay([(at, holder, mib * MIB) for at, holder, mib in changes])


def mib(nbytes_by_holder):
    return {holder: nbytes / MIB for holder, nbytes in nbytes_by_holder.items()}


CHANGES = ((0, WEIGHTS, 5), (10, OTHER, 2), (10, OTHER, -2), (10, SAVED, 2), (20, OTHER, 4), (22, OTHER, -4))


@pytest.mark.parametrize(
    ('at', 'expected'),
    [
        (12, {WEIGHTS: 5, SAVED: 2, OTHER: 4}),
        (20, {WEIGHTS: 5, SAVED: 2, OTHER: 4}),
        (30, {WEIGHTS: 5, SAVED: 2}),  # after the last operator
    ],
)
def test_what_an_operator_returns_is_there_while_it_runs(at, expected):
    assert mib(replay(*CHANGES).at_peak(at, [10, 20])) == expected


def test_the_timeline_shows_the_highest_moment_of_every_stretch(monkeypatch):
    monkeypatch.setattr(memory_replay, 'MOMENTS', 3)
    ups_and_downs = [(10_000_000 * i, OTHER, size) for i, size in enumerate([1, -1, 7, -7, 2, -2, 3, -3, 9], start=1)]
    found = replay((0, WEIGHTS, 5), *ups_and_downs).timeline(0, [(0, 'one'), (45_000_000, 'two')])
    assert found.ms == [10, 30, 90]
    assert found.mib == {'parameters': [5, 5, 5], 'temporary/body': [1, 7, 9]}
    assert found.running == ['one', 'one', 'two']


def test_a_timeline_begins_with_what_was_there():
    found = replay((0, WEIGHTS, 5), (100, OTHER, 1)).timeline(50, [(50, 'other')])
    assert found.ms == [0.0, 0.0]
    assert found.mib == {'parameters': [5, 5], 'temporary/body': [0, 1]}


def test_a_long_iteration_has_a_timeline_of_limited_length_with_its_peak():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 100, 5000)
    changes = [(i, OTHER, size if i % 2 == 0 else -size) for i, size in enumerate(sizes.repeat(2).tolist())]
    found = replay(*changes).timeline(0, [(0, 'body')])
    assert len(found.ms) == memory_replay.MOMENTS
    assert max(found.mib['temporary/body']) == sizes.max()


def test_holders_are_in_the_order_of_the_kinds():
    assert replay((0, OTHER, 1), (1, SAVED, 1), (2, WEIGHTS, 1)).holders == [WEIGHTS, SAVED, OTHER]


@pytest.mark.parametrize(('at', 'stage'), [(0, 'one'), (5, 'one'), (7, 'two'), (99, 'two')])
def test_the_stage_at_a_time(at, stage):
    assert stage_at([(5, 'one'), (7, 'two')], at) == stage
