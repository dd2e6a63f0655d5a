import torch

from vrtspike.models.layers.flow import SharedPyramidFlow
from vrtspike.models.layers.shared_flow import shared_flow


def test_flow_is_forgotten_when_told_and_the_network_is_left_as_it_was():
    flow = SharedPyramidFlow()
    a, b = torch.rand(2, 1, 3, 16, 16)
    with shared_flow(torch.nn.Sequential(flow)) as forget:
        first = flow(a, b)
        assert flow(a.clone(), b) is first
        assert flow(b, a) is not first
        forget()
        assert flow(a, b) is not first
    assert 'forward' not in vars(flow)
