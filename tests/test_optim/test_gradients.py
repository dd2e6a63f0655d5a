import torch
from mmengine.optim import OptimWrapper
from torch import nn

from vrtspike.optim.gradients import accumulated_gradients, is_accumulating, restore_gradients


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    return model, OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=2)


def test_gradients_wait_between_two_steps():
    model, wrapper = make()
    waiting = []
    for _ in range(4):
        wrapper.update_params(model(torch.ones(1, 3)).sum())
        waiting.append(is_accumulating(wrapper))
    assert waiting == [True, False, True, False]


def test_what_was_accumulated_is_restored_by_name():
    model, wrapper = make()
    model[1].bias.requires_grad_(False)
    wrapper.update_params(model(torch.ones(1, 3)).sum())
    gradients = accumulated_gradients(model)
    assert set(gradients) == {'0.weight', '0.bias', '1.weight'}
    other, _ = make()
    restore_gradients(other, gradients)
    assert torch.equal(other[0].weight.grad, model[0].weight.grad)
    assert other[1].bias.grad is None
