import pytest
import torch
from torch import nn

from vrtspike import export
from vrtspike.errors import ConfigError
from vrtspike.export import REFERENCES, example_inputs, export_network
from vrtspike.models import VRT, SpikeRestorer, VRTLite
from vrtspike.ops import use_backends
from vrtspike.testing.sweep import TINY_BACKBONE


def vrt():
    """Return a deblurring network with every part, as small as it gets."""
    torch.manual_seed(0)
    model = VRT(**TINY_BACKBONE | dict(depths=[2] + [1] * 7, deformable_groups=1))
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3)
    nn.init.normal_(model.conv_last.weight, std=0.05)
    return model.eval()


def lite():
    torch.manual_seed(0)
    model = VRTLite(embed_dims=[4] * 7, depths=[1, 0, 0, 0, 0, 0, 0])
    nn.init.normal_(model.conv_last.weight)
    return model.eval()


def clip(seed, height=16):
    return torch.rand(1, 2, 3, height, 16, generator=torch.Generator().manual_seed(seed))


class Mean(nn.Module):
    def forward(self, x):
        return x - x.mean()


def test_a_program_computes_what_the_network_does(tmp_path):
    model = lite()
    assert export_network(model, (clip(0),), tmp_path / 'net.pt2').difference < 1e-6
    program = torch.export.load(tmp_path / 'net.pt2').module()
    torch.testing.assert_close(program(clip(1)), model(clip(1)))


@pytest.mark.slow
def test_the_deblurring_network_as_a_program_with_reference_operators(tmp_path):
    """Attention in shifted windows, deformable convolution and floor and ceil of the flow, on another clip."""
    model = vrt()
    export_network(model, (clip(0),), tmp_path / 'net.pt2')
    program = torch.export.load(tmp_path / 'net.pt2').module()
    with torch.no_grad(), use_backends(**REFERENCES):
        expected = model(clip(1))
        assert (expected - clip(1)).abs().mean() > 0.01
        torch.testing.assert_close(program(clip(1)), expected)


@pytest.mark.slow
@pytest.mark.parametrize('make', [lite, vrt])
def test_onnx_computes_what_the_network_does(make, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    model = make()
    assert export_network(model, (clip(0),), tmp_path / 'net.onnx').difference < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / 'net.onnx', providers=['CPUExecutionProvider'])
    found = session.run(None, {session.get_inputs()[0].name: clip(1).numpy()})[0]
    with torch.no_grad(), use_backends(**REFERENCES):
        expected = model(clip(1))
    assert (expected - clip(1)).abs().mean() > 0.01
    assert (torch.from_numpy(found) - expected).abs().mean() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ('make', 'example', 'smallest', 'others'),
    [
        (lite, (4, 24, 32), (3, 9, 9), [(3, 24, 32), (5, 28, 44), (4, 33, 47)]),
        (vrt, (4, 40, 48), (3, 33, 33), [(3, 40, 48), (5, 44, 60), (4, 49, 63)]),
    ],
)
def test_onnx_with_any_number_of_frames_height_and_width(make, example, smallest, others, tmp_path):
    """Also sizes that the network pads, and fewer frames than in the example."""
    onnxruntime = pytest.importorskip('onnxruntime')

    def clip_of(frames, height, width):
        return torch.rand(1, frames, 3, height, width, generator=torch.Generator().manual_seed(0))

    model = make()
    report = export_network(model, (clip_of(*example),), tmp_path / 'net.onnx', dynamic=True)
    assert report.difference < 1e-5
    assert report.smallest == smallest
    session = onnxruntime.InferenceSession(tmp_path / 'net.onnx', providers=['CPUExecutionProvider'])
    for x in (clip_of(*shape) for shape in others):
        found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
        with torch.no_grad(), use_backends(**REFERENCES):
            expected = model(x)
        assert (torch.from_numpy(found) - expected).abs().mean() < 1e-5


class TwoSizes(nn.Module):
    """A network that works differently from 32 pixels of height on."""

    def forward(self, x):
        return x * 2 if x.shape[3] < 32 else x * 3


class OneLength(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 1, 1, 1))

    def forward(self, x):
        return x * self.weight


def test_dynamic_sizes_are_compared_at_larger_ones(tmp_path):
    report = export_network(Mean(), (clip(0),), tmp_path / 'net.pt2', dynamic=True)
    assert report.smallest is not None
    program = torch.export.load(tmp_path / 'net.pt2').module()
    x = torch.rand(1, 7, 3, 21, 40)
    torch.testing.assert_close(program(x), x - x.mean())


@pytest.mark.parametrize(
    ('network', 'message'),
    [(TwoSizes(), 'only works up to a maximum height'), (OneLength(), 'only works with a number of frames of 2')],
)
def test_networks_of_certain_sizes_are_refused_as_dynamic(tmp_path, network, message):
    with pytest.raises(ConfigError, match=message):
        export_network(network, (clip(0),), tmp_path / 'net.pt2', dynamic=True)
    assert list(tmp_path.iterdir()) == []


def test_inputs_of_restorers_with_and_without_spikes():
    alone = SpikeRestorer(backbone=lite())
    fused = SpikeRestorer(
        backbone=lite(),
        spike_encoder=dict(type='SpikeEncoder3D', bins=3, channels=4),
        fusion=dict(type='TemporalCrossAttention', heads=1),
        fusion_stages=[1],
    )
    assert [tuple(x.shape) for x in example_inputs(alone, (2, 16, 24), (8, 12))] == [(1, 2, 3, 16, 24)]
    shapes = [tuple(x.shape) for x in example_inputs(fused, (2, 16, 24), (8, 12))]
    assert shapes == [(1, 2, 3, 16, 24), (1, 2, 3, 8, 12)]


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r'net\.pth: expected a name that ends in one of \.pt2, \.onnx'):
        export_network(Mean(), (clip(0),), tmp_path / 'net.pth')


def test_onnx_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(export.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ConfigError, match=r"needs onnx, onnxscript, onnxruntime.*pip install 'vrtspike\[onnx\]'"):
        export_network(Mean(), (clip(0),), tmp_path / 'net.onnx')


@pytest.mark.parametrize('wrong', [0.5, float('nan')])
def test_a_graph_that_computes_something_else_is_not_written(tmp_path, monkeypatch, wrong):
    def save(program, path):
        path.write_bytes(b'graph')
        return lambda x: x + wrong

    monkeypatch.setattr(export, 'save_program', save)
    with pytest.raises(ConfigError, match=r'differs by .* nothing was written'):
        export_network(Mean(), (clip(0),), tmp_path / 'net.pt2')
    assert list(tmp_path.iterdir()) == []
