"""Translation rules for single keys, in the order of the sections of the old config."""

from __future__ import annotations

from typing import Any

from vrtspike.config.conversion.rules import Conversion, Rule, without_effect
from vrtspike.config.conversion.values import Flat, integer_at
from vrtspike.errors import ConfigError

BASELINE_ACCUMULATION = 6
BASELINE_FRAMES = 5


def sets_iterations(*keys: str) -> Rule:
    """Return a rule that converts a number of optimizer steps to iterations.

    A step has ``TRAIN.GRADIENT_ACCUMULATION_STEPS`` iterations.
    """

    def rule(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
        steps = conversion.value_of('int', key, value)
        per_step = integer_at(flat, 'TRAIN.GRADIENT_ACCUMULATION_STEPS', BASELINE_ACCUMULATION)
        conversion.overrides |= dict.fromkeys(keys, steps * per_step)
        if per_step != 1:
            conversion.notes.append(f'{key}: {steps} optimizer steps are {steps * per_step} iterations here')

    return rule


def data_root(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    conversion.overrides |= {'data.type': 'ProcessedClips', 'data.root': conversion.value_of('text', key, value)}
    conversion.notes.append(f'{key}: the folder needs a config.yaml with spike_h, spike_w and threshold (docs/data.md)')


def validation_crop(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if value is not None:
        value = conversion.value_of('int', key, value)
    conversion.overrides['val_dataloader.dataset.pipeline.0.size'] = value


def clip_length(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    frames = conversion.value_of('int', key, value)
    conversion.overrides |= {
        'train_dataloader.dataset.clip_len': frames,
        'val_dataloader.dataset.clip_len': frames,
        'val_dataloader.dataset.stride': frames,
    }
    conversion.overrides['model.backbone.img_size'] = [frames, 256, 256]


def bins(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    count = conversion.value_of('int', key, value)
    both = {integer_at(flat, name, count) for name in ('DATA.K', 'DATA.NUM_VOXEL_BINS')}
    if len(both) > 1:
        raise ConfigError(f'DATA.K and DATA.NUM_VOXEL_BINS must be equal, found {sorted(both)}')
    conversion.overrides |= {
        'model.spike_encoder.bins': count,
        'train_dataloader.dataset.pipeline.2.representation.bins': count,
        'val_dataloader.dataset.pipeline.2.representation.bins': count,
    }


def image_suffix(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    suffixes = [value] if isinstance(value, str) else value
    if not isinstance(suffixes, list) or not suffixes:
        raise ConfigError(f'expected a list of suffixes, found {value!r}')
    if '.png' not in suffixes:
        conversion.overrides['data.image_suffix'] = suffixes[0]
    if len(suffixes) > 1:
        kept = '.png' if '.png' in suffixes else suffixes[0]
        conversion.notes.append(f'{key}: our data sets have images of one kind; {kept} was chosen')


def use_spikes(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if not conversion.value_of('bool', key, value):
        conversion.overrides['model.fusion'] = None


def channels(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    per_scale = conversion.value_of('ints', key, value)
    if len(set(per_scale)) != 1:
        raise ConfigError(f'the encoder must have the same number of channels at every scale, found {per_scale}')
    conversion.overrides |= {'model.spike_encoder.channels': per_scale[0], 'model.spike_encoder.scales': len(per_scale)}


def depths(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    groups = conversion.value_of('ints', key, value)
    if len(groups) < 8:
        raise ConfigError(f'expected 8 entries or more (stages 1-7, then the groups of stage 8), found {groups}')
    backbone = {'depths': groups, 'embed_dims': [96] * len(groups), 'num_heads': [6] * len(groups)}
    conversion.overrides |= {f'model.backbone.{name}': each for name, each in backbone.items()}
    conversion.notes.append(f'{key}: stages 1-7 have {groups[:7]} blocks, stage 8 has groups of {groups[7:]}')


def window(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    frames = integer_at(flat, 'DATA.CLIP_LEN', BASELINE_FRAMES)
    size = value if isinstance(value, list) else [frames, value, value]
    size = conversion.value_of('ints', key, size)
    if len(size) != 3:
        raise ConfigError(f'expected one length or [T, h, w], found {value!r}')
    conversion.overrides['model.backbone.window_size'] = size
    if size[1:] != [8, 8]:
        conversion.notes.append(f'{key}: the old training ignored it and used windows of 8; here it takes effect')


def mixed_precision(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    without_effect(key, value, conversion, flat)
    if 'optim_wrapper.type' not in conversion.overrides:
        conversion.overrides['optim_wrapper.type'] = 'DeviceAmpOptimWrapper'
        conversion.notes.append(f'{key}: the old training always ran in float16 on a GPU; ours uses AMP, too')


def betas(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if not isinstance(value, list) or len(value) != 2:
        raise ConfigError(f'expected two numbers, found {value!r}')
    conversion.overrides['optim_wrapper.optimizer.betas'] = [conversion.value_of('float', key, beta) for beta in value]


def perceptual(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if key == 'LOSS.VGG_PERCEPTUAL.WEIGHT' and value:
        conversion.left_out.append(f'{key}: its weights were downloaded; a perceptual loss here needs them as a file')


def tensorboard(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if conversion.value_of('bool', key, value):
        conversion.overrides['visualizer.vis_backends'] = [
            {'type': 'LocalVisBackend'},
            {'type': 'TensorboardVisBackend'},
        ]
