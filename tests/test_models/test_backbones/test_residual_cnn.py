import pytest
import torch

from tests.tiny_networks import awake
from vrtspike.errors import ConfigError
from vrtspike.models import ResidualCNN, SpikeRestorer
from vrtspike.models.backbones.residual_cnn import halved
from vrtspike.models.layers.maps import to_frames
from vrtspike.testing import check_backbone


def test_keeps_what_a_backbone_promises():
    check_backbone(dict(type='ResidualCNN', channels=4, depths=(1, 1)))


@pytest.mark.parametrize('size', [(8, 8), (7, 9)])
def test_untrained_it_is_the_identity(size):
    clip = torch.rand(1, 2, 3, *size)
    assert torch.equal(ResidualCNN()(clip), clip)


def test_untrained_it_returns_the_first_of_several_inputs():
    clip = torch.rand(1, 2, 6, 8, 8)
    assert torch.equal(ResidualCNN(in_chans=6)(clip), clip[:, :, :3])


def test_stages_before_the_estimates_see_the_blurred_frame_alone():
    torch.manual_seed(0)
    model = awake(ResidualCNN(in_chans=9, channels=4, depths=(1, 1), estimates_after=1))
    clip = torch.rand(1, 2, 9, 8, 8)
    blurred_alone = model.first(halved(clip[0, :, 6:]))
    features = {}
    model(clip, fuse=lambda i, x: features.setdefault(i, x))
    assert torch.equal(to_frames(features[0]), blurred_alone)
    expected = model.stages[0](blurred_alone) + model.estimates(halved(clip[0, :, :6]))
    torch.testing.assert_close(to_frames(features[1]), expected)
    assert model.parts_of_blur_alone(2) == [model.first, model.stages[0]]
    assert ResidualCNN(in_chans=9).parts_of_blur_alone(1) == []
    assert 'estimates' in [row['part'] for row in model.summary_rows()]


def test_maps_stay_in_channels_last():
    """From the first convolution to the last, no map is copied into another layout."""
    encoder = dict(type='FrameSpikeEncoder', bins=4, channels=8)
    backbone = dict(type='ResidualCNN', channels=8, depths=[2])
    model = SpikeRestorer(backbone, encoder, fusion=dict(type='ConcatFusion'), fusion_stages=[0])
    layouts = []
    for module in (model.backbone.stages[0], model.backbone.last):
        module.register_forward_pre_hook(lambda _, args: layouts.append(args[0]))
    model(torch.rand(2, 2, 3, 16, 16), torch.rand(2, 2, 4, 8, 8))
    assert [x.is_contiguous(memory_format=torch.channels_last) for x in layouts] == [True, True]


def test_a_summary_row_per_part():
    rows = ResidualCNN(channels=4, depths=(1, 2)).summary_rows()
    assert [row['part'] for row in rows] == ['input', 'stage1', 'stage2', 'reconstruction']
    assert [row['parameters'] for row in rows] == [436, 296, 592, 444]


@pytest.mark.parametrize(
    'argument',
    [
        dict(channels=0),
        dict(depths=[1, 0]),
        dict(in_chans=1),
        dict(estimates_after=1),
        dict(estimates_after=3, in_chans=6),
    ],
)
def test_numbers_that_cannot_work_are_refused(argument):
    with pytest.raises(ConfigError, match=f'ResidualCNN.*{next(iter(argument))}'):
        ResidualCNN(**argument)
