import pytest
import torch

from vrtspike.models.layers.mlp import GatedMLP
from vrtspike.ops import chunks


@pytest.mark.parametrize('rows', [1, 7, 30, 1000])
@pytest.mark.parametrize('layout', ['plain', 'permuted'])
def test_an_mlp_in_chunks_is_the_mlp(rows, layout, monkeypatch):
    torch.manual_seed(0)
    mlp, x = GatedMLP(6, 12, 4).double(), torch.randn(2, 3, 5, 6, dtype=torch.float64)
    if layout == 'permuted':
        x = x.permute(1, 2, 0, 3)
    expected = mlp(x).detach()
    monkeypatch.setattr(chunks, 'chunk_rows', lambda: rows)
    with torch.no_grad():
        found = mlp(x)
    assert found.shape == (*x.shape[:-1], 4)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_chunks_are_for_inference_on_cpus(monkeypatch):
    monkeypatch.setattr(chunks, 'chunk_rows', lambda: 2)
    seen = []

    def double(x):
        seen.append(tuple(x.shape))
        return 2 * x

    x = torch.arange(15.0).view(5, 3)
    assert torch.equal(chunks.map_rows(double, x), 2 * x)
    with torch.no_grad():
        assert torch.equal(chunks.map_rows(double, x), 2 * x)
        chunks.map_rows(double, x.to('meta'))
    assert seen == [(5, 3), (2, 3), (2, 3), (1, 3), (5, 3)]


@pytest.mark.parametrize('rows', [1, 7, 1000])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_a_sum_in_chunks_is_the_sum(rows, dtype, monkeypatch):
    monkeypatch.setattr(chunks, 'chunk_rows', lambda: rows)
    seen = []

    def square(x):
        seen.append(len(x))
        return x, x.square().to(dtype)

    x = torch.randn(5, 3, 4).transpose(0, 1)
    expected = x + 0.5 * x.square().to(dtype).float()
    with torch.no_grad():
        found = chunks.add_to_rows(square, x, 0.5)
    torch.testing.assert_close(found, expected)
    assert seen == {1: [1] * 15, 7: [7, 7, 1], 1000: [3]}[rows]


def test_gradients_flow_through_a_sum():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: chunks.add_to_rows(lambda rows: (rows, rows.square()), x, 0.5), x)
