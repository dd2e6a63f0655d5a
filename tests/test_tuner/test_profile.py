"""Shares of the stages, of an iteration and of restoring."""

from types import SimpleNamespace

import pytest
from mmengine.config import Config

from vrtspike.analysis.statistics.stage_shares import Bottleneck
from vrtspike.tuner.profile import Profile, bottlenecks_of, profile_hooks

STAGES = {'data': 5.0, 'stage1': 30.0, 'fuse1': 10.0, 'loss': 2.0, 'optimizer': 50.0, 'reconstruction': None}
COSTLIEST = Bottleneck(stage='optimizer', share=0.9, share_interval=[0.8, 1.0], ahead_of_next=1.0, level='severe')
REPORT = SimpleNamespace(
    bottlenecks=[COSTLIEST],
    stages={name: SimpleNamespace(forward_ms=ms and SimpleNamespace(mean=ms)) for name, ms in STAGES.items()},
)


def test_restoring_is_the_forward_pass_of_the_network():
    found = bottlenecks_of(REPORT, 'infer')
    assert [entry.stage for entry in found] == ['stage1', 'fuse1']
    assert Profile(bottlenecks=found).shares == pytest.approx({'stage1': 0.75, 'fuse1': 0.25})


def test_training_is_the_whole_iteration():
    assert Profile(bottlenecks=bottlenecks_of(REPORT, 'train')).shares == {'optimizer': 0.9}


def test_a_profile_keeps_what_changes_the_network_and_samples_every_iteration():
    freeze, counter = dict(type='FreezeHook', names=['backbone.spynet']), dict(type='FlopsHook')
    for default, custom in (({'freeze': freeze}, [counter]), ({'flops': counter}, [freeze])):
        default |= {'logger': dict(type='LoggerHook'), 'network_summary': dict(type='NetworkSummaryHook')}
        default |= {'stage_cost': dict(type='StageCostHook', interval=10)}
        config = Config({'default_hooks': default, 'custom_hooks': [*custom, dict(type='ClipPicturesHook')]})
        profile_hooks(config)
        hooks = {hook.type: hook for hook in [*config.default_hooks.values(), *config.custom_hooks]}
        assert set(hooks) == {'LoggerHook', 'FreezeHook', 'FlopsHook', 'TrainingReportHook', 'StageCostHook'}
        assert len(config.default_hooks) + len(config.custom_hooks) == len(hooks)
        assert hooks['StageCostHook'].interval == 1
