"""The Triton kernels against the reference, in Triton's interpreter where there is no GPU.

The interpreter is chosen by an environment variable before Triton is imported, hence the process of its own. It is
wrong for bfloat16 products, so bfloat16 is emulated: float32 tensors of its values, rounded where the kernels round.
"""

import json
import math

import pytest
from errors_of_tensors import largest, largest_relative
from triton_interpreter import needs_triton

CASES = [  # grid of windows, window, shift, mutual, heads, channels per head
    ((1, 2, 2), (2, 4, 4), (1, 2, 2), False, 2, 16),
    ((1, 1, 2), (2, 4, 8), (0, 2, 4), False, 1, 32),
    ((2, 2, 1), (2, 3, 5), (1, 1, 2), True, 2, 20),
    ((1, 2, 1), (3, 4, 5), (0, 2, 2), False, 1, 18),
    ((1, 1, 2), (1, 4, 4), (0, 0, 2), True, 2, 16),
]


def worst_error(case, dtype, device, values=None, clips=2):
    """Return the largest relative error of the output and of all gradients; inputs have values of type ``values``."""
    import torch

    from vrtspike.ops.window_attention.flash import flash
    from vrtspike.ops.window_attention.reference import reference
    from vrtspike.ops.window_attention.windows import Settings

    values = values or dtype
    grid, window, shift, mutual, heads, channels = case
    generator = torch.Generator().manual_seed(0)
    size = [count * length for count, length in zip(grid, window, strict=True)]
    qkv = torch.randn(clips, *size, 3 * heads * channels, generator=generator).to(values).to(device, dtype)
    table = torch.randn(math.prod(2 * n - 1 for n in window), heads, generator=generator).to(device, dtype)
    inputs = [qkv] if mutual else [qkv, table]

    def run(function, inputs):
        leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
        bias = leaves[1] if len(leaves) > 1 else None
        out = function(leaves[0], bias, Settings(window, shift, heads, mutual, channels**-0.5))
        (out * torch.linspace(-1, 1, out.numel(), device=device).view_as(out)).sum().backward()
        return [out.detach(), *(leaf.grad for leaf in leaves)]

    return largest_relative(run(flash, inputs), run(reference, [tensor.double() for tensor in inputs]))


def worst_error_together(dtype, device, values=None, clips=2):
    """Return the largest relative error of two attentions in a map, and of the gradients of all that they take."""
    import torch

    from vrtspike.ops.window_attention.flash import Attention, flash_together
    from vrtspike.ops.window_attention.reference import reference
    from vrtspike.ops.window_attention.windows import Settings

    window, size, heads, width = (2, 3, 6), (4, 6, 12), 2, 32
    generator = torch.Generator().manual_seed(0)
    rows = math.prod(2 * length - 1 for length in window)
    shapes = [(clips, *size, 6 * width), (rows, heads), (6 * width,), (math.prod(window[1:]), 3 * width)]
    inputs = [torch.randn(shape, generator=generator).to(values or dtype).to(device, dtype) for shape in shapes]
    own, mutual = (Settings(window, (1, 1, 2), heads, mutual, 0.25) for mutual in (False, True))

    def together(qkv, table, bias, encoding):
        of_own, of_mutual = bias.chunk(2)
        attentions = [Attention(own, table, of_own, slot=1), Attention(mutual, None, of_mutual, encoding)]
        return flash_together(qkv + bias.detach(), attentions)

    def apart(qkv, table, bias, encoding):
        of_own, of_mutual = (qkv + bias).chunk(2, -1)
        in_map = encoding.view(*window[1:], -1).roll(own.shift[1:], (0, 1)).repeat(2, 2, 1)
        return torch.cat((reference(of_mutual + in_map, None, mutual), reference(of_own, table, own)), -1)

    def run(function, inputs):
        leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
        out = function(*leaves)
        (out * torch.linspace(-1, 1, out.numel(), device=device).view_as(out)).sum().backward()
        return [out.detach(), *(leaf.grad for leaf in leaves)]

    return largest_relative(run(together, inputs), run(apart, [tensor.double() for tensor in inputs]))


def failure_of_trial(dtype):
    """Return how the kernels fail the trial that users' devices make, or None."""
    import torch

    from vrtspike.ops import WINDOW_ATTENTION
    from vrtspike.ops.trials import TOLERANCES, difference
    from vrtspike.ops.window_attention.trials import trial_of_windows
    from vrtspike.ops.window_attention.windows import Settings

    x = torch.randn(1, 4, 8, 8, 16, dtype=dtype, requires_grad=True)
    trial = trial_of_windows(x, torch.randn(3 * 7 * 7, 2), Settings((2, 4, 4), (1, 0, 2), 2, False, 0.3))
    found = trial.small(WINDOW_ATTENTION.find('flash'), lambda x: x)
    return difference(found, trial.small(WINDOW_ATTENTION.find('reference'), torch.Tensor.double), TOLERANCES[dtype])


def error_of_bias_gradient(dtype, device, mean):
    """Return the relative error where values lie so near ``mean`` that rounding the result hides what tells them apart.

    Keys that differ little have small gradients, which the mean gradient of their query must not shift.
    """
    import torch

    from vrtspike.ops.window_attention.flash import flash
    from vrtspike.ops.window_attention.reference import reference
    from vrtspike.ops.window_attention.windows import Settings

    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(1, 4, 8, 8, 3 * 16, generator=generator)
    qkv[..., 32:] = mean + qkv[..., 32:] / 8
    qkv = qkv.to(device, dtype)
    table = torch.randn(3 * 7 * 7, 2, generator=generator).to(device)
    weights = torch.linspace(-1, 1, qkv.numel() // 3, device=device)

    def bias_gradient(function, qkv, table):
        table = table.clone().requires_grad_()
        out = function(qkv, table, Settings((2, 4, 4), (0, 0, 0), heads=2, mutual=False, scale=8**-0.5))
        (out * weights.view_as(out)).sum().backward()
        return table.grad

    found, expected = bias_gradient(flash, qkv, table), bias_gradient(reference, qkv.double(), table.double())
    return float((found - expected).norm() / expected.norm())


@needs_triton
@pytest.mark.parametrize(('dtype', 'tolerance'), [('float32', 1e-5), ('float16', 2e-2), ('bfloat16', 2e-2)])
def test_kernels_agree_with_the_reference_in_the_interpreter(interpreted, dtype, tolerance):
    assert largest(interpreted[dtype]) < tolerance


@needs_triton
def test_the_emulated_type_rounds(interpreted):
    assert min(interpreted['bfloat16']) > 20 * max(interpreted['float32'])


@needs_triton
def test_the_kernels_pass_their_trial(interpreted):
    assert interpreted['trial'] is None


@needs_triton
def test_gradients_of_rounded_results_are_not_shifted(interpreted):
    assert interpreted['bias gradient'] < 0.02


@needs_triton
@pytest.mark.gpu
@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize(('dtype', 'tolerance'), [('float32', 1e-4), ('float16', 2e-2), ('bfloat16', 2e-2)])
def test_kernels_agree_with_the_reference_on_a_gpu(case, dtype, tolerance):
    import torch

    assert worst_error(case, getattr(torch, dtype), 'cuda') < tolerance


@needs_triton
@pytest.mark.gpu
@pytest.mark.parametrize(('dtype', 'tolerance'), [('float32', 1e-4), ('float16', 2e-2), ('bfloat16', 2e-2)])
def test_attentions_together_agree_with_the_reference_on_a_gpu(dtype, tolerance):
    import torch

    assert worst_error_together(getattr(torch, dtype), 'cuda') < tolerance


@needs_triton
@pytest.mark.gpu
@pytest.mark.parametrize(('dtype', 'mean'), [('float16', 64.0), ('bfloat16', 8.0)])
def test_gradients_of_rounded_results_are_not_shifted_on_a_gpu(dtype, mean):
    import torch

    assert error_of_bias_gradient(getattr(torch, dtype), 'cuda', mean) < 0.02


@pytest.mark.parametrize(('mutual', 'tokens'), [(False, 128), (True, 64)])
def test_fake_tensors_know_the_shapes_and_flops_of_every_kernel(mutual, tokens):
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    from vrtspike.ops.window_attention.flash import flash
    from vrtspike.ops.window_attention.tiles import padded_bias
    from vrtspike.ops.window_attention.windows import Settings, index_by_key

    settings = Settings((2, 8, 8), (0, 4, 4), heads=2, mutual=mutual, scale=0.25)
    index_by_key((2, 8, 8), torch.device('cpu'))  # so that nothing fake is cached for other tests
    padded_bias(torch.zeros(3 * 15 * 15, 2), settings)
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        qkv = torch.empty(1, 2, 16, 16, 3 * 32, requires_grad=True)
        table = None if mutual else torch.empty(3 * 15 * 15, 2, requires_grad=True)
        out = flash(qkv, table, settings)
        out.backward(torch.empty_like(out))
    assert out.shape == (1, 2, 16, 16, 32)
    assert qkv.grad.shape == qkv.shape
    assert mutual or table.grad.shape == table.shape
    product = 2 * 512 * tokens * 32  # of all queries with the keys of their windows
    found = {str(name).rpartition('.')[2]: count for name, count in counter.get_flop_counts()['Global'].items()}
    assert found == {
        'flash_attention': 2 * product,
        'flash_attention_backward_queries': 4 * product,
        'flash_attention_backward_keys': 4 * product,
    }


def test_fake_tensors_know_the_shapes_of_attentions_together():
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from vrtspike.ops.window_attention.flash import Attention, flash_together
    from vrtspike.ops.window_attention.windows import Settings

    own, mutual = (Settings((2, 4, 4), (0, 2, 2), heads=2, mutual=mutual, scale=0.25) for mutual in (False, True))
    with FakeTensorMode():
        shapes = (1, 2, 8, 8, 6 * 32), (3 * 32,), (3 * 32,), (16, 3 * 32)
        leaves = [torch.empty(shape, requires_grad=True) for shape in shapes]
        qkv, first, second, encoding = leaves
        attentions = [Attention(own, None, first, slot=1), Attention(mutual, None, second, encoding)]
        out = flash_together(qkv, attentions)
        grads = torch.autograd.grad(out, leaves, torch.empty_like(out))
    assert out.shape == (1, 2, 8, 8, 2 * 32)
    assert [each.shape for each in grads] == [each.shape for each in leaves]


def errors_in_emulated_bfloat16(cases):
    """Return the errors with float32 tensors of bfloat16 values, rounded to bfloat16 where the kernels round."""
    from unittest.mock import patch

    import torch
    import triton.language as tl

    emulated = dict(dtype=torch.float32, device='cpu', values=torch.bfloat16)
    with patch('vrtspike.ops.window_attention.flash.rounded_to', lambda dtype: tl.bfloat16):
        return [*(worst_error(case, **emulated) for case in cases), worst_error_together(**emulated, clips=1)]


if __name__ == '__main__':
    import torch

    errors = {
        'float32': [
            *(worst_error(case, torch.float32, 'cpu', clips=1) for case in CASES),
            worst_error_together(torch.float32, 'cpu', clips=1),
        ],
        'float16': [
            *(worst_error(case, torch.float16, 'cpu') for case in CASES[3:]),
            worst_error_together(torch.float16, 'cpu', clips=1),
        ],
        'bfloat16': errors_in_emulated_bfloat16(CASES[4:]),
        'trial': failure_of_trial(torch.float32),
        'bias gradient': error_of_bias_gradient(torch.float16, 'cpu', mean=64.0),
    }
    print(json.dumps(errors))
