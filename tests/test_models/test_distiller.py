import copy

import pytest
import torch
from mmengine.registry import init_default_scope

from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.models import DistilledRestorer, SpikeRestorer
from vrtspike.models.distiller import recorded_features
from vrtspike.registry import MODELS

STUDENT = dict(
    backbone=dict(type='VRTLite', embed_dims=[8] * 7, depths=[0] * 7),
    spike_encoder=dict(type='SpikeEncoder3D', bins=4, channels=8),
    fusion=dict(type='TemporalCrossAttention', heads=4, time_slope=6.0),
    fusion_stages=[1],
)
TEACHER = dict(STUDENT, type='SpikeRestorer', backbone=dict(type='VRTLite', embed_dims=[8] * 7, depths=[1] * 7))


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('vrtspike')
    torch.manual_seed(0)


@pytest.fixture
def teacher(tmp_path):
    """The node and the checkpoint of a teacher that changes its input."""
    net = MODELS.build(TEACHER)
    torch.nn.init.normal_(net.backbone.conv_last.weight, std=0.1)
    torch.save({'state_dict': net.state_dict()}, tmp_path / 'teacher.pth')
    return dict(teacher=dict(TEACHER), teacher_checkpoint=str(tmp_path / 'teacher.pth'))


@pytest.fixture
def batch():
    blur = torch.rand(2, 2, 3, 16, 16)
    return dict(blur=blur, spikes=torch.rand(2, 2, 4, 8, 8), sharp=blur.roll(1, 3), size=(14, 16))


def distilled(teacher, **changes):
    return DistilledRestorer(**teacher, **STUDENT, **changes)


def test_losses_are_those_of_their_formulas(teacher, batch):
    net = distilled(teacher, output_weight=2.0, feature_weight=0.5, feature_stages=[1, 7])
    losses = net(**batch, mode='loss')
    plain = SpikeRestorer(**STUDENT)
    plain.load_state_dict(net.state_dict())
    assert losses['restoration_loss'] == plain(**batch, mode='loss')['loss']
    taught, found = net.teacher.module(**batch), net(**batch)
    torch.testing.assert_close(losses['output_distillation_loss'], 2 * (taught - found).abs().mean())
    with recorded_features(net.teacher.module, [1, 7]) as taught, recorded_features(net, [1, 7]) as found:
        net.teacher.module(**batch)
        net(**batch)
    relative = [(found[i] - taught[i]).abs().mean() / taught[i].abs().mean() for i in (1, 7)]
    torch.testing.assert_close(losses['feature_distillation_loss'], 0.5 * sum(relative) / 2)


def test_a_teacher_of_itself_has_nothing_to_say(teacher, batch):
    net = DistilledRestorer(
        **teacher, **{key: value for key, value in TEACHER.items() if key != 'type'}, feature_weight=1.0
    )
    net.load_state_dict(net.teacher.module.state_dict())
    losses = net(**batch, mode='loss')
    assert losses['output_distillation_loss'] == losses['feature_distillation_loss'] == 0


def test_only_the_student_learns_and_only_it_is_saved(teacher, batch):
    net = distilled(teacher, feature_weight=1.0).train()
    before = copy.deepcopy(net.teacher.module.state_dict())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sum(net(**batch, mode='loss').values()).backward()
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in net.teacher.module.state_dict().items())
    assert not net.teacher.module.training
    assert net.state_dict().keys() == SpikeRestorer(**STUDENT).state_dict().keys()
    assert copy.deepcopy(net).teacher.module is net.teacher.module


def test_the_teacher_follows_precision(teacher):
    net = distilled(teacher).double()
    assert {p.dtype for p in net.teacher.module.parameters()} == {torch.float64}


def test_it_predicts_as_the_student(teacher, batch):
    net = distilled(teacher).eval()
    plain = SpikeRestorer(**STUDENT).eval()
    plain.load_state_dict(net.state_dict())
    assert torch.equal(net(**batch, mode='predict')[0]['restored'], plain(**batch, mode='predict')[0]['restored'])


def test_features_of_other_widths_are_refused(teacher):
    wider = dict(STUDENT, backbone=dict(type='VRTLite', embed_dims=[8, 8, 8, 16, 8, 8, 8], depths=[0] * 7))
    with pytest.raises(ConfigError, match='features after stage 4 cannot be compared'):
        DistilledRestorer(**teacher, **wider, feature_weight=1.0, feature_stages=[1, 4])
    DistilledRestorer(**teacher, **wider, feature_weight=0.0, feature_stages=[1, 4])


def test_both_networks_start_from_the_same_frame(teacher):
    with pytest.raises(ConfigError, match='student takes 6 channels and the teacher 3'):
        distilled(teacher, start='sdm')
    with pytest.raises(ConfigError, match='the same start'):
        distilled(teacher, start='spikes')


def test_a_checkpoint_of_another_network_is_refused(teacher, tmp_path):
    torch.save({'state_dict': SpikeRestorer(**STUDENT).state_dict()}, tmp_path / 'other.pth')
    message = r'other\.pth \(teacher_checkpoint\) does not fit the network\. Weights: \d+ missing'
    with pytest.raises(CheckpointError, match=message):
        distilled(teacher | {'teacher_checkpoint': str(tmp_path / 'other.pth')})


def test_a_built_teacher_keeps_its_weights(teacher, batch):
    network = MODELS.build(TEACHER)
    net = DistilledRestorer(teacher=network, **STUDENT)
    assert net.teacher.module is network
    network.load_state_dict(torch.load(teacher['teacher_checkpoint'], weights_only=True)['state_dict'])
    torch.testing.assert_close(net(**batch, mode='loss'), distilled_like(net, teacher)(**batch, mode='loss'))


def distilled_like(net, teacher):
    other = distilled(teacher)
    other.load_state_dict(net.state_dict())
    return other


def test_a_path_in_place_of_a_teacher_is_explained():
    with pytest.raises(ConfigError, match=r"teacher='absent\.py' is a path; vrtspike\.config\.load_config replaces it"):
        DistilledRestorer(teacher='absent.py', **STUDENT)
