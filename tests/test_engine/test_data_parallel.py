import pytest
import torch
from mmengine.config import Config

from vrtspike.engine.data_parallel import configure_data_parallel, freezes_parameters

FREEZES = dict(type='FreezeHook', names=['backbone'])


def wrapper_of(**settings):
    config = Config(settings)
    configure_data_parallel(config)
    return config.get('model_wrapper_cfg')


@pytest.mark.parametrize('gpu', [True, False])
def test_without_a_gpu_the_wrapper_gets_no_device(monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    wrapper = wrapper_of()
    assert (wrapper.type, wrapper.broadcast_buffers) == ('MMDistributedDataParallel', False)
    assert ('device_ids' in wrapper) is not gpu
    assert 'find_unused_parameters' not in wrapper


@pytest.mark.parametrize(
    'settings',
    [
        dict(find_unused_parameters=True),
        dict(custom_hooks=[FREEZES]),
        dict(default_hooks=dict(freeze=FREEZES)),
    ],
)
def test_frozen_parameters_may_be_unused(settings):
    assert wrapper_of(**settings).find_unused_parameters


def test_the_config_has_the_last_word():
    wrapper = wrapper_of(custom_hooks=[FREEZES], model_wrapper_cfg=dict(type='Own', find_unused_parameters=False))
    assert (wrapper.type, wrapper.find_unused_parameters) == ('Own', False)
    assert wrapper_of(runner_type='FlexibleRunner') is None


def test_a_config_without_the_hook_freezes_nothing():
    assert not freezes_parameters(Config(dict(custom_hooks=[dict(type='EMAHook')])))
