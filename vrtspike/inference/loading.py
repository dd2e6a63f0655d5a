"""Builds a network from a checkpoint and the config in it, or a given config."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from vrtspike.config import check_config
from vrtspike.config.values import read_saved_config
from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.models.adapters import merge_adapters
from vrtspike.models.weights import check_fit, load_exact, renamed
from vrtspike.native.allocator import allocate_tensors_with_malloc
from vrtspike.plugins import every_registry, load_plugins
from vrtspike.registry import MODELS
from vrtspike.runtime.checkpoint_files import load_checkpoint_file, unwrap_state_dict
from vrtspike.runtime.device import MIB, chosen_device


def load_restorer(
    checkpoint: str | os.PathLike,
    config: Config | None = None,
    *,
    plugins: tuple[str, ...] = (),
    device: torch.device | str | None = None,
    trust: bool = False,
) -> tuple[nn.Module, Config]:
    """Return the network of a checkpoint, ready to restore, and the config it was built from.

    Args:
        checkpoint: A local file.
        config: A resolved config; None uses the one that our training saves with the weights.
        plugins: Plugins that register parts of the network. Plugins in a checkpoint's config are loaded only if they
            are listed here too.
        device: The device of the network; None uses a GPU if there is one.
        trust: Unpickle checkpoints that contain more than weights.

    Raises:
        CheckpointError: The checkpoint cannot be read, contains no config, or does not fit the network.
        ConfigError: The config has problems.
    """
    allocate_tensors_with_malloc()
    loaded = load_checkpoint_file(checkpoint, trust)
    source = f'checkpoint {checkpoint}'
    weights = unwrap_state_dict(loaded, source)
    with DefaultScope.overwrite_default_scope('vrtspike'):
        if config is None:
            config = config_in_checkpoint(loaded, checkpoint, plugins)
            require_same_sizes(config, weights, source)
        model = MODELS.build(config.model)
    load_exact(model, weights, source)
    return model.to(chosen_device(device)).eval(), config


def config_in_checkpoint(checkpoint: dict, path: str | os.PathLike, plugins: tuple[str, ...] = ()) -> Config:
    """Return the config in a checkpoint. Its network is checked, and nothing in it is executed."""
    text = (checkpoint.get('meta') or {}).get('cfg') if isinstance(checkpoint.get('meta'), dict) else None
    if not isinstance(text, str):
        raise CheckpointError(f'checkpoint {path} contains no config: give the config of its network (config=)')
    try:
        values = read_saved_config(text)
    except ValueError as error:
        raise CheckpointError(
            f'the config in checkpoint {path} is more than plain values ({error}): give the config file'
        ) from error
    if not isinstance(values.get('model'), dict):
        raise CheckpointError(f'the config in checkpoint {path} has no model: give the config file')
    named = values.get('plugins') or []
    needed = [str(name) for name in (named if isinstance(named, list) else [named]) if name not in plugins]
    if needed:
        raise CheckpointError(
            f'the network of checkpoint {path} needs the plugins {", ".join(needed)}: list them (plugins=) if you '
            'trust their code'
        )
    load_plugins(list(plugins))
    unknown = list(unregistered({key: values.get(key) for key in ('model', 'train_dataloader', 'val_dataloader')}))
    if unknown:
        raise CheckpointError(
            f'the config in checkpoint {path} names {", ".join(unknown)}, which no registry has: give the config file '
            '(config=), or the plugin that registers it (plugins=), if you trust their code'
        )
    problems = check_config({'model': values['model']}).problems
    if problems:
        raise ConfigError('\n  '.join([f'the config in checkpoint {path} is invalid', *problems]))
    return Config(values)


def require_same_sizes(config: Config, weights: Mapping[str, Tensor], source: str) -> None:
    """Check that a checkpoint fits the network of its own config, before memory is allocated for the network.

    Raises:
        CheckpointError: It does not fit, or a number in the config is too large for a network with so few weights.
    """
    largest, size = max(whole_numbers(config.model), default=0), sum(tensor.numel() for tensor in weights.values())
    if largest > size:
        raise CheckpointError(
            f'the config in {source} has the number {largest}, but there are only {size} weights: give the config file'
        )
    with torch.device('meta'), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # parts with shipped weights warn that they cannot load them on the meta device
        model = MODELS.build(config.model)
    targets = model.state_dict()
    check_fit(merge_adapters(renamed(weights, targets), targets).weights, targets, source)


def whole_numbers(node: Any) -> Iterator[int]:
    """Yield the whole numbers in a node of a config."""
    if isinstance(node, int):
        yield node
    elif isinstance(node, (dict, list, tuple)):
        for value in node.values() if isinstance(node, dict) else node:
            yield from whole_numbers(value)


def unregistered(node: Any) -> Iterator[str]:
    """Yield the types and scopes in a config that no registry has. MMEngine would import the modules they name."""
    if isinstance(node, dict):
        kind, scope = node.get('type'), node.get('_scope_')
        if isinstance(kind, str) and not is_registered(kind):
            yield kind
        if scope not in (None, 'vrtspike', 'mmengine'):
            yield str(scope)
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ():
        yield from unregistered(child)


def is_registered(name: str) -> bool:
    """Return whether a registry has a part of this name. A dotted name must be that of the part's module and class."""
    short = name.rpartition('.')[2]
    for registry in every_registry():
        registry.import_from_location()  # registries are empty until they are first used
    parts = [registry.module_dict[short] for registry in every_registry() if short in registry.module_dict]
    return bool(parts) and (name == short or name in [f'{part.__module__}.{part.__qualname__}' for part in parts])


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(Path(path).expanduser(), 'rb') as file:
        for block in iter(lambda: file.read(MIB), b''):
            digest.update(block)
    return digest.hexdigest()
