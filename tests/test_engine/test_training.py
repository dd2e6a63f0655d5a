from typing import ClassVar

import pytest
import torch
from mmengine.config import Config
from torch import nn

from vrtspike.engine import training
from vrtspike.engine.run_folder import LATEST
from vrtspike.engine.training import (
    check_schedules,
    kernels_of,
    schedule_text,
    train,
    wants_cpu_overrides,
    with_amp,
)
from vrtspike.errors import ConfigError
from vrtspike.models.layers.attention import WindowAttention
from vrtspike.native.build import Kernel
from vrtspike.ops.trial_outcomes import VARIABLE, measures
from vrtspike.ops.window_attention.native import SOURCE


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_resume_and_load_from_exclude_each_other():
    with pytest.raises(ConfigError, match='give one of them'):
        train(Config(), resume=LATEST, load_from='weights.pth')


class TestSchedules:
    WARM_UP: ClassVar = dict(type='LinearLR', by_epoch=False, begin=0, end=40)
    COSINE: ClassVar = dict(type='CosineAnnealingLR', by_epoch=False, begin=40)

    def test_one_that_would_never_begin_is_refused(self):
        config = Config(dict(param_scheduler=[self.WARM_UP, self.COSINE], train_cfg=dict(max_iters=3)))
        message = r'param_scheduler\[1\] \(CosineAnnealingLR\) begins at iteration 40, but train_cfg.max_iters is 3'
        with pytest.raises(ConfigError, match=message):
            check_schedules(config)

    @pytest.mark.parametrize(
        'config',
        [
            dict(),
            dict(param_scheduler=[WARM_UP, COSINE], train_cfg=dict(max_iters=41)),
            dict(param_scheduler=[dict(COSINE, by_epoch=True)], train_cfg=dict(max_iters=3)),
            dict(param_scheduler=dict(WARM_UP), train_cfg=dict(max_iters=3)),
            dict(param_scheduler=[COSINE]),
        ],
    )
    def test_others_pass(self, config):
        check_schedules(Config(config))

    @pytest.mark.parametrize(
        ('schedules', 'text'),
        [
            (
                [WARM_UP, COSINE],
                'warm-up (LinearLR) in iterations 1 to 40, CosineAnnealingLR in iterations 41 to 600',
            ),
            (dict(WARM_UP), 'warm-up (LinearLR) in iterations 1 to 40'),
            ([dict(COSINE, begin=0)], 'CosineAnnealingLR in iterations 1 to 600'),
            ([dict(COSINE, by_epoch=True)], ''),
            ([], ''),
        ],
    )
    def test_the_log_says_which_schedule_runs_when(self, schedules, text):
        assert schedule_text(Config(dict(param_scheduler=schedules, train_cfg=dict(max_iters=600)))) == text


@pytest.mark.parametrize(
    ('refused', 'gpu', 'wanted'), [(False, False, True), (True, False, False), (False, True, False)]
)
def test_cpu_overrides_are_for_machines_without_a_gpu_unless_refused(monkeypatch, refused, gpu, wanted):
    monkeypatch.setattr(training.torch.cuda, 'is_available', lambda: gpu)
    assert wants_cpu_overrides(refused) is wanted


@pytest.mark.parametrize(('name', 'number'), [('max_iters', 0), ('max_epochs', -1), ('val_interval', 0)])
def test_a_training_without_length_is_refused(name, number):
    with pytest.raises(ConfigError, match=rf'train_cfg\.{name} is {number}, expected 1 or more'):
        train(Config(dict(train_cfg={name: number})))


@pytest.mark.parametrize('setting', [None, True, False])
def test_backends_are_measured_as_the_config_says(monkeypatch, setting):
    monkeypatch.delenv(VARIABLE, raising=False)
    seen = []
    monkeypatch.setattr(training, 'run_with_auto_fit', lambda *_: seen.append(measures(torch.zeros(1))))
    train(Config(dict(env_cfg=dict(measure_backends=setting))), work_dir='run')
    assert seen == [setting is True]
    assert not measures(torch.zeros(1))


def test_a_setting_that_is_no_flag_is_refused():
    with pytest.raises(ConfigError, match=r"env_cfg\.measure_backends is 'often': expected True, False or None"):
        train(Config(dict(env_cfg=dict(measure_backends='often'))))


class TestAmp:
    @pytest.mark.parametrize('wrapper', [{}, {'type': 'OptimWrapper'}, {'type': 'DeviceAmpOptimWrapper'}])
    def test_the_wrapper_is_replaced(self, wrapper):
        config = Config(dict(optim_wrapper=wrapper))
        with_amp(config)
        assert config.optim_wrapper.type == 'DeviceAmpOptimWrapper'

    def test_another_wrapper_is_not_replaced_in_silence(self):
        with pytest.raises(ConfigError, match="the config has 'MyWrapper'"):
            with_amp(Config(dict(optim_wrapper=dict(type='MyWrapper'))))


@pytest.mark.parametrize(
    ('backend', 'channels', 'widths'),
    [('auto', 16, [4, 8]), ('native', 12, [4, 8]), ('sdpa', 16, []), ('auto', 260, [])],
)
def test_kernels_that_a_network_will_call_are_known_beforehand(backend, channels, widths):
    attention = [WindowAttention(channels, (2, 4, 4), 2, mutual=True, attn_type=backend) for _ in range(2)]
    assert kernels_of(nn.Sequential(*attention)) == [Kernel(SOURCE, (f'WIDTH={width}',)) for width in widths]
    assert kernels_of(nn.Sequential(*attention).to('meta')) == []
    assert kernels_of(dict(type='SpikeRestorer')) == []
