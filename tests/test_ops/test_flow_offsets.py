"""Offsets and masks: every backend against the reference; the Triton kernels in Triton's interpreter.

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
from triton_interpreter import needs_triton

from vrtspike.native import build
from vrtspike.native.build import library, why_missing
from vrtspike.ops import FLOW_OFFSETS, flow_offsets, measure_backends, use_backends
from vrtspike.ops.flow_offsets import native, on_gpu
from vrtspike.ops.trial_outcomes import VARIABLE

needs_compiler = pytest.mark.skipif(native.missing() is not None, reason=f'the kernel {native.missing()}')

TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 3e-2}
CASES = [(1, 1, 1, 1), (2, 9, 1, 35), (1, 12, 2, 600), (2, 54, 3, 16), (0, 9, 1, 4), (1, 9, 1, 0)]
"""Maps, taps, neighbours and pixels in a row."""
LARGEST = 10.0


def make_inputs(maps, taps, neighbours, pixels, dtype=torch.float32, device='cpu'):
    """Return predictions, many of them where the tangent is flat, and flows in float32, some of them long."""
    generator = torch.Generator().manual_seed(0)
    predicted = 2 * torch.randn(maps, 3 * taps, 2, pixels, generator=generator)
    flows = 20 * torch.randn(maps, 2 * neighbours, 2, pixels, generator=generator)
    return [predicted.to(device, dtype), flows.to(device)]


def run(backend, inputs, largest=LARGEST, *, trains=True):
    """Return offsets, masks and, if it ``trains``, the gradients of predictions and flows."""
    leaves = [tensor.detach().requires_grad_(trains) for tensor in inputs]
    with use_backends(flow_offsets=backend):
        results = flow_offsets(*leaves, largest)
    if not trains:
        return list(results)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.rand(each.shape, generator=generator, dtype=torch.float64) - 0.3 for each in results]
    weights = [weight.to(each) for weight, each in zip(weights, results, strict=True)]
    return [*(each.detach() for each in results), *torch.autograd.grad(results, leaves, weights)]


def worst_error(backend, inputs, **how):
    """Return the largest error of the results and of the gradients, each relative to its largest value."""
    found, expected = run(backend, inputs, **how), run('reference', [tensor.double() for tensor in inputs], **how)
    dtype = inputs[0].dtype
    assert [x.dtype for x in found] == [torch.float32, dtype, dtype, torch.float32][: len(found)]
    assert [x.shape for x in found] == [x.shape for x in expected]
    return largest_relative(found, expected, least_scale=1e-2)


@needs_compiler
@pytest.mark.usefixtures('vectors')
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('case', CASES)
def test_the_kernel_agrees_with_the_reference(case, dtype):
    assert worst_error('native', make_inputs(*case, dtype)) < TOLERANCE[dtype]


@settings(max_examples=60, deadline=None)
@given(
    maps=st.integers(0, 3),
    own_taps=st.integers(1, 12),
    neighbours=st.integers(1, 3),
    pixels=st.integers(1, 70),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    trains=st.booleans(),
)
@needs_compiler
def test_the_kernel_takes_any_shape(maps, own_taps, neighbours, pixels, dtype, trains):
    inputs = make_inputs(maps, own_taps * neighbours, neighbours, pixels, dtype)
    assert worst_error('native', inputs, trains=trains) < TOLERANCE[dtype]


@pytest.mark.parametrize('largest', [0.0, 0.5, 10.0])
def test_gradients_are_those_of_the_formula(largest):
    inputs = [tensor.double().requires_grad_() for tensor in make_inputs(1, 4, 2, 3)]
    assert torch.autograd.gradcheck(lambda *leaves: flow_offsets(*leaves, largest), inputs)


@needs_compiler
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_without_a_residue_predictions_get_no_gradient_from_offsets(dtype):
    inputs = make_inputs(1, 4, 2, 20, dtype)
    assert worst_error('native', inputs, largest=0.0) < TOLERANCE[dtype]
    assert not run('native', inputs, largest=0.0)[2][:, :8].any()


@needs_compiler
@pytest.mark.usefixtures('vectors')
def test_the_kernel_is_exact_to_the_rounding_of_float32():
    x = torch.cat([torch.linspace(-12, 12, 30_001), torch.tensor([-1e30, -200.0, -1e-30, 0, 1e-30, 200.0, 1e30])])
    offset, mask = native.native(x.expand(1, 3, 1, -1), torch.zeros(1, 2, 1, len(x)), 1.0)
    for found, expected in ((offset[0, 0, 0], x.double().tanh()), (mask[0, 0, 0], x.double().sigmoid())):
        torch.testing.assert_close(found.double(), expected, rtol=3e-7, atol=1e-37)


@needs_compiler
def test_what_is_no_number_stays_where_it_is():
    predicted, flows = make_inputs(1, 2, 1, 40)
    predicted[0, 1, 0, 7] = predicted[0, 5, 1, 3] = math.nan
    for backend in ('native', 'reference'):
        offset, mask = run(backend, [predicted, flows], trains=False)
        assert offset.isnan().nonzero().tolist() == [[0, 1, 0, 7]]
        assert mask.isnan().nonzero().tolist() == [[0, 1, 1, 3]]


@needs_compiler
def test_maps_need_not_be_contiguous():
    predicted, flows = make_inputs(2, 9, 1, 8)
    permuted = [tensor.transpose(2, 3).contiguous().transpose(2, 3) for tensor in (predicted, flows)]
    found, expected = run('native', permuted), run('native', [predicted, flows])
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


@needs_compiler
@pytest.mark.parametrize('unused', [0, 1])
def test_a_result_that_is_not_used_has_no_gradient(unused):
    inputs = [tensor.requires_grad_() for tensor in make_inputs(1, 4, 2, 6)]
    found, expected = (
        torch.autograd.grad(FLOW_OFFSETS.find(name).run(*inputs, LARGEST)[1 - unused].sum(), inputs, allow_unused=True)
        for name in ('native', 'reference')
    )
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize('threads', [1, 2, 3])
def test_any_number_of_threads_gives_the_same(threads):
    inputs = make_inputs(2, 18, 2, 1500)
    expected = run('native', inputs)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = run('native', inputs)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ('channels', 'flows', 'size', 'message'),
    [
        (10, 2, (4, 4), '10 channels are not the residues and masks'),
        (9, 3, (4, 4), 'as 3 channels of flow have'),
        (9, 4, (4, 4), '9 channels .* as 4 channels of flow have'),
        (9, 0, (4, 4), 'as 0 channels of flow have'),
        (9, 2, (4, 5), r'predictions \(1, 9, 4, 4\) and flows \(1, 2, 4, 5\)'),
    ],
)
def test_shapes_that_do_not_fit_are_refused(channels, flows, size, message):
    with pytest.raises(ValueError, match=message):
        flow_offsets(torch.zeros(1, channels, 4, 4), torch.zeros(1, flows, *size), LARGEST)


@needs_compiler
def test_auto_takes_the_kernel_on_cpus_and_pytorch_where_it_cannot_serve():
    assert FLOW_OFFSETS.select(torch.zeros(1)).name == 'native'
    assert FLOW_OFFSETS.select(torch.zeros(1, dtype=torch.float64)).name == 'pytorch'


def test_without_a_compiler_it_says_why(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    monkeypatch.setattr(build, 'library', library.__wrapped__)
    why_missing.cache_clear()
    try:
        assert "there is no 'no-such-compiler'" in FLOW_OFFSETS.explain(torch.zeros(1))['native']
        assert FLOW_OFFSETS.select(torch.zeros(1)).name == 'pytorch'
    finally:
        why_missing.cache_clear()


@pytest.mark.parametrize('run', [native.native, on_gpu.on_gpu])
def test_fake_tensors_know_the_shapes_of_the_kernels(run):
    with FakeTensorMode():
        predicted = torch.empty(2, 27, 4, 5, dtype=torch.bfloat16, requires_grad=True)
        flows = torch.empty(2, 2, 4, 5, requires_grad=True)
        results = run(predicted, flows, LARGEST)
        assert [(x.shape[1], x.dtype) for x in results] == [(18, torch.float32), (9, torch.bfloat16)]
        grads = torch.autograd.grad(results, (predicted, flows), [torch.empty_like(each) for each in results])
        assert [(x.shape, x.dtype) for x in grads] == [(x.shape, x.dtype) for x in (predicted, flows)]


@needs_compiler
def test_they_pass_the_checks_of_custom_operators():
    predicted, flows = make_inputs(1, 4, 2, 6)
    torch.library.opcheck(native._values, (predicted, flows, LARGEST))


def test_compiled_graphs_get_plain_operators():
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    inputs = make_inputs(1, 9, 1, 6)
    torch.compiler.reset()
    found = torch.compile(flow_offsets, backend=keep, fullgraph=True)(*inputs, LARGEST)
    torch.testing.assert_close(list(found), run('reference', inputs, trains=False))
    assert 'tanh' in str(graphs[0].graph)


def test_trials_compare_the_backends_on_request(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(FLOW_OFFSETS, 'outcomes', {})
    twice = (replace(FLOW_OFFSETS.find('pytorch'), name='again'), *FLOW_OFFSETS.backends[-2:])
    monkeypatch.setattr(FLOW_OFFSETS, 'backends', twice)
    with measure_backends(True):
        flow_offsets(*(tensor.requires_grad_() for tensor in make_inputs(1, 9, 1, 20)), LARGEST)
    (((_, case), outcome),) = FLOW_OFFSETS.outcomes.items()
    assert case == 'float32, training, of 1 x 9 taps, up to 64 pixels'
    assert (set(outcome.milliseconds), outcome.failures) == ({'again', 'pytorch'}, {})


@needs_triton
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_triton_kernels_agree_with_the_reference_in_the_interpreter(interpreted, dtype):
    assert interpreted[str(dtype)] < TOLERANCE[dtype]


@needs_triton
@pytest.mark.gpu
@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('case', CASES)
def test_triton_kernels_agree_with_the_reference_on_a_gpu(case, dtype):
    assert worst_error('triton', make_inputs(*case, dtype, 'cuda')) < TOLERANCE[dtype]


if __name__ == '__main__':
    errors = {
        str(dtype): max(worst_error('triton', make_inputs(*case, dtype)) for case in CASES) for dtype in TOLERANCE
    }
    print(json.dumps(errors))
