import inspect

import pytest
import yaml

from vrtspike import registry
from vrtspike.config import read_config
from vrtspike.config.legacy import DEFAULTS, RULES, convert_legacy, read_legacy
from vrtspike.config.legacy.sections import BASELINE_ACCUMULATION, BASELINE_FRAMES
from vrtspike.errors import ConfigError


def converted(text):
    return convert_legacy(yaml.safe_load(text))


def test_defaults_are_those_of_the_constructors_and_of_the_baseline():
    baseline = read_config('configs/vrt_spike_baseline.py')
    registries = {
        'loss': registry.MODELS,
        'spike_encoder': registry.SPIKE_ENCODERS,
        'tsa': registry.TSA,
        'fusion': registry.FUSION_HEADS,
    }
    for key, default in DEFAULTS.items():
        _, part, argument = key.split('.')
        node = baseline.model[part]
        assert argument not in node
        assert inspect.signature(registries[part].get(node.type)).parameters[argument].default == default
    assert baseline.optim_wrapper.accumulative_counts == BASELINE_ACCUMULATION
    assert baseline.train_dataloader.dataset.clip_len == BASELINE_FRAMES


def test_numbers_that_yaml_takes_for_text_are_mended_and_noted():
    conversion = converted('TRAIN: {OPTIM: {LR: 1e-4}}')
    assert conversion.overrides == {'optim_wrapper.optimizer.lr': 1e-4}
    assert conversion.notes == ['TRAIN.OPTIM.LR: YAML reads 1e-4 as text; taken as the number 0.0001']


def test_steps_become_iterations():
    conversion = converted('TRAIN: {TOTAL_STEPS: 100, GRADIENT_ACCUMULATION_STEPS: 4, SCHED: {WARMUP_STEPS: 10}}')
    assert conversion.overrides == {
        'train_cfg.max_iters': 400,
        'optim_wrapper.accumulative_counts': 4,
        'param_scheduler.0.end': 40,
        'param_scheduler.1.begin': 40,
    }


def test_numbers_that_another_key_needs_are_mended_too():
    overrides = converted('TRAIN: {TOTAL_STEPS: 100, GRADIENT_ACCUMULATION_STEPS: "2"}').overrides
    assert overrides == {'train_cfg.max_iters': 200, 'optim_wrapper.accumulative_counts': 2}
    overrides = converted('MODEL: {WINDOW_SIZE: 6}\nDATA: {CLIP_LEN: "7"}').overrides
    assert overrides['model.backbone.window_size'] == [7, 6, 6]
    assert converted('DATA: {K: 16, NUM_VOXEL_BINS: "16"}').overrides['model.spike_encoder.bins'] == 16


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'TRAIN: {TOTAL_STEPS: 100, GRADIENT_ACCUMULATION_STEPS: null}',
            'GRADIENT_ACCUMULATION_STEPS: expected an integer',
        ),
        ('DATA: {K: 32, NUM_VOXEL_BINS: [32]}', 'NUM_VOXEL_BINS: expected an integer'),
        ('DATA: {CLIP_LEN: x}\nMODEL: {WINDOW_SIZE: 6}', 'CLIP_LEN: expected a number'),
    ],
)
def test_a_value_that_another_key_needs_is_an_error_by_its_name(text, message):
    with pytest.raises(ConfigError, match=message):
        converted(text)


@pytest.mark.parametrize(
    'text', ['MODEL: {USE_SPIKE: false, FUSE: {HEADS: 2}}', 'MODEL: {FUSE: {HEADS: 2}, USE_SPIKE: false}']
)
def test_without_spikes_there_is_nothing_to_set_in_the_fusion(text):
    conversion = converted(text)
    assert conversion.overrides == {'model.fusion': None}
    assert conversion.left_out == ['MODEL.FUSE: without spikes nothing is fused']


def test_dead_keys_are_listed_and_mixed_precision_is_what_really_ran():
    conversion = converted('TRAIN: {AMP_ENABLED: false}\nMODEL: {FUSE: {TYPE: x}}\nDATA: {NORM: {MEAN: [0]}}')
    assert conversion.without_effect == ['TRAIN.AMP_ENABLED', 'MODEL.FUSE.TYPE', 'DATA.NORM.MEAN']
    assert conversion.overrides == {'optim_wrapper.type': 'DeviceAmpOptimWrapper'}


def test_a_window_that_training_ignored_is_noted():
    conversion = converted('MODEL: {WINDOW_SIZE: 6}\nDATA: {CLIP_LEN: 7}')
    assert conversion.overrides['model.backbone.window_size'] == [7, 6, 6]
    assert any('ignored it' in note for note in conversion.notes)


def test_depths_set_the_lists_that_go_with_them():
    overrides = converted('MODEL: {VRT_DEPTHS: [8, 8, 8, 8, 4, 4, 4, 4, 4]}').overrides
    assert [len(overrides[f'model.backbone.{name}']) for name in ('depths', 'embed_dims', 'num_heads')] == [9, 9, 9]


def test_all_problems_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        converted(
            'TRAIN: {BATCHSIZE: 2, OPTIM: {LR: fast}}\nDATA: {K: 32, NUM_VOXEL_BINS: 16}\nMODEL: {FUSE: {HEADS: 2.5}}'
        )
    message = str(caught.value)
    for part in (
        "TRAIN.BATCHSIZE: unknown key; did you mean 'TRAIN.BATCH_SIZE'",
        "TRAIN.OPTIM.LR: expected a number, found 'fast'",
        'must be equal, found [16, 32]',
        'MODEL.FUSE.HEADS: expected an integer, found 2.5',
    ):
        assert part in message


@pytest.mark.parametrize(
    ('content', 'message'),
    [(None, 'no file'), ('a: [', 'is not valid YAML'), ('- 1', 'contains list, expected sections')],
)
def test_files_that_are_no_config(tmp_path, content, message):
    path = tmp_path / 'old.yaml'
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_legacy(path)


@pytest.mark.parametrize('key', RULES)
def test_every_rule_refuses_or_takes_any_value_without_a_traceback(key):
    for value in (3, 0.5, True, 'text', '1e-4', [1, 2], None):
        nested = value
        for name in reversed(key.split('.')):
            nested = {name: nested}
        try:
            convert_legacy(nested)
        except ConfigError:
            continue


def test_damaged_configs(tmp_path, fuzz_reader):
    (tmp_path / 'a.yaml').write_text(
        'SEED: 123\n'
        'DATA: {ROOT: data/gopro, TRAIN_SPLIT: train, CROP_SIZE: 256, CLIP_LEN: 5, K: 32, IMAGE_EXTS: [.png, .jpg]}\n'
        'DATALOADER: {PIN_MEMORY: true}\n'
        'MODEL:\n'
        '  USE_SPIKE: true\n'
        '  VRT_DEPTHS: [8, 8, 8, 8, 8, 8, 8, 4, 4, 4, 4, 4, 4]\n'
        '  FUSE: {ADAPTIVE_CHUNK: false, DROPOUT: 0.1}\n'
        'TRAIN: {OPTIM: {NAME: adamw, LR: 1e-4, BETAS: [0.9, 0.99]}, SCHED: {TYPE: cosine}}\n'
    )

    def read(path):
        try:
            convert_legacy(read_legacy(path))
        except ConfigError as error:
            raise ConfigError(f'{path}: {error}') from error  # as tools/convert_config.py does

    fuzz_reader(read)
