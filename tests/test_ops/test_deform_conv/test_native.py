"""The CPU kernel of deformable convolution, compiled from C++, against the reference in float64."""

import math

import pytest
import torch
from deform_conv_inputs import make_inputs, run
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from vrtspike.ops import DEFORM_CONV2D, deform_conv2d, use_backends
from vrtspike.ops.deform_conv import native
from vrtspike.ops.deform_conv.operands import as_operands

MISSING = native.missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f'the kernel {MISSING}')

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""What rounding may leave of a gradient that cancels to zero: its terms are of order one."""


def as_type(inputs, dtype):
    """Return the inputs in ``dtype``, offsets always in float32."""
    return [None if t is None else t.float() if i == 1 else t.to(dtype) for i, t in enumerate(inputs)]


def assert_agrees(inputs, padding=1):
    """Compare the kernel with the reference, each result by its largest value."""
    found = run('native', *inputs, padding=padding)
    expected = run('reference', *(None if t is None else t.double() for t in inputs), padding=padding)
    for left, right, tensor in zip(found, expected, [inputs[0], *filter(lambda t: t is not None, inputs)], strict=True):
        assert left.dtype == tensor.dtype
        limit = TOLERANCE[inputs[0].dtype] * right.abs().max() + ROUNDING[inputs[0].dtype]
        assert ((left - right).abs() <= limit).all()


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 3),
    deformable_groups=st.sampled_from([1, 2, 4]),
    k=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    batch=st.integers(1, 3),
    spread=st.sampled_from([0.0, 0.3, 5.0]),
    bias=st.booleans(),
    permuted=st.booleans(),
    dtype=st.sampled_from(list(TOLERANCE)),
)
def test_values_and_gradients_agree_with_the_reference(
    groups, deformable_groups, k, size, batch, spread, bias, permuted, dtype
):
    inputs = as_type(make_inputs(groups, deformable_groups, size, k, k // 2, batch, spread), dtype)
    inputs[1] += 0.25 * (spread == 0)  # between pixels: on them, derivatives by the position jump
    inputs[4] = inputs[4] if bias else None
    if permuted:
        inputs[:4] = [tensor.transpose(-1, -2).contiguous().transpose(-1, -2) for tensor in inputs[:4]]
    assert_agrees(inputs, padding=k // 2)


@pytest.mark.usefixtures('vectors')
@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize(('channels', 'deformable_groups'), [(96, 16), (120, 12), (20, 1)])
def test_channels_of_published_networks(channels, deformable_groups, dtype):
    """Groups of channels that fill no vector, or several vectors in part."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, channels, 13, 11), (2, 18 * deformable_groups, 13, 11), (2, 9 * deformable_groups, 13, 11)]
    shapes += [(channels, channels, 3, 3), (channels,)]
    inputs = [torch.randn(*shape, generator=generator) for shape in shapes]
    inputs[3] /= 30
    assert_agrees(as_type(inputs, dtype))


def test_an_empty_batch_has_an_empty_result():
    out, x, offset, mask, weight, bias = run('native', *as_type(make_inputs(batch=0), torch.float32))
    assert out.shape == (0, 2, 5, 6)
    assert x.numel() == offset.numel() == mask.numel() == 0
    assert (weight == 0).all()
    assert (bias == 0).all()


@pytest.mark.parametrize('threads', [1, 2, 3, 7])
def test_any_number_of_threads_gives_the_same(threads):
    """Threads divide maps and deformable groups; every number of them sums the kernel's gradient in its own order."""
    inputs = as_type(make_inputs(groups=2, size=(17, 13), batch=3), torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert_agrees(inputs)
        first, second = (run('native', *inputs) for _ in range(2))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_position_that_is_no_number_is_not_hidden(value):
    """A training whose loss is NaN has to be told, so the kernel must not swallow one."""
    inputs = as_type(make_inputs(batch=1), torch.float32)
    inputs[1][0, 3, 2, 4] = value
    with use_backends(deform_conv2d='native'):
        broken = deform_conv2d(*inputs).isnan().any(1)[0]
    assert broken[2, 4]
    assert broken.sum() == 1


@pytest.mark.parametrize('far', [-1e30, -20.0, 20.0, 1e30])
def test_samples_far_outside_are_zero(far):
    inputs = as_type(make_inputs(size=(5, 6)), torch.float32)
    inputs[1] += far
    out, *gradients = run('native', *inputs)
    torch.testing.assert_close(out, inputs[4][:, None, None].expand_as(out))
    assert all((gradient == 0).all() for gradient in gradients[:4])


def test_inputs_without_gradients_get_none():
    inputs = as_type(make_inputs(), torch.float32)
    inputs[3].requires_grad_()
    with use_backends(deform_conv2d='native'):
        deform_conv2d(*inputs).sum().backward()
    assert [tensor.grad is None for tensor in inputs] == [True, True, True, False, True]


@pytest.mark.parametrize(('autocast', 'computed'), [(torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)])
def test_under_autocast_it_computes_in_the_type_of_autocast_if_it_can(autocast, computed):
    inputs = as_type(make_inputs(), torch.float32)
    with torch.autocast('cpu', autocast), use_backends(deform_conv2d='native'):
        assert deform_conv2d(*inputs).dtype is computed


def test_auto_takes_it_on_cpus():
    assert DEFORM_CONV2D.select(torch.zeros(1)).name == 'native'


def test_no_samples_are_kept_for_the_backward_pass():
    inputs = [tensor.requires_grad_() for tensor in as_type(make_inputs(), torch.float32)]
    kept = {}
    with (
        torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(t.data_ptr(), t), lambda t: t),
        use_backends(deform_conv2d='native'),
    ):
        deform_conv2d(*inputs)
    assert sum(tensor.numel() for tensor in kept.values()) == sum(tensor.numel() for tensor in inputs[:4])


def test_it_passes_the_checks_of_custom_operators():
    """Schema, shapes without values, and gradients as a compiler sees them."""
    inputs = as_type(make_inputs(), torch.float32)
    operands = [t.detach().requires_grad_() for t in as_operands(*inputs, native.DTYPES)]
    torch.library.opcheck(native._convolve, (*operands, 1))


def test_fake_tensors_know_shapes_and_flops():
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        inputs = [torch.empty(t.shape, requires_grad=True) for t in make_inputs(groups=2, deformable_groups=4)]
        out = deform_conv2d(*inputs)
        out.backward(torch.empty_like(out))
    assert out.shape == (2, 4, 5, 6)
    assert all(tensor.grad.shape == tensor.shape for tensor in inputs)
    pixels, taps = 2 * 5 * 6, 9
    product, sampled = 2 * pixels * taps * 4 * 4, 2 * pixels * taps * 8 * 4
    found = {str(name).rpartition('.')[2]: count for name, count in counter.get_flop_counts()['Global'].items()}
    assert found == {'deform_conv2d': product + sampled, 'deform_conv2d_backward': 2 * product + 3 * sampled}


def test_without_a_compiler_the_backend_says_what_it_needs(monkeypatch, tmp_path):
    from vrtspike.native.build import library, why_missing

    monkeypatch.setenv('CXX', 'no-such-compiler')
    for function in (library, why_missing):
        function.cache_clear()
    try:
        assert native.missing().startswith("needs a C++ compiler: there is no 'no-such-compiler'")
    finally:
        for function in (library, why_missing):
            function.cache_clear()
