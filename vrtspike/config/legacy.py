"""The YAML configs of the code before this project: what each key did, and what does it here.

Steps are optimizer steps there and iterations here, so that numbers of steps are multiplied by the iterations whose
gradients make one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vrtspike.errors import ConfigError, did_you_mean

Flat = dict[str, Any]


@dataclass
class Conversion:
    """A legacy config in this project's terms."""

    overrides: dict[str, Any] = field(default_factory=dict)
    """Dotted keys of our baseline and their values."""
    notes: list[str] = field(default_factory=list)
    """What was changed on the way, and what the old code did otherwise."""
    without_effect: list[str] = field(default_factory=list)
    """Keys that never did anything in the old code."""
    left_out: list[str] = field(default_factory=list)
    """Keys that did something and have no counterpart, with what to use instead."""


Rule = Callable[[str, Any, Conversion, Flat], None]


def read_legacy(path: str | Path) -> dict[str, Any]:
    """Return the YAML file ``path`` as nested dicts.

    Raises:
        ConfigError: It is missing, no YAML, or no mapping.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f'no file {path}: expected a YAML config of the earlier code')
    try:
        legacy = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path} is no YAML: {" ".join(str(error).split())}') from error
    if not isinstance(legacy, dict):
        raise ConfigError(f'{path}: expected sections such as DATA and TRAIN, found {type(legacy).__name__}')
    return legacy


def convert_legacy(legacy: Mapping[str, Any]) -> Conversion:
    """Translate a legacy config.

    Raises:
        ConfigError: Naming every key that the old code did not know and every value it could not have taken, at once.
    """
    flat = dict(_flatten(legacy))
    problems = [f'{key}: unknown key{did_you_mean(key, RULES)}' for key in flat if key not in RULES]
    conversion = Conversion()
    for key, value in flat.items():
        if key in RULES:
            try:
                RULES[key](key, value, conversion, flat)
            except ConfigError as error:
                problems.append(f'{key}: {error}')
    leave_out_unused_fusion(conversion)
    for key, default in DEFAULTS.items():
        if conversion.overrides.get(key) == default:
            del conversion.overrides[key]
    if problems:
        raise ConfigError('\n  '.join([f'{len(problems)} problems' if len(problems) > 1 else 'one problem', *problems]))
    return conversion


def leave_out_unused_fusion(conversion: Conversion) -> None:
    """Drop the settings of a fusion that is switched off: there is nothing that they could be set in."""
    unused = [key for key in conversion.overrides if key.startswith('model.fusion.')]
    if unused and 'model.fusion' in conversion.overrides:
        for key in unused:
            del conversion.overrides[key]
        conversion.left_out.append('MODEL.FUSE: without spikes nothing is fused')


def _flatten(node: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        path = f'{prefix}{key}'
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f'{path}.')
        else:
            yield path, value


def _as(kind: str, key: str, value: Any, conversion: Conversion) -> Any:
    """Return ``value`` as 'int', 'float', 'bool', 'text' or 'ints', mending numbers that YAML took for text."""
    if kind in ('int', 'float') and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            raise ConfigError(f'expected a number, found {value!r}') from None
        conversion.notes.append(f'{key}: YAML reads {value} as text; taken as the number {number:g}')
        value = int(number) if kind == 'int' and number.is_integer() else number
    fits = {
        'int': isinstance(value, int) and not isinstance(value, bool),
        'float': isinstance(value, (int, float)) and not isinstance(value, bool),
        'bool': isinstance(value, bool),
        'text': isinstance(value, str),
        'ints': isinstance(value, list) and all(isinstance(v, int) and not isinstance(v, bool) for v in value),
    }
    if not fits[kind]:
        raise ConfigError(f'expected {EXPECTED[kind]}, found {value!r}')
    return float(value) if kind == 'float' else value


EXPECTED = {
    'int': 'an integer',
    'float': 'a number',
    'bool': 'true or false',
    'text': 'text',
    'ints': 'a list of integers',
}


def integer_at(flat: Flat, key: str, default: int) -> int:
    """Return the integer of another key than the rule's own, ``default`` where it is not there."""
    try:
        return _as('int', key, flat.get(key, default), Conversion())
    except ConfigError as error:
        raise ConfigError(f'{key}: {error}') from error


def sets(kind: str, *keys: str) -> Rule:
    """Return a rule that sets ``keys`` of ours to the value."""

    def rule(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
        conversion.overrides |= dict.fromkeys(keys, _as(kind, key, value, conversion))

    return rule


def sets_iterations(*keys: str) -> Rule:
    """Return a rule for a number of optimizer steps."""

    def rule(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
        steps = _as('int', key, value, conversion)
        per_step = integer_at(flat, 'TRAIN.GRADIENT_ACCUMULATION_STEPS', BASELINE_ACCUMULATION)
        conversion.overrides |= dict.fromkeys(keys, steps * per_step)
        if per_step != 1:
            conversion.notes.append(f'{key}: {steps} optimizer steps are {steps * per_step} iterations of ours')

    return rule


def without_effect(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    """Note a key that the old code read and never used."""
    conversion.without_effect.append(key)


def leaves_out(instead: str) -> Rule:
    """Return a rule that names what serves here instead."""

    def rule(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
        if value not in (None, False, ''):
            conversion.left_out.append(f'{key}: {instead}')

    return rule


def only(*allowed: Any) -> Rule:
    """Return a rule for what is fixed here: other values than ``allowed`` are errors."""

    def rule(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
        if value not in allowed:
            raise ConfigError(f'only {" or ".join(map(repr, allowed))} has a counterpart here, found {value!r}')

    return rule


def data_root(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    conversion.overrides |= {'data.type': 'ProcessedClips', 'data.root': _as('text', key, value, conversion)}
    conversion.notes.append(f'{key}: the folder needs a config.yaml with spike_h, spike_w and threshold (docs/data.md)')


def crop(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    conversion.overrides['train_dataloader.dataset.pipeline.0.size'] = _as('int', key, value, conversion)


def validation_crop(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if value is not None:
        value = _as('int', key, value, conversion)
    conversion.overrides['val_dataloader.dataset.pipeline.0.size'] = value


def clip_length(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    frames = _as('int', key, value, conversion)
    conversion.overrides |= {
        'train_dataloader.dataset.clip_len': frames,
        'val_dataloader.dataset.clip_len': frames,
        'val_dataloader.dataset.stride': frames,
    }
    conversion.overrides['model.backbone.img_size'] = [frames, 256, 256]


def bins(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    count = _as('int', key, value, conversion)
    both = {integer_at(flat, name, count) for name in ('DATA.K', 'DATA.NUM_VOXEL_BINS')}
    if len(both) > 1:
        raise ConfigError(f'DATA.K and DATA.NUM_VOXEL_BINS must be equal, found {sorted(both)}')
    conversion.overrides |= {
        'model.spike_encoder.bins': count,
        'train_dataloader.dataset.pipeline.2.representation.bins': count,
        'val_dataloader.dataset.pipeline.1.representation.bins': count,
    }


def image_suffix(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    suffixes = [value] if isinstance(value, str) else value
    if not isinstance(suffixes, list) or not suffixes:
        raise ConfigError(f'expected a list of suffixes, found {value!r}')
    if '.png' not in suffixes:
        conversion.overrides['data.image_suffix'] = suffixes[0]
    if len(suffixes) > 1:
        kept = '.png' if '.png' in suffixes else suffixes[0]
        conversion.notes.append(f'{key}: a data set of ours has images of one kind; {kept} was taken')


def use_spikes(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if not _as('bool', key, value, conversion):
        conversion.overrides['model.fusion'] = None


def channels(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    per_scale = _as('ints', key, value, conversion)
    if len(set(per_scale)) != 1:
        raise ConfigError(f'the encoder has as many channels at every scale, found {per_scale}')
    conversion.overrides |= {'model.spike_encoder.channels': per_scale[0], 'model.spike_encoder.scales': len(per_scale)}


def depths(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    groups = _as('ints', key, value, conversion)
    if len(groups) < 8:
        raise ConfigError(f'expected 8 entries or more (stages 1-7, then the groups of stage 8), found {groups}')
    backbone = {'depths': groups, 'embed_dims': [96] * len(groups), 'num_heads': [6] * len(groups)}
    conversion.overrides |= {f'model.backbone.{name}': each for name, each in backbone.items()}
    conversion.notes.append(f'{key}: stages 1-7 have {groups[:7]} blocks, stage 8 has groups of {groups[7:]}')


def window(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    frames = integer_at(flat, 'DATA.CLIP_LEN', BASELINE_FRAMES)
    size = value if isinstance(value, list) else [frames, value, value]
    size = _as('ints', key, size, conversion)
    if len(size) != 3:
        raise ConfigError(f'expected one length or [T, h, w], found {value!r}')
    conversion.overrides['model.backbone.window_size'] = size
    if size[1:] != [8, 8]:
        conversion.notes.append(f'{key}: the old training ignored it and used windows of 8; here it takes effect')


def accumulation(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    conversion.overrides['optim_wrapper.accumulative_counts'] = _as('int', key, value, conversion)


def mixed_precision(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    without_effect(key, value, conversion, flat)
    if 'optim_wrapper.type' not in conversion.overrides:
        conversion.overrides['optim_wrapper.type'] = 'DeviceAmpOptimWrapper'
        conversion.notes.append(f'{key}: the old training ran in float16 on a GPU whatever it said; ours uses AMP, too')


def betas(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if not isinstance(value, list) or len(value) != 2:
        raise ConfigError(f'expected two numbers, found {value!r}')
    conversion.overrides['optim_wrapper.optimizer.betas'] = [_as('float', key, beta, conversion) for beta in value]


def warmup(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    sets_iterations('param_scheduler.0.end', 'param_scheduler.1.begin')(key, value, conversion, flat)


def perceptual(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if key == 'LOSS.VGG_PERCEPTUAL.WEIGHT' and value:
        conversion.left_out.append(f'{key}: its weights were downloaded; a perceptual loss here needs them as a file')


def tensorboard(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if _as('bool', key, value, conversion):
        conversion.overrides['visualizer.vis_backends'] = [
            {'type': 'LocalVisBackend'},
            {'type': 'TensorboardVisBackend'},
        ]


DEFAULTS = {
    'model.loss.weight': 1.0,
    'model.spike_encoder.scales': 4,
    'model.tsa.dropout': 0.0,
    'model.tsa.mlp_ratio': 2.0,
    'model.fusion.dropout': 0.0,
    'model.fusion.mlp_ratio': 2.0,
}
"""Of arguments that our baseline leaves to their constructors."""
BASELINE_ACCUMULATION = 6
BASELINE_FRAMES = 5

RESUME = leaves_out('pass --resume or --load-from on the command line')
CACHE = leaves_out('spikes are decoded as they are read; nothing is precomputed')
EPOCHS = leaves_out('trainings are counted in iterations: set train_cfg.max_iters')

RULES: dict[str, Rule] = {
    'SEED': sets('int', 'randomness.seed'),
    'DATA.ROOT': data_root,
    'DATA.TRAIN_SPLIT': sets('text', 'train_dataloader.dataset.split'),
    'DATA.VAL_SPLIT': sets('text', 'val_dataloader.dataset.split'),
    'DATA.CROP_SIZE': crop,
    'DATA.VAL_CROP_SIZE': validation_crop,
    'DATA.CLIP_LEN': clip_length,
    'DATA.K': bins,
    'DATA.NUM_VOXEL_BINS': bins,
    'DATA.SPIKE_DIR': only('spike'),
    'DATA.VOXEL_CACHE_DIRNAME': CACHE,
    'DATA.USE_PRECOMPUTED_VOXELS': CACHE,
    'DATA.USE_RAM_CACHE': CACHE,
    'DATA.CACHE_SIZE_GB': CACHE,
    'DATA.IMAGE_EXTS': image_suffix,
    'DATA.NORM.MEAN': without_effect,
    'DATA.NORM.STD': without_effect,
    'MODEL.USE_SPIKE': use_spikes,
    'MODEL.CHANNELS_PER_SCALE': channels,
    'MODEL.VRT_DEPTHS': depths,
    'MODEL.WINDOW_SIZE': window,
    'MODEL.LAYERS': without_effect,
    'MODEL.FUSE.LAYERS': without_effect,
    'MODEL.VRT.USE_CHECKPOINT_ATTN': sets('bool', 'model.backbone.use_checkpoint_attn'),
    'MODEL.VRT.USE_CHECKPOINT_FFN': sets('bool', 'model.backbone.use_checkpoint_ffn'),
    'MODEL.SPIKE_ENCODER.TEMPORAL_STRIDES': only([1, 1, 1], [1, 1, 1, 1]),
    'MODEL.SPIKE_ENCODER.SPATIAL_STRIDES': only([2, 2, 2], [1, 2, 2, 2]),
    'MODEL.FUSE.TYPE': without_effect,
    **{
        f'MODEL.{section}.{old}': sets(kind, f'model.{part}.{ours}')
        for section, part in (('SPIKE_TSA', 'tsa'), ('FUSE', 'fusion'))
        for old, kind, ours in (
            ('HEADS', 'int', 'heads'),
            ('ADAPTIVE_CHUNK', 'bool', 'adaptive_chunk'),
            ('MAX_BATCH_TOKENS', 'int', 'max_batch_tokens'),
            ('CHUNK_SIZE', 'int', 'chunk_size'),
            ('CHUNK_SHAPE', 'text', 'chunk_shape'),
            ('DROPOUT', 'float', 'dropout'),
            ('MLP_RATIO', 'float', 'mlp_ratio'),
        )
    },
    'DATALOADER.TOTAL_WORKERS': leaves_out('set num_workers of the two dataloaders'),
    'DATALOADER.TRAIN_WORKERS': sets('int', 'train_dataloader.num_workers'),
    'DATALOADER.VAL_WORKERS': sets('int', 'val_dataloader.num_workers'),
    'DATALOADER.PREFETCH': sets('int', 'train_dataloader.prefetch_factor'),
    'DATALOADER.PIN_MEMORY': sets('bool', 'train_dataloader.pin_memory', 'val_dataloader.pin_memory'),
    'TRAIN.EPOCHS': EPOCHS,
    'TRAIN.TOTAL_STEPS': sets_iterations('train_cfg.max_iters'),
    'TRAIN.BATCH_SIZE': sets('int', 'train_dataloader.batch_size'),
    'TRAIN.VAL_BATCH_SIZE': sets('int', 'val_dataloader.batch_size'),
    'TRAIN.GRADIENT_ACCUMULATION_STEPS': accumulation,
    'TRAIN.MAX_GRAD_NORM': sets('float', 'optim_wrapper.clip_grad.max_norm'),
    'TRAIN.COMPILE_MODEL': leaves_out('set compile = True at the top level of the config'),
    'TRAIN.AMP_ENABLED': mixed_precision,
    'TRAIN.AMP_OPT_LEVEL': mixed_precision,
    **dict.fromkeys(('TRAIN.OPTIM.TYPE', 'TRAIN.OPTIM.NAME'), only('adamw', 'AdamW')),
    'TRAIN.OPTIM.LR': sets('float', 'optim_wrapper.optimizer.lr'),
    'TRAIN.OPTIM.BETAS': betas,
    'TRAIN.OPTIM.WEIGHT_DECAY': sets('float', 'optim_wrapper.optimizer.weight_decay'),
    **dict.fromkeys(('TRAIN.SCHED.TYPE', 'TRAIN.SCHED.NAME'), only('cosine')),
    'TRAIN.SCHED.WARMUP_STEPS': warmup,
    'TRAIN.RESUME_FROM_CHECKPOINT': RESUME,
    'TRAIN.CHECKPOINT_PATH': RESUME,
    'LOSS.CHARBONNIER.DELTA': sets('float', 'model.loss.delta'),
    'LOSS.CHARBONNIER.WEIGHT': sets('float', 'model.loss.weight'),
    'LOSS.VGG_PERCEPTUAL.LAYERS': perceptual,
    'LOSS.VGG_PERCEPTUAL.WEIGHT': perceptual,
    'LOG.TENSORBOARD': tensorboard,
    'LOG.SAVE_DIR': sets('text', 'work_dir'),
    'LOG.VAL_EVERY_STEPS': sets_iterations('train_cfg.val_interval', 'default_hooks.checkpoint.interval'),
    'LOG.ENABLE_TIMING_LOG': leaves_out('StageCostHook measures every stage, without being asked'),
}
"""By the dotted key of the old config."""
