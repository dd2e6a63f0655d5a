from torch import nn

from vrtspike.profiling.parameters import count_parameters


def test_all_parameters_or_the_trainable_ones():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    assert count_parameters(model) == 16 + 10
    assert count_parameters(model, trainable=True) == 10
