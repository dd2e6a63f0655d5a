"""Translation rules for single keys, in the order of an options file."""

from __future__ import annotations

import math
from typing import Any

from vrtspike.config.conversion.rules import Conversion
from vrtspike.config.conversion.values import Flat, integer_at, is_integer, value_of
from vrtspike.errors import ConfigError

TRAIN, VAL = 'train_dataloader.dataset', 'val_dataloader.dataset'
DATA = 'datasets.train'
TOTAL = 'train.total_iter'
SPIKE_SIDE = ('spike_encoder', 'tsa', 'fusion', 'projection')
"""What a restorer has besides its backbone."""


def network(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if value != 'vrt':
        raise ConfigError(f"only 'vrt' has a counterpart here, found {value!r}")


def pretrained(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if value == 'auto':
        conversion.left_out.append(f'{key}: continue a training with --resume')
    elif value:
        conversion.left_out.append(f'{key}: load weights with --load-from FILE')


def processes(flat: Flat) -> int:
    """Return the number of processes that KAIR divides batches and workers by."""
    gpus = flat.get('gpu_ids')
    return len(gpus) if isinstance(gpus, list) and gpus and flat.get('dist', True) else 1


def data_set(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    """Choose GoPro-Spike, which is the data set of all published options; the folder is the user's."""
    spikes = has_spikes(flat)
    node = {'_delete_': True, 'type': 'GoProSpike', 'root': 'data/gopro_spike'}
    if spikes:
        sides = (f'{DATA}.spike_h', f'{DATA}.spike_w')
        node['spike_size'] = [integer_at(flat, side, default) for side, default in zip(sides, (360, 640), strict=True)]
    else:
        node['spikes'] = False
    conversion.overrides['data'] = node
    below = 'GOPRO_Large and GOPRO_Large_spike_seq' if spikes else 'GOPRO_Large'
    conversion.notes.append(f'{DATA}.dataroot_*: set data.root to the folder that contains {below}')
    if not spikes:
        conversion.overrides['model.fusion'] = None


def has_spikes(flat: Flat) -> bool:
    """Return whether the training reads spikes."""
    return flat.get(f'{DATA}.dataroot_spike') is not None


def representation(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    """Translate how spikes become channels: a window of raw spikes, or TFP at several instants."""
    if flat.get(f'{DATA}.spike.representation') == 'raw_window':
        count = integer_at(flat, f'{DATA}.spike.raw_window_length', 21)
        node = {'_delete_': True, 'type': 'RawWindow', 'length': count}
    else:
        count = integer_at(flat, f'{DATA}.spike.reconstruction.num_bins', integer_at(flat, f'{DATA}.spike_channels', 4))
        half = integer_at(flat, 'datasets.test.tfp_half_win_length', 20)
        node = {'_delete_': True, 'type': 'TFP', 'bins': count, 'window': 2 * half + 1}
    conversion.overrides |= {
        'model.spike_encoder.bins': count,
        f'{TRAIN}.pipeline.2.representation': node,
        f'{VAL}.pipeline.2.representation': node,
    }


def frames(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    count = conversion.value_of('int', key, value)
    conversion.overrides |= dict.fromkeys((f'{TRAIN}.clip_len', f'{VAL}.clip_len', f'{VAL}.stride'), count)


def flips(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    names = {'use_hflip': ('horizontal',), 'use_rot': ('vertical', 'transpose'), 'random_reverse': ('time',)}
    share = 0.5 if conversion.value_of('bool', key, value) else 0.0
    for name in names[key.rpartition('.')[2]]:
        conversion.overrides[f'{TRAIN}.pipeline.1.{name}'] = share


def batch(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    total, count = conversion.value_of('int', key, value), processes(flat)
    each = max(1, total // count)
    conversion.overrides['train_dataloader.batch_size'] = each
    if count > 1:
        conversion.notes.append(f'{key}: {total} over {count} GPUs; {each} per process here')


def workers(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    total, count = conversion.value_of('int', key, value), processes(flat)
    conversion.overrides['train_dataloader.num_workers'] = max(1, total // count)


def normalization(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    identity = {'mean': 0.0, 'std': 1.0}[key.rpartition('.')[2]]
    values = value if isinstance(value, list) else [value]
    if any(each != identity for each in values):
        conversion.left_out.append(f'{key}: spikes are not normalized here; they are rates from 0 to 1')


def flow(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if value == 'scflow' and has_spikes(flat):
        conversion.overrides['model.backbone.flow'] = 'spikes'
        conversion.overrides |= dict.fromkeys((f'{split}.pipeline.2.flow_steps' for split in (TRAIN, VAL)), 25)
        conversion.notes.append(
            f'{key}: SCFlow on 25 steps around each frame; set model.backbone.spynet_path to its weights, such as the '
            'file in netG.optical_flow.checkpoint, because they are random otherwise'
        )
    elif value not in (None, 'spynet'):
        conversion.left_out.append(f'{key}: {value!r} is not available; the flow is SpyNet on the RGB frames')


def flow_weights(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if value and flat.get('netG.optical_flow.module') in (None, 'spynet'):
        conversion.left_out.append(
            f"{key}: set model.backbone.spynet_path to its file; the package's small flow network is used otherwise"
        )


def placement(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if value == 'early':
        conversion.left_out.append(
            'netG.fusion: fusion at the input is not converted; write model.early_fusion, as in '
            'configs/vrt_spike_lite_early.py. The converted network fuses after the stages in model.fusion_stages'
        )


def fusion_stages(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    conversion.overrides['model.fusion_stages'] = conversion.value_of('ints', key, value)
    conversion.notes.append(f'{key}: taken as the stages after which spikes are fused')


def operator(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if not has_spikes(flat):
        return
    if value == 'gated':
        conversion.overrides['model.fusion'] = {'_delete_': True, 'type': 'GatedFusion'}
        conversion.notes.append(f'{key}: GatedFusion is the nearest head; its weights are its own')
    else:
        conversion.left_out.append(f'{key}: {value!r} has no counterpart; the fusion head of the baseline stays')


def loss_type(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if value != 'charbonnier':
        conversion.left_out.append(f'{key}: {value!r} is not available; the nearest loss is CharbonnierLoss')


def loss_epsilon(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    epsilon = conversion.value_of('float', key, value)
    if epsilon <= 0:
        raise ConfigError(f'expected a number above 0, found {value!r}')
    conversion.overrides['model.loss.delta'] = math.sqrt(epsilon)
    conversion.notes.append(f'{key}: ours is squared first, so that {epsilon:g} becomes {math.sqrt(epsilon):g}')


def precision(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if conversion.value_of('bool', key, value):
        dtype = flat.get('train.amp.dtype', 'auto')
        conversion.overrides |= {'optim_wrapper.type': 'DeviceAmpOptimWrapper', 'optim_wrapper.dtype': dtype}


def average(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    decay = conversion.value_of('float', key, value)
    if decay > 0:
        conversion.overrides['default_hooks.ema'] = {'type': 'EMAHook', 'momentum': round(1 - decay, 12)}


def optimizer(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    names = {'adam': 'Adam', 'adamw': 'AdamW', 'sgd': 'SGD'}
    if conversion.value_of('text', key, value) not in names:
        raise ConfigError(f'expected one of {", ".join(names)}, found {value!r}')
    conversion.overrides['optim_wrapper.optimizer'] = {
        '_delete_': True,
        'type': names[value],
        'lr': value_of('float', 'train.G_optimizer_lr', flat.get('train.G_optimizer_lr'), conversion.notes),
        'weight_decay': value_of('float', 'train.G_optimizer_wd', flat.get('train.G_optimizer_wd', 0), []),
        **({'betas': flat.get('train.G_optimizer_betas', [0.9, 0.999])} if value != 'sgd' else {'momentum': 0.9}),
    }


def clip_gradients(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if value:
        limit = conversion.value_of('float', key, value)
        conversion.overrides['optim_wrapper.clip_grad'] = {'max_norm': limit}


def freeze(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    """Freeze what ``fix_keys`` names for ``fix_iter`` iterations."""
    iterations, names = conversion.value_of('int', key, value), fixed_names(flat)
    if iterations > 0 and names and not freezes_backbone(flat):
        _freeze(conversion, flat, [f'backbone.*{name}*' for name in names], iterations)


def fixed_names(flat: Flat) -> list[str]:
    """Return the names of the parts that are frozen at first, and trained slowly."""
    return value_of('texts', 'train.fix_keys', flat.get('train.fix_keys') or [], [])


def freeze_backbone(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if freezes_backbone(flat):
        _freeze(conversion, flat, ['backbone'], integer_at(flat, 'train.fix_iter', 0))


def freezes_backbone(flat: Flat) -> bool:
    """Return whether the fusion alone is trained at first."""
    return bool(flat.get('train.freeze_backbone')) and has_spikes(flat) and integer_at(flat, 'train.fix_iter', 0) > 0


def adapters(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    """Translate low-rank adapters in the frozen backbone. S-VRT trains its spike side and ``fix_keys`` with them."""
    if not conversion.value_of('bool', key, value):
        return
    alpha = value_of('float', 'train.lora_alpha', flat.get('train.lora_alpha', 16), [])
    conversion.overrides['lora_alpha'] = alpha
    later = bool(flat.get('train.phase2_lora_mode'))
    if not later and not flat.get('train.freeze_backbone'):
        conversion.left_out.append(f'{key}: beside weights that are trained, adapters add nothing; they are left out')
        return
    if later and freezes_backbone(flat) and integer_at(flat, 'train.fix_iter', 0) >= integer_at(flat, TOTAL, 0):
        return  # all of this run is phase 1, without adapters
    targets = value_of('texts', 'train.lora_target_modules', flat.get('train.lora_target_modules', ['qkv', 'proj']), [])
    conversion.overrides |= {
        'model.lora': {
            'layers': [f'backbone.*{name}*' for name in targets],
            'rank': integer_at(flat, 'train.lora_rank', 8),
            'alpha': alpha,
            'trained': [
                *(SPIKE_SIDE if has_spikes(flat) else ()),
                *(f'backbone.*{name}*' for name in fixed_names(flat)),
            ],
        },
        'default_hooks.adapters': {'type': 'AdaptersHook'},
    }


def _freeze(conversion: Conversion, flat: Flat, names: list[str], iterations: int) -> None:
    total = integer_at(flat, TOTAL, iterations)
    node = {'type': 'FreezeHook', 'names': names, 'iters': iterations if iterations < total else None}
    conversion.overrides['default_hooks.freeze'] = node


def slow_parts(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    factor, names = conversion.value_of('float', key, value), fixed_names(flat)
    if names:
        keys = {name: {'lr_mult': factor} for name in names}
        conversion.overrides['optim_wrapper.paramwise_cfg'] = {'custom_keys': keys}


def schedule(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    total = integer_at(flat, TOTAL, 0)
    if value == 'CosineAnnealingWarmRestarts':
        floor = value_of('float', 'train.G_scheduler_eta_min', flat.get('train.G_scheduler_eta_min', 0), [])
        node = {'type': 'CosineAnnealingLR', 'eta_min': floor, 'by_epoch': False}
        period = flat.get('train.G_scheduler_periods')
        period = period[0] if isinstance(period, list) and period else period
        if is_integer(period) and period > total:
            node['T_max'] = period
        elif is_integer(period) and period < total:
            conversion.left_out.append(f'{key}: restarts after {period} iterations; one cosine over the run is used')
    elif value == 'MultiStepLR':
        milestones = flat.get('train.G_scheduler_milestones') or []
        gamma = value_of('float', 'train.G_scheduler_gamma', flat.get('train.G_scheduler_gamma', 0.5), [])
        node = {'type': 'MultiStepLR', 'milestones': milestones, 'gamma': gamma, 'by_epoch': False}
    else:
        raise ConfigError(f"only 'CosineAnnealingWarmRestarts' and 'MultiStepLR' can be converted, found {value!r}")
    conversion.overrides['param_scheduler'] = [node]


def validation_interval(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    every = value if isinstance(value, list) else [value]
    interval = math.gcd(*conversion.value_of('ints', key, every))
    conversion.overrides['train_cfg.val_interval'] = interval
    if len(every) > 1:
        conversion.notes.append(f'{key}: validated every {interval} iterations rather than at {value}')


def tiling(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    """Translate the tiles of validation. KAIR's default overlap is 20 pixels."""
    length, side = (integer_at(flat, f'val.{name}', 0) for name in ('num_frame_testing', 'size_patch_testing'))
    shared = integer_at(flat, 'val.num_frame_overlapping', 0), integer_at(flat, 'val.size_patch_overlapping', 20)
    precisions = {True: flat.get('val.amp.dtype', 'float16'), False: 'float32'}
    conversion.overrides['model.tiling'] = {
        'tile': [length, side, side],
        'overlap': [shared[0] if length else 0, *[shared[1] if side else 0] * 2],
        'tiles_per_batch': integer_at(flat, 'val.patch_batch_size', 1),
        'precision': precisions[bool(flat.get('val.amp.enable'))],
    }


def watching(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    kinds = {'use_tensorboard': 'TensorboardVisBackend', 'use_wandb': 'WandbVisBackend'}
    if conversion.value_of('bool', key, value):
        backends = conversion.overrides.setdefault('visualizer.vis_backends', [{'type': 'LocalVisBackend'}])
        backends.append({'type': kinds[key.rpartition('.')[2]]})
