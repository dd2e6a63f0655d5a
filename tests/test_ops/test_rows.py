"""Rows in another order, with zeros between them."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from vrtspike.ops.rows import Order, gather, scatter


@given(count=st.integers(0, 20), zeros=st.integers(0, 5), seed=st.integers(0, 100))
def test_scatter_undoes_gather_and_so_do_the_gradients(count, zeros, seed):
    positions = torch.randperm(count + zeros, generator=torch.Generator().manual_seed(seed))[:count]
    sources = torch.full((count + zeros,), count)
    sources[positions] = torch.arange(count)
    order = Order(sources.int(), positions.int())
    rows = torch.randn(count, 3, dtype=torch.float64, requires_grad=True)
    gathered = gather(rows, order)
    assert (gathered == 0).all(-1).sum() == zeros
    assert torch.equal(scatter(gathered, order), rows)
    assert torch.autograd.gradcheck(lambda x: gather(x, order), rows)
    assert torch.autograd.gradcheck(lambda x: scatter(x, order), gathered.detach().requires_grad_())


class Names(TorchDispatchMode):
    """Records the names of all operators."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func.overloadpacket.__name__)
        return func(*args, **kwargs or {})


def test_activation_checkpointing_does_not_scatter_again_what_nothing_follows():
    order = Order(torch.tensor([2, 0, 1]).int(), torch.tensor([1, 2, 0]).int())
    rows = torch.rand(3, 4, requires_grad=True)
    with Names() as names:
        checkpoint(lambda x: scatter(x.exp(), order), rows, use_reentrant=False).sum().backward()
    assert names.seen.count('exp') == 2
    assert names.seen.count('index_select') == 2  # forward, and the gradient
