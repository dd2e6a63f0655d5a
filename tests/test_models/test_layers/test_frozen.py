"""A frozen module is neither trained nor saved nor copied, but follows its owner."""

import copy

import torch
from torch import nn

from vrtspike.models.layers.frozen import FrozenModule


def owner():
    return nn.Sequential(nn.Linear(2, 3), FrozenModule(nn.Linear(3, 1)))


def test_it_is_not_part_of_its_owner():
    network = owner()
    assert list(network.state_dict()) == ['0.weight', '0.bias']
    assert len(list(network.parameters())) == 2


def test_gradients_pass_through_it_and_stop_at_its_weights():
    network = owner()
    network(torch.ones(1, 2)).sum().backward()
    frozen = network[1].module
    torch.testing.assert_close(network[0].bias.grad, frozen.weight[0])
    assert frozen.weight.grad is None


def test_it_stays_in_evaluation_mode():
    network = owner().train()
    assert not network[1].module.training


def test_it_follows_its_owner_to_another_precision():
    assert owner().double()[1].module.weight.dtype == torch.float64


def test_copies_share_it():
    network = owner()
    twin = copy.deepcopy(network)
    assert twin[1].module is network[1].module
    assert twin[0].weight is not network[0].weight
