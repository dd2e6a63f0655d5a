"""Which registry each place of a config names, and what its owner supplies: the one table of both.

A class whose constructor takes parts says what this table cannot know with two class attributes, both optional:

- ``parts = {'aligner': BACKBONES}``: the registry of an argument that has a name of its own; None for an argument that
  is called like a part but is none;
- ``filled_in = {'fusion': ('channels',)}``: the arguments that the class itself supplies when it builds a part, so that
  a config leaves them out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import mmengine.registry as mmengine
from mmengine.registry import Registry

from vrtspike import registry as ours
from vrtspike.config.signatures import Keys, keys_of

# Top-level keys besides the arguments of MMEngine's Runner: what the Runner reads from the config itself, then ours.
RUNNER_READS = (
    'model_wrapper_cfg', 'sync_bn', 'find_unused_parameters', 'activation_checkpointing', 'efficient_conv_bn_eval',
    'compile', 'runner_type', 'strategy', 'custom_imports',
)  # fmt: skip
OUR_KEYS = ('data', 'plugins', 'auto_fit', 'cpu_overrides', 'applied_cpu_overrides')
PARAMWISE_KEYS = (
    'custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult', 'dwconv_decay_mult',
    'dcn_offset_lr_mult', 'bypass_duplicate',
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """One place of a config and how its node becomes a part.

    Args:
        registry: Where the node's ``type`` is looked up; None where a node has no ``type``.
        untyped: From a node without ``type`` to what is built from it; it returns None where it cannot be told.
        expects: What ``untyped`` goes by, for the error where it returns None.
        keys: The keys of a node that is no constructor's call.
        filled_in: Arguments that the owner supplies unless the node does: names, or positions of arguments whose
            name is free.
        fixed: Arguments that the owner supplies whatever the node says.
        taken_out: Keys that the owner takes out of the node before it builds the part.
        taken_out_untyped: The same, for a node without ``type``.
        needs: Keys that the owner needs although the constructor has a default.
        many: Whether the node maps names to parts.
    """

    registry: Registry | None = None
    untyped: Callable[[dict], Any] | None = None
    expects: str = ''
    keys: tuple[str, ...] = ()
    filled_in: tuple[str | int, ...] = ()
    fixed: tuple[str, ...] = ()
    taken_out: tuple[str, ...] = ()
    taken_out_untyped: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    many: bool = False


def top_level_keys() -> tuple[str, ...]:
    """Return every key that a config may have at its top level."""
    from mmengine.runner import Runner

    arguments = (name for name in keys_of(Runner).names if name != 'cfg')
    return (*arguments, *RUNNER_READS, *OUR_KEYS)


@functools.cache
def top_level_places() -> dict[str, Place]:
    """Return the places at the top level of a config, by key."""
    from mmengine.runner import LogProcessor, Runner, TestLoop, ValLoop
    from mmengine.utils.dl_utils import set_multi_processing

    hooks = Place(ours.HOOKS, taken_out=('priority',))
    evaluated = ('runner', 'dataloader', 'evaluator')
    places = {
        'model': Place(ours.MODELS),
        'data_preprocessor': Place(ours.MODELS),
        'data': Place(ours.CLIP_SOURCES),
        'optim_wrapper': Place(
            ours.OPTIM_WRAPPERS, _optim_wrapper, taken_out=('constructor', 'paramwise_cfg'), needs=('optimizer',)
        ),
        'param_scheduler': Place(
            ours.PARAM_SCHEDULERS, filled_in=('optimizer', 'epoch_length'), taken_out=('convert_to_iter_based',)
        ),
        'train_cfg': Place(
            ours.LOOPS, _train_loop, 'by_epoch=True, by_epoch=False or a type',
            filled_in=('runner', 'dataloader'), taken_out_untyped=('by_epoch',),
        ),
        'val_cfg': Place(ours.LOOPS, lambda node: ValLoop, filled_in=evaluated),
        'test_cfg': Place(ours.LOOPS, lambda node: TestLoop, filled_in=evaluated),
        'default_hooks': replace(hooks, many=True),
        'custom_hooks': hooks,
        'visualizer': Place(ours.VISUALIZERS, filled_in=('name', 'save_dir')),
        'log_processor': Place(mmengine.LOG_PROCESSORS, lambda node: LogProcessor),
        'model_wrapper_cfg': Place(
            mmengine.MODEL_WRAPPERS, _model_wrapper, filled_in=('module', 'device_ids')
        ),
        'randomness': Place(untyped=lambda node: Runner.set_randomness, filled_in=('self',)),
        'env_cfg': Place(keys=('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit')),
        'env_cfg.mp_cfg': Place(untyped=lambda node: set_multi_processing, filled_in=('distributed',)),
        'auto_scale_lr': Place(keys=('enable', 'base_batch_size')),
    }  # fmt: skip
    places |= {f'{split}_dataloader': _dataloader() for split in ('train', 'val', 'test')}
    places |= {f'{split}_evaluator': Place(ours.METRICS) for split in ('val', 'test')}
    return places


@functools.cache
def nested_places() -> dict[str, Place]:
    """Return the places inside other parts, by the last key of their path."""
    dataset, transform = Place(ours.DATASETS), Place(ours.TRANSFORMS)
    first_argument = (0,)
    return {
        'backbone': Place(ours.BACKBONES),
        'spike_encoder': Place(ours.SPIKE_ENCODERS),
        'tsa': Place(ours.TSA),
        'fusion': Place(ours.FUSION_HEADS),
        'loss': Place(ours.MODELS),
        'losses': Place(ours.MODELS),
        'tiling': Place(untyped=_tiling),
        'data_preprocessor': Place(ours.MODELS),
        'init_cfg': Place(mmengine.WEIGHT_INITIALIZERS, taken_out=('override',)),
        'source': Place(ours.CLIP_SOURCES),
        'representation': Place(ours.REPRESENTATIONS),
        'dataset': dataset,
        'datasets': dataset,
        'pipeline': transform,
        'transforms': transform,
        'sampler': Place(ours.DATA_SAMPLERS, filled_in=('dataset', 'seed')),
        'batch_sampler': Place(ours.DATA_SAMPLERS, filled_in=('sampler', 'batch_size')),
        'collate_fn': Place(mmengine.FUNCTIONS, filled_in=first_argument),
        'worker_init_fn': Place(mmengine.FUNCTIONS, filled_in=first_argument),
        'optimizer': Place(ours.OPTIMIZERS, filled_in=first_argument),
        'constructor': Place(ours.OPTIM_WRAPPER_CONSTRUCTORS, filled_in=('optim_wrapper_cfg', 'paramwise_cfg')),
        'paramwise_cfg': Place(keys=PARAMWISE_KEYS),
        'clip_grad': Place(
            untyped=_clip_grad, expects="type='norm' or type='value'", filled_in=first_argument, taken_out=('type',)
        ),
        'metrics': Place(ours.METRICS),
        'vis_backends': Place(ours.VISBACKENDS, filled_in=('save_dir',)),
    }


def evaluator_place() -> Place:
    """Return the place of an evaluator that is written out, ``dict(type='Evaluator', metrics=[...])``."""
    from mmengine.evaluator import Evaluator

    return Place(mmengine.EVALUATOR, lambda node: Evaluator)


def keys_of_part(part: Any) -> Keys:
    """Return the keyword arguments of ``part``, those of MMEngine's checkpoint hook followed to where they are used."""
    from mmengine.runner import Runner

    keys = keys_of(part)
    if keys.any_key_of != 'CheckpointHook':
        return keys
    return Keys((*keys.names, *keys_of(Runner.save_checkpoint).names), keys.required)


def hooks_of(config: dict) -> dict[str, dict]:
    """Return the hooks of a config by their dotted places, the default ones and its own."""
    found = {f'default_hooks.{name}': hook for name, hook in (config.get('default_hooks') or {}).items() if hook}
    return found | {f'custom_hooks.{i}': hook for i, hook in enumerate(config.get('custom_hooks') or [])}


def _dataloader() -> Place:
    from torch.utils.data import DataLoader

    return Place(
        untyped=lambda node: DataLoader,
        taken_out=('num_batch_per_epoch', 'disable_subprocess_warning'),
        needs=('sampler',),
    )


def _train_loop(node: dict) -> Any:
    from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

    if 'by_epoch' not in node:
        return None
    return EpochBasedTrainLoop if node['by_epoch'] else IterBasedTrainLoop


def _optim_wrapper(node: dict) -> Any:
    from mmengine.optim import OptimWrapper

    return OptimWrapper


def _model_wrapper(node: dict) -> Any:
    from mmengine.model import MMDistributedDataParallel

    return MMDistributedDataParallel


def _tiling(node: dict) -> Any:
    from vrtspike.models.tiling import Tiling

    return Tiling


def _clip_grad(node: dict) -> Any:
    from torch.nn import utils

    return {'norm': utils.clip_grad_norm_, 'value': utils.clip_grad_value_}.get(node.get('type', 'norm'))
