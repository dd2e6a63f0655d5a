import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from vrtspike.benchmarking.fake_gpu.attention import ChosenAttention, kernel_of
from vrtspike.ops.sdpa_rules import Kernel

BF16, F32 = torch.bfloat16, torch.float32


@pytest.mark.parametrize(
    ('dtype', 'channels', 'batch', 'masked', 'trained', 'kernel'),
    [
        (BF16, 16, 8, True, False, 'cudnn'),
        (BF16, 16, 65_536, True, False, 'efficient'),
        (BF16, 16, 8, True, True, 'efficient'),
        (BF16, 20, 8, True, True, 'math'),  # stage 8 of the released networks
        (BF16, 20, 8, False, False, 'flash'),
        (F32, 20, 8, True, True, 'efficient'),
        (F32, 6, 8, False, False, 'math'),
    ],
)
def test_the_kernel_depends_on_the_type_the_head_and_the_mask(dtype, channels, batch, masked, trained, kernel):
    q = torch.empty(batch, 2, 4, channels, dtype=dtype, device='meta')
    assert kernel_of(q, torch.empty(1) if masked else None, trained) is Kernel[kernel.upper()]


def test_kernels_that_are_not_allowed_are_not_chosen():
    q = torch.empty(8, 2, 4, 16, dtype=BF16, device='meta')
    with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        assert kernel_of(q, None, trained_mask=False) is Kernel.EFFICIENT
    with sdpa_kernel(SDPBackend.MATH):
        assert kernel_of(q, None, trained_mask=False) is Kernel.MATH


@pytest.mark.parametrize('masked', [False, True])
def test_the_math_kernel_is_attention_and_is_counted(masked):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 5, 6)
    mask = torch.randn(1, 3, 5, 5) if masked else None
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.3)
    with ChosenAttention('CPU') as attention:
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.3)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.3), expected)
    assert attention.choices == {f'math: float32, 6 channels, {"mask" if masked else "no mask"}': 1}


def test_the_other_kernels_return_the_shape_of_the_values():
    q = torch.empty(2, 3, 5, 8, device='meta')
    mask = torch.empty(1, 3, 5, 5, device='meta')
    with ChosenAttention('Meta') as attention:
        assert F.scaled_dot_product_attention(q, q, q, attn_mask=mask).shape == q.shape
    assert attention.choices == {'efficient: float32, 8 channels, mask': 1}


def test_a_recomputation_chooses_alike():
    q = torch.empty(2, 3, 5, 8, device='meta', requires_grad=True)
    with ChosenAttention('Meta') as attention:
        checkpoint(lambda x: F.scaled_dot_product_attention(x, x, x), q, use_reentrant=False).sum().backward()
    assert attention.choices == {'efficient: float32, 8 channels, no mask': 2}
    assert q.grad.shape == q.shape
