import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from vrtspike.config.speed import fuse_optimizer, pin_batches

CONFIGS = Path(__file__).parents[2] / 'configs'


def test_a_shipped_config_gets_the_fused_optimizer_and_pinned_memory():
    config = Config.fromfile(CONFIGS / 'vrt_spike_tiny.py')
    fuse_optimizer(config)
    pin_batches(config)
    assert config.optim_wrapper.optimizer.fused is True
    assert config.train_dataloader.pin_memory is config.val_dataloader.pin_memory is True


@pytest.mark.parametrize('chosen', [{'foreach': True}, {'fused': False}, {'capturable': True}])
def test_what_the_config_chooses_stays(chosen):
    config = {
        'optim_wrapper': {'optimizer': {'type': 'AdamW', **chosen}},
        'train_dataloader': {'pin_memory': False},
        'val_dataloader': None,
    }
    fuse_optimizer(config)
    pin_batches(config)
    assert config['optim_wrapper']['optimizer'] == {'type': 'AdamW', **chosen}
    assert config['train_dataloader'] == {'pin_memory': False}
    assert config['val_dataloader'] is None


def test_an_optimizer_without_a_fused_form_stays():
    config = {'optim_wrapper': {'optimizer': {'type': 'Lion'}}}
    fuse_optimizer(config)
    assert config == {'optim_wrapper': {'optimizer': {'type': 'Lion'}}}


def steps(optimizer, weight, count):
    """Take optimizer steps with gradients that depend on the weight, and return it."""
    for _ in range(count):
        weight.grad = weight.detach().sin()
        optimizer.step()
    return weight.detach().clone()


def adamw(**how):
    weight = torch.nn.Parameter(torch.linspace(-1, 1, 100))
    return torch.optim.AdamW([weight], lr=1e-2, **how), weight


def test_a_fused_optimizer_takes_the_same_steps():
    torch.testing.assert_close(steps(*adamw(fused=True), 50), steps(*adamw(), 50), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('own', [{}, {'fused': True}])
def test_a_checkpoint_is_resumed_with_its_own_implementation(own):
    """So a run from before optimizers were fused goes on as if it had not been interrupted."""
    optimizer, weight = adamw(**own)
    steps(optimizer, weight, 5)
    resumed, resumed_weight = adamw(fused=True)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    resumed_weight.data.copy_(weight.data)
    assert torch.equal(steps(resumed, resumed_weight, 5), steps(optimizer, weight, 5))
