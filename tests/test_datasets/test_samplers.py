from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.datasets import samplers
from vrtspike.datasets.samplers import OrdinalSampler
from vrtspike.errors import DataError
from vrtspike.registry import DATA_SAMPLERS


def take(sampler, count):
    return list(islice(sampler, count))


def rank_sampler(monkeypatch, rank, world_size, **options):
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, world_size))
    return OrdinalSampler(range(7), **options)


@given(clips=st.integers(1, 20), seed=st.integers(0, 99))
def test_every_epoch_is_a_permutation(clips, seed):
    keys = take(OrdinalSampler(range(clips), seed), 3 * clips)
    assert [key.ordinal for key in keys] == list(range(3 * clips))
    assert {key.seed for key in keys} == {seed}
    for epoch in range(3):
        assert sorted(key.index for key in keys[epoch * clips : (epoch + 1) * clips]) == list(range(clips))


def test_epochs_and_seeds_differ_and_repeat():
    def order(seed):
        return [key.index for key in take(OrdinalSampler(range(50), seed), 100)]

    assert order(0) == order(0)
    assert order(0)[:50] != order(0)[50:]
    assert order(0) != order(1)


def test_without_shuffling_clips_keep_their_order():
    assert [key.index for key in take(OrdinalSampler(range(3), shuffle=False), 5)] == [0, 1, 2, 0, 1]


@pytest.mark.parametrize('world_size', [2, 3, 10])
def test_ranks_share_the_samples_of_one_process(monkeypatch, world_size):
    alone = take(rank_sampler(monkeypatch, 0, 1, seed=4), 30)
    shares = [take(rank_sampler(monkeypatch, rank, world_size, seed=4), 30 // world_size) for rank in range(world_size)]
    assert [key for row in zip(*shares, strict=True) for key in row] == alone


@given(skipped=st.integers(0, 40), started=st.integers(0, 40))
def test_skipping_is_the_same_as_taking(skipped, started):
    sampler = OrdinalSampler(range(7), seed=2, start=started)
    sampler.skip(skipped)
    assert take(sampler, 10) == take(OrdinalSampler(range(7), seed=2), skipped + started + 10)[-10:]


def test_skipping_counts_the_samples_of_one_rank(monkeypatch):
    whole = take(rank_sampler(monkeypatch, 1, 3), 10)
    sampler = rank_sampler(monkeypatch, 1, 3)
    sampler.skip(4)
    assert take(sampler, 6) == whole[4:]


def test_the_runner_builds_it_with_data_set_and_seed():
    defaults = {'dataset': range(5), 'seed': 9}
    sampler = DATA_SAMPLERS.build({'type': 'OrdinalSampler', 'shuffle': False}, default_args=defaults)
    assert take(sampler, 1)[0].seed == 9
    assert len(sampler) == 5
    assert isinstance(OrdinalSampler(range(5), seed=None).seed, int)


def test_an_empty_data_set_is_refused():
    with pytest.raises(DataError, match='without clips'):
        OrdinalSampler([])
