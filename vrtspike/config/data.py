"""The data of a config: its top-level ``data`` and its data loaders."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from mmengine.config import Config

from vrtspike.config.signatures import keys_of
from vrtspike.errors import RegistryError
from vrtspike.registry import CLIP_SOURCES

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
WORKER_OPTIONS = ('persistent_workers', 'prefetch_factor', 'multiprocessing_context')
"""Arguments that torch's DataLoader rejects if it has no worker processes."""


def copy_to_datasets(config: Config) -> None:
    """Copy ``data`` into every ClipDataset without a ``source``. A network that needs no spikes reads none."""
    if isinstance(config.get('data'), dict):
        for dataset in _clip_datasets(config):
            dataset.setdefault('source', copy.deepcopy(config.data))
    if not _uses_spikes(config.get('model')):
        for source in [config.get('data'), *(dataset.get('source') for dataset in _clip_datasets(config))]:
            if 'spikes' in _arguments_of(source):
                source.setdefault('spikes', False)


def remove_copies(config: Config) -> None:
    """Remove the copies of ``data`` from a dumped config, so that overrides of ``data`` still take effect."""
    for dataset in _clip_datasets(config):
        if 'source' in dataset and dataset['source'] == config.get('data'):
            dataset.pop('source')


def drop_arguments_of_replaced_source(config: Config, earlier: Iterable[Any]) -> None:
    """Remove the arguments that ``data`` has only because it inherited them from a source of another type.

    Nodes are merged key by key, so ``data.type=RGBClips`` alone would leave the arguments of the demo clips.

    Args:
        config: Changed in place.
        earlier: Earlier values of ``data``: in the files without overrides, and in each file that was inherited.
    """
    data = config.get('data')
    known = _arguments_of(data)
    foreign = [key for key in data if key not in known and key != 'type'] if known else []
    for node in earlier if foreign else ():
        if isinstance(node, dict) and node.get('type') != data.type:
            for key in foreign:
                if key in node and node[key] == data.get(key):
                    data.pop(key, None)


def remove_worker_options(config: Config) -> None:
    """Remove the options for worker processes from data loaders without any."""
    for name in LOADERS:
        loader = config.get(name)
        if isinstance(loader, dict) and not loader.get('num_workers'):
            for option in WORKER_OPTIONS:
                loader.pop(option, None)


def _arguments_of(source: Any) -> tuple[str, ...]:
    """Return the arguments that a node's clip source takes; empty if they are unknown."""
    kind = source.get('type') if isinstance(source, dict) else None
    try:
        part = CLIP_SOURCES.get(kind) if isinstance(kind, str) else kind
    except RegistryError:
        return ()
    keys = keys_of(part) if callable(part) else None
    return () if keys is None or keys.any_key_of else keys.names


def _uses_spikes(model: Any) -> bool:
    """Return whether the network of a node, or its teacher, needs spikes; True if that is unknown."""
    if not isinstance(model, dict) or model.get('type') not in ('SpikeRestorer', 'DistilledRestorer'):
        return True
    own = any(model.get(key) is not None for key in ('fusion', 'early_fusion')) or model.get('start') in (
        'sdm',
        'spikes',
    )
    backbone = model.get('backbone')
    own = own or (isinstance(backbone, dict) and backbone.get('flow') == 'spikes')
    return own or (model.get('teacher') is not None and _uses_spikes(model['teacher']))


def _clip_datasets(config: Config) -> Iterator[dict]:
    """Yield the ClipDataset nodes of the data loaders, including those inside other data sets."""
    for name in LOADERS:
        loader = config.get(name)
        if isinstance(loader, dict):
            yield from _nodes_of_type(loader.get('dataset'), 'ClipDataset')


def _nodes_of_type(value: Any, name: str) -> Iterator[dict]:
    if isinstance(value, dict):
        if str(value.get('type')).rpartition('.')[2] == name:
            yield value
        for child in value.values():
            yield from _nodes_of_type(child, name)
    elif isinstance(value, (list, tuple)):
        for child in value:
            yield from _nodes_of_type(child, name)
