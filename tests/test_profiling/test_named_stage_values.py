"""A network whose modules are named stages computes what it does alone."""

import copy

import pytest
import torch
from named_networks import Half, Net
from torch import nn

from vrtspike.profiling import listening
from vrtspike.profiling.named_stages import NamedStages
from vrtspike.profiling.timer import StageTimer


def in_place_input(net, x):
    x = net.first(x)
    y = net.relu(x)  # modifies x, which the shortcut reads
    return net.last(y) + x


def in_place_output(net, x):
    return net.last(net.first(x).relu_())


def in_place_view(net, x):
    y = net.halves(x)
    y.relu_()
    return net.last(torch.cat([y, y], 1))


CASES = {
    'in-place input': (in_place_input, dict(relu=nn.ReLU(inplace=True))),
    'in-place output': (in_place_output, {}),
    'in-place view': (in_place_view, dict(halves=Half(4, 4))),
    'identity': (lambda net, x: net.last(net.same(net.first(x)) + x), dict(same=nn.Identity())),
}


@pytest.mark.parametrize('name', CASES)
def test_values_gradients_and_nodes_are_those_of_the_network_alone(clock, name):
    run, modules = CASES[name]
    model = Net(run, first=nn.Linear(4, 4), last=nn.Linear(4, 4), **modules)
    again = copy.deepcopy(model)
    x = torch.randn(3, 4)

    def nodes(out):
        seen, waiting = [], [out.grad_fn]
        while waiting:
            node = waiting.pop()
            seen.append(node.name())
            waiting += [following for following, _ in node.next_functions if following]
        return seen

    plain = model(x)
    plain.square().sum().backward()
    with NamedStages(again, {path: path for path, _ in again.named_children()}), listening(StageTimer(clock)):
        marked = again(x)
        marked.square().sum().backward()
    assert torch.equal(plain, marked)
    assert nodes(plain) == nodes(marked)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert (one.grad is None and other.grad is None) or torch.equal(one.grad, other.grad)


def test_without_listeners_nothing_happens_and_hooks_are_removed(clock):
    model = nn.Sequential(nn.Linear(4, 4))
    named = NamedStages(model, {'one': '0'})
    with named:
        out = model(torch.ones(1, 4))
        assert 'none of its modules was called' in named.limits()[0]
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks
    assert out.grad_fn.next_functions[0][0].name() == 'torch::autograd::AccumulateGrad'
