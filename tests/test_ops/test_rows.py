"""Rows in another order, with zeros between them."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.ops.rows import Order, gather, scatter


@given(count=st.integers(0, 20), zeros=st.integers(0, 5), seed=st.integers(0, 100))
def test_scatter_undoes_gather_and_so_do_the_gradients(count, zeros, seed):
    places = torch.randperm(count + zeros, generator=torch.Generator().manual_seed(seed))[:count]
    sources = torch.full((count + zeros,), count)
    sources[places] = torch.arange(count)
    order = Order(sources.int(), places.int())
    rows = torch.randn(count, 3, dtype=torch.float64, requires_grad=True)
    gathered = gather(rows, order)
    assert (gathered == 0).all(-1).sum() == zeros
    assert torch.equal(scatter(gathered, order), rows)
    assert torch.autograd.gradcheck(lambda x: gather(x, order), rows)
    assert torch.autograd.gradcheck(lambda x: scatter(x, order), gathered.detach().requires_grad_())
