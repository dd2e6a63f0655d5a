"""Layer normalisation: every backend against the reference; the Triton kernels in Triton's interpreter.

The interpreter is chosen by an environment variable before Triton is imported, hence the process of its own.
"""

import json
import math
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from errors_of_tensors import largest_relative
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from triton_interpreter import needs_triton

from vrtspike.native import build
from vrtspike.native.build import library, why_missing
from vrtspike.ops import LAYER_NORM, layer_norm, layer_norm_beside, measure_backends, use_backends
from vrtspike.ops.layer_norm import native, on_gpu
from vrtspike.ops.layer_norm.functional import trial_of
from vrtspike.ops.rows import Order
from vrtspike.ops.trial_outcomes import VARIABLE
from vrtspike.ops.trials import outcome_of

needs_compiler = pytest.mark.skipif(native.missing() is not None, reason=f'the kernel {native.missing()}')

TOLERANCE = {torch.float32: 5e-5, torch.float16: 1e-2, torch.bfloat16: 3e-2}
CASES = [(1, 2, 0), (7, 3, 2), (300, 33, 5), (40, 96, 9), (0, 4, 3), (65, 16, None)]  # rows, channels, rows of zeros
EPS = 1e-5


def make_order(count, zeros, device='cpu'):
    """Return a random order of ``count`` rows with ``zeros`` between them; None for none."""
    if zeros is None:
        return None
    positions = torch.randperm(count + zeros, generator=torch.Generator().manual_seed(0))[:count]
    sources = torch.full((count + zeros,), count)
    sources[positions] = torch.arange(count)
    return Order(sources.int().to(device), positions.int().to(device))


def make_inputs(count, channels, dtype=torch.float32, device='cpu'):
    """Return rows, with means of their own, weight and bias; the parameters are float32."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(count, channels, generator=generator) + 3 * torch.randn(count, 1, generator=generator)
    parameters = torch.randn(2, channels, generator=generator).to(device)
    return [rows.to(device, dtype), *parameters.unbind()]


def run(backend, inputs, order, *, autocast=False, trains=True):
    """Return the output and, if it ``trains``, the gradients of all inputs."""
    leaves = [tensor.detach().requires_grad_(trains) for tensor in inputs]
    with (
        use_backends(layer_norm=backend),
        torch.autocast(inputs[0].device.type, dtype=torch.bfloat16, enabled=autocast),
    ):
        out = layer_norm(*leaves, EPS, order=order)
    if not trains:
        return [out]
    weights = torch.rand(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.3
    return [out.detach(), *torch.autograd.grad(out, leaves, weights.to(out.device, out.dtype))]


def run_beside(backend, inputs, order):
    """Return the gradients of all inputs of twice the map, and its norm squared."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    with use_backends(layer_norm=backend):
        x, rows = layer_norm_beside(*leaves, EPS, order=order)
    assert torch.equal(x, leaves[0])
    return torch.autograd.grad((2 * x).sum() + rows.square().sum(), leaves)


def worst_error_beside(backend, inputs, order):
    """Return the largest error of the gradients of :func:`run_beside`, each relative to its largest value."""
    expected = run_beside('reference', [tensor.double() for tensor in inputs], order)
    return largest_relative(run_beside(backend, inputs, order), expected, least_scale=1)


def worst_error(backend, inputs, order, **how):
    """Return the largest error of the output and of the gradients, each relative to its largest value, at least 1."""
    found = run(backend, inputs, order, **how)
    expected = run('reference', [tensor.double() for tensor in inputs], order, trains=how.get('trains', True))
    assert [x.dtype for x in found[1:]] == [tensor.dtype for tensor in inputs][: len(found) - 1]
    assert found[0].dtype == (torch.bfloat16 if how.get('autocast') else inputs[0].dtype)
    return largest_relative(found, expected, least_scale=1)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 70),
    channels=st.integers(3, 40),
    zeros=st.none() | st.integers(0, 9),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    autocast=st.booleans(),
)
@needs_compiler
def test_the_kernels_agree_with_the_reference(count, channels, zeros, dtype, autocast):
    inputs, order = make_inputs(count, channels, dtype), make_order(count, zeros)
    assert worst_error('native', inputs, order, autocast=autocast) < TOLERANCE[torch.bfloat16 if autocast else dtype]
    if not autocast:
        assert worst_error_beside('native', inputs, order) < TOLERANCE[dtype]


@needs_compiler
@pytest.mark.usefixtures('vectors')
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('case', CASES)
def test_the_kernels_agree_with_the_reference_whatever_the_length_of_vectors(case, dtype):
    count, channels, zeros = case
    inputs, order = make_inputs(count, channels, dtype), make_order(count, zeros)
    assert max(check('native', inputs, order) for check in (worst_error, worst_error_beside)) < TOLERANCE[dtype]


@pytest.mark.parametrize('zeros', [None, 4])
def test_a_norm_beside_its_map_has_the_gradients_of_both(zeros):
    inputs, order = make_inputs(9, 6), make_order(9, zeros)
    x, weight, bias = (tensor.detach().requires_grad_() for tensor in inputs)
    total = (2 * x).sum() + layer_norm(x, weight, bias, EPS, order=order).square().sum()
    torch.testing.assert_close(
        run_beside('auto', inputs, order), torch.autograd.grad(total, (x, weight, bias)), rtol=1e-5, atol=1e-5
    )


@needs_compiler
def test_where_only_weight_and_bias_are_trained_they_get_their_gradients():
    x, weight, bias = make_inputs(30, 8)
    *_, expected_weight, expected_bias = run('reference', [x, weight, bias], None)
    with use_backends(layer_norm='native'):
        out = layer_norm(x, weight.requires_grad_(), bias.requires_grad_(), EPS)
    weights = torch.rand(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.3
    out.backward(weights.float())
    torch.testing.assert_close((weight.grad, bias.grad), (expected_weight, expected_bias), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('zeros', [None, 0, 3])
def test_gradients_are_those_of_the_formula(zeros):
    inputs = [tensor.double().requires_grad_() for tensor in make_inputs(6, 5)]
    order = make_order(6, zeros)
    assert torch.autograd.gradcheck(lambda *leaves: layer_norm(*leaves, EPS, order=order), inputs)


@needs_compiler
def test_maps_have_any_axes_and_need_not_be_contiguous():
    x, weight, bias = make_inputs(24, 8)
    x = x.view(2, 3, 4, 8).movedim(0, 2)
    for backend in ('native', 'reference'):
        with use_backends(layer_norm=backend):
            found = layer_norm(x, weight, bias, EPS)
        torch.testing.assert_close(found, torch.layer_norm(x, (8,), weight, bias, EPS), rtol=1e-5, atol=1e-5)


@needs_compiler
def test_a_large_mean_costs_no_precision():
    x, weight, bias = make_inputs(40, 48)
    assert (
        worst_error('native', [x + 1000, weight, bias], None, trains=False) < 1e-3
    )  # as many digits as float32 leaves


@needs_compiler
def test_what_is_no_number_stays_in_its_row():
    x, weight, bias = make_inputs(9, 20)
    x[4, 7] = math.nan
    with torch.no_grad():
        broken = layer_norm(x, weight, bias, EPS).isnan()
    assert broken[4].all()
    assert broken.sum() == 20


@needs_compiler
@pytest.mark.parametrize('threads', [1, 2, 3])
def test_any_number_of_threads_gives_the_same(threads):
    inputs, order = make_inputs(333, 24), make_order(333, 10)
    expected = run('native', inputs, order, trains=False)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = run('native', inputs, order, trains=False)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


@needs_compiler
def test_auto_takes_the_kernels_on_cpus():
    assert LAYER_NORM.select(torch.zeros(1, requires_grad=True)).name == 'native'
    assert LAYER_NORM.select(torch.zeros(1, dtype=torch.float64)).name == 'pytorch'


def test_without_a_compiler_it_says_why(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    monkeypatch.setattr(build, 'library', library.__wrapped__)
    why_missing.cache_clear()
    try:
        assert "there is no 'no-such-compiler'" in LAYER_NORM.explain(torch.zeros(1))['native']
        assert LAYER_NORM.select(torch.zeros(1)).name == 'pytorch'
    finally:
        why_missing.cache_clear()


@pytest.mark.parametrize('kernels', [native.KERNELS, on_gpu.KERNELS])
def test_fake_tensors_know_the_shapes_of_the_kernels(kernels):
    with FakeTensorMode():
        x, weight = torch.empty(5, 6), torch.empty(6)
        order = Order(torch.empty(7, dtype=torch.int32), torch.empty(5, dtype=torch.int32))
        out = kernels.normalised(x, weight, weight, EPS, torch.bfloat16, order)
        assert (out.shape, out.dtype) == ((7, 6), torch.bfloat16)
        leaves = [torch.empty(size, requires_grad=True) for size in ((5, 6), (6,), (6,))]
        out = kernels.normalised(*leaves, EPS, torch.bfloat16, order)
        grads = torch.autograd.grad(out, leaves, torch.empty_like(out))
        assert [(each.shape, each.dtype) for each in grads] == [(each.shape, torch.float32) for each in leaves]


@needs_compiler
def test_they_pass_the_checks_of_custom_operators():
    x, weight, bias = make_inputs(5, 6)
    sources, positions = make_order(5, 2)
    torch.library.opcheck(native._values, (x, weight, bias, EPS, torch.float32, sources))
    torch.library.opcheck(native._gradients, (torch.ones(7, 6), x, weight, EPS, positions, x))


@needs_compiler
def test_types_that_the_kernels_do_not_write_are_left_to_pytorch():
    x, weight, bias = make_inputs(5, 6)
    with torch.autocast('cpu', dtype=torch.float16):
        found = layer_norm(x, weight, bias, EPS)
    torch.testing.assert_close(found, torch.layer_norm(x, (6,), weight, bias, EPS).half())


def test_compiled_graphs_get_plain_operators():
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    inputs = make_inputs(8, 6)
    torch.compiler.reset()
    found = torch.compile(layer_norm, backend=keep, fullgraph=True)(*inputs, EPS)
    torch.testing.assert_close(found, run('reference', inputs, None)[0])
    assert 'layer_norm' in str(graphs[0].graph)


def test_trials_compare_the_backends_on_request(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(LAYER_NORM, 'outcomes', {})
    twice = (replace(LAYER_NORM.find('pytorch'), name='again'), *LAYER_NORM.backends[-2:])
    monkeypatch.setattr(LAYER_NORM, 'backends', twice)
    inputs = [tensor.requires_grad_() for tensor in make_inputs(50, 6)]
    with measure_backends(True):
        layer_norm(*inputs, EPS, order=make_order(50, 3))
    (((_, case), outcome),) = LAYER_NORM.outcomes.items()
    assert case == 'float32, training, of 6 channels, float32 to float32, gathered, up to 64'
    assert (set(outcome.milliseconds), outcome.failures) == ({'again', 'pytorch'}, {})


def test_trials_check_the_kernel_for_both_results():
    def wrong(x, *arguments):
        return x, 1.1 * LAYER_NORM.find('reference').run(x, *arguments)

    inputs = [tensor.requires_grad_() for tensor in make_inputs(50, 6)]
    trial = trial_of(*inputs, EPS, make_order(50, 3))
    planted = replace(LAYER_NORM.find('pytorch'), pair=wrong)
    outcome = outcome_of([planted], LAYER_NORM.backends[-1], trial, lambda name: nullcontext())
    assert outcome.failures['pytorch'].startswith('gave wrong gradients')


@needs_triton
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_triton_kernels_agree_with_the_reference_in_the_interpreter(interpreted, dtype):
    assert interpreted[str(dtype)] < TOLERANCE[dtype]


@needs_triton
@pytest.mark.gpu
@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('case', CASES)
def test_triton_kernels_agree_with_the_reference_on_a_gpu(case, dtype):
    count, channels, zeros = case
    inputs = make_inputs(count, channels, dtype, 'cuda')
    order = make_order(count, zeros, 'cuda')
    assert max(check('triton', inputs, order) for check in (worst_error, worst_error_beside)) < TOLERANCE[dtype]


if __name__ == '__main__':
    errors = {
        str(dtype): max(
            check('triton', make_inputs(n, c, dtype), make_order(n, zeros))
            for n, c, zeros in CASES
            for check in (worst_error, worst_error_beside)
        )
        for dtype in TOLERANCE
    }
    print(json.dumps(errors))
