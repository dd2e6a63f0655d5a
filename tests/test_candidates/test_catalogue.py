"""The catalogue: what it imports, what it leaves out, and its stand-in for the baseline."""

import subprocess
import sys
from pathlib import Path

import pytest

from vrtspike.candidates import CHANGES, EXACT, KINDS, Candidate, Purpose, Setting, catalogue
from vrtspike.candidates.baseline import BASELINE
from vrtspike.candidates.candidate import config_lines, is_set, value_at
from vrtspike.candidates.networks import nearest_multiple
from vrtspike.candidates.setting import groups_of_stage
from vrtspike.config import load_config

CONFIGS = Path(__file__).parents[2] / 'configs'


def test_it_imports_no_torch():
    script = 'import sys, vrtspike.candidates, vrtspike.analysis.advice; print("torch" in sys.modules)'
    result = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == 'False'


def test_the_stand_in_has_the_values_of_the_baseline():
    def leaves(node, prefix=''):
        for key, value in node.items():
            if isinstance(value, dict):
                yield from leaves(value, f'{prefix}{key}.')
            else:
                yield f'{prefix}{key}', value

    baseline = load_config(CONFIGS / 'vrt_spike_baseline.py')
    assert is_set(baseline, dict(leaves(BASELINE)))


def test_every_name_is_used_once_and_every_candidate_changes_the_config():
    found = list(catalogue(Setting(config=BASELINE, device='cuda', cores=8, recomputed=['stage1'])))
    assert len({each.name for each in found}) == len(found)
    assert all(each.kind in KINDS and each.overrides for each in found)
    assert not any(is_set(BASELINE, each.overrides) for each in found)
    assert all(not each.resumable for each in found if each.kind == CHANGES and each.purpose == Purpose.STEP_TIME)


def test_purposes_are_a_filter():
    setting = Setting(config=BASELINE, backbone_defaults={'use_checkpoint_attn': False})
    every = list(catalogue(setting))
    assert [each for purpose in Purpose for each in catalogue(setting, purpose)] == every
    # The baseline checkpoints everything and has one clip in a batch.
    assert [each.name for each in catalogue(setting, Purpose.MEMORY)] == ['chunks']


def test_candidates_of_an_empty_config_need_no_model():
    assert {each.kind for each in catalogue(Setting(config={}), Purpose.STEP_TIME)} <= {EXACT, 'precision'}


def test_stages_bound_what_can_be_saved():
    candidate = Candidate(name='a', kind=EXACT, overrides={'b': 1}, stages=r'stage\d|tsa')
    assert candidate.largest_saving({'stage1': 0.5, 'tsa': 0.25, 'fuse1': 0.125}) == 0.75
    assert not candidate.affects('stage10')


@pytest.mark.parametrize(
    ('stage', 'groups', 'expected'), [('stage1', 8, [0]), ('stage8', 8, [7]), ('stage8', 9, [7, 8])]
)
def test_groups_of_a_stage(stage, groups, expected):
    assert list(groups_of_stage(stage, groups)) == expected


@pytest.mark.parametrize(('value', 'of', 'expected'), [(64, 12, 60), (1, 12, 12), (70, 12, 72)])
def test_nearest_multiple(value, of, expected):
    assert nearest_multiple(value, of) == expected


def test_value_at():
    assert value_at({'a': {'b': 1}}, 'a.b') == 1
    assert value_at({'a': 3}, 'a.b') is None


def test_a_replacement_is_set_where_the_node_is_the_same():
    replacement = {'a': {'_delete_': True, 'type': 'B'}}
    assert is_set({'a': {'type': 'B'}}, replacement)
    assert not is_set({'a': {'type': 'B', 'c': 1}}, replacement)


def test_overrides_become_one_line_for_each_top_level_key():
    overrides = {'model.tsa.chunk_size': 256, 'model.fusion': {'type': 'A'}, 'train_cfg.max_iters': 2}
    assert config_lines(overrides) == [
        "model = dict(tsa=dict(chunk_size=256), fusion=dict(type='A'))",
        'train_cfg = dict(max_iters=2)',
    ]
