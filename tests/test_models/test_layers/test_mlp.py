"""The gated MLP, whose backward pass computes anew what the forward pass did not keep."""

import pytest
import torch
from gpu_paths import take_gpu_paths
from torch.nn import functional as F

from vrtspike.models.layers.mlp import GatedMLP
from vrtspike.ops import chunks


def plain(mlp, x):
    return mlp.fc2(F.gelu(mlp.fc11(x)) * mlp.fc12(x))


def gradients(function, mlp, x):
    """Return the output and the gradients of input and parameters."""
    x = x.detach().requires_grad_()
    mlp.zero_grad()
    out = function(x)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return [out.detach(), x.grad, *(parameter.grad.clone() for parameter in mlp.parameters())]


@pytest.fixture
def mlp():
    torch.manual_seed(0)
    return GatedMLP(6, 12, 4)


@pytest.mark.parametrize('rows', [1, 7, 1000])
def test_gradients_are_those_of_the_formula(mlp, rows, monkeypatch):
    mlp, x = mlp.double(), torch.randn(2, 3, 5, 6, dtype=torch.float64)
    expected = gradients(lambda x: plain(mlp, x), mlp, x)
    monkeypatch.setattr(chunks, 'chunk_rows', lambda: rows)
    for found, value in zip(gradients(mlp, mlp, x), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-10, atol=1e-10)


def test_gradients_under_autocast(mlp):
    x = torch.randn(40, 6)
    expected = gradients(lambda x: plain(mlp, x), mlp, x)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = gradients(mlp, mlp, x)
    for left, right in zip(found, expected, strict=True):
        assert (left - right).abs().max() < 2e-2 * right.abs().max()
    assert all(grad.dtype == torch.float32 for grad in found[1:])


@pytest.mark.parametrize('autocast', [False, True])
def test_the_one_product_of_gpus_computes_the_same(mlp, monkeypatch, autocast):
    x = torch.randn(2, 5, 7, 6).transpose(0, 1)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        expected = gradients(mlp, mlp, x)
        take_gpu_paths(monkeypatch)
        found = gradients(mlp, mlp, x)
    for left, right in zip(found, expected, strict=True):
        assert left.dtype == right.dtype
        assert (left - right).abs().max() <= (2e-2 if autocast else 1e-5) * right.abs().max()


def test_two_maps_are_kept_besides_the_input(mlp):
    x, kept = torch.randn(50, 6, requires_grad=True), {}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in mlp.parameters()}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        mlp(x)
    assert sorted(size for address, size in kept.items() if address not in parameters) == [50 * 6, 50 * 12, 50 * 12]
