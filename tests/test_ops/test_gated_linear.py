"""The gated linear layer: every backend against the reference; the Triton kernels in Triton's interpreter.

The interpreter is chosen by an environment variable before Triton is imported, hence the process of its own.
"""

import json
import math
from dataclasses import replace

import pytest
import torch
from errors_of_tensors import largest_relative
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from triton_interpreter import needs_triton

from vrtspike.native import build
from vrtspike.native.build import library, why_missing
from vrtspike.ops import GATED_LINEAR, chunks, gated_linear, measure_backends, use_backends
from vrtspike.ops.gated_linear import native, on_gpu
from vrtspike.ops.gated_linear.halves import empty_like_both, halves, whole_of
from vrtspike.ops.gated_linear.recomputing import PYTORCH, recomputing
from vrtspike.ops.trial_outcomes import VARIABLE

needs_compiler = pytest.mark.skipif(native.missing() is not None, reason=f'the kernel {native.missing()}')

TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 3e-2}
SHAPES = [(1, 1), (7, 3), (2, 3, 5, 6), (40, 33), (0, 4), (300, 16)]


def make_inputs(shape, channels=5, dtype=torch.float32, device='cpu', seed=0):
    """Return x, gate, weight and bias."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [shape, shape, (channels, shape[-1]), (channels,)]
    return [torch.randn(size, generator=generator).to(device, dtype) for size in sizes]


def run(backend, inputs):
    """Return the output and the gradients of all inputs."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    with use_backends(gated_linear=backend):
        out = gated_linear(*leaves)
    weights = torch.rand(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [out.detach(), *torch.autograd.grad(out, leaves, weights.to(out.device, out.dtype))]


def worst_error(backend, inputs):
    """Return the largest error of the output and of the gradients, each relative to its largest value."""
    found, expected = run(backend, inputs), run('reference', [tensor.double() for tensor in inputs])
    assert [tensor.dtype for tensor in found] == [inputs[0].dtype] * 5
    return largest_relative(found, expected, least_scale=1e-2)


def run_with_biases(backend, inputs, biases):
    """Return the output and the gradients of all inputs and of the biases of the two maps."""
    leaves = [tensor.detach().requires_grad_() for tensor in (*inputs[:3], *biases)]
    with use_backends(gated_linear=backend):
        out = gated_linear(*leaves[:3], None, input_biases=tuple(leaves[3:]))
    weights = torch.rand(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [out.detach(), *torch.autograd.grad(out, leaves, weights.to(out.device, out.dtype))]


def worst_error_with_biases(backend, inputs):
    """Return the largest error with biases in float32 of the two maps, and without one of the layer."""
    biases = torch.linspace(-1, 1, 2 * inputs[0].shape[-1], device=inputs[0].device).chunk(2)
    found = run_with_biases(backend, inputs, biases)
    expected = run_with_biases('reference', [each.double() for each in inputs], [each.double() for each in biases])
    assert [tensor.dtype for tensor in found] == [inputs[0].dtype] * 4 + [torch.float32] * 2
    return largest_relative(found, expected, least_scale=1e-2)


def as_halves(inputs):
    """Return the inputs with x and gate as the halves of one map."""
    return [*torch.cat(inputs[:2], dim=-1).chunk(2, dim=-1), *inputs[2:]]


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=3).map(lambda sizes: (*sizes, 1 + sum(sizes) * 7 % 41)),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    backend=st.sampled_from(['native', 'recomputing']),
)
@needs_compiler
def test_values_and_gradients_agree_with_the_reference(shape, dtype, backend):
    assert worst_error(backend, make_inputs(shape, dtype=dtype)) < TOLERANCE[dtype]


@needs_compiler
@pytest.mark.parametrize('backend', ['native', 'recomputing'])
def test_biases_are_added_before_the_gate(backend):
    assert worst_error_with_biases(backend, make_inputs((2, 3, 5, 6))) < 1e-5


@pytest.mark.parametrize('rows', [1, 7, 1000])
def test_gradients_in_chunks_are_those_of_the_formula(rows, monkeypatch):
    monkeypatch.setattr(chunks, 'chunk_rows', lambda: rows)
    inputs = [tensor.requires_grad_() for tensor in make_inputs((2, 3, 4, 6), dtype=torch.float64)]
    with use_backends(gated_linear='recomputing'):
        assert torch.autograd.gradcheck(gated_linear, inputs)


@needs_compiler
@pytest.mark.parametrize('backend', ['native', 'recomputing'])
def test_maps_need_not_be_contiguous(backend):
    x, gate, weight, bias = make_inputs((6, 4, 8))
    permuted = [x.movedim(0, 1), gate.movedim(0, 1), weight, bias]
    assert worst_error(backend, permuted) < 1e-5
    with torch.no_grad(), use_backends(gated_linear=backend):
        torch.testing.assert_close(gated_linear(*permuted), gated_linear(x, gate, weight, bias).movedim(0, 1))


@needs_compiler
def test_values_far_out_are_exact_and_what_is_no_number_is_not_hidden():
    x = torch.tensor([math.nan, math.inf, 1e30, 100.0, 6.0, -6.0, -100.0, -1e30])
    with torch.no_grad():
        found, expected = native.NATIVE.values(x, torch.ones_like(x), None), F.gelu(x.double()).float()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7, equal_nan=True)


@needs_compiler
def test_the_kernel_is_exact_to_the_rounding_of_float32():
    x = torch.linspace(-12, 12, 100_001)
    found = native.NATIVE.values(x, torch.ones_like(x), None)
    assert (found - F.gelu(x.double())).abs().max() < 1e-6


@needs_compiler
@pytest.mark.parametrize('threads', [1, 2, 3])
def test_any_number_of_threads_gives_the_same(threads):
    inputs = make_inputs((77, 13))
    expected = run('native', inputs)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = run('native', inputs)
    finally:
        torch.set_num_threads(before)
    for left, right in zip(found[:3], expected[:3], strict=True):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-6)


@needs_compiler
def test_auto_takes_the_kernel_on_cpus_and_pytorch_where_it_cannot_serve():
    assert GATED_LINEAR.select(torch.zeros(1)).name == 'native'
    assert GATED_LINEAR.select(torch.zeros(1, dtype=torch.float64)).name == 'recomputing'


def test_without_a_compiler_it_says_why(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    monkeypatch.setattr(build, 'library', library.__wrapped__)
    why_missing.cache_clear()
    try:
        assert "there is no 'no-such-compiler'" in GATED_LINEAR.explain(torch.zeros(1))['native']
        assert GATED_LINEAR.select(torch.zeros(1)).name == 'recomputing'
    finally:
        why_missing.cache_clear()


def test_without_gradients_nothing_is_saved_and_the_result_is_the_same():
    inputs = make_inputs((40, 6))
    with torch.no_grad():
        found = gated_linear(*inputs)
    torch.testing.assert_close(found, run('reference', inputs)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('operators', [native.NATIVE, on_gpu.TRITON])
def test_fake_tensors_know_the_shapes_of_the_kernels(operators):
    with FakeTensorMode():
        x, grads = torch.empty(2, 5, 6), torch.empty(2, 2, 5, 6)
        hidden, _ = operators.gradients(x, x, x, None, *grads)
        assert operators.values(x, x, None).shape == hidden.shape == x.shape


def test_fake_tensors_know_the_shape_of_the_gradients_of_biases():
    with FakeTensorMode():
        x, grads, biases = torch.empty(2, 5, 6), torch.empty(2, 2, 5, 6), tuple(torch.empty(2, 6))
        _, sums = on_gpu.TRITON.gradients(x, x, x, biases, *grads)
        assert (sums.shape, sums.dtype) == ((2, 6), torch.float32)


@needs_compiler
def test_they_pass_the_checks_of_custom_operators():
    x, gate, grad = (torch.randn(4, 6) for _ in range(3))
    torch.library.opcheck(native._values, (x, gate))
    torch.library.opcheck(native._gradients, (grad, x, gate, torch.empty_like(x), torch.empty_like(x)))


def test_checkpointing_computes_the_gate_and_the_product_once():
    calls = []

    def values(x, gate, biases):
        calls.append(len(x))
        return PYTORCH.values(x, gate, biases)

    counted = PYTORCH._replace(values=values)
    x, gate, weight, bias = (tensor.requires_grad_() for tensor in make_inputs((20, 6)))

    def branch(x, gate):
        return recomputing(counted, 2 * x, gate.sin(), weight, bias)

    found = torch.autograd.grad(checkpoint(branch, x, gate, use_reentrant=False).square().sum(), (x, gate, weight))
    assert calls == [20]
    expected = torch.autograd.grad(gated_linear(2 * x, gate.sin(), weight, bias).square().sum(), (x, gate, weight))
    torch.testing.assert_close(found, expected)


@needs_compiler
@pytest.mark.parametrize('shape', [(1, 2, 6), (4, 10), (2, 3, 4, 2)])
def test_the_halves_of_a_map_give_the_gradient_of_the_map(shape):
    both, width = torch.randn(shape, requires_grad=True), shape[-1] // 2
    _, _, weight, bias = make_inputs((1, width))
    results = []
    for split in (halves, lambda x: x.chunk(2, -1)):
        out = gated_linear(*split(both), weight, bias)
        results.append(torch.autograd.grad(out.square().sum(), both)[0])
    torch.testing.assert_close(*results)


def test_halves_of_a_map_are_joined_without_a_copy_and_other_maps_are_not():
    both = torch.randn(2, 5, 8)
    first, second = both.chunk(2, -1)
    assert whole_of(first, second).data_ptr() == both.data_ptr()
    assert torch.equal(whole_of(first.flatten(0, 1), second.flatten(0, 1)), both.flatten(0, 1))
    others = [(second, first), (first, second.clone()), (first, first), (both[..., :2], both[..., 2:4])]
    assert [whole_of(*maps) for maps in others] == [None] * 4
    assert whole_of(*empty_like_both(first, second)).shape == both.shape
    assert whole_of(*empty_like_both(first, second.clone())) is None


def test_gradients_of_halves_cannot_be_differentiated():
    both = torch.randn(5, 8, requires_grad=True)
    first, second = halves(both)
    (grad,) = torch.autograd.grad((first.square() * second).sum(), both, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


def test_compiled_graphs_get_plain_operators():
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    inputs = make_inputs((8, 6))
    torch.compiler.reset()
    found = torch.compile(gated_linear, backend=keep, fullgraph=True)(*inputs)
    torch.testing.assert_close(found, run('reference', inputs)[0])
    assert 'gelu' in str(graphs[0].graph)


def test_trials_compare_the_backends_on_request(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(GATED_LINEAR, 'outcomes', {})
    twice = (replace(GATED_LINEAR.find('recomputing'), name='again'), *GATED_LINEAR.backends[-2:])
    monkeypatch.setattr(GATED_LINEAR, 'backends', twice)
    inputs = [tensor.requires_grad_() for tensor in make_inputs((50, 6))]
    with measure_backends(True):
        gated_linear(*inputs)
    (((_, case), outcome),) = GATED_LINEAR.outcomes.items()
    assert case == 'float32, training, of 6 to 5 channels, up to 64 tokens'
    assert (set(outcome.milliseconds), outcome.failures) == ({'again', 'recomputing'}, {})


@needs_triton
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_triton_kernels_agree_with_the_reference_in_the_interpreter(interpreted, dtype):
    assert interpreted[str(dtype)] < TOLERANCE[dtype]


@needs_triton
@pytest.mark.gpu
@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('shape', SHAPES)
def test_triton_kernels_agree_with_the_reference_on_a_gpu(shape, dtype):
    inputs = make_inputs(shape, dtype=dtype, device='cuda')
    assert worst_error('triton', inputs) < TOLERANCE[dtype]
    assert worst_error('triton', as_halves(inputs)) < TOLERANCE[dtype]
    assert worst_error_with_biases('triton', as_halves(inputs)) < TOLERANCE[dtype]


if __name__ == '__main__':
    on_gpu.PROGRAMS = 3  # so that a program sums several blocks
    inputs_of = {str(dtype): [make_inputs(shape, dtype=dtype) for shape in SHAPES] for dtype in TOLERANCE}
    for each in inputs_of.values():
        each += map(as_halves, each[:])
    both = worst_error, worst_error_with_biases
    errors = {name: max(of('triton', each) for of in both for each in found) for name, found in inputs_of.items()}
    print(json.dumps(errors))
