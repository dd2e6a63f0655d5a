"""How maps were cut into chunks, and which options change nothing."""

import pytest
import torch

from vrtspike.models.layers.chunking.idle_options import idle_options
from vrtspike.models.layers.chunking.part import ChunkUse
from vrtspike.models.layers.chunking.split import ChunkOptions, chunk_sizes
from vrtspike.models.tsa import TemporalSelfAttention


def use(batch=1, side=256, **options):
    made = ChunkOptions(**options)
    return ChunkUse(batch, (side, side), chunk_sizes(batch, side, side, made), made)


def test_counts_chunks():
    assert [use(chunk_size=size).count for size in (64, 80, 96)] == [16, 16, 9]
    assert use(side=20).count == 1


def test_a_larger_budget_changes_nothing_at_small_batches():
    (line,) = idle_options(use(max_batch_tokens=65536))
    assert line == (
        'max_batch_tokens=65536 changes nothing for maps of 256x256 at B = 1: 16 chunks, as with 49152; it first '
        'matters at B = 13'
    )


def test_once_it_matters_nothing_is_said():
    assert list(idle_options(use(batch=13, max_batch_tokens=65536))) == []
    assert list(idle_options(use())) == []
    assert list(idle_options(use(chunk_size=96))) == []


def test_an_option_that_never_matters_says_no_batch():
    (line,) = idle_options(use(side=8, chunk_shape='wide', chunk_size=64))
    assert line.endswith("one chunk, as with 'square'")


@pytest.mark.parametrize('batch', [1, 5])
def test_use_follows_the_latest_map(batch):
    block = TemporalSelfAttention(4)
    block(torch.zeros(batch, 4, 1, 5, 7))
    assert block.chunk_use == ChunkUse(batch, (5, 7), (5, 7), block.chunks)
