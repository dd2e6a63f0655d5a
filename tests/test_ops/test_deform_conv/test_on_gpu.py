"""The Triton kernels against the reference, in Triton's interpreter where there is no GPU.

The interpreter is chosen by an environment variable before Triton is imported, hence the process of its own. It is
wrong for bfloat16 products, so bfloat16 is emulated: float32 tensors of its values, rounded where the kernels round.
"""

import json

import pytest
from errors_of_tensors import largest
from triton_interpreter import needs_triton

CASES = [  # groups, deformable groups, channels and outputs of a group, taps a side, padding, height and width
    (1, 2, 12, 5, 3, 1, (3, 4)),
    (2, 4, 6, 3, 1, 0, (7, 12)),
    (1, 1, 20, 18, 1, 1, (5, 30)),
    (3, 3, 4, 2, 2, 0, (4, 3)),
]


def made_inputs(case, batch=2):
    """Return float64 x, offset, mask, weight and bias. Samples lie between pixels: on them, derivatives jump."""
    import torch

    groups, deformable_groups, channels, outputs, k, padding, (height, width) = case
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    taps, out = deformable_groups * k * k, (height + 2 * padding - k + 1, width + 2 * padding - k + 1)
    offset = (2 * normal(batch, 2 * taps, *out)).round() + 0.5 + normal(batch, 2 * taps, *out).tanh() / 4
    x, mask = normal(batch, groups * channels, height, width), normal(batch, taps, *out).sigmoid()
    return x, offset, mask, normal(groups * outputs, channels, k, k), normal(groups * outputs)


def worst_error(case, dtype, device, values=None):
    """Return the largest relative error of the output and of all gradients; inputs have values of type ``values``."""
    import torch

    from vrtspike.ops.deform_conv.on_gpu import on_gpu
    from vrtspike.ops.deform_conv.reference import reference

    inputs = [tensor.to(values or dtype).to(device, dtype) for tensor in made_inputs(case)]

    def run(function, inputs):
        leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
        out = function(*leaves, padding=case[5])
        (out * torch.linspace(-1, 1, out.numel(), device=device).view_as(out)).sum().backward()
        return [out.detach(), *(leaf.grad for leaf in leaves)]

    found, expected = run(on_gpu, inputs), run(reference, [tensor.double() for tensor in inputs])
    errors = [(x.double() - y).abs().max() / y.abs().max() for x, y in zip(found, expected, strict=True)]
    assert all(bool(error.isfinite()) for error in errors)
    return max(map(float, errors))


def far_samples(device):
    """Return the largest difference from the bias of outputs that sample far outside, and the number of NaN for one."""
    from vrtspike.ops.deform_conv.on_gpu import on_gpu

    x, offset, mask, weight, bias = (tensor.float().to(device) for tensor in made_inputs(CASES[1]))
    differences = []
    for far in (-1e30, -30.0, 30.0, 1e30):
        out = on_gpu(x, offset * 0 + far, mask, weight, bias, padding=0)
        differences.append(float((out - bias[:, None, None]).abs().max()))
    offset[0, 0, 2, 3] = float('nan')
    broken = on_gpu(x, offset, mask, weight, bias, padding=0).isnan().any(1)
    return largest(differences), broken.nonzero().tolist()


@needs_triton
@pytest.mark.parametrize(('dtype', 'tolerance'), [('float32', 1e-5), ('float16', 1e-2), ('bfloat16', 2e-2)])
def test_kernels_agree_with_the_reference_in_the_interpreter(interpreted, dtype, tolerance):
    assert max(interpreted[dtype]) < tolerance


@needs_triton
def test_the_emulated_type_rounds(interpreted):
    assert min(interpreted['bfloat16']) > 20 * max(interpreted['float32'])


@needs_triton
def test_samples_far_outside_are_zero_and_what_is_no_number_is_not_hidden(interpreted):
    assert interpreted['far'] == [0.0, [[0, 2, 3]]]


@needs_triton
@pytest.mark.gpu
@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize(('dtype', 'tolerance'), [('float32', 1e-4), ('float16', 2e-2), ('bfloat16', 2e-2)])
def test_kernels_agree_with_the_reference_on_a_gpu(case, dtype, tolerance):
    import torch

    assert worst_error(case, getattr(torch, dtype), 'cuda') < tolerance


def test_fake_tensors_know_the_shapes_and_flops_of_every_kernel():
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    from vrtspike.ops.deform_conv.on_gpu import on_gpu

    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        inputs = [torch.empty(tensor.shape, requires_grad=True) for tensor in made_inputs(CASES[0])]
        out = on_gpu(*inputs, padding=1)
        out.backward(torch.empty_like(out))
    assert out.shape == (2, 5, 3, 4)
    assert all(tensor.grad.shape == tensor.shape for tensor in inputs)
    pixels, taps = 2 * 3 * 4, 9
    product, sampled = 2 * pixels * taps * 12 * 5, 2 * pixels * taps * 12 * 4
    found = {str(name).rpartition('.')[2]: count for name, count in counter.get_flop_counts()['Global'].items()}
    assert found == {
        'fused_deform_conv2d': product + sampled,
        'fused_deform_conv2d_backward_samples': product + 3 * sampled,
        'fused_deform_conv2d_backward_weight': product + sampled,
    }


@pytest.mark.parametrize(
    ('moved', 'deformable_groups', 'outputs', 'itemsize', 'blocks'),
    [
        (6, 16, 96, 2, dict(BM=64, BO=128, BG=4, BC=8)),
        (10, 12, 120, 4, dict(BM=64, BO=128, BG=2, BC=16)),
        (120, 1, 120, 2, dict(BM=32, BO=128, BG=1, BC=128)),
        (120, 1, 120, 4, dict(BM=16, BO=128, BG=1, BC=128)),
        (16, 1, 16, 2, dict(BM=128, BO=16, BG=1, BC=16)),
        (1, 2, 1, 4, dict(BM=128, BO=16, BG=2, BC=8)),
    ],
)
def test_blocks_of_channels_have_whole_deformable_groups(moved, deformable_groups, outputs, itemsize, blocks):
    from vrtspike.ops.deform_conv.on_gpu import blocks_of

    assert blocks_of(moved, deformable_groups, outputs, itemsize) == blocks


@pytest.mark.parametrize('shape', [(3, 2, 4, 3, 1, 0, (5, 6)), (1, 1, 132, 2, 1, 0, (2, 3))])
def test_what_the_kernels_do_not_take_is_served(shape):
    """Groups of the kernel that share a deformable group, or more channels than a block has."""
    import torch

    from vrtspike.ops.deform_conv.on_gpu import on_gpu
    from vrtspike.ops.deform_conv.reference import reference

    inputs = made_inputs(shape)
    torch.testing.assert_close(on_gpu(*inputs, padding=0), reference(*inputs, padding=0))


def errors_in_emulated_bfloat16(cases):
    """Return the errors with float32 tensors of bfloat16 values, rounded to bfloat16 where the kernels round."""
    from unittest.mock import patch

    import torch
    import triton.language as tl

    with patch('vrtspike.ops.deform_conv.on_gpu.rounded_to', lambda dtype: tl.bfloat16):
        return [worst_error(case, torch.float32, 'cpu', values=torch.bfloat16) for case in cases]


if __name__ == '__main__':
    import torch

    errors = {
        'float32': [worst_error(case, torch.float32, 'cpu') for case in CASES],
        'float16': [worst_error(case, torch.float16, 'cpu') for case in CASES[1:3]],
        'bfloat16': errors_in_emulated_bfloat16(CASES[1:3]),
        'far': far_samples('cpu'),
    }
    print(json.dumps(errors))
