"""The configs that the claims of the performance guide name."""

import copy

import pytest
from made_up_records import CLAIMS, EIGHT, ROOT

from vrtspike.config import load_config
from vrtspike.experiments.variants import read_variants


@pytest.mark.parametrize('network', ['eight', 'v0'])
def test_variants_for_quality_are_the_plans(network):
    plans = CLAIMS['networks'][network]
    named = read_variants(ROOT / f'benchmarks/guide/quality_{network}.yaml')
    wanted = {claim['plan'] for claim in CLAIMS['claims'] if claim['rule'] == 'loss' and claim['network'] == network}
    assert wanted <= {each.name for each in named}
    for each in named:
        resolved = flat(load_config(ROOT / plans['baseline'], overrides=each.overrides).to_dict())
        plan = flat(load_config(ROOT / plans.get(each.name, plans.get('aggressive'))).to_dict())
        differing = {key for key in resolved | plan if resolved.get(key) != plan.get(key)}
        differing.discard('.model.backbone.checkpointing')  # recomputation changes no result
        assert differing == ({'.train_cfg.max_iters'} if each.name == 'longer_training' else set())


@pytest.mark.parametrize('path', sorted({path for plans in CLAIMS['networks'].values() for path in plans.values()}))
def test_every_plan_is_a_valid_config(path):
    assert load_config(ROOT / path).model.type == 'SpikeRestorer'


def test_single_changes_change_one_thing():
    baseline = flat(load_config(ROOT / EIGHT['baseline']).to_dict())
    changes = {
        'window_6': 1,
        'stage8_depth_4': 1,
        'stage2_depth_6': 1,
        'larger_chunks': 2,
        'no_stage1_fusion': 1,
        'plain_attention': 1,
    }
    for name, count in changes.items():
        changed = flat(load_config(ROOT / EIGHT[name]).to_dict())
        assert len([key for key in baseline | changed if baseline.get(key) != changed.get(key)]) == count, name


def flat(node, prefix=''):
    if not isinstance(node, dict):
        return {prefix: copy.deepcopy(node)}
    return {key: value for name, child in node.items() for key, value in flat(child, f'{prefix}.{name}').items()}
