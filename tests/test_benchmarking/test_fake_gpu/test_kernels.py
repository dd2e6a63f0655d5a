import pytest
import torch

from vrtspike.benchmarking.fake_gpu.kernels import LAUNCH_MS, Operation, list_launches, operation, touched_bytes

aten = torch.ops.aten
X = torch.empty(4, 8)  # 128 bytes
ROW = torch.empty(8)


def cost(func, *args, **kwargs):
    return operation(func, args, kwargs, func(*args, **kwargs))


@pytest.mark.parametrize(
    ('func', 'args', 'read_and_written'),
    [
        (aten.add.Tensor, (X, X), 3 * 128),
        (aten.add.Tensor, (X, ROW), 2 * 128 + 32),
        (aten.mul_.Tensor, (X, ROW), 2 * 128 + 32),
        (aten.copy_.default, (X, X.clone()), 2 * 128),
        (aten.zero_.default, (X,), 128),
        (aten.add.Tensor, (X, ROW.expand(4, 8)), 2 * 128 + 32),
    ],
)
def test_bytes_are_those_that_are_read_and_written(func, args, read_and_written):
    assert cost(func, *args).bytes == read_and_written


def test_what_is_overwritten_is_not_read():
    target = X.to(torch.bfloat16)
    scaled = cost(aten.mul.out, X, torch.tensor(2.0), out=torch.empty_like(X))
    assert scaled.bytes == 2 * 128 + 4
    copied = cost(aten._foreach_copy_.default, [target, target], [X, X])
    assert (copied.bytes, copied.launches, copied.casts, copied.dtype) == (2 * (64 + 128), 1, True, 'float32')
    assert not cost(aten._foreach_copy_.default, [X.clone()], [X]).casts


def test_views_and_empty_tensors_launch_nothing():
    assert cost(aten.view.default, X, [32]) is None
    assert cost(aten.empty_like.default, X) is None
    assert cost(aten.detach.default, X) is None
    assert cost(torch.ops.prim.device.default, X) is None


def test_a_product_has_flops_and_a_cast_is_one():
    product = cost(aten.mm.default, X, X.t())
    assert (product.flops, product.casts, product.dtype) == (2 * 4 * 8 * 4, False, 'float32')
    assert cost(aten._to_copy.default, X, dtype=torch.bfloat16).casts
    assert not cost(aten.clone.default, X).casts


def test_a_kernel_over_lists_takes_many_tensors():
    small, large = [ROW] * 100, [torch.empty(65_536 * 700)]
    assert list_launches((small,)) == 1
    assert list_launches((small, small, small, small)) == 3
    assert list_launches((large, large)) == 3
    norms = cost(aten._foreach_mul.Scalar, small, 2.0)
    assert (norms.launches, norms.bytes) == (1, 2 * 3200)


def test_elements_of_an_expanded_axis_count_once():
    assert touched_bytes(ROW.expand(1000, 8)) == 32


def test_the_model_of_time_is_a_roofline_and_a_launch():
    moved = Operation('add', 'float32', 1, bytes=27 * 10**8, flops=0, casts=False)
    assert moved.ms == pytest.approx(1 + LAUNCH_MS)
    computed = Operation('convolution', 'bfloat16', 2, bytes=0, flops=3 * 10**11, casts=False)
    assert computed.ms == pytest.approx(1 + 2 * LAUNCH_MS)
