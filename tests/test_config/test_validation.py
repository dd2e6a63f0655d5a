import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from vrtspike import registry
from vrtspike.config import check_config
from vrtspike.config.schema import nested_schemas, top_level_keys, top_level_schemas
from vrtspike.config.validation import look_up
from vrtspike.errors import RegistryError


def resolved() -> dict:
    """Return a correct config as the loader hands it over."""
    clips = {'type': 'FakeClips'}
    return {
        'data': clips,
        'model': {
            'type': 'FakeRestorer',
            'backbone': {'type': 'FakeBackbone', 'depths': [2]},
            'fusion': {'type': 'FakeAttentionHead', 'heads': 4},
        },
        'train_dataloader': {
            'batch_size': 2,
            'dataset': {
                'type': 'ClipDataset',
                'source': dict(clips),
                'split': 'train',
                'pipeline': [{'type': 'FakeFlip', 'probability': 0.1}],
            },
            'sampler': {'type': 'InfiniteSampler'},
        },
        'optim_wrapper': {
            'type': 'OptimWrapper',
            'optimizer': {'type': 'AdamW', 'lr': 1e-3},
            'clip_grad': {'max_norm': 1.0},
        },
        'param_scheduler': [{'type': 'CosineAnnealingLR', 'T_max': 5}],
        'train_cfg': {'by_epoch': False, 'max_iters': 5},
        'default_hooks': {'checkpoint': {'type': 'CheckpointHook', 'interval': 5}, 'timer': None},
    }


def changed(path: str, value) -> dict:
    """Return the correct config with one dotted key set."""
    config = Config(resolved())
    config.merge_from_dict({path: value})
    return config.to_dict()


def problems(path: str, value) -> list[str]:
    return check_config(changed(path, value)).problems


def test_correct_config_has_no_findings():
    findings = check_config(resolved())
    assert findings.problems == []
    assert findings.notes == []


def test_nothing_is_changed():
    config = resolved()
    check_config(config)
    assert config == resolved()


def test_all_problems_are_found_at_once():
    config = resolved()
    config['modle'] = 1
    config['model']['backbone'] = {'type': 'FakeBackbone', 'windw': 4}
    config['model']['fusion']['type'] = 'FakeAttentionHed'
    found = check_config(config).problems
    assert found[0].startswith("model.backbone.windw: Backbone takes no 'windw'; did you mean 'window'?")
    assert found[1] == "model.backbone: Backbone needs 'depths'"
    assert found[2].startswith('model.fusion.type: no fusion head is called')
    assert "'FakeAttentionHead'" in found[2]
    assert found[3].startswith("modle: no such top-level key; did you mean 'model'")
    assert len(found) == 4


@pytest.mark.parametrize(
    ('path', 'value', 'expected'),
    [
        ('model.fuson', {'type': 'FakeGatedHead'}, "did you mean 'fusion'?"),
        ('model.type', 'FakeRestorr', "'FakeRestorer'"),
        ('model.type', 3, '3 is not a type'),
        ('model.type', 'json', "no model is called 'json'"),
        ('model.fusion.channels', 96, 'model.fusion.channels: leave it out'),
        ('model.backbone.type', 'FakeGatedHead', "expected a backbone, but 'FakeGatedHead' is a fusion head"),
        ('model.aligner', {'type': 'FakeBackbone'}, "model.aligner: Backbone needs 'depths'"),
        ('model.data_preprocessor', {'tpye': 'BaseDataPreprocessor'}, "did you mean 'type' by 'tpye'?"),
        ('model.init_cfg', {'type': 'Kaiming', 'mode': 'fan_in', 'layers': 'Conv2d'}, "did you mean 'layer'?"),
        ('data', 'FakeClips', "data: expected dict(...), found 'FakeClips'"),
        ('data.rot', '/data', "data.rot: Clips takes no 'rot'; did you mean 'root'?"),
        ('train_dataloader.batchsize', 2, "DataLoader takes no 'batchsize'; did you mean 'batch_size'"),
        ('train_dataloader.sampler.shufle', True, "InfiniteSampler takes no 'shufle'; did you mean 'shuffle'?"),
        ('train_dataloader.sampler.type', 'InfinitSampler', "'InfiniteSampler'"),
        ('train_dataloader.collate_fn', {'type': 'default_colate'}, "did you mean 'default_collate'"),
        ('train_dataloader.dataset.splt', 'val', "did you mean 'split'?"),
        ('train_dataloader.dataset.pipeline', [{'type': 'FakeFlp'}], 'pipeline.0.type: no transform'),
        ('optim_wrapper.type', 'AmpOptmWrapper', "did you mean 'AmpOptimWrapper'"),
        ('optim_wrapper.optimizer.type', 'AdmW', "'AdamW'"),
        ('optim_wrapper.optimizer.weight_deca', 0.1, "AdamW takes no 'weight_deca'; did you mean 'weight_decay'?"),
        ('optim_wrapper.clip_grad', {'max_nrm': 1.0}, "did you mean 'max_norm'?"),
        ('optim_wrapper.clip_grad', {'type': 'size', 'max_norm': 1.0}, "clip_grad: expected type='norm' or"),
        ('optim_wrapper.paramwise_cfg', {'norm_decy_mult': 0.0}, "did you mean 'norm_decay_mult'"),
        ('optim_wrapper.constructor', 'DefaultOptimWrapperConstructr', "'DefaultOptimWrapperConstructor'"),
        ('param_scheduler', [{'type': 'CosineAnnealingLR', 'etamin': 0}], "did you mean 'eta_min'"),
        ('param_scheduler', [{'type': 'MultiStepLR'}], "param_scheduler.0: MultiStepLR needs 'milestones'"),
        ('train_cfg.val_intervl', 5, "IterBasedTrainLoop takes no 'val_intervl'; did you mean 'val_interval'"),
        ('train_cfg', {'_delete_': True, 'max_iters': 5}, 'train_cfg: expected by_epoch=True, by'),
        ('val_cfg', {'fp61': True}, "ValLoop takes no 'fp61'; did you mean 'fp16'?"),
        ('val_evaluator', {'type': 'DumpResult'}, "no metric is called 'DumpResult'; did you mean 'DumpResults'"),
        ('val_evaluator', {'metrics': [{'type': 'DumpResults'}]}, "metrics.0: DumpResults needs 'out_file_path'"),
        ('default_hooks.checkpoint.intervl', 5, "CheckpointHook takes no 'intervl'; did you mean 'interval'?"),
        ('default_hooks.logger', {'interval': 5}, "default_hooks.logger: no 'type', which names the hook"),
        ('custom_hooks', [{'type': 'EarlyStopingHook'}], "'EarlyStoppingHook'"),
        ('visualizer', {'type': 'Visualizr'}, "did you mean 'Visualizer'?"),
        ('visualizer', {'type': 'Visualizer', 'vis_backends': [{'type': 'Local'}]}, 'vis_backends.0.type: no vis'),
        ('log_processor', {'windowsize': 5}, "did you mean 'window_size'?"),
        ('env_cfg', {'cudnn_bench': True}, "env_cfg takes no 'cudnn_bench'; did you mean 'cudnn_benchmark'?"),
        ('env_cfg', {'mp_cfg': {'start_method': 'fork'}}, 'env_cfg.mp_cfg.start_method: set_multi_processing takes no'),
        ('randomness', {'seed': 1, 'determinstic': True}, "did you mean 'deterministic'?"),
        ('model_wrapper_cfg', {'find_unused': True}, "did you mean 'find_unused_parameters'?"),
        ('auto_scale_lr', {'enabled': True}, "did you mean 'enable'?"),
    ],
)
def test_each_node_is_checked(path, value, expected):
    found = problems(path, value)
    assert len([problem for problem in found if expected in problem]) == 1, found


@pytest.mark.parametrize(
    ('path', 'value'),
    [
        ('default_hooks.checkpoint.save_param_scheduler', False),
        ('default_hooks.checkpoint.priority', 'VERY_LOW'),
        ('optim_wrapper', {'type': 'AmpOptimWrapper', 'dtype': 'bfloat16', 'accumulative_counts': 2}),
        ('optim_wrapper.clip_grad', {'_delete_': True, 'type': 'value', 'clip_value': 0.5}),
        ('param_scheduler', [{'type': 'LinearLR', 'convert_to_iter_based': True, 'begin': 0, 'end': 3}]),
        ('model.fusion', None),
        ('model.loss', {'weight': 1.0}),
        ('val_evaluator', {'type': 'Evaluator', 'metrics': {'type': 'DumpResults', 'out_file_path': 'a.pkl'}}),
        ('train_cfg', {'_delete_': True, 'type': 'IterBasedTrainLoop', 'max_iters': 5}),
        ('model.backbone.type', 'vrtspike.FakeBackbone'),
        ('optim_wrapper.optimizer.type', 'torch.optim.AdamW'),
        ('model._scope_', 'vrtspike'),
    ],
)
def test_what_is_right_stays_unmentioned(path, value):
    assert problems(path, value) == []


def test_key_of_another_type_says_how_to_leave_it_behind():
    (found,) = problems('model.fusion.type', 'FakeGatedHead')
    assert "GatedHead takes no 'heads'" in found
    assert ' takes it: if it was inherited along with another type' in found
    assert '_delete_=True in model.fusion' in found


def test_class_that_takes_any_key_is_noted():
    findings = check_config(changed('model.fusion', {'_delete_': True, 'type': 'FakeAnythingHead', 'colour': 1}))
    assert findings.problems == []
    assert findings.notes == ['model.fusion.colour: not checked, since AnythingHead takes any key']


def test_part_under_an_undeclared_key_is_noted():
    notes = check_config(changed('train_dataloader.generator', {'type': 'Unheard'})).notes
    declaration = "parts = {'generator': ...}"
    assert notes == [f'train_dataloader.generator: not checked; DataLoader can declare its registry: {declaration}']


def test_copies_of_data_repeat_no_problem():
    config = changed('data.rot', 1)
    config['train_dataloader']['dataset']['source'] = copy.deepcopy(config['data'])
    assert len(check_config(config).problems) == 1


def test_missing_model():
    config = resolved()
    del config['model']
    assert [problem for problem in check_config(config).problems if problem.startswith('model: missing')]


def test_look_up_reaches_the_parts_of_mmengine():
    import mmengine.runner

    assert look_up(registry.LOOPS, 'ValLoop') is mmengine.runner.ValLoop
    with pytest.raises(RegistryError, match=r"did you mean .*'ValLoop'"):
        look_up(registry.LOOPS, 'ValLop')


def test_every_schema_is_of_a_known_key():
    nested_in_the_environment = {'env_cfg.mp_cfg'}
    assert set(top_level_schemas()) - nested_in_the_environment <= set(top_level_keys())
    assert {'backbone', 'spike_encoder', 'tsa', 'fusion', 'source', 'pipeline', 'optimizer'} <= set(nested_schemas())


LONG_KEYS = {
    'model.backbone': 'window',
    'data': 'count',
    'train_dataloader': 'batch_size',
    'train_dataloader.sampler': 'shuffle',
    'train_dataloader.dataset': 'pipeline',
    'optim_wrapper': 'accumulative_counts',
    'optim_wrapper.optimizer': 'weight_decay',
    'train_cfg': 'val_interval',
    'default_hooks.checkpoint': 'max_keep_ckpts',
}


@given(where=st.sampled_from(sorted(LONG_KEYS)), data=st.data())
def test_a_missing_letter_is_reported_with_the_right_key(where, data):
    right = LONG_KEYS[where]
    dropped = data.draw(st.integers(0, len(right) - 1))
    misspelt = f'{right[:dropped]}{right[dropped + 1 :]}'
    found = [problem for problem in problems(f'{where}.{misspelt}', 1) if problem.startswith(f'{where}.{misspelt}: ')]
    assert len(found) == 1
    assert f"'{right}'" in found[0]


@given(where=st.sampled_from(sorted(LONG_KEYS)), key=st.from_regex(r'zz[a-z]{1,12}', fullmatch=True))
def test_any_unknown_key_is_the_one_problem(where, key):
    (found,) = problems(f'{where}.{key}', 1)
    assert found.startswith(f'{where}.{key}: ')
