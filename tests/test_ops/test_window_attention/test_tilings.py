"""How the Triton kernels divide their work."""

import sys
import types

import pytest
import torch

from vrtspike.ops.window_attention import tilings
from vrtspike.ops.window_attention.tilings import (
    Constants,
    Tiling,
    block_of_queries,
    fastest,
    launch,
    padded,
    tilings_by_keys,
    tilings_of_backward,
    tilings_of_forward,
)

FAST, SLOW, HUGE = Tiling(64, 64, 4, 1), Tiling(64, 64, 4, 2), Tiling(64, 64, 4, 4)


CONSTANTS = Constants(
    *(5, 8, 8, 0, 4, 4),
    SHIFTED=True,
    HEADS=6,
    N=320,
    NP=320,
    D=16,
    BD=16,
    WIDTH=96,
    FRAMES=1,
    MUTUAL=False,
    BIAS=True,
    PRECISION='ieee',
    ROUNDED=None,
    ROW=288,
    OUT_ROW=96,
)


WINDOWS = [36, 64, 72, 180, 216, 320, 384, 512]
"""Tokens that attend to each other, of the shipped windows and others."""


def of_tokens(tokens, **others):
    return CONSTANTS._replace(N=tokens, NP=padded(tokens), **others)


@pytest.mark.parametrize(
    ('tokens', 'forward', 'backward'),
    [
        (320, Tiling(64, 64, 4, 3, 255), Tiling(64, 32, 2)),  # 5x8x8: five whole blocks
        (180, Tiling(64, 64, 4, 3, 255), Tiling(64, 32, 2)),  # 5x6x6: 12 of 192 tokens pad
        (72, Tiling(16, 64, 1, 3, 255), Tiling(16, 32, 1)),  # 2x6x6: 8 of 80
        (36, Tiling(16, 32, 1, 3, 255), Tiling(16, 32, 1)),  # a frame of 6x6: 12 of 48
        (15, Tiling(16, 16, 1, 3, 255), Tiling(16, 16, 1)),
    ],
)
def test_blocks_of_queries_fit_the_window(tokens, forward, backward):
    assert tilings_of_forward(of_tokens(tokens), torch.bfloat16)[0] == forward
    assert tilings_of_backward(of_tokens(tokens), torch.bfloat16) == [backward]


@pytest.mark.parametrize('tokens', WINDOWS)
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
def test_blocks_divide_the_padded_window(tokens, dtype):
    constants = of_tokens(tokens, SHIFTED=False)
    found = tilings_of_forward(constants, dtype) + tilings_of_backward(constants, dtype)
    assert {tiling.queries for tiling in found} == {block_of_queries(tokens, dtype)}
    for tiling in tilings_by_keys(constants._replace(TRAINS_BIAS=True), dtype):
        assert padded(tokens) % tiling.queries == padded(tokens) % tiling.keys == 0


def test_windows_share_a_program_only_if_their_numbers_fit_its_registers():
    def counts(tilings, **others):
        return [tiling.windows for tiling in tilings(of_tokens(320, **others), torch.bfloat16)]

    assert counts(tilings_of_forward) == [3, 2, 1]
    assert counts(tilings_of_forward, D=20, BD=32) == [2, 1]
    assert counts(tilings_of_backward) == [1]
    assert counts(tilings_of_backward, SHIFTED=False) == [2, 1]
    assert counts(tilings_of_backward, SHIFTED=False, D=20, BD=32) == [1]


@pytest.mark.parametrize('channels', [16, 32])
def test_programs_in_float32_have_smaller_blocks_of_one_window(channels):
    constants = of_tokens(320, SHIFTED=False, D=channels, BD=channels)
    assert tilings_of_forward(constants, torch.float32) == [Tiling(32, 32, 2, registers=168 if channels == 16 else 255)]
    assert tilings_of_backward(constants, torch.float32) == [Tiling(32, 512 // channels, 2)]
    assert tilings_by_keys(constants, torch.float32) == [Tiling(64, 16, 8, registers=255)]


@pytest.mark.parametrize('tokens', WINDOWS)
def test_the_sums_of_the_bias_gradient_fit_the_registers_of_a_program(tokens):
    (tiling,) = tilings_by_keys(of_tokens(tokens, TRAINS_BIAS=True), torch.bfloat16)
    assert padded(tokens) * tiling.keys / (32 * tiling.warps) <= 40


@pytest.mark.parametrize(
    ('tokens', 'sums_bias', 'expected'),
    [
        (320, True, [Tiling(64, 16, 8, registers=255), Tiling(64, 32, 8)]),  # 5x8x8
        (180, True, [Tiling(64, 16, 8, registers=255), Tiling(64, 32, 8)]),  # 5x6x6
        (128, True, [Tiling(64, 32, 8)]),  # 2x8x8
        (64, False, [Tiling(32, 32, 4, registers=255), Tiling(64, 32, 4)]),  # a frame of 8x8
        (36, False, [Tiling(16, 16, 2, registers=255), Tiling(16, 16, 1, registers=255)]),  # a frame of 6x6
    ],
)
def test_if_keys_of_padded_heads_spill_a_tiling_without_spills_comes_first(tokens, sums_bias, expected):
    constants = of_tokens(tokens, D=20, BD=32, TRAINS_BIAS=sums_bias)
    assert tilings_by_keys(constants, torch.bfloat16) == expected
    assert tilings_by_keys(constants._replace(D=32), torch.bfloat16) == expected[-1:]


@pytest.mark.parametrize(
    ('dtype', 'changes', 'expected'),
    [
        (torch.bfloat16, dict(D=20, SUMS='rows'), [Tiling(64, 16, 4, registers=255), Tiling(64, 32, 2)]),
        (torch.bfloat16, dict(D=20), [Tiling(64, 32, 2)]),
        (torch.bfloat16, dict(D=32, SUMS='rows'), [Tiling(64, 32, 2)]),
        (torch.float32, dict(D=20, SUMS='rows'), [Tiling(16, 16, 2, registers=255), Tiling(32, 16, 2)]),
        (torch.float32, dict(D=20), [Tiling(32, 16, 4, registers=255), Tiling(32, 16, 2)]),
        (torch.float32, dict(D=32, SUMS='rows'), [Tiling(16, 16, 2, registers=255), Tiling(32, 16, 2)]),
        (torch.float32, dict(D=32), [Tiling(32, 16, 2)]),
    ],
)
def test_if_queries_of_wide_heads_spill_a_tiling_without_spills_comes_first(dtype, changes, expected):
    assert tilings_of_backward(of_tokens(64, BD=32, **changes), dtype) == expected


@pytest.mark.parametrize('changes', [dict(SHIFTED=False), dict(SUMS='rows')])
def test_if_several_windows_of_padded_heads_spill_one_comes_first(changes):
    tilings = tilings_of_forward(of_tokens(320, D=20, BD=32, **changes), torch.bfloat16)
    assert [tiling.windows for tiling in tilings] == [1, 2]


@pytest.fixture
def clock(monkeypatch):
    """A Triton whose benchmark returns what the run returns, and whose GPU has no room for the largest tiling."""

    class OutOfResources(Exception):
        pass

    def run(tiling):
        if tiling == HUGE:
            raise OutOfResources
        return {FAST: 1.0, SLOW: 2.0}[tiling]

    errors = types.SimpleNamespace(OutOfResources=OutOfResources)
    testing = types.SimpleNamespace(do_bench=lambda function, **_: function())
    for name, module in {'': None, '.runtime': None, '.runtime.errors': errors, '.testing': testing}.items():
        monkeypatch.setitem(sys.modules, f'triton{name}', module or types.ModuleType(f'triton{name}'))
    return types.SimpleNamespace(run=run, error=OutOfResources)


def test_the_fastest_tiling_that_fits_is_taken(clock):
    assert fastest(clock.run, [HUGE, SLOW, FAST]) == FAST


def test_if_none_fits_the_error_is_raised(clock):
    with pytest.raises(clock.error):
        fastest(clock.run, [HUGE])


@pytest.fixture(autouse=True)
def constants_as_they_are(monkeypatch):
    """Launch without Triton's type of constants, which need it."""
    monkeypatch.setattr(tilings, 'in_triton', lambda constants: constants)


class Kernel:
    """Records how it is launched."""

    __name__ = 'kernel'

    def __init__(self):
        self.launches = []

    def __getitem__(self, grid):
        return lambda *arguments, **constants: self.launches.append((grid, arguments, constants))


def test_without_a_gpu_the_first_is_launched(monkeypatch):
    monkeypatch.setattr(tilings, 'fastest', None)
    kernel, tensor = Kernel(), torch.zeros(1)
    launch(kernel, lambda tiling: 10 * tiling.windows, (tensor, 7), CONSTANTS, [SLOW, FAST])
    compiled_for = CONSTANTS._replace(BM=64, BN=64, WINDOWS=2)
    assert kernel.launches == [((20,), (tensor, 7), dict(S=compiled_for, num_warps=4))]


def test_registers_are_limited_where_the_tiling_says_so():
    kernel = Kernel()
    launch(kernel, lambda tiling: 1, (torch.zeros(1),), CONSTANTS, [FAST._replace(registers=168)])
    ((_, _, options),) = kernel.launches
    assert options['maxnreg'] == 168


def test_on_a_gpu_the_fastest_is_found_once_for_each_set_of_constants(monkeypatch):
    asked = []
    monkeypatch.setattr(tilings, 'fastest', lambda run, found: asked.append(found) or found[-1])
    monkeypatch.setattr(tilings, 'chosen', {})
    kernel = Kernel()
    tensor = types.SimpleNamespace(device=torch.device('cuda'), dtype=torch.bfloat16)
    for tokens in (320, 320, 180):
        launch(kernel, lambda tiling: 1, (tensor,), CONSTANTS._replace(N=tokens), [SLOW, FAST])
    assert asked == [[SLOW, FAST]] * 2
    assert [options['S'].WINDOWS for _, _, options in kernel.launches] == [1, 1, 1]
