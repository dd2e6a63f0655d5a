import pytest
import torch
from real_files import real_file

from vrtspike.errors import CheckpointError
from vrtspike.models.layers.spike_flow import STEPS, SCFlow, correlation


def windows(size=(32, 40), count=2):
    return (torch.rand(2, count, STEPS, *size, generator=torch.Generator().manual_seed(0)) < 0.3).float()


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SCFlow().eval()


def test_flows_have_four_scales_and_any_size(network):
    flows = network(*windows((30, 41)))
    assert [tuple(flow.shape) for flow in flows] == [(2, 2, 30, 41), (2, 2, 15, 20), (2, 2, 7, 10), (2, 2, 3, 5)]
    sum(flow.square().sum() for flow in flows).backward()
    assert all(parameter.grad.any() for parameter in network.parameters())


def test_names_and_shapes_are_those_of_the_published_weights(network):
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(shapes) == 36
    assert shapes['spike_representation.conv_s1.0.weight'] == (32, 25, 3, 3)
    assert shapes['feature_encoder.conv_list.3.1.0.weight'] == (128, 128, 3, 3)
    assert shapes['flow_estimators.conv4.0.weight'] == (2, 307, 3, 3)
    assert shapes['conv_1x1.0.0.weight'] == (32, 128, 1, 1)
    assert sum(value.numel() for value in network.state_dict().values()) == 803_320


def test_a_checkpoint_is_loaded_as_the_published_one_is_packed(network, tmp_path):
    torch.save({'epoch': 40, 'arch': 'scflow', 'state_dict': network.state_dict()}, tmp_path / 'flow.pth.tar')
    loaded = SCFlow(str(tmp_path / 'flow.pth.tar')).eval()
    for found, expected in zip(loaded(*windows()), network(*windows()), strict=True):
        assert torch.equal(found, expected)
    torch.save({'state_dict': {'other': torch.zeros(1)}}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match='SCFlow'):
        SCFlow(str(tmp_path / 'other.pth'))


def test_the_correlation_is_largest_at_the_displacement():
    reference = torch.randn(1, 64, 16, 16, generator=torch.Generator().manual_seed(0))
    neighbour = reference.roll((3, -2), dims=(2, 3))  # 3 down, 2 left
    best = correlation(reference, neighbour)[..., 5:-5, 5:-5].argmax(dim=1)
    assert (best == 9 * (3 + 4) + (-2 + 4)).all()


def test_the_published_weights_see_motion():
    network = SCFlow(str(real_file('scflow/dt10_e40.pth.tar'))).eval()
    texture = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(1))
    texture = torch.nn.functional.interpolate(texture, size=(192, 192), mode='bicubic').clamp(0, 1)[0, 0]
    charge, spikes = torch.rand(96, 96, generator=torch.Generator().manual_seed(2)) * 2, []
    for step in range(45):  # half a pixel to the right in each step
        charge = charge + texture[40:136, 40 - step // 2 + 20 : 136 - step // 2 + 20]
        spikes.append((charge >= 2).float())
        charge = charge - 2 * spikes[-1]
    reference, neighbour = (torch.stack(spikes[start : start + STEPS])[None] for start in (0, 10))
    with torch.no_grad():
        flow = network(reference, neighbour)[0][..., 20:-20, 20:-20].mean((0, 2, 3))
    assert flow.tolist() == pytest.approx([5, 0], abs=1)
