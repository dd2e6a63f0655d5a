from pathlib import Path

import pytest
from mmengine.config import Config

from vrtspike.config.gpu import set_gpu_defaults

CONFIGS = Path(__file__).parents[2] / 'configs'


def test_a_shipped_config_gets_the_fused_optimizer_and_pinned_memory():
    config = Config.fromfile(CONFIGS / 'vrt_spike_tiny.py')
    set_gpu_defaults(config)
    assert config.optim_wrapper.optimizer.fused is True
    assert config.train_dataloader.pin_memory is config.val_dataloader.pin_memory is True


@pytest.mark.parametrize('chosen', [{'foreach': True}, {'fused': False}, {'capturable': True}])
def test_what_the_config_chooses_stays(chosen):
    config = {
        'optim_wrapper': {'optimizer': {'type': 'AdamW', **chosen}},
        'train_dataloader': {'pin_memory': False},
        'val_dataloader': None,
    }
    set_gpu_defaults(config)
    assert config['optim_wrapper']['optimizer'] == {'type': 'AdamW', **chosen}
    assert config['train_dataloader'] == {'pin_memory': False}
    assert config['val_dataloader'] is None


def test_an_optimizer_without_a_fused_form_stays():
    config = {'optim_wrapper': {'optimizer': {'type': 'Lion'}}}
    set_gpu_defaults(config)
    assert config == {'optim_wrapper': {'optimizer': {'type': 'Lion'}}}
