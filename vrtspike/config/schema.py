"""The schema of a config: which registry each node belongs to, and which arguments its owner supplies.

A class whose constructor takes parts can declare what this table does not know, in two class attributes:

- ``parts = {'aligner': BACKBONES}``: the registry of an argument whose name is not in the table; None for an argument
  that has the name of a part but is not one;
- ``filled_in = {'fusion': ('channels',)}``: arguments that the class itself supplies when it builds a part. A config
  leaves them out.
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
from vrtspike.config.warm_up import warm_up_iterations

RUNNER_READS = (
    'model_wrapper_cfg',
    'sync_bn',
    'find_unused_parameters',
    'activation_checkpointing',
    'efficient_conv_bn_eval',
    'compile',
    'runner_type',
    'strategy',
    'custom_imports',
)
"""Top-level keys that MMEngine's Runner reads from the config, besides its arguments."""

OUR_KEYS = (
    'data',
    'plugins',
    'auto_fit',
    'cpu_overrides',
    'applied_cpu_overrides',
    'warm_up',
    'partial_load',
    'lora_alpha',
)
"""Top-level keys of this project."""

PARAMWISE_KEYS = (
    'custom_keys',
    'bias_lr_mult',
    'bias_decay_mult',
    'norm_decay_mult',
    'flat_decay_mult',
    'dwconv_decay_mult',
    'dcn_offset_lr_mult',
    'bypass_duplicate',
)


@dataclass(frozen=True)
class NodeSchema:
    """How one node of a config becomes a part.

    Args:
        registry: Where ``type`` is looked up; None if the node has no ``type``.
        untyped: Takes a node without ``type`` and returns the class or function that it configures, or None if that is
            unknown.
        expects: What the node must contain, for the error if ``untyped`` returns None.
        keys: The keys of a node that is not a constructor call.
        filled_in: Arguments that the owner supplies unless the node does, by name, or by position if any name will do.
        fixed: Arguments that the owner always supplies.
        removed: Keys that the owner removes from the node before it builds the part.
        removed_untyped: The same, for a node without ``type``.
        needs: Keys that the owner needs although the constructor has a default.
        many: Whether the node maps names to parts.
    """

    registry: Registry | None = None
    untyped: Callable[[dict], Any] | None = None
    expects: str = ''
    keys: tuple[str, ...] = ()
    filled_in: tuple[str | int, ...] = ()
    fixed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    removed_untyped: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    many: bool = False


def top_level_keys() -> tuple[str, ...]:
    """Return every key that a config may have at its top level."""
    from mmengine.runner import Runner

    arguments = (name for name in keys_of(Runner).names if name != 'cfg')
    return (*arguments, *RUNNER_READS, *OUR_KEYS)


@functools.cache
def top_level_schemas() -> dict[str, NodeSchema]:
    """Return the schemas of the nodes at the top level of a config, by key."""
    return {
        'model': NodeSchema(ours.MODELS),
        'data_preprocessor': NodeSchema(ours.MODELS),
        'data': NodeSchema(ours.CLIP_SOURCES),
        'visualizer': NodeSchema(ours.VISUALIZERS, filled_in=('name', 'save_dir')),
        'auto_scale_lr': NodeSchema(keys=('enable', 'base_batch_size')),
        'warm_up': NodeSchema(untyped=lambda node: warm_up_iterations, filled_in=('run_iters',)),
        **_data_schemas(),
        **_hook_schemas(),
        **_loop_schemas(),
        **_optimizer_schemas(),
        **_runner_schemas(),
    }


def _data_schemas() -> dict[str, NodeSchema]:
    splits = ('train', 'val', 'test')
    dataloaders = {f'{split}_dataloader': _dataloader() for split in splits}
    return dataloaders | {f'{split}_evaluator': NodeSchema(ours.METRICS) for split in splits[1:]}


def _hook_schemas() -> dict[str, NodeSchema]:
    hook = NodeSchema(ours.HOOKS, removed=('priority',))
    return {'default_hooks': replace(hook, many=True), 'custom_hooks': hook}


def _loop_schemas() -> dict[str, NodeSchema]:
    from mmengine.runner import TestLoop, ValLoop

    evaluated = ('runner', 'dataloader', 'evaluator')
    train = NodeSchema(
        ours.LOOPS,
        _train_loop,
        'by_epoch=True, by_epoch=False or a type',
        filled_in=('runner', 'dataloader'),
        removed_untyped=('by_epoch',),
    )
    return {
        'train_cfg': train,
        'val_cfg': NodeSchema(ours.LOOPS, lambda node: ValLoop, filled_in=evaluated),
        'test_cfg': NodeSchema(ours.LOOPS, lambda node: TestLoop, filled_in=evaluated),
    }


def _optimizer_schemas() -> dict[str, NodeSchema]:
    return {
        'optim_wrapper': NodeSchema(
            ours.OPTIM_WRAPPERS, _optim_wrapper, removed=('constructor', 'paramwise_cfg'), needs=('optimizer',)
        ),
        'param_scheduler': NodeSchema(
            ours.PARAM_SCHEDULERS, filled_in=('optimizer', 'epoch_length'), removed=('convert_to_iter_based',)
        ),
    }


def _runner_schemas() -> dict[str, NodeSchema]:
    from mmengine.runner import LogProcessor, Runner
    from mmengine.utils.dl_utils import set_multi_processing

    return {
        'log_processor': NodeSchema(mmengine.LOG_PROCESSORS, lambda node: LogProcessor),
        'model_wrapper_cfg': NodeSchema(mmengine.MODEL_WRAPPERS, _model_wrapper, filled_in=('module', 'device_ids')),
        'randomness': NodeSchema(untyped=lambda node: Runner.set_randomness, filled_in=('self',)),
        'env_cfg': NodeSchema(
            keys=('cudnn_benchmark', 'matmul_tf32', 'measure_backends', 'mp_cfg', 'dist_cfg', 'resource_limit')
        ),
        'env_cfg.mp_cfg': NodeSchema(untyped=lambda node: set_multi_processing, filled_in=('distributed',)),
    }


@functools.cache
def nested_schemas() -> dict[str, NodeSchema]:
    """Return the schemas of the nodes inside other parts, by the last key of their path."""
    dataset, transform = NodeSchema(ours.DATASETS), NodeSchema(ours.TRANSFORMS)
    first_argument = (0,)
    return {
        'backbone': NodeSchema(ours.BACKBONES),
        'spike_encoder': NodeSchema(ours.SPIKE_ENCODERS),
        'tsa': NodeSchema(ours.TSA),
        'fusion': NodeSchema(ours.FUSION_HEADS),
        'loss': NodeSchema(ours.MODELS),
        'losses': NodeSchema(ours.MODELS),
        'tiling': NodeSchema(untyped=_tiling),
        'lora': NodeSchema(untyped=_lora),
        'data_preprocessor': NodeSchema(ours.MODELS),
        'init_cfg': NodeSchema(mmengine.WEIGHT_INITIALIZERS, removed=('override',)),
        'source': NodeSchema(ours.CLIP_SOURCES),
        'representation': NodeSchema(ours.REPRESENTATIONS),
        'dataset': dataset,
        'datasets': dataset,
        'pipeline': transform,
        'transforms': transform,
        'sampler': NodeSchema(ours.DATA_SAMPLERS, filled_in=('dataset', 'seed')),
        'batch_sampler': NodeSchema(ours.DATA_SAMPLERS, filled_in=('sampler', 'batch_size')),
        'collate_fn': NodeSchema(mmengine.FUNCTIONS, filled_in=first_argument),
        'worker_init_fn': NodeSchema(mmengine.FUNCTIONS, filled_in=first_argument),
        'optimizer': NodeSchema(ours.OPTIMIZERS, filled_in=first_argument),
        'constructor': NodeSchema(ours.OPTIM_WRAPPER_CONSTRUCTORS, filled_in=('optim_wrapper_cfg', 'paramwise_cfg')),
        'paramwise_cfg': NodeSchema(keys=PARAMWISE_KEYS),
        'clip_grad': NodeSchema(
            untyped=_clip_grad, expects="type='norm' or type='value'", filled_in=first_argument, removed=('type',)
        ),
        'metrics': NodeSchema(ours.METRICS),
        'vis_backends': NodeSchema(ours.VISBACKENDS, filled_in=('save_dir',)),
    }


def evaluator_schema() -> NodeSchema:
    """Return the schema of an evaluator written in full, ``dict(type='Evaluator', metrics=[...])``."""
    from mmengine.evaluator import Evaluator

    return NodeSchema(mmengine.EVALUATOR, lambda node: Evaluator)


def keys_of_part(part: Any) -> Keys:
    """Return the keyword arguments of ``part``, including those that the checkpoint hook passes on to the Runner."""
    from mmengine.runner import Runner

    keys = keys_of(part)
    if keys.any_key_of != 'CheckpointHook':
        return keys
    return Keys((*keys.names, *keys_of(Runner.save_checkpoint).names), keys.required)


def _dataloader() -> NodeSchema:
    from torch.utils.data import DataLoader

    return NodeSchema(
        untyped=lambda node: DataLoader,
        removed=('num_batch_per_epoch', 'disable_subprocess_warning'),
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


def _lora(node: dict) -> Any:
    from vrtspike.models.lora import LoRA

    return LoRA
