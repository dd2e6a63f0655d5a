"""Window attention as GPUs compute it: one product for both attentions, whose kernel adds the biases.

The kernels run in Triton's interpreter, which is chosen by an environment variable before Triton is imported, hence the
process of its own.
"""

import json

import pytest
from errors_of_tensors import largest
from triton_interpreter import needs_triton

CASES = {  # map, window, shift, mutual, whether queries, keys and values have a bias
    'mutual': ((1, 2, 8, 4), (2, 4, 4), (1, 2, 0), True, True),
    'mutual in a map that windows do not divide': ((1, 3, 5, 6), (2, 4, 4), (1, 2, 2), True, True),
    'mutual without a bias': ((1, 2, 4, 4), (2, 4, 4), (0, 0, 0), True, False),
    'own': ((2, 2, 4, 8), (2, 4, 4), (0, 0, 2), False, True),
    'own in a map that windows do not divide': ((1, 2, 3, 4), (1, 4, 4), (0, 0, 0), False, True),
}


@needs_triton
@pytest.mark.parametrize('case', CASES)
def test_one_product_and_biases_in_the_kernel_change_nothing(interpreted, case):
    output, *gradients = interpreted[case]
    assert output < 1e-5
    assert largest(gradients) < 1e-4


@needs_triton
def test_a_block_whose_sum_is_normalised_in_its_kernel_computes_the_same(interpreted):
    output, *gradients = interpreted['block']
    assert output < 1e-5
    assert largest(gradients) < 1e-4


def errors_of_a_block():
    """Return the relative errors of the output of a block, and of the gradients of input and parameters."""
    import torch
    from gpu_paths import take_gpu_paths

    from vrtspike.models.layers.blocks import AttentionBlock
    from vrtspike.ops import use_backends

    def run(dtype, on_gpu, **backends):
        torch.manual_seed(0)
        block = AttentionBlock(8, 2, (2, 4, 4), (1, 2, 0), mutual=True)
        for parameter in block.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        x = torch.randn(1, 3, 8, 4, 8).to(dtype).requires_grad_()
        block = block.to(dtype)
        with pytest.MonkeyPatch.context() as patch, use_backends(**backends):
            take_gpu_paths(patch, on_gpu)
            out = block(x)
            (out * torch.linspace(-1, 1, out.numel(), dtype=dtype).view_as(out)).sum().backward()
        return [out.detach(), x.grad, *(each.grad for each in block.parameters())]

    ours = dict(gated_linear='triton', layer_norm='triton', add_scattered='triton', window_attention='flash')
    plain = dict.fromkeys(ours, 'reference')
    pairs = zip(run(torch.float32, True, **ours), run(torch.float64, False, **plain), strict=True)
    return [float((found - expected).abs().max() / expected.abs().max()) for found, expected in pairs]


def errors_of(size, window, shift, mutual, qkv_bias):
    """Return the relative errors of the output and of the gradients of input and parameters."""
    import torch
    from gpu_paths import take_gpu_paths

    from vrtspike.models.layers.attention import WindowAttention
    from vrtspike.models.layers.maps import TokenNorm

    def run(backend, dtype, on_gpu):
        torch.manual_seed(0)
        norm, attn = TokenNorm(8), WindowAttention(8, window, 2, mutual=mutual, qkv_bias=qkv_bias, attn_type=backend)
        for parameter in (*norm.parameters(), *attn.parameters()):
            torch.nn.init.normal_(parameter)
        norm, attn = norm.to(dtype), attn.to(dtype)
        x = torch.randn(*size, 8).to(dtype).requires_grad_()
        with pytest.MonkeyPatch.context() as patch:
            take_gpu_paths(patch, on_gpu)
            out = attn(x, shift, norm.beside, 0.5)
            (out * torch.linspace(-1, 1, out.numel(), dtype=dtype).view_as(out)).sum().backward()
        return [out.detach(), x.grad, *(each.grad for each in (*norm.parameters(), *attn.parameters()))]

    pairs = zip(run('flash', torch.float32, True), run('reference', torch.float64, False), strict=True)
    return [float((found - expected).abs().max() / expected.abs().max()) for found, expected in pairs]


if __name__ == '__main__':
    print(json.dumps({'block': errors_of_a_block()} | {name: errors_of(*case) for name, case in CASES.items()}))
