"""Hooks of a config by name."""

import pytest
from mmengine.config import Config

from vrtspike.config import load_config
from vrtspike.config.hooks import REPORTING_HOOKS, hooks_of, remove_reporting_hooks, set_default_hook
from vrtspike.errors import ConfigError

HOOKS = """
_base_ = './base.py'
default_hooks = dict(
    freeze=dict(type='FreezeHook', names=['flow']),
    network_summary=dict(type='NetworkSummaryHook'),
    clip_pictures=dict(type='ClipPicturesHook'),
    training_report=dict(type='TrainingReportHook'),
    flops=dict(type='FlopsHook'),
    stage_cost=dict(type='StageCostHook', interval=10),
)
"""


@pytest.fixture
def shipped(base, write):
    """Return a function that resolves a config with the shipped hooks and overrides."""
    path = write(HOOKS)
    return lambda overrides=None: load_config(path, overrides=overrides)


def test_one_line_changes_a_hook(shipped):
    config = shipped({'default_hooks.stage_cost.interval': 2})
    assert config.default_hooks.stage_cost == dict(type='StageCostHook', interval=2)


def test_none_switches_a_hook_off(shipped):
    config = shipped({'default_hooks.flops': None, 'default_hooks.timer': None})
    assert 'flops' not in config.default_hooks
    assert config.default_hooks.timer is None  # MMEngine would fill it in


def test_a_misspelt_name_is_not_switched_off_silently(shipped):
    with pytest.raises(ConfigError, match=r"default_hooks\.stage_costs: .*did you mean 'stage_cost'"):
        shipped({'default_hooks.stage_costs': None})


@pytest.mark.parametrize('kind', REPORTING_HOOKS.values())
def test_a_shipped_hook_does_not_run_twice(shipped, kind):
    with pytest.raises(ConfigError, match=rf'custom_hooks\.0: {kind} is already there as default_hooks\.'):
        shipped({'custom_hooks': [dict(type=kind)]})


def test_a_config_saved_with_a_list_of_hooks_is_still_read(shipped, tmp_path):
    config = shipped()
    moved = [config.default_hooks.pop(name) for name in ('freeze', *REPORTING_HOOKS)]
    config.custom_hooks = moved
    config.dump(tmp_path / 'old.py')
    again = load_config(tmp_path / 'old.py')
    assert [hook.type for hook in again.custom_hooks] == ['FreezeHook', *REPORTING_HOOKS.values()]
    assert hooks_of(again) == hooks_of(config)


def test_a_hook_is_added_once(shipped):
    config = shipped()
    before = config.to_dict()
    set_default_hook(config, 'another_name', type='FlopsHook')
    assert config.to_dict() == before
    set_default_hook(config, 'bad_samples', type='BadSamplesHook')
    assert config.default_hooks.bad_samples == dict(type='BadSamplesHook')


def test_a_hook_of_the_users_counts_as_well():
    config = Config(dict(custom_hooks=[dict(type='FlopsHook')]))
    set_default_hook(config, 'flops', type='FlopsHook')
    assert list(hooks_of(config)) == ['custom_hooks.0']


def test_hooks_that_only_report_are_removed_wherever_they_are(shipped):
    config = shipped()
    config.custom_hooks = [dict(type='EarlyStoppingHook', monitor='psnr'), dict(type='StageCostHook')]
    remove_reporting_hooks(config, keep=['training_report'])
    kinds = [hook['type'] for hook in hooks_of(config).values()]
    assert set(kinds) & set(REPORTING_HOOKS.values()) == {'TrainingReportHook'}
    assert {'FreezeHook', 'EarlyStoppingHook', 'CheckpointHook'} <= set(kinds)
