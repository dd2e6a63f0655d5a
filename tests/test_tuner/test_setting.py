"""Which candidates a search tries on a config, and that each gives a config that loads."""

from pathlib import Path

import pytest
import torch

from vrtspike.candidates import CHANGES, EXACT
from vrtspike.config import load_config
from vrtspike.config.hooks import hooks_of
from vrtspike.tuner.setting import candidates_of, published_path

CONFIGS = Path(__file__).parents[2] / 'configs'
CPU = torch.device('cpu')
SHARES = {'stage3': 0.5, 'stage1': 0.2, 'stage2': 0.1, 'fuse1': 0.1, 'tsa': 0.1}


def candidates(name, overrides=None, objective='train', device=CPU):
    config = load_config(CONFIGS / f'{name}.py', overrides=overrides)
    return {candidate.name: candidate for candidate in candidates_of(config, device, SHARES, objective)}


@pytest.mark.parametrize(
    ('name', 'only'),
    [('vrt_spike_tiny', None), ('vrt_spike_baseline', ('narrower', 'smaller_window', 'half_encoder', 'student'))],
)
def test_every_candidate_gives_a_config_that_loads_and_differs(name, only):
    default = load_config(CONFIGS / f'{name}.py')
    found = candidates(name)
    for candidate in (found[each] for each in only or found):
        changed = load_config(CONFIGS / f'{name}.py', overrides=candidate.overrides)
        assert changed.pretty_text != default.pretty_text, candidate.name


def test_the_costliest_stage_comes_first_and_its_depth_alone_is_halved():
    found = candidates('vrt_spike_baseline')
    assert found['stage3_half_depth'].overrides == {'model.backbone.depths': [8, 8, 4, 8, 4, 4, 4, 8]}
    assert [name for name in found if name.startswith('stage')] == [f'stage{i}_half_depth' for i in (3, 1, 2)]
    assert found['stage3_half_depth'].largest_saving(SHARES) == 0.5
    assert found['half_depth'].largest_saving(SHARES) == pytest.approx(0.8)


def test_one_change_has_one_name():
    found = candidates('vrt_spike_tiny', {'model.backbone.depths': [1, 1, 4, 1, 1, 1, 1, 1]})
    assert found['stage3_half_depth'].overrides == {'model.backbone.depths': [1, 1, 2, 1, 1, 1, 1, 1]}
    assert 'half_depth' not in found


def test_what_a_cpu_cannot_run_is_named_with_its_reason():
    found = candidates('vrt_spike_baseline')
    assert [found[name].unavailable for name in ('attention_flash', 'attention_flex', 'cuda_graphs')] == [
        'no_flash',
        'no_flex',
        'no_graphs',
    ]
    assert candidates('vrt_spike_baseline', objective='infer')['attention_flex'].unavailable == ''
    gpu = candidates('vrt_spike_baseline', device=torch.device('cuda'))
    assert not any(gpu[name].unavailable for name in ('attention_flash', 'attention_flex', 'cuda_graphs', 'compile'))


def test_a_missing_compiler_is_said(monkeypatch):
    monkeypatch.setattr('vrtspike.tuner.setting.shutil.which', lambda name: None)
    assert candidates('vrt_spike_baseline')['compile'].unavailable == 'no_compiler'


@pytest.mark.usefixtures('cpu_with_bfloat16')
def test_what_the_config_does_is_not_proposed():
    assert 'amp' in candidates('vrt_spike_baseline')
    assert 'amp' not in candidates('vrt_spike_amp')
    assert 'no_tsa' not in candidates('vrt_spike_baseline', {'model.tsa': None})
    assert 'attention_sdpa' not in candidates('vrt_spike_baseline', {'model.backbone.attn_type': 'sdpa'})
    convolution = {'model.tsa._delete_': True, 'model.tsa.type': 'TemporalConvolution'}
    assert 'tsa_convolution' not in candidates('vrt_spike_baseline', convolution)
    assert 'flow_in_amp' not in candidates('vrt_spike_tiny')
    assert candidates('vrt_spike_tiny')['checkpointing_none'].unavailable == 'does_already'


def test_a_cpu_without_bfloat16_is_not_advised_to_use_it(monkeypatch):
    monkeypatch.setattr('vrtspike.optim.amp.has_bfloat16', lambda device: False)
    assert not [name for name in candidates('vrt_spike_baseline') if 'amp' in name]


def test_restoring_has_no_checkpointing():
    found = candidates('vrt_spike_baseline', objective='infer')
    assert not [name for name in found if name.startswith('checkpointing')]
    assert not [name for name in found if name.startswith('data')]


@pytest.mark.parametrize(
    ('now', 'cores', 'expected'), [(1, 1, [0]), (4, 4, [0, 1, 2]), (0, 3, [1, 2]), (4, 64, [0, 1, 2, 8, 16])]
)
def test_workers_are_at_most_one_a_core(monkeypatch, now, cores, expected):
    monkeypatch.setattr('vrtspike.tuner.setting.usable_cores', lambda: cores)
    found = candidates('vrt_spike_baseline', {'train_dataloader.num_workers': now})
    assert [name for name in found if name.startswith('data')] == [f'data_workers_{n}' for n in expected]
    assert all(found[f'data_workers_{n}'].overrides['train_dataloader.persistent_workers'] for n in expected)


@pytest.mark.usefixtures('cpu_with_bfloat16')
@pytest.mark.parametrize('name', ['vrt_spike_baseline', 'vrt_spike_amp', 'vrt_spike_lite'])
def test_restoring_has_a_precision_of_its_own(name):
    found = candidates(name, objective='infer')
    for each in ('restoring_amp', 'restoring_flow_in_amp')[: 1 if name == 'vrt_spike_lite' else 2]:
        config = load_config(CONFIGS / f'{name}.py', overrides=found[each].overrides)
        assert config.model.tiling.precision == 'bfloat16'
        assert config.optim_wrapper == load_config(CONFIGS / f'{name}.py').optim_wrapper
    already = {'model.tiling': dict(precision='bfloat16')}
    assert 'restoring_amp' not in candidates(name, already, objective='infer')
    plain = published_path(load_config(CONFIGS / 'vrt_spike_tiny.py', overrides=already))
    assert plain['model.tiling.precision'] == 'float32'
    compiled = load_config(CONFIGS / 'vrt_spike_tiny.py', overrides={'model.backbone.compile_mode': 'default'})
    assert published_path(compiled)['model.backbone.compile_mode'] is None


def test_a_student_does_not_freeze_what_it_lacks():
    found = candidates('vrt_spike_tiny')['student']
    config = load_config(CONFIGS / 'vrt_spike_tiny.py', overrides=found.overrides)
    frozen = [hook.names for hook in hooks_of(config).values() if hook.type == 'FreezeHook']
    assert frozen == [['backbone.flow']]
    assert found.kind == CHANGES


def test_other_backbones_have_their_own_candidates():
    found = candidates('vrt_spike_lite')
    assert 'student' not in found
    assert not any(name.startswith(('attention', 'checkpointing')) for name in found)
    chunky = candidates(
        'vrt_spike_lite', {'model.fusion': {'_delete_': True, 'type': 'TemporalCrossAttention', 'chunk_size': 2}}
    )
    assert chunky['fusion_chunks'].kind == EXACT


def test_the_published_path_is_plain_and_in_float32():
    config = load_config(CONFIGS / 'vrt_spike_tiny.py')
    plain = load_config(CONFIGS / 'vrt_spike_tiny.py', overrides=published_path(config))
    assert plain.model.backbone.attn_type == 'reference'
    assert plain.optim_wrapper.type == 'OptimWrapper'
    assert plain.optim_wrapper.optimizer == config.optim_wrapper.optimizer
    assert published_path(load_config(CONFIGS / 'vrt_spike_lite.py')) is None
