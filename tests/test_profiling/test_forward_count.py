import copy

import pytest
import torch
from foreign_networks import ResNet, Swin
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from vrtspike.profiling.flops import CannotCount
from vrtspike.profiling.forward_count import ForwardCount
from vrtspike.profiling.named_stages import NamedStages


@pytest.mark.parametrize('network', [ResNet, Swin])
def test_the_products_of_one_iteration_are_those_that_torch_counts(network):
    model, x = network(), torch.rand(2, 3, 32, 32)
    with FlopCounterMode(display=False) as torchs, torch.no_grad():
        model(x)
    with ForwardCount(model) as count:
        model(x).sum().backward()
    costs = count.costs(clips=2)
    assert 2 * costs.total.macs == torchs.get_total_flops()
    assert costs.total.parameters == sum(p.numel() for p in model.parameters())
    assert not costs.unknown
    assert costs.counted()['other'].gmacs == costs.total.macs / 2e9


def test_stages_are_counted_apart_and_what_runs_again_is_not_counted():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 5, bias=False), nn.Linear(5, 6, bias=False)

        def forward(self, x):
            return self.b(checkpoint(self.a, x, use_reentrant=False))

    model = Net()
    with NamedStages(model, {'a': 'a', 'b': 'b'}), ForwardCount(model) as count:
        model(torch.rand(3, 4, requires_grad=True)).sum().backward()
    stages = count.costs(clips=3).stages
    assert {name: cost.macs for name, cost in stages.items()} == {'a': 60, 'b': 90, 'other': 0}


def test_nothing_changes_and_nothing_is_left_behind():
    torch.manual_seed(0)
    watched = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    plain, x = copy.deepcopy(watched), torch.rand(2, 3, 8, 8)
    torch.manual_seed(1)
    expected = plain(x)
    expected.sum().backward()
    torch.manual_seed(1)
    with ForwardCount(watched):
        out = watched(x)
        out.sum().backward()
    assert torch.equal(out, expected)
    assert torch.equal(torch.rand(1), (torch.manual_seed(1), plain(x), torch.rand(1))[2])
    for one, other in zip(watched.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    assert watched[1].num_batches_tracked == 1
    assert not watched._forward_hooks
    assert not watched._forward_pre_hooks


def test_an_error_of_the_network_passes_and_one_of_the_counter_does_not(monkeypatch):
    model = nn.Linear(4, 4)
    with pytest.raises(RuntimeError, match='shapes'), ForwardCount(model):
        model(torch.rand(2, 5))
    with ForwardCount(model) as count:
        monkeypatch.setattr(count._counter, 'count', lambda *_: 1 / 0)
        model(torch.rand(2, 4))
    with pytest.raises(CannotCount, match='ZeroDivisionError'):
        count.costs(1)


def test_a_network_that_nobody_called():
    model = nn.Sequential(nn.Linear(4, 4))
    with ForwardCount(model) as count:
        model[0](torch.rand(2, 4))
    with pytest.raises(CannotCount, match='nobody called Sequential, only modules inside of it'):
        count.costs(1)


def test_a_compiled_network_is_counted_by_its_operators():
    torch.compiler.reset()
    graphs = []
    model = nn.Linear(4, 5, bias=False)
    compiled = torch.compile(model, backend=lambda graph, inputs: graphs.append(graph) or graph)
    with ForwardCount(model) as count:
        compiled(torch.rand(3, 4))
    assert (count.costs(3).total.macs, graphs) == (60, [])
    compiled(torch.rand(3, 4))
    assert len(graphs) == 1
    torch.compiler.reset()
