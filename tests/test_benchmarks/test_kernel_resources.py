"""What the Triton kernels use, as their compiler says; no GPU is needed."""

import json
import sys
from importlib.util import find_spec

import kernel_resources
import pytest
from kernel_resources import (
    Launch,
    Resources,
    issued,
    launches_of_attention,
    launches_of_convolution,
    launches_of_offsets,
    launches_of_tokens,
    resources_of,
    resources_table,
    roofline_share,
)

needs_triton = pytest.mark.skipif(find_spec('triton') is None, reason='needs triton')
ALL = ['forward', 'backward_queries', 'backward_keys']
TOKENS = ['gate', 'gate_backward', 'norm', 'add', 'add_norm', 'norm_backward', 'gather']
BUDGETS = dict(zip(ALL, (1600, 1150, 1100), strict=True))
"""Instructions of today's kernels in bfloat16 at 5x8x8 on sm_86, and a little room for other versions of Triton. The
forward kernel computes three windows."""


def used(**changes):
    values = dict(
        kernel='forward',
        architecture='sm_86',
        dtype='bfloat16',
        shape='5x8x8',
        registers=128,
        spilled=0,
        shared_bytes=99 * 1024,
        tensor_core_instructions=16,
        instructions=1700,
        vector_loads=16,
        roofline=0.5,
    )
    return Resources(**values | changes)


@pytest.mark.parametrize(
    ('changes', 'problems'),
    [
        ({}, []),
        ({'spilled': 8}, ['spills']),
        ({'shared_bytes': 99 * 1024 + 1}, ['shared memory']),
        ({'architecture': 'gfx942'}, ['shared memory']),
        ({'architecture': 'gfx942', 'shared_bytes': 64 * 1024}, []),
        ({'tensor_core_instructions': 0}, ['no tensor cores']),
        ({'tensor_core_instructions': 0, 'shape': ''}, []),
        ({'tensor_core_instructions': 0, 'dtype': 'float32', 'spilled': 8}, ['spills']),
    ],
)
def test_problems(changes, problems):
    assert used(**changes).problems == problems


def test_the_table_marks_problems():
    text = resources_table([used(), used(kernel='backward_keys', spilled=200)]).text()
    (row,) = [line for line in text.splitlines() if 'backward_keys' in line]
    assert row.split()[-4:] == ['1700', '16', '50%', 'spills']
    assert '99 KiB on consumer GPUs of NVIDIA, 64 KiB on AMD; nothing was run' in text


@needs_triton
@pytest.mark.parametrize(('window', 'mutual', 'names'), [((5, 8, 8), False, ALL), ((2, 8, 8), True, ALL)])
def test_the_launches_are_those_of_the_operator_which_keeps_its_kernels(window, mutual, names):
    from triton.runtime.jit import JITFunction

    from vrtspike.ops.window_attention import triton_kernels

    launches = launches_of_attention(window, 16, 'bfloat16', mutual=mutual)
    assert [launch.name for launch in launches] == names
    assert isinstance(triton_kernels.forward_kernel, JITFunction)


@needs_triton
def test_kernels_in_sixteen_bits_fit_consumer_gpus_and_use_their_tensor_cores():
    launches = launches_of_attention((5, 8, 8), 16, 'bfloat16', mutual=False)
    found = [resources_of(launch, 'sm_86', 'bfloat16', '5x8x8') for launch in launches]
    assert [(each.kernel, each.problems) for each in found] == [(name, []) for name in ALL]
    assert [each.kernel for each in found if each.instructions > BUDGETS[each.kernel]] == []
    assert all(each.vector_loads for each in found)


@needs_triton
@pytest.mark.parametrize('mutual', [False, True])
def test_windows_whose_last_block_of_keys_is_shorter_compile(mutual):
    launches = launches_of_attention((2, 6, 6), 16, 'bfloat16', mutual=mutual)
    found = [resources_of(launch, 'sm_86', 'bfloat16', '2x6x6') for launch in launches]
    assert [(each.kernel, each.problems) for each in found] == [(name, []) for name in ALL]


@needs_triton
@pytest.mark.parametrize(
    ('architecture', 'dtype', 'channels'),
    [
        ('sm_86', 'bfloat16', 192),
        pytest.param('sm_80', 'float16', 96, marks=pytest.mark.slow),
        pytest.param('sm_90', 'float32', 360, marks=pytest.mark.slow),
        pytest.param('gfx942', 'bfloat16', 96, marks=pytest.mark.slow),
    ],
)
def test_kernels_of_tokens_spill_nothing_and_move_whole_vectors(architecture, dtype, channels):
    found = [resources_of(each, architecture, dtype, '') for each in launches_of_tokens(channels, dtype)]
    assert [(each.kernel, each.problems) for each in found] == [(name, []) for name in TOKENS]
    assert architecture == 'gfx942' or all(each.vector_loads for each in found)


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(
    ('architecture', 'dtype', 'channels', 'kernel'),
    [
        ('gfx942', 'bfloat16', 16, 'forward'),
        ('sm_80', 'float16', 20, 'forward'),
        ('sm_90', 'bfloat16', 32, 'backward_queries'),
        ('sm_86', 'float32', 16, 'backward_queries'),
        ('sm_80', 'bfloat16', 32, 'backward_keys'),
    ],
)
def test_other_architectures_and_types(architecture, dtype, channels, kernel):
    launches = {each.name: each for each in launches_of_attention((5, 8, 8), channels, dtype, mutual=False)}
    assert resources_of(launches[kernel], architecture, dtype, '5x8x8').problems == []


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize('shifted', [False, True])
def test_keys_in_float32_spill_nothing_if_heads_are_narrow(shifted):
    *_, keys = launches_of_attention((5, 8, 8), 16, 'float32', mutual=False, shifted=shifted)
    assert resources_of(keys, 'sm_86', 'float32', '5x8x8').problems == []


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@needs_triton
@pytest.mark.parametrize(
    ('architecture', 'channels', 'window', 'shifted', 'mutual'),
    [
        ('sm_90', 20, (5, 8, 8), True, False),
        ('sm_90', 30, (2, 8, 8), True, True),
        slow('sm_80', 30, (5, 8, 8), True, False),
        slow('sm_86', 20, (5, 8, 8), True, False),
        slow('sm_86', 30, (5, 8, 8), False, False),
        slow('sm_90', 30, (5, 8, 8), False, False),
        slow('sm_90', 30, (5, 6, 6), True, False),
        slow('sm_90', 30, (2, 8, 8), True, False),
        slow('sm_86', 20, (2, 8, 8), True, True),
        slow('sm_90', 20, (2, 8, 8), False, True),
        slow('sm_80', 30, (2, 8, 8), False, True),
    ],
)
def test_padded_heads_in_sixteen_bits_spill_nothing(architecture, channels, window, shifted, mutual):
    launches = launches_of_attention(window, channels, 'bfloat16', mutual=mutual, shifted=shifted)
    found = [resources_of(launch, architecture, 'bfloat16', 'window') for launch in launches]
    assert [(each.kernel, each.problems) for each in found] == [(name, []) for name in ALL]


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(
    ('channels', 'window', 'mutual'),
    [
        (30, (5, 8, 8), False),
        (30, (5, 6, 6), False),
        (20, (2, 8, 8), True),
        (30, (2, 8, 8), True),
        (32, (2, 8, 8), True),
    ],
)
def test_queries_of_wide_heads_in_float32_spill_nothing(channels, window, mutual):
    _, queries, _ = launches_of_attention(window, channels, 'float32', mutual=mutual)
    assert resources_of(queries, 'sm_90', 'float32', 'window').problems == []


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize('shifted', [False, True])
def test_kernels_spill_nothing_on_gpus_of_data_centres(shifted):
    launches = launches_of_attention((5, 8, 8), 16, 'bfloat16', mutual=False, shifted=shifted)
    assert [resources_of(launch, 'sm_90', 'bfloat16', '5x8x8').problems for launch in launches] == [[]] * 3


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(
    ('window', 'shifted', 'least'),
    [
        ((5, 8, 8), False, (0.55, 0.63, 0.6)),
        ((5, 8, 8), True, (0.46, 0.49, 0.51)),
        ((5, 6, 6), True, (0.6, 0.6, 0.6)),
    ],
)
def test_the_roofline_on_paper(window, shifted, least):
    launches = launches_of_attention(window, 16, 'bfloat16', mutual=False, shifted=shifted)
    shares = [resources_of(launch, 'sm_90', 'bfloat16', '').roofline for launch in launches]
    assert all(share >= limit for share, limit in zip(shares, least, strict=True)), shares


CONVOLUTION = ['forward', 'backward_samples', 'backward_weight']


@needs_triton
def test_convolutions_in_sixteen_bits_fit_consumer_gpus_and_use_their_tensor_cores():
    launches = launches_of_convolution(96, 16, 'bfloat16')
    assert [launch.name for launch in launches] == CONVOLUTION
    assert [launch.turns for launch in launches] == [(36,), (36,), (-(-8 * 256 // 28),)]
    found = [resources_of(launch, 'sm_86', 'bfloat16', '96x16') for launch in launches]
    assert [(each.kernel, each.problems) for each in found] == [(name, []) for name in CONVOLUTION]


@needs_triton
@pytest.mark.parametrize(
    ('architecture', 'dtype', 'deformable_groups'),
    [
        ('sm_86', 'bfloat16', 16),
        pytest.param('sm_90', 'float32', 1, marks=pytest.mark.slow),
        pytest.param('gfx942', 'bfloat16', 12, marks=pytest.mark.slow),
    ],
)
def test_kernels_of_offsets_spill_nothing_and_move_whole_vectors(architecture, dtype, deformable_groups):
    found = [resources_of(each, architecture, dtype, '') for each in launches_of_offsets(deformable_groups, dtype)]
    assert [(each.kernel, each.problems) for each in found] == [('offsets', []), ('offsets_backward', [])]
    assert architecture == 'gfx942' or all(each.vector_loads for each in found)


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(
    ('architecture', 'shape'),
    [('sm_80', '120x1'), ('sm_90', '96x16'), ('sm_90', '120x12'), ('gfx942', '96x16'), ('gfx942', '120x1')],
)
def test_convolutions_on_other_architectures(architecture, shape):
    for launch in launches_of_convolution(*map(int, shape.split('x')), 'bfloat16'):
        assert resources_of(launch, architecture, 'bfloat16', shape).problems == []


LISTING = """
    /*0000*/                   S2R R1, SR_TID.X ;        /* 0x1 */
    /*0010*/                   FADD R2, R2, R3 ;         /* 0x2 */
    /*0020*/                   FMUL R2, R2, R3 ;         /* 0x3 */
    /*0030*/              @!P1 BRA 0x10 ;                /* 0x4 */
    /*0040*/                   EXIT ;                    /* 0x5 */
    /*0050*/                   BRA 0x50;                 /* 0x6 */
"""


@pytest.mark.parametrize(('turns', 'instructions'), [((0,), 6), ((1,), 6), ((5,), 6 + 4 * 3), ((5, 7), 6 + 4 * 3)])
def test_instructions_in_a_loop_count_as_often_as_it_turns(turns, instructions):
    assert issued(LISTING, turns) == instructions


def test_a_loop_in_a_loop_turns_as_often_as_both():
    outer = '    /*0038*/              @!P2 BRA 0x0 ;                 /* 0x7 */\n    /*0040*/'
    assert issued(LISTING.replace('    /*0040*/', outer), (5, 7)) == 7 + 4 * 5 + 5 * 6 * 3


def test_the_share_of_the_roofline():
    import torch

    tensor = torch.empty(27_000_000, dtype=torch.bfloat16)  # 20 microseconds at 2.7 TB/s
    launch = Launch(None, (tensor, tensor.view(-1)[:0], 3), {}, warps=4, programs=132 * 100)
    # 100 warps a scheduler, 702 instructions each: 40 microseconds at 1.755 GHz.
    assert roofline_share(launch, 702) == 0.5
    assert roofline_share(launch, 7) == 1.0


@needs_triton
@pytest.mark.parametrize(('spilled', 'fails'), [(0, False), (8, True)])
def test_the_check_fails_if_a_kernel_has_a_problem(monkeypatch, tmp_path, capsys, spilled, fails):
    monkeypatch.setattr(kernel_resources, 'resources_of', lambda launch, *_: used(kernel=launch.name, spilled=spilled))
    out = tmp_path / 'kernels.json'
    monkeypatch.setattr(sys, 'argv', ['kernel_resources.py', '--arch', 'sm_86', '--check', '--out', str(out)])
    if fails:
        with pytest.raises(SystemExit, match='1'):
            kernel_resources.main()
    else:
        kernel_resources.main()
    record = json.loads(out.read_text())
    assert [kernel['kernel'] for kernel in record['kernels']] == ALL * 2 + TOKENS  # of two windows
    assert {'triton', 'kernels'} == set(record)
    assert 'backward_keys' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--window', '5x8'], '--window takes lengths such as 5x8x8, not 5x8'),
        (['--mutual', '--window', '5x8x8'], '--mutual takes windows of two frames'),
        (['--convolution', '96'], '--convolution takes channels and groups such as 96x16, not 96'),
    ],
)
def test_impossible_arguments_are_refused(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, 'argv', ['kernel_resources.py', *arguments])
    with pytest.raises(SystemExit, match='2'):
        kernel_resources.parse_args()
    assert message in capsys.readouterr().err
