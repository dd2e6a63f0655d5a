"""Rows added to their map: every backend against the reference; the Triton kernels in Triton's interpreter.

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
from vrtspike.ops import ADD_SCATTERED, Addend, add_scattered, measure_backends, use_backends
from vrtspike.ops.add_scattered import Norm, add_scattered_normed, native, on_gpu
from vrtspike.ops.add_scattered.functional import trial_of
from vrtspike.ops.rows import Order
from vrtspike.ops.trial_outcomes import VARIABLE
from vrtspike.ops.trials import outcome_of

needs_compiler = pytest.mark.skipif(native.missing() is not None, reason=f'the kernel {native.missing()}')

TOLERANCE = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}
CASES = [(1, 2, 0), (7, 3, 2), (300, 33, 5), (40, 96, 9), (0, 4, 3), (65, 16, 0)]
"""Rows of the map, channels, rows that belong to none."""
TYPES = [(torch.float32, torch.float32), (torch.float32, torch.bfloat16), (torch.bfloat16, torch.bfloat16)]
"""Of map and rows."""


def make_inputs(count, channels, spare, dtypes=TYPES[0], device='cpu', chunks=1):
    """Return the map, the chunks of its rows, and their order."""
    generator = torch.Generator().manual_seed(0)
    positions = torch.randperm(count + spare, generator=generator)[:count]
    sources = torch.full((count + spare,), count)
    sources[positions] = torch.arange(count)
    x, rows = (torch.randn(each, channels, generator=generator).to(device) for each in (count, count + spare))
    order = Order(sources.int().to(device), positions.int().to(device))
    return x.to(dtypes[0]), rows.to(dtypes[1]).chunk(chunks), order


def run(backend, x, chunks, order, scale, *, trains=True):
    """Return the sum and, if it ``trains``, the gradients of the map and of all rows."""
    leaves = [tensor.detach().requires_grad_(trains) for tensor in (x, *chunks)]
    with use_backends(add_scattered=backend), torch.set_grad_enabled(trains):
        out = add_scattered(leaves[0], Addend(leaves[1:], order, scale))
    if not trains:
        return [out]
    weights = torch.rand(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.3
    grads = torch.autograd.grad(out, leaves, weights.to(out))
    return [out.detach(), grads[0], torch.cat(grads[1:])]


def worst_error(backend, inputs, scale=1.0, **how):
    """Return the largest error of the sum and of the gradients, each relative to its largest value."""
    x, chunks, order = inputs
    found = run(backend, x, chunks, order, scale, **how)
    expected = run('reference', x.double(), [rows.double() for rows in chunks], order, scale, **how)
    assert [each.dtype for each in found] == [x.dtype, x.dtype, chunks[0].dtype][: len(found)]
    return largest_relative(found, expected, least_scale=1e-2)


@needs_compiler
@pytest.mark.usefixtures('vectors')
@pytest.mark.parametrize('dtypes', TYPES)
@pytest.mark.parametrize('case', CASES)
def test_the_kernels_agree_with_the_reference(case, dtypes):
    assert worst_error('native', make_inputs(*case, dtypes), 1.25) < TOLERANCE[dtypes[1]]


def run_with_bias(backend, x, chunks, order, bias, scale):
    """Return the sum, and the gradients of map, rows and bias."""
    leaves = [tensor.detach().requires_grad_() for tensor in (x, bias, *chunks)]
    with use_backends(add_scattered=backend):
        out = add_scattered(leaves[0], Addend(leaves[2:], order, scale, leaves[1]))
    weights = torch.rand(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.3
    return [out.detach(), *torch.autograd.grad(out, leaves, weights.to(out))]


def worst_error_with_bias(backend, inputs, *, in_order=False):
    """Return the largest error of the sum with a bias and of the gradients; the rows may be in the map's order."""
    x, chunks, order = inputs
    if in_order:
        chunks, order = [torch.cat(list(chunks))[: len(x)]], None
    bias = torch.linspace(-2, 2, x.shape[1], device=x.device)
    found = run_with_bias(backend, x, chunks, order, bias, 1.25)
    expected = run_with_bias('reference', x.double(), [rows.double() for rows in chunks], order, bias.double(), 1.25)
    assert found[2].dtype == torch.float32
    return largest_relative(found, expected, least_scale=1e-2)


def run_normed(backend, x, chunks, order, others, result):
    """Return the sum, its normalised rows of type ``result``, and the gradients of map, bias, norm and rows."""
    leaves = [tensor.detach().requires_grad_() for tensor in (x, *others, *chunks)]
    norm = Norm(*leaves[2:4], 1e-5, result)
    out = add_scattered_normed(leaves[0], Addend(leaves[4:], order, 1.25, leaves[1]), norm, backend=backend)
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(each.shape, generator=generator, dtype=torch.float64).to(each) for each in out]
    return [*(each.detach() for each in out), *torch.autograd.grad(out, leaves, grads)]


def worst_error_normed(backend, inputs, result):
    """Return the largest error of the sum, of what is normalised, and of the gradients."""
    x, chunks, order = inputs
    others = [torch.linspace(first, 2, x.shape[1], device=x.device) for first in (-2, 0.5, -1)]
    found = run_normed(backend, x, chunks, order, others, result)
    wide = x.double(), [rows.double() for rows in chunks], order, [each.double() for each in others]
    expected = run_normed('reference', *wide, torch.float64)
    assert [each.dtype for each in found[:3]] == [x.dtype, result, x.dtype]
    return largest_relative(found, expected, least_scale=1e-2)


def test_the_sum_and_its_normalised_rows_are_those_of_two_layers():
    x, chunks, order = make_inputs(30, 8, 3)
    assert worst_error_normed('pytorch', (x, chunks, order), torch.float32) < 1e-5
    weight, shift = torch.rand(2, 8)
    summed, normed = add_scattered_normed(x, Addend(chunks, order), Norm(weight, shift, 1e-5, torch.float32))
    assert torch.equal(summed, add_scattered(x, Addend(chunks, order)))
    torch.testing.assert_close(normed, torch.nn.functional.layer_norm(summed, (8,), weight, shift, 1e-5))


def test_fake_tensors_know_the_shapes_of_the_sum_and_its_normalised_rows():
    with FakeTensorMode():
        x, rows = torch.empty(5, 6, requires_grad=True), torch.empty(5, 6, dtype=torch.bfloat16, requires_grad=True)
        weight = torch.empty(6, requires_grad=True)
        summed, normed = on_gpu.on_gpu_normed(x, Addend([rows], scale=0.5), Norm(weight, weight, 1e-5, torch.bfloat16))
        grads = torch.autograd.grad((summed, normed), (x, rows, weight), (summed, normed))
    assert [(each.shape, each.dtype) for each in (summed, normed)] == [(x.shape, x.dtype), (x.shape, torch.bfloat16)]
    assert [(each.shape, each.dtype) for each in grads] == [(each.shape, each.dtype) for each in (x, rows, weight)]


@pytest.mark.parametrize('in_order', [False, True])
def test_a_bias_is_added_to_the_rows_of_the_map_and_gets_its_gradient(in_order):
    x, chunks, order = inputs = make_inputs(30, 8, 3)
    assert worst_error_with_bias('pytorch', inputs, in_order=in_order) < 1e-5
    found = add_scattered(x, Addend(chunks, order, 0.5, torch.ones(8)))
    assert torch.equal(found, add_scattered(x, Addend([chunks[0] + 1], order, 0.5)))


@needs_compiler
def test_where_the_kernel_takes_no_bias_the_reference_computes():
    x, chunks, order = make_inputs(30, 8, 3)
    addend = Addend(chunks, order, 0.5, torch.ones(8))
    found, expected = (add_scattered(x, addend, backend=each) for each in ('native', 'reference'))
    assert torch.equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 70),
    channels=st.integers(1, 40),
    spare=st.integers(0, 9),
    chunks=st.integers(1, 4),
    scale=st.sampled_from([1.0, 0.0, -2.5]),
    dtypes=st.sampled_from(TYPES),
)
@needs_compiler
def test_the_kernels_take_any_shape_and_chunks(count, channels, spare, chunks, scale, dtypes):
    inputs = make_inputs(count, channels, spare, dtypes, chunks=chunks)
    assert worst_error('native', inputs, scale) < TOLERANCE[dtypes[1]]


@needs_compiler
@pytest.mark.parametrize('length', [1, 7, 300])
def test_lines_of_windows_are_taken_together(length):
    x, (rows,), _ = make_inputs(600, 5, 0)
    order = torch.cat(torch.arange(600).split(length)[::-1])
    found = add_scattered(x, Addend([rows], Order(order.int(), order.argsort().int())))
    assert torch.equal(found[order], x[order] + rows)


@needs_compiler
def test_where_only_the_rows_are_trained_they_get_their_gradient():
    x, (rows,), order = make_inputs(30, 8, 3)
    with use_backends(add_scattered='native'):
        out = add_scattered(x, Addend([rows.requires_grad_()], order, 0.5))
    (grad,) = torch.autograd.grad(out.sum(), rows)
    assert grad.sum() == 30 * 8 * 0.5


@pytest.mark.parametrize('chunks', [1, 3])
def test_gradients_are_those_of_the_formula(chunks):
    x, rows, order = make_inputs(6, 5, 3, (torch.float64, torch.float64), chunks=chunks)
    leaves = [tensor.requires_grad_() for tensor in (x, *(each.clone() for each in rows))]
    assert torch.autograd.gradcheck(lambda x, *rows: add_scattered(x, Addend(rows, order, 0.7)), leaves)


@needs_compiler
@pytest.mark.parametrize(
    ('dtypes', 'expected'),
    [
        ((torch.bfloat16, torch.float32), torch.float32),
        ((torch.float32, torch.float64), torch.float64),
        ((torch.float32, torch.float16), torch.float32),
    ],
)
def test_the_sum_has_the_larger_type(dtypes, expected):
    inputs = make_inputs(9, 4, 2, dtypes)
    (found,), (reference,) = (run(name, *inputs, 0.5, trains=False) for name in ('native', 'reference'))
    assert found.dtype == expected
    torch.testing.assert_close(found, reference, rtol=1e-2, atol=1e-2)


@needs_compiler
def test_maps_have_any_axes_and_need_not_be_contiguous():
    x, (rows,), order = make_inputs(24, 8, 2)
    folded = x.view(2, 3, 4, 8).movedim(0, 2)
    wide = torch.cat((rows, rows), dim=1)[:, :8]
    for backend in ('native', 'reference'):
        with use_backends(add_scattered=backend):
            found = add_scattered(folded, Addend([wide], order))
        assert torch.equal(found, folded + rows[order.positions.long()].view_as(folded))


@needs_compiler
def test_what_is_no_number_stays_in_its_row():
    x, (rows,), order = make_inputs(9, 20, 3)
    x[4, 7] = rows[order.positions[2], 3] = math.nan
    with torch.no_grad():
        broken = add_scattered(x, Addend([rows], order)).isnan()
    assert broken.nonzero().tolist() == [[2, 3], [4, 7]]


@needs_compiler
@pytest.mark.parametrize('threads', [1, 2, 3])
def test_any_number_of_threads_gives_the_same(threads):
    inputs = make_inputs(333, 24, 10)
    expected = run('native', *inputs, 0.5, trains=False)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = run('native', *inputs, 0.5, trains=False)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


@needs_compiler
def test_auto_takes_the_kernels_on_cpus():
    assert ADD_SCATTERED.select(torch.zeros(1, requires_grad=True)).name == 'native'
    assert ADD_SCATTERED.select(torch.zeros(1, dtype=torch.float64)).name == 'pytorch'


def test_without_a_compiler_it_says_why(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    monkeypatch.setattr(build, 'library', library.__wrapped__)
    why_missing.cache_clear()
    try:
        assert "there is no 'no-such-compiler'" in ADD_SCATTERED.explain(torch.zeros(1))['native']
        assert ADD_SCATTERED.select(torch.zeros(1)).name == 'pytorch'
    finally:
        why_missing.cache_clear()


@pytest.mark.parametrize('run', [native.native, on_gpu.on_gpu])
def test_fake_tensors_know_the_shapes_of_the_kernels(run):
    with FakeTensorMode():
        x, rows = torch.empty(5, 6), torch.empty(7, 6, dtype=torch.bfloat16)
        order = Order(torch.empty(7, dtype=torch.int32), torch.empty(5, dtype=torch.int32))
        out = run(x, Addend([rows], order, 0.5))
        assert (out.shape, out.dtype) == (x.shape, x.dtype)
        leaves = [x.requires_grad_(), rows.requires_grad_()]
        grads = torch.autograd.grad(run(x, Addend([rows], order, 0.5)), leaves, out)
        assert [(each.shape, each.dtype) for each in grads] == [(each.shape, each.dtype) for each in leaves]


@needs_compiler
def test_they_pass_the_checks_of_custom_operators():
    x, chunks, order = make_inputs(5, 6, 2, chunks=2)
    torch.library.opcheck(native._added, (x, list(chunks), order.sources, 0.5))
    torch.library.opcheck(native._gathered, (x, order.sources, 0.5, torch.bfloat16))


def test_trials_compare_the_backends_on_request(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(ADD_SCATTERED, 'outcomes', {})
    twice = (replace(ADD_SCATTERED.find('pytorch'), name='again'), *ADD_SCATTERED.backends[-2:])
    monkeypatch.setattr(ADD_SCATTERED, 'backends', twice)
    x, chunks, order = make_inputs(50, 6, 3, chunks=2)
    with measure_backends(True):
        add_scattered(x.requires_grad_(), Addend(chunks, order))
    (((_, case), outcome),) = ADD_SCATTERED.outcomes.items()
    assert case == 'float32, training, of 6 channels, float32 and float32, up to 64 rows'
    assert (set(outcome.milliseconds), outcome.failures) == ({'again', 'pytorch'}, {})


def test_trials_check_the_kernel_for_both_steps():
    def wrong(x, addend, norm):
        summed = ADD_SCATTERED.find('reference').run(x, addend)
        return summed, torch.nn.functional.layer_norm(summed, norm.weight.shape, norm.weight, None, norm.eps)

    x, chunks, order = make_inputs(50, 6, 3, chunks=2)
    planted = replace(ADD_SCATTERED.find('pytorch'), pair=wrong)
    trial = trial_of(x, Addend(chunks, order))
    outcome = outcome_of([planted], ADD_SCATTERED.backends[-1], trial, lambda name: nullcontext())
    assert outcome.failures['pytorch'].startswith('gave wrong')


@needs_triton
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_triton_kernels_agree_with_the_reference_in_the_interpreter(interpreted, dtype):
    assert interpreted[str(dtype)] < TOLERANCE[dtype]


@needs_triton
@pytest.mark.parametrize('dtype', TOLERANCE)
def test_the_kernel_that_normalises_the_sum_agrees_with_the_reference_in_the_interpreter(interpreted, dtype):
    assert interpreted[f'{dtype} normed'] < 5 * TOLERANCE[dtype]


@needs_triton
@pytest.mark.gpu
@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('case', CASES)
def test_triton_kernels_agree_with_the_reference_on_a_gpu(case, dtype):
    inputs = make_inputs(*case, (torch.float32, dtype), 'cuda')
    assert worst_error('triton', inputs, 1.25) < TOLERANCE[dtype]
    assert max(worst_error_with_bias('triton', inputs, in_order=each) for each in (False, True)) < TOLERANCE[dtype]
    assert worst_error_normed('triton', inputs, dtype) < 5 * TOLERANCE[dtype]


if __name__ == '__main__':

    def errors_of(inputs):
        return [
            worst_error('triton', inputs, 1.25),
            *(worst_error_with_bias('triton', inputs, in_order=each) for each in (False, True)),
        ]

    on_gpu.PROGRAMS = 3  # so that a program sums several blocks
    errors = {
        str(dtype): max(
            error
            for case in CASES
            for first in (torch.float32, dtype)
            for error in errors_of(make_inputs(*case, (first, dtype)))
        )
        for dtype in TOLERANCE
    }
    normed = {
        f'{dtype} normed': max(worst_error_normed('triton', make_inputs(*case), dtype) for case in CASES)
        for dtype in TOLERANCE
    }
    print(json.dumps(errors | normed))
