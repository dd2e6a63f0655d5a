"""The linear layer: oneDNN, also where it is not faster, against PyTorch's operators."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vrtspike.models.layers.linear import Linear
from vrtspike.ops import LINEAR, linear
from vrtspike.ops.linear import onednn
from vrtspike.ops.linear.gradients import is_there, parameter_gradients, weight_gradient
from vrtspike.ops.linear.reference import reference

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason='needs oneDNN')
DTYPES = [torch.float32]
if torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported():
    DTYPES.append(torch.bfloat16)
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 3e-2}


def make_inputs(shape, channels=6, dtype=torch.float32, bias=True, residual=True):
    """Return x, weight, bias and residual; the last two may be None."""
    generator = torch.Generator().manual_seed(0)
    sizes = [shape, (channels, shape[-1]), (channels,) if bias else None, (*shape[:-1], channels) if residual else None]
    return [size and torch.randn(size, generator=generator).to(dtype) for size in sizes]


def results(run, inputs):
    """Return the output and the gradients of all inputs."""
    leaves = [each if each is None else each.detach().requires_grad_() for each in inputs]
    out = run(*leaves)
    weights = torch.rand(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, [each for each in leaves if each is not None], weights)]


def assert_close(found, expected, dtype):
    assert [each.shape for each in found] == [each.shape for each in expected]
    assert {each.dtype for each in found} == {dtype}
    for one, other in zip(found, expected, strict=True):
        scale = max(1.0, float(other.abs().max())) if other.numel() else 1.0
        torch.testing.assert_close(one.double(), other, rtol=0, atol=TOLERANCE[dtype] * scale)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(0, 9), max_size=3).map(lambda sizes: (*sizes, 1 + sum(sizes) * 7 % 41)),
    dtype=st.sampled_from(DTYPES),
    bias=st.booleans(),
    residual=st.booleans(),
)
def test_values_and_gradients_agree_with_the_reference(shape, dtype, bias, residual):
    inputs = make_inputs(shape, dtype=dtype, bias=bias, residual=residual)
    expected = results(reference, [each if each is None else each.double() for each in inputs])
    assert_close(results(onednn.onednn, inputs), expected, dtype)


@pytest.mark.parametrize('rows', [128, 129, 1280])
def test_the_gradient_of_the_weight_is_the_product_for_any_number_of_rows(rows):
    inputs = make_inputs((2, rows, 7))
    expected = results(reference, [each.double() for each in inputs])
    assert_close(results(onednn.onednn, inputs), expected, torch.float32)


def test_tensors_need_not_be_contiguous():
    x, weight, bias, residual = make_inputs((4, 7, 10))
    inputs = [x.transpose(0, 1)[..., 5:], weight[:, :5], bias, residual.transpose(0, 1)]
    expected = results(reference, [each.double() for each in inputs])
    assert_close(results(onednn.onednn, inputs), expected, torch.float32)


def test_only_gradients_that_are_needed_are_computed():
    x, weight, bias, residual = make_inputs((3, 5))
    bias.requires_grad_()
    onednn.onednn(x, weight, bias, residual).sum().backward()
    assert torch.equal(bias.grad, torch.full((6,), 3.0))
    assert x.grad is weight.grad is residual.grad is None


@pytest.mark.parametrize('backend', ['auto', 'reference'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_autocast_is_that_of_pytorch(backend, dtype):
    x, weight, bias, residual = make_inputs((3, 5), dtype=dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found, expected = linear(x, weight, bias, backend=backend), F.linear(x, weight, bias)
        summed = linear(x, weight, bias, residual=residual, backend=backend)
    assert found.dtype == expected.dtype
    assert summed.dtype == dtype  # bfloat16 and float32 have a sum in float32
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(summed, residual + found)


def test_types_that_differ_are_refused_as_pytorch_refuses_them():
    x, weight, bias, _ = make_inputs((3, 5))
    for backend in ('auto', 'reference'):
        with pytest.raises(RuntimeError):
            linear(x, weight.double(), bias.double(), backend=backend)


def test_a_processor_that_gains_nothing_keeps_pytorch(monkeypatch):
    monkeypatch.setattr(onednn, 'processor_name', lambda: 'Intel(R) Xeon(R)')
    monkeypatch.setattr(torch.ops.mkldnn, '_is_mkldnn_bf16_supported', lambda: False)
    assert onednn.dtypes.__wrapped__() == ()
    monkeypatch.setattr(onednn, 'processor_name', lambda: 'AMD EPYC')
    monkeypatch.setattr(torch.backends.cpu, 'get_cpu_capability', lambda: 'AVX512')
    assert onednn.dtypes.__wrapped__() == (torch.float32,)
    monkeypatch.setattr(onednn, 'dtypes', lambda: ())
    assert onednn.missing() == 'is no faster than PyTorch on this processor'


def test_the_layer_is_that_of_pytorch():
    layer, plain = Linear(5, 6), torch.nn.Linear(5, 6)
    plain.load_state_dict(layer.state_dict())
    x, _, _, residual = make_inputs((3, 5))
    torch.testing.assert_close(layer(x), plain(x))
    torch.testing.assert_close(layer(x, residual=residual), residual + plain(x))


def test_maps_on_no_processor_have_pytorch_s_layer():
    x, weight, bias, residual = (each.to('meta') for each in make_inputs((3, 5)))
    assert linear(x, weight, bias, residual=residual).shape == (3, 6)
    assert not any(choice.startswith('meta') for choice in LINEAR.choices)


needs_kernel = pytest.mark.skipif(not is_there(), reason='needs a compiler and AVX-512 BF16')


@settings(max_examples=40, deadline=None)
@given(tokens=st.integers(0, 700), outputs=st.integers(1, 50), inputs=st.integers(1, 50), threads=st.integers(1, 3))
@needs_kernel
def test_the_kernel_of_parameter_gradients_agrees_with_the_products(tokens, outputs, inputs, threads):
    generator = torch.Generator().manual_seed(0)
    grad, x = (torch.randn(tokens, count, generator=generator).bfloat16() for count in (outputs, inputs))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        weight, bias = parameter_gradients(grad, x)
    finally:
        torch.set_num_threads(before)
    for found, expected in ((weight, grad.double().t() @ x.double()), (bias, grad.double().sum(0))):
        torch.testing.assert_close(found.double(), expected, rtol=2**-8, atol=1e-3)
    assert torch.equal(weight_gradient(grad, x), weight) or threads > 1


@needs_kernel
def test_parameter_gradients_are_an_operator_with_its_multiplications():
    grad, x = torch.randn(9, 4).bfloat16(), torch.randn(9, 6).bfloat16()
    torch.library.opcheck(torch.ops.vrtspike.linear_parameter_gradients, (grad, x))
    with FlopCounterMode(display=False) as counter:
        weight_gradient(grad, x)
    assert counter.get_total_flops() == 2 * 9 * 4 * 6


def test_what_the_kernel_does_not_take_is_a_product():
    grad, x = torch.randn(9, 4, dtype=torch.float64), torch.randn(9, 6, dtype=torch.float64)
    assert torch.equal(weight_gradient(grad, x), grad.t() @ x)
