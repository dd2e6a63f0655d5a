"""Two weights as one."""

import pytest
import torch

from vrtspike.models.layers.cast_weights import copied_together
from vrtspike.ops.joined_rows import follows, joined_rows


def halves():
    return torch.randn(12, 3).split([5, 7])


def test_weights_behind_each_other_are_one_without_a_copy():
    first, second = halves()
    both = joined_rows(first, second)
    assert both.data_ptr() == first.data_ptr()
    assert torch.equal(both, torch.cat((first, second)))


@pytest.mark.parametrize('copied', [False, True])
def test_each_gets_its_rows_of_the_gradient(copied):
    leaves = [each.clone() if copied else each for each in halves()]
    first, second = (each.detach().requires_grad_() for each in leaves)
    weights = torch.arange(36.0).view(12, 3)
    grads = torch.autograd.grad(joined_rows(first, second), (first, second), weights)
    assert torch.equal(torch.cat(grads), weights)


def test_gradients_of_joined_weights_cannot_be_differentiated():
    first, second = (each.detach().requires_grad_() for each in halves())
    (grad,) = torch.autograd.grad(joined_rows(first, second).square().sum(), first, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


def test_other_weights_do_not_follow_each_other():
    first, second = halves()
    others = [(second, first), (first, second.clone()), (first, second.half()), (first[:, :2], second[:, :2])]
    assert [follows(*pair) for pair in others] == [False] * 4


def test_copies_of_one_shape_follow_each_other_whatever_lies_between_the_originals():
    weights = torch.randn(16, 8), torch.randn(3), torch.randn(16, 8), torch.randn(5, 5)
    copies = copied_together(weights, torch.bfloat16)
    assert follows(copies[0], copies[2])
    for copy, weight in zip(copies, weights, strict=True):
        assert torch.equal(copy, weight.bfloat16())
        assert copy.data_ptr() % 16 == 0
