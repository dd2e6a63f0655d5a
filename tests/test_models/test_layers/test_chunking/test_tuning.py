"""Chunks sized by measuring: the clock and the free memory are patched."""

import pytest
import torch

from vrtspike.models.layers.chunking import tuning as chunk_tuning
from vrtspike.models.layers.chunking.split import MAX_SEQUENCES, ChunkOptions, chunk_sizes
from vrtspike.models.layers.chunking.tuning import candidates, forget, tuned_options
from vrtspike.models.tsa import TemporalSelfAttention, WindowSelfAttention
from vrtspike.runtime import device

FALLBACK = ChunkOptions(chunk_size=7)
PLENTY = 2**40


@pytest.fixture(autouse=True)
def nothing_measured():
    forget()
    yield
    forget()


@pytest.fixture
def clock(monkeypatch):
    """A clock that every chunk advances by one second and every pixel by ``per_pixel``; counts the chunks."""

    class Clock:
        seconds, chunks, per_pixel = 0.0, 0, 0.0

        def work(self, chunk):
            self.chunks += 1
            self.seconds += 1 + self.per_pixel * chunk.shape[3] * chunk.shape[4]
            return chunk

    made = Clock()
    monkeypatch.setattr(device.time, 'perf_counter', lambda: made.seconds)
    monkeypatch.setattr(chunk_tuning, 'free_memory', lambda device: PLENTY)
    return made


def areas(x, free):
    return [h * w for h, w in (chunk_sizes(x.shape[0], *x.shape[3:], options) for options in candidates(x, 1, free))]


def test_candidates_grow_up_to_the_ceiling():
    x = torch.empty(1, 2, 2, 256, 256, device='meta')
    assert areas(x, PLENTY) == [32 * 32, 64 * 64, 128 * 128, 255 * 255]
    assert areas(torch.empty(2, 2, 2, 256, 256, device='meta'), PLENTY)[-1] * 2 <= MAX_SEQUENCES


def test_candidates_fit_into_their_share_of_the_memory():
    x = torch.empty(1, 96, 5, 256, 256, device='meta')
    per_pixel = 96 * 5 * 17 * 4
    assert areas(x, 4 * per_pixel * 64 * 64) == [32 * 32, 64 * 64]
    assert areas(x, 0) == [32 * 32]


def test_a_small_map_leaves_no_choice():
    assert len(candidates(torch.empty(1, 8, 2, 16, 16), 1, PLENTY)) == 1


def test_the_fastest_is_taken_and_remembered(clock):
    x = torch.zeros(1, 1, 1, 128, 128)
    options = tuned_options(clock.work, [x], FALLBACK)
    assert chunk_sizes(1, 128, 128, options) == (128, 128)
    measured = clock.chunks
    assert tuned_options(clock.work, [x], FALLBACK) == options
    assert clock.chunks == measured


def test_where_large_chunks_are_slow_small_ones_are_taken(clock):
    def thrash(chunk):
        clock.seconds += (chunk.shape[3] * chunk.shape[4]) ** 2
        return chunk

    options = tuned_options(thrash, [torch.zeros(1, 1, 1, 128, 128)], FALLBACK)
    assert chunk_sizes(1, 128, 128, options) == (32, 32)


def test_another_size_or_part_is_measured_anew(clock):
    tuned_options(clock.work, [torch.zeros(1, 1, 1, 64, 64)], FALLBACK)
    for key, size in (('', 96), ('other', 64)):
        before = clock.chunks
        tuned_options(clock.work, [torch.zeros(1, 1, 1, size, size)], FALLBACK, key=key)
        assert clock.chunks > before


def test_nothing_is_measured_on_the_meta_device(clock):
    assert tuned_options(clock.work, [torch.empty(1, 1, 1, 128, 128, device='meta')], FALLBACK) is FALLBACK
    assert clock.chunks == 0


@pytest.mark.parametrize('part', [TemporalSelfAttention, WindowSelfAttention])
def test_a_part_that_tunes_itself_computes_the_same(part):
    torch.manual_seed(0)
    rules, auto = part(4, heads=2).double(), part(4, heads=2, chunks='auto').double()
    auto.load_state_dict(rules.state_dict())
    x = torch.randn(1, 4, 2, 70, 66, dtype=torch.float64)
    torch.testing.assert_close(auto(x), rules(x))
    assert auto.chunk_use.options in chunk_tuning._fastest_options.values()


def test_measuring_leaves_the_random_numbers_alone():
    x = torch.randn(1, 4, 2, 70, 70)
    outputs = []
    for measured in (True, False):  # the second time nothing is measured
        block = TemporalSelfAttention(4, heads=2, dropout=0.5, chunks='auto')
        torch.manual_seed(0)
        torch.nn.init.ones_(block.attention.out.weight)
        if measured:
            forget()
        options = block.chunk_use
        block(x)
        outputs.append(torch.rand(3))
        assert options is None
    assert torch.equal(*outputs)
