"""Stochastic depth: what is dropped, by how much the rest is scaled, and that parameters never miss a gradient."""

import pytest
import torch
from torch import nn

from vrtspike.models.layers.drop_path import DropPath


class Branch(nn.Linear):
    """A linear branch that remembers how many samples it saw."""

    def forward(self, x, added_by=None):
        self.seen = len(x)
        result = super().forward(x)
        return result if added_by is None else torch.add(x, result, alpha=added_by)


@pytest.fixture
def branch():
    torch.manual_seed(0)
    return Branch(3, 3).double()


def dropped(path, x, branch, seed):
    """Return the output, and which samples the same random numbers keep."""
    torch.manual_seed(seed)
    out = path(x, branch, branch.parameters())
    torch.manual_seed(seed)
    return out, x.new_empty(len(x)).bernoulli_(1 - path.rate)


@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize('samples', [1, 2, 5])
def test_it_is_the_masked_branch_forward_and_backward(branch, samples, seed):
    path = DropPath(0.4).train()
    x = torch.randn(samples, 4, 3, dtype=torch.float64, requires_grad=True)
    out, kept = dropped(path, x, branch, seed)
    expected = x + branch(x) * (kept / 0.6).view(-1, 1, 1)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    leaves = [x, *branch.parameters()]
    gradients = [torch.autograd.grad(result.square().sum(), leaves) for result in (out, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_the_branch_sees_kept_samples_alone(branch):
    counts = set()
    for seed in range(20):
        branch.seen = 0
        _, kept = dropped(DropPath(0.5).train(), torch.randn(3, 3, dtype=torch.float64), branch, seed)
        assert branch.seen == kept.sum()
        counts.add(branch.seen)
    assert counts == {0, 1, 2, 3}


def test_where_all_is_dropped_gradients_are_zero(branch):
    branch.bias.requires_grad_(False)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    out, kept = dropped(DropPath(0.99).train(), x, branch, 0)
    assert not kept.any()
    out.sum().backward()
    assert torch.equal(branch.weight.grad, torch.zeros_like(branch.weight))
    assert branch.bias.grad is None
    assert torch.equal(x.grad, torch.ones_like(x))


def test_evaluation_keeps_all(branch):
    x = torch.randn(2, 3, dtype=torch.float64)
    assert torch.equal(DropPath(0.9).eval()(x, branch, ()), x + branch(x))
    assert torch.equal(DropPath(0).train()(x, branch, ()), x + branch(x))


def test_without_values_the_branch_is_multiplied(branch):
    """A compiled graph, or the counter of a meta tensor, must not depend on which samples keep it."""
    x = torch.empty(3, 4, 3, device='meta')
    out = DropPath(0.4).train()(x, branch.to('meta', torch.float32), branch.parameters())
    assert (out.shape, branch.seen) == (x.shape, 3)


def test_a_branch_in_lower_precision_is_added_in_full(branch):
    for samples, seed in [(1, 0), (4, 1), (4, 2)]:
        x = torch.randn(samples, 3)
        with torch.autocast('cpu', torch.bfloat16):
            out, kept = dropped(DropPath(0.4).train(), x, branch.float(), seed)
            expected = x + branch(x) * (kept / 0.6).view(-1, 1)
        assert out.dtype == torch.float32
        torch.testing.assert_close(out, expected, rtol=1e-2, atol=1e-2)
