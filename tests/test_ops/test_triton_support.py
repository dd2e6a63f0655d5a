import sys
from importlib.util import find_spec
from typing import NamedTuple

import pytest
import torch

from vrtspike.ops import triton_support


def test_without_triton_the_backends_say_what_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, 'triton', None)
    triton_support.missing.cache_clear()
    assert triton_support.missing().startswith('needs triton')
    triton_support.missing.cache_clear()


@pytest.mark.parametrize(('interpret', 'devices'), [('1', ('cuda', 'cpu')), ('0', ('cuda',)), (None, ('cuda',))])
def test_kernels_run_on_cpus_in_the_interpreter_only(monkeypatch, interpret, devices):
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    if interpret is not None:
        monkeypatch.setenv('TRITON_INTERPRET', interpret)
    assert triton_support.devices() == devices


@pytest.mark.parametrize(
    ('dtype', 'precision'), [(torch.float32, 'tf32x3'), (torch.bfloat16, 'ieee'), (torch.float16, 'ieee')]
)
def test_only_float32_is_multiplied_in_parts(dtype, precision):
    assert triton_support.precision_of(torch.zeros(1, dtype=dtype)) == precision


class Sizes(NamedTuple):
    N: int
    BLOCK: int


@pytest.mark.skipif(find_spec('triton') is None, reason='needs triton')
@pytest.mark.parametrize(('interpret', 'kind'), [('0', 'constexpr'), ('1', 'int')])
def test_kernels_read_constants_by_name(monkeypatch, interpret, kind):
    monkeypatch.setenv('TRITON_INTERPRET', interpret)
    constants = triton_support.in_triton(Sizes(N=320, BLOCK=64))
    assert isinstance(constants, Sizes)
    assert type(constants.N).__name__ == kind
    assert constants.BLOCK == 64
