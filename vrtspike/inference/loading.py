"""From a checkpoint, and a config where it carries none, to a network that restores."""

from __future__ import annotations

import ast
import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from vrtspike.config import check_config
from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.native.allocator import allocate_tensors_with_malloc
from vrtspike.plugins import load_plugins
from vrtspike.registry import MODELS
from vrtspike.runtime.checkpoint_files import load_checkpoint_file, unwrap_state_dict

SHOWN_NAMES = 5


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
        config: A resolved config; None takes the one that our training saves with the weights.
        plugins: Plugins that register parts of the network; those that a checkpoint's own config names are loaded only
            where they are named here.
        device: Where the network goes; None takes a GPU where there is one.
        trust: Unpickle checkpoints that hold more than weights.

    Raises:
        CheckpointError: The checkpoint cannot be read, carries no config, or has other weights than the network.
        ConfigError: The config does not hold together.
    """
    allocate_tensors_with_malloc()
    loaded = load_checkpoint_file(checkpoint, trust)
    if config is None:
        config = config_in_checkpoint(loaded, checkpoint, plugins)
    with DefaultScope.overwrite_default_scope('vrtspike'):
        model = MODELS.build(config.model)
    load_weights(model, unwrap_state_dict(loaded), checkpoint)
    device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    return model.to(device).eval(), config


def config_in_checkpoint(checkpoint: dict, path: str | os.PathLike, plugins: tuple[str, ...] = ()) -> Config:
    """Return the config that a checkpoint carries, read without executing any of it, its network checked."""
    text = (checkpoint.get('meta') or {}).get('cfg') if isinstance(checkpoint.get('meta'), dict) else None
    if not isinstance(text, str):
        raise CheckpointError(f'checkpoint {path} carries no config: say which network its weights belong to (config=)')
    values = read_assignments(text, path)
    needed = [name for name in values.get('plugins') or [] if name not in plugins]
    if needed:
        raise CheckpointError(
            f'the network of checkpoint {path} needs the plugins {", ".join(needed)}: name them (plugins=) if you '
            'trust their code'
        )
    load_plugins(list(plugins))
    problems = check_config({key: values[key] for key in ('model',) if key in values}).problems
    if problems:
        raise ConfigError('\n  '.join([f'the config that checkpoint {path} carries does not hold together', *problems]))
    return Config(values)


def read_assignments(text: str, path: str | os.PathLike) -> dict[str, Any]:
    """Return the values of a dumped config, lines such as ``model = dict(type='VRT', depths=[8, 7])``.

    A config file is a program; this reads nothing but literals and ``dict(...)``, and calls nothing.
    """
    try:
        statements = ast.parse(text).body
        return {statement.targets[0].id: _literal(statement.value) for statement in statements}
    except (SyntaxError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(
            f'the config that checkpoint {path} carries is no list of plain values ({error}): give the config file'
        ) from error


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        if getattr(node.func, 'id', None) != 'dict':
            raise ValueError(f'line {node.lineno} calls {ast.unparse(node.func)}')
        return dict(*map(_literal, node.args), **{keyword.arg: _literal(keyword.value) for keyword in node.keywords})
    if isinstance(node, ast.Dict):
        return {_literal(key): _literal(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, (ast.List, ast.Tuple)):
        return (list if isinstance(node, ast.List) else tuple)(_literal(item) for item in node.elts)
    return ast.literal_eval(node)


def load_weights(model: nn.Module, weights: dict[str, torch.Tensor], path: str | os.PathLike) -> None:
    """Load all the weights of a network.

    Raises:
        CheckpointError: Naming the weights that are missing, left over or of another shape.
    """
    expected = model.state_dict()
    shapes = [name for name in weights if name in expected and weights[name].shape != expected[name].shape]
    problems = {
        'missing': [name for name in expected if name not in weights],
        'not in the network': [name for name in weights if name not in expected],
        'of another shape': [f'{name} {tuple(weights[name].shape)}' for name in shapes],
    }
    found = [f'{len(names)} {what} ({_some(names)})' for what, names in problems.items() if names]
    if found:
        raise CheckpointError(
            f'checkpoint {path} does not fit the network of the config: of its weights {"; ".join(found)}. Use the '
            'config it was trained with'
        )
    model.load_state_dict(weights)


def _some(names: list[str]) -> str:
    return ', '.join([*names[:SHOWN_NAMES], *(['...'] if len(names) > SHOWN_NAMES else [])])


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(Path(path).expanduser(), 'rb') as file:
        for block in iter(lambda: file.read(2**20), b''):
            digest.update(block)
    return digest.hexdigest()
