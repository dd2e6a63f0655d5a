"""The sum of a residual connection: GPUs compute its gradient in their own way, which runs here on the CPU."""

import pytest
import torch
from gpu_paths import take_gpu_paths

from vrtspike.ops.residual import add_scaled, plus


def results(x, branch):
    """Return the sum and the gradients of its terms."""
    leaves = [tensor.detach().requires_grad_() for tensor in (x, branch)]
    out = add_scaled(*leaves, 1.5)
    weights = torch.linspace(-1, 1, out.numel()).view_as(out).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, leaves, weights)]


@pytest.mark.parametrize('of_x', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('of_branch', [torch.float32, torch.bfloat16])
def test_the_way_of_gpus_gives_the_values_gradients_and_types_of_pytorch(monkeypatch, of_x, of_branch):
    torch.manual_seed(0)
    x, branch = torch.randn(2, 3, 4, dtype=of_x).transpose(0, 1), torch.randn(3, 2, 4, dtype=of_branch)
    expected = results(x, branch)
    take_gpu_paths(monkeypatch)
    for found, value in zip(results(x, branch), expected, strict=True):
        assert found.dtype == value.dtype
        torch.testing.assert_close(found, value, rtol=1e-2, atol=0)


def test_a_gradient_in_lower_precision_is_rounded_once(monkeypatch):
    take_gpu_paths(monkeypatch)
    x, branch = torch.randn(1000, requires_grad=True), torch.randn(1000, dtype=torch.bfloat16, requires_grad=True)
    weights = torch.randn(1000)
    add_scaled(x, branch, 1.1).backward(weights)
    assert torch.equal(branch.grad, (weights * 1.1).bfloat16())
    assert torch.equal(x.grad, weights)


def test_without_a_factor_there_are_the_results_alone():
    x, results = torch.ones(2), torch.full((2,), 3.0)
    assert plus(x, results, None) is results
    assert torch.equal(plus(x, results, 0.5), torch.full((2,), 2.5))
