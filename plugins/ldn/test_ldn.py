from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vrtspike.config import load_config
from vrtspike.errors import DataError
from vrtspike.inference.restoring import restore
from vrtspike.models.weights import read_weights
from vrtspike.plugins import load_plugins
from vrtspike.profiling.parameters import count_parameters
from vrtspike.profiling.stages import listening
from vrtspike.registry import MODELS

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / 'shared'
PUBLISHED, GOLDEN = SHARED / 'real/ssdm/DeblurNet_100.pth', SHARED / 'golden/ldn.npz'
with_weights = pytest.mark.skipif(not PUBLISHED.is_file(), reason=f'the published weights are not at {PUBLISHED}')


@pytest.fixture(autouse=True)
def loaded():
    load_plugins([str(HERE)])


def restorer():
    torch.manual_seed(0)
    return MODELS.build(dict(type='LDNRestorer')).eval()


def raw_spikes(*shape):
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(1)).float()


def test_has_the_size_of_the_published_network():
    assert count_parameters(restorer()) == 234_158


@with_weights
@pytest.mark.skipif(not GOLDEN.is_file(), reason=f'the golden case is not at {GOLDEN}')
def test_published_weights_load_strictly_and_compute_what_they_should():
    network = restorer().backbone.double()
    network.load_state_dict(read_weights(PUBLISHED), strict=True)
    case = np.load(GOLDEN)
    with torch.inference_mode():
        out = network(torch.from_numpy(case['blur']), torch.from_numpy(case['spike']).double())
    np.testing.assert_allclose(out.numpy(), case['out'], rtol=0, atol=1e-6)


def test_restores_every_frame_by_itself():
    model, blur, spikes = restorer(), torch.rand(2, 3, 3, 16, 24), raw_spikes(2, 3, 21, 4, 6)
    together = model(blur, spikes)
    assert together.shape == blur.shape
    torch.testing.assert_close(together[1, 2], model.backbone(blur[1, 2:], spikes[1, 2:])[0])


def test_spikes_of_another_size_are_encoded_at_that_size_and_then_resized():
    network, blur, spikes = restorer().backbone, torch.rand(1, 3, 16, 24), raw_spikes(1, 21, 8, 12)
    encoded = network.spike_enc2(network.spike_enc(spikes))
    resized = F.interpolate(encoded, size=(4, 6), mode='bilinear', align_corners=False)
    network.spike_enc, expected = torch.nn.Identity(), network(blur, spikes)
    network.spike_enc2 = torch.nn.Identity()
    torch.testing.assert_close(network(blur, resized), expected)


def test_every_parameter_learns():
    model = restorer().train()
    frames = torch.rand(1, 2, 3, 16, 16)
    model(frames, raw_spikes(1, 2, 21, 4, 4), torch.zeros_like(frames), mode='loss')['loss'].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize('spikes', [None, torch.zeros(1, 1, 8, 4, 4)])
def test_other_than_raw_steps_are_refused(spikes):
    with pytest.raises(DataError, match=r"expected 21 raw steps .*type='RawWindow', length=21"):
        restorer()(torch.rand(1, 1, 3, 16, 16), spikes)


class Recorder:
    def __init__(self):
        self.begun = []

    def forward_begins(self, name):
        self.begun.append(name)

    def forward_ends(self, name):
        pass

    backward_begins = backward_ends = forward_ends


def test_marks_the_stages_that_it_names():
    model, frames = restorer(), torch.rand(1, 1, 3, 16, 16)
    with listening(Recorder()) as recorder:
        model(frames, raw_spikes(1, 1, 21, 4, 4), frames, mode='loss')
    assert tuple(recorder.begun) == model.cost_stages()


@with_weights
def test_published_weights_restore_a_clip():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 36, 28, 3), dtype=np.uint8)
    spikes = rng.integers(0, 2, (2, 33, 9, 7), dtype=np.uint8)
    config = HERE / 'config.py'
    restored = restore(frames, spikes, PUBLISHED, config=config)
    assert restored.shape == frames.shape
    assert load_config(config).model.type == 'LDNRestorer'
