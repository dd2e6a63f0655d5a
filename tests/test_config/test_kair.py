import contextlib
import copy
import json

import pytest

from vrtspike.config.kair import convert_options, is_options, read_options
from vrtspike.config.kair.table import RULES
from vrtspike.config.legacy import read_legacy
from vrtspike.errors import ConfigError

TEXT = r"""
{
  // made up, in the style of a training on four GPUs: "quoted // here"
  "task": "made_up", "gpu_ids": [0, 1, 2, 3], "dist": true, "n_channels": 3,
  "path": {"root": "experiments", "pretrained_netG": "weights/a.pth", "pretrained_netE": null}
  , "datasets": {
    "train": {
      "dataset_type": "TrainDatasetRGBSpike", "dataroot_gt": "/data/x/GOPRO_Large/train_GT", /* a
      block */ "dataroot_lq": "/data/x/GOPRO_Large/train_GT_blurred", "dataroot_spike": "/data/x/spikes",
      "spike_h": 360, "spike_w": 640, "spike_channels": 9, "spike_flipud": true,
      "spike": {"representation": "raw_window", "raw_window_length": 9},
      "num_frame": 6, "gt_size": [192, 128], "use_hflip": true, "use_rot": false, "random_reverse": false,
      "dataloader_batch_size": [96, 18], "dataloader_num_workers": 8,
    },
    "test": {"name": "test", "spike_channels": 9}
  },
  "netG": {
    "net_type": "vrt", "window_size": [6, 8, 8], "in_chans": 12, "dcn_type": "DCNv4", "made_up_part": 3,
    "fusion": {"placement": "middle", "operator": "gated", "inject_stages": [1, 3, 5]}
  },
  "train": {
    "amp": {"enable": false}, "amp": {"enable": true, "dtype": "bfloat16"},
    "G_lossfn_type": "charbonnier", "G_charbonnier_eps": 1e-6, "E_decay": 0.999,
    "G_optimizer_type": "adam", "G_optimizer_lr": 2e-4, "G_optimizer_betas": [0.9, 0.99], "G_optimizer_wd": 0,
    "fix_iter": 4000, "fix_lr_mul": 0.1, "fix_keys": ["spynet", "pa_deform"], "freeze_backbone": true,
    "total_iter": 10000, "G_scheduler_type": "CosineAnnealingWarmRestarts", "G_scheduler_periods": 10000,
    "G_scheduler_eta_min": 1e-7, "checkpoint_test": [4000, 6000, 10000], "checkpoint_save": 2000,
  },
  "val": {"num_frame_testing": 12, "num_frame_overlapping": 2, "size_patch_testing": 96},
  "logging": {"use_wandb": true, "wandb_api_key": "0123456789abcdef", "cache": "/data/x/cache"}
}
"""


@pytest.fixture
def options(tmp_path):
    (tmp_path / 'a.json').write_text(TEXT)
    return read_options(tmp_path / 'a.json')[0]


def one_phase(options, **train):
    data = options['datasets']['train'] | dict(gt_size=192, dataloader_batch_size=8)
    options = options | dict(datasets=dict(train=data), train=options['train'] | train)
    (conversion,) = convert_options(options)
    return conversion


def test_comments_last_commas_and_repeated_keys_are_read(tmp_path):
    (tmp_path / 'a.json').write_text(TEXT)
    options, twice = read_options(tmp_path / 'a.json')
    assert options['train']['amp'] == {'enable': True, 'dtype': 'bfloat16'}
    assert twice == ['amp']


def test_slashes_in_text_begin_no_comment(tmp_path):
    (tmp_path / 'a.json').write_text('{"train": {"address": "http://x/,]", "quote": "\\" // \\""}} // end')
    assert read_options(tmp_path / 'a.json')[0]['train'] == {'address': 'http://x/,]', 'quote': '" // "'}


def test_yaml_is_read_too(options, tmp_path):
    (tmp_path / 'a.yaml').write_text(json.dumps(options))
    found = convert_options(read_legacy(tmp_path / 'a.yaml'))
    assert [each.overrides for each in found] == [each.overrides for each in convert_options(options)]


@pytest.mark.parametrize('text', ['', '[]', '{"a": 1}', '{"train": ', '{"train": ' + '[' * 99_999])
def test_other_files_are_refused(text, tmp_path):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(ConfigError, match=r'a\.json (is not valid JSON|contains no options of KAIR)'):
        read_options(tmp_path / 'a.json')


def test_configs_of_the_earlier_code_are_told_apart():
    assert not is_options({'DATA': {}, 'TRAIN': {}})
    assert is_options({'netG': {}})


def test_two_phases(options):
    first, second = convert_options(options)
    sizes = [each.overrides['train_dataloader.dataset.pipeline.0.size'] for each in (first, second)]
    assert sizes == [192, 128]
    assert [each.overrides['train_dataloader.batch_size'] for each in (first, second)] == [24, 4]
    assert [each.overrides['train_cfg.max_iters'] for each in (first, second)] == [4000, 6000]
    freeze = {'type': 'FreezeHook', 'names': ['backbone'], 'iters': None}
    assert [each.overrides['default_hooks.freeze'] for each in (first, second)] == [freeze, None]


def test_two_runs(options):
    runs = {'enable': True, 'phase1': {'total_iter': 30}, 'phase2': {'total_iter': 70, 'fix_iter': 0}}
    first, second = convert_options(options | dict(train=options['train'] | dict(two_run=runs)))
    assert [each.overrides['train_cfg.max_iters'] for each in (first, second)] == [30, 70]
    assert 'default_hooks.freeze' in first.overrides
    assert second.overrides['default_hooks.freeze'] is None


LORA = dict(use_lora=True, phase2_lora_mode=True, lora_rank=4, lora_alpha=12, lora_target_modules=['qkv'])
NODE = {
    'layers': ['backbone.*qkv*'],
    'rank': 4,
    'alpha': 12,
    'trained': ['spike_encoder', 'tsa', 'fusion', 'projection', 'backbone.*spynet*', 'backbone.*pa_deform*'],
}


def test_adapters_belong_to_the_second_phase(options):
    first, second = convert_options(options | dict(train=options['train'] | LORA))
    assert 'model.lora' not in first.overrides
    assert second.overrides['model.lora'] == NODE
    assert second.overrides['default_hooks.adapters'] == {'type': 'AdaptersHook'}
    assert second.overrides['default_hooks.freeze'] is None
    assert [each.overrides['lora_alpha'] for each in (first, second)] == [12, 12]


def test_adapters_in_one_run_are_frozen_with_the_backbone_at_first(options):
    found = one_phase(options, **LORA).overrides
    assert found['model.lora'] == NODE
    assert found['default_hooks.freeze'] == {'type': 'FreezeHook', 'names': ['backbone'], 'iters': 4000}


def test_adapters_beside_trained_weights_are_left_out(options):
    conversion = one_phase(options, use_lora=True, freeze_backbone=False)
    assert 'model.lora' not in conversion.overrides
    assert any(line.startswith('train.use_lora: beside weights that are trained') for line in conversion.left_out)


def test_the_training(options):
    found = one_phase(options, freeze_backbone=False).overrides
    assert found['optim_wrapper.type'] == 'DeviceAmpOptimWrapper'
    assert found['optim_wrapper.dtype'] == 'bfloat16'
    assert found['optim_wrapper.optimizer']['betas'] == [0.9, 0.99]
    assert found['model.loss.delta'] == 1e-3
    assert found['default_hooks.ema']['momentum'] == 0.001
    assert found['default_hooks.freeze'] == {
        'type': 'FreezeHook',
        'names': ['backbone.*spynet*', 'backbone.*pa_deform*'],
        'iters': 4000,
    }
    assert found['param_scheduler'] == [{'type': 'CosineAnnealingLR', 'eta_min': 1e-7, 'by_epoch': False}]
    assert found['train_cfg.val_interval'] == 2000
    assert found['model.tiling']['tile'] == [12, 96, 96]
    assert found['model.tiling']['overlap'] == [2, 20, 20]


def test_the_data(options):
    found = one_phase(options).overrides
    assert found['data']['spike_size'] == [360, 640]
    assert found['model.spike_encoder.bins'] == 9
    node = {'_delete_': True, 'type': 'RawWindow', 'length': 9}
    assert found['train_dataloader.dataset.pipeline.2.representation'] == node
    flips = {name: found[f'train_dataloader.dataset.pipeline.1.{name}'] for name in ('horizontal', 'vertical', 'time')}
    assert flips == {'horizontal': 0.5, 'vertical': 0.0, 'time': 0.0}


def test_flow_from_spikes(options):
    flow = dict(module='scflow', checkpoint='weights/dt10_e40.pth')
    conversion = one_phase(options | dict(netG=options['netG'] | dict(optical_flow=flow)))
    assert conversion.overrides['model.backbone.flow'] == 'spikes'
    for split in ('train', 'val'):
        assert conversion.overrides[f'{split}_dataloader.dataset.pipeline.2.flow_steps'] == 25
    assert any('set model.backbone.spynet_path to its weights' in note for note in conversion.notes)
    assert not any('optical_flow' in line for line in conversion.left_out)
    for module in ('spynet', 'sea_raft'):
        conversion = one_phase(options | dict(netG=options['netG'] | dict(optical_flow=flow | dict(module=module))))
        assert 'model.backbone.flow' not in conversion.overrides
        (line,) = [line for line in conversion.left_out if 'optical_flow' in line]
        assert {'spynet': 'set model.backbone.spynet_path', 'sea_raft': "'sea_raft' is not available"}[module] in line


def test_without_spikes_nothing_is_fused(options):
    del options['datasets']['train']['dataroot_spike']
    found = one_phase(options).overrides
    assert found['model.fusion'] is None
    assert found['data']['spikes'] is False


def test_secrets_and_absolute_paths_are_not_copied(options):
    conversion = one_phase(options)
    said = json.dumps([conversion.overrides, conversion.notes, conversion.left_out])
    assert '0123456789abcdef' not in said
    assert '/data/x' not in said
    assert any(line.startswith('logging.wandb_api_key: a secret, not copied') for line in conversion.left_out)


def test_what_has_no_counterpart_is_listed(options):
    left_out = one_phase(options).left_out
    assert 'netG.made_up_part: no counterpart' in left_out
    assert "netG.dcn_type: the convolution is DCNv2's, as published" in left_out


@pytest.mark.parametrize(
    ('section', 'change', 'message'),
    [
        ('netG', dict(net_type='swinir'), "netG.net_type: only 'vrt' has a counterpart"),
        ('netG', dict(depths='8'), 'netG.depths: expected a list of integers'),
        ('train', dict(G_scheduler_type='Cyclic'), "train.G_scheduler_type: only 'CosineAnnealingWarmRestarts'"),
        ('train', dict(fix_iter=None), 'train.fix_iter is None, expected the end of phase 1'),
        ('train', dict(two_run=3), 'two_run: expected a section, found 3'),
        ('datasets', dict(train=dict(gt_size=[1, 2, 3])), r'gt_size: expected one number or \[phase 1, phase 2\]'),
    ],
)
def test_one_clear_error(options, section, change, message):
    with pytest.raises(ConfigError, match=message):
        convert_options(options | {section: options[section] | change})


READ_WITH_OTHERS = [
    *('train.fix_keys', 'train.G_optimizer_lr', 'train.G_optimizer_betas', 'train.G_scheduler_periods', 'gpu_ids'),
    *('train.amp.dtype', 'val.amp.dtype', 'val.patch_batch_size', 'datasets.train.spike.representation'),
    *('train.lora_rank', 'train.lora_alpha', 'train.lora_target_modules', 'train.phase2_lora_mode'),
]


@pytest.mark.parametrize('key', [*RULES, *READ_WITH_OTHERS])
def test_values_of_any_type_are_read_or_refused(options, key):
    *sections, name = key.split('.')
    for value in (None, True, -1, 0, 1.5, 'x', [], ['x', 1], [-1, 0, 1], {'a': 1}):
        changed = copy.deepcopy(options)
        node = changed
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = value
        with contextlib.suppress(ConfigError):
            convert_options(changed)


def test_damaged_options(tmp_path, fuzz_reader):
    (tmp_path / 'a.json').write_text(TEXT)

    def read(path):
        options, _ = read_options(path)
        try:
            convert_options(options)
        except ConfigError as error:
            raise ConfigError(f'{path}: {error}') from error  # as tools/convert_config.py does

    fuzz_reader(read)
