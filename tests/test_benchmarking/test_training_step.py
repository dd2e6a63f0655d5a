"""The training iteration that configs are compared by."""

import torch
from torch import nn

from vrtspike.benchmarking.training_step import TrainingStep


class Doubled(nn.Module):
    """A model whose loss has the gradient 2."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, blur, mode):
        assert mode == 'loss'
        return {'loss': (blur * self.weight).sum()}


def test_a_step_begins_with_fresh_gradients_and_accumulates_where_asked():
    model = Doubled()
    step = TrainingStep(model, {'blur': torch.tensor([2.0])}, torch.enable_grad)
    for _ in range(2):
        step()
        assert model.weight.grad.item() == 2
    step.accumulate()
    assert model.weight.grad.item() == 4
