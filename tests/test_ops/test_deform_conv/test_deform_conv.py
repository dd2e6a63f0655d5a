import pytest
import torch
from deform_conv_inputs import assert_alike, make_inputs, run
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from vrtspike.ops import DEFORM_CONV2D, deform_conv2d, use_backends

# Those that are installed, also on devices where others are preferred. Triton's kernels have their own tests.
FAST = [backend for backend in DEFORM_CONV2D.backends[:-1] if backend.missing() is None and backend.name != 'triton']


@settings(max_examples=30, deadline=None)
@given(
    groups=st.integers(1, 3),
    deformable_groups=st.sampled_from([1, 2, 4]),
    k=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    spread=st.sampled_from([0.3, 3.0]),
    bias=st.booleans(),
)
def test_grid_sample_agrees_with_the_reference(groups, deformable_groups, k, size, spread, bias):
    inputs = make_inputs(groups, deformable_groups, size, k, padding=k // 2, spread=spread)
    inputs = inputs if bias else (*inputs[:4], None)
    found, expected = (run(backend, *inputs, padding=k // 2) for backend in ('grid_sample', 'reference'))
    assert_alike(found, expected, 1e-8)


@pytest.mark.parametrize('backend', ['grid_sample', 'reference'])
@pytest.mark.parametrize(('k', 'padding'), [(3, 1), (3, 0), (1, 0)])
def test_inference_gives_what_training_does_and_leaves_its_inputs_alone(backend, k, padding):
    inputs = make_inputs(k=k, padding=padding, batch=3)
    expected, *_ = run('reference', *inputs, padding=padding)
    before = [tensor.clone() for tensor in inputs]
    with torch.no_grad(), use_backends(deform_conv2d=backend):
        torch.testing.assert_close(deform_conv2d(*inputs, padding=padding), expected, rtol=1e-10, atol=1e-10)
    assert all(map(torch.equal, inputs, before))


@pytest.mark.parametrize('backend', ['grid_sample', 'reference'])
@pytest.mark.parametrize(('k', 'padding'), [(3, 1), (3, 0), (1, 0), (5, 2)])
def test_without_offsets_it_is_a_convolution(backend, k, padding):
    x, offset, mask, weight, bias = make_inputs(k=k, padding=padding)
    with use_backends(deform_conv2d=backend):
        found = deform_conv2d(x, 0 * offset, torch.ones_like(mask), weight, bias, padding=padding)
    torch.testing.assert_close(found, F.conv2d(x, weight, bias, padding=padding))


@pytest.mark.parametrize('backend', ['grid_sample', 'reference'])
def test_groups_follow_from_the_kernel(backend):
    x, offset, mask, weight, bias = make_inputs(groups=3)
    with use_backends(deform_conv2d=backend):
        found = deform_conv2d(x, 0 * offset, torch.ones_like(mask), weight, bias)
    torch.testing.assert_close(found, F.conv2d(x, weight, bias, padding=1, groups=3))


@pytest.mark.parametrize('backend', ['grid_sample', 'reference'])
def test_offsets_are_y_then_x_in_pixels(backend):
    x, *_ = make_inputs(size=(6, 6))
    kernel = torch.zeros(4, 4, 1, 1, dtype=torch.float64)
    kernel[range(4), range(4)] = 1
    offset = torch.zeros(2, 2, 6, 6, dtype=torch.float64)
    offset[:, 0], offset[:, 1] = 2, -1
    with use_backends(deform_conv2d=backend):
        found = deform_conv2d(x, offset, torch.ones(2, 1, 6, 6, dtype=torch.float64), kernel, padding=0)
    expected = torch.zeros_like(x)
    expected[..., :4, 1:] = x[..., 2:, :5]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('backend', ['grid_sample', 'reference'])
def test_permuted_inputs_give_the_same_values(backend):
    inputs = make_inputs(groups=2)
    permuted = [tensor.transpose(-1, -2).contiguous().transpose(-1, -2) for tensor in inputs[:4]]
    assert not any(tensor.is_contiguous() for tensor in permuted)
    assert_alike(run(backend, *permuted, inputs[4]), run(backend, *inputs), 1e-9)


@pytest.mark.parametrize('backend', FAST, ids=lambda backend: backend.name)
@pytest.mark.parametrize('permuted', [False, True])
def test_float32_agrees_with_the_reference(backend, permuted):
    inputs = [tensor.float() for tensor in make_inputs(groups=2, size=(9, 8))]
    if permuted:
        inputs = [tensor.transpose(-1, -2).contiguous().transpose(-1, -2) for tensor in inputs[:4]] + inputs[4:]
    found = run(None, *inputs, function=backend.run)
    assert_alike(found, run('reference', *(tensor.double() for tensor in inputs)), 1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize('backend', [backend.name for backend in DEFORM_CONV2D.backends])
def test_backends_agree_on_a_gpu(backend):
    inputs = [tensor.float().cuda() for tensor in make_inputs(groups=2, size=(9, 8))]
    refusal = DEFORM_CONV2D.find(backend).refusal(inputs[0])
    if refusal:
        pytest.skip(refusal)
    expected = run('reference', *(tensor.double().cpu() for tensor in inputs))
    assert_alike([tensor.cpu() for tensor in run(backend, *inputs)], expected, 1e-3)


@pytest.mark.parametrize('backend', ['grid_sample', 'reference'])
def test_positions_are_exact_in_half_precision(backend):
    """bfloat16 cannot hold coordinates beyond 256: positions are computed in float32."""
    x = torch.arange(600, dtype=torch.float32).remainder(7).view(1, 1, 1, 600).bfloat16()
    weight, ones = torch.ones(1, 1, 1, 1).bfloat16(), torch.ones(1, 1, 1, 600).bfloat16()
    with use_backends(deform_conv2d=backend):
        found = deform_conv2d(x, torch.zeros(1, 2, 1, 600).bfloat16(), ones, weight, padding=0)
    torch.testing.assert_close(found.float(), x.float(), rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(weight=torch.zeros(2, 3, 3, 3)), r'4 channels do not fit a kernel \(2, 3, 3, 3\)'),
        (dict(weight=torch.zeros(3, 2, 3, 3)), r'4 channels do not fit a kernel \(3, 2, 3, 3\)'),
        (dict(mask=torch.zeros(1, 10, 5, 6)), '10 masks for 9 taps of 4 channels'),
        (dict(mask=torch.zeros(1, 27, 5, 6)), '27 masks for 9 taps of 4 channels'),
        (dict(offset=torch.zeros(1, 18, 5, 6)), r'expected an offset \(1, 36, 5, 6\).*found offset \(1, 18, 5, 6\)'),
        (dict(mask=torch.zeros(1, 18, 5, 5)), r'found offset \(1, 36, 5, 6\) and mask \(1, 18, 5, 5\)'),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(change, message):
    arguments = dict(
        x=torch.zeros(1, 4, 5, 6),
        offset=torch.zeros(1, 36, 5, 6),
        mask=torch.zeros(1, 18, 5, 6),
        weight=torch.zeros(2, 4, 3, 3),
    )
    with pytest.raises(ValueError, match=message):
        deform_conv2d(**arguments | change)
