import math

import pytest
import torch

from vrtspike.errors import ConfigError
from vrtspike.ops import window_attention

CASE = dict(window=(2, 4, 4), shift=(1, 2, 2), heads=2, mutual=False)


def make_inputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    qkv = torch.randn(2, 4, 8, 4, 3 * 32, generator=generator)
    return qkv, torch.randn(math.prod(2 * n - 1 for n in CASE['window']), 2, generator=generator)


@pytest.mark.parametrize('mutual', [False, True])
@pytest.mark.filterwarnings('ignore:flex_attention called without torch.compile')
def test_flex_agrees_with_the_reference(mutual):
    qkv, table = make_inputs()
    arguments = CASE | dict(mutual=mutual)
    table = None if mutual else table
    found = window_attention(qkv, table, backend='flex', **arguments)
    expected = window_attention(qkv.double(), None if mutual else table.double(), backend='reference', **arguments)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_flex_does_not_train_on_a_cpu():
    qkv, table = make_inputs()
    with pytest.raises(ConfigError, match="backend 'flex' cannot be used here: it has no backward pass on cpu"):
        window_attention(qkv.requires_grad_(), table, backend='flex', **CASE)
