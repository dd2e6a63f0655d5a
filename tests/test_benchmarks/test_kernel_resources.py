"""What the Triton kernels use, as their compiler says; no GPU is needed."""

import json
import sys
from importlib.util import find_spec

import kernel_resources
import pytest
from kernel_resources import Resources, launches_of_attention, resources_of, resources_table

needs_triton = pytest.mark.skipif(find_spec('triton') is None, reason='needs triton')
ALL = ['forward', 'mean_gradient', 'backward of queries', 'backward of keys', 'bias_gradient']
BUDGETS = dict(zip(ALL, (1800, 1300, 1650, 1800, 2000), strict=True))
"""Instructions of today's kernels in bfloat16 at 5x8x8 on sm_86, and a little room for other versions of Triton."""


def used(**changes):
    values = dict(
        kernel='forward',
        architecture='sm_86',
        dtype='bfloat16',
        window='5x8x8',
        registers=128,
        spilled=0,
        shared_bytes=99 * 1024,
        tensor_core_instructions=16,
        instructions=1700,
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
        ({'tensor_core_instructions': 0, 'dtype': 'float32', 'spilled': 8}, ['spills']),
    ],
)
def test_problems(changes, problems):
    assert used(**changes).problems == problems


def test_the_table_marks_problems():
    text = resources_table([used(), used(kernel='backward of keys', spilled=200)]).text()
    (row,) = [line for line in text.splitlines() if 'backward of keys' in line]
    assert row.split()[-2:] == ['1700', 'spills']
    assert '99 KiB on consumer GPUs of NVIDIA, 64 KiB on AMD; nothing was run' in text


@needs_triton
@pytest.mark.parametrize(('window', 'mutual', 'names'), [((5, 8, 8), False, ALL), ((2, 8, 8), True, ALL[:-1])])
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


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(
    ('architecture', 'dtype', 'channels', 'kernel', 'problems'),
    [
        ('gfx942', 'bfloat16', 16, 'forward', []),
        ('sm_80', 'float16', 20, 'forward', []),
        ('sm_90', 'bfloat16', 32, 'backward of queries', []),
        # Known of today's kernels: float32 spills, and wide heads need more than a consumer GPU has. A launch then
        # fails, so a trial of ``auto`` leaves the backend out.
        ('sm_86', 'float32', 16, 'backward of keys', ['spills']),
        ('sm_86', 'float32', 32, 'backward of queries', ['spills', 'shared memory']),
    ],
)
def test_other_architectures_and_types(architecture, dtype, channels, kernel, problems):
    launches = {each.name: each for each in launches_of_attention((5, 8, 8), channels, dtype, mutual=False)}
    assert resources_of(launches[kernel], architecture, dtype, '5x8x8').problems == problems


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
    assert [kernel['kernel'] for kernel in record['kernels']] == ALL * 2  # of two windows
    assert {'triton', 'kernels'} == set(record)
    assert 'bias_gradient' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--window', '5x8'], '--window takes lengths such as 5x8x8, not 5x8'),
        (['--mutual', '--window', '5x8x8'], '--mutual takes windows of two frames'),
    ],
)
def test_impossible_arguments_are_refused(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, 'argv', ['kernel_resources.py', *arguments])
    with pytest.raises(SystemExit, match='2'):
        kernel_resources.parse_args()
    assert message in capsys.readouterr().err
