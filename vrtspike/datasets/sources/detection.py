"""Recognises the layout of a folder, so that tools need its path only."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from vrtspike.datasets.sources.folders import ON_DISK, read_config
from vrtspike.datasets.sources.gopro_spike import FRAMES, SPIKES
from vrtspike.datasets.sources.sequence import SPLITS
from vrtspike.errors import ConfigError, DataError, did_you_mean
from vrtspike.registry import CLIP_SOURCES


def detect_source(root: Path, options: dict[str, Any]) -> Any:
    """Return the clip source of a data set. ``options`` may name its type; otherwise the folders decide.

    Args:
        root: The data set's folder.
        options: Arguments of the source, optionally with its ``type``.

    Raises:
        DataError: ``root`` is missing or has no known layout.
        ConfigError: The source does not take the options.
    """
    if not root.is_dir():
        raise DataError(f'{root} does not exist: expected the folder of a data set')
    name = options.get('type') or detect_type(root)
    known = inspect.signature(CLIP_SOURCES.get(name)).parameters
    for option in options.keys() - {'type', *known}:
        raise ConfigError(f"{name} takes no '{option}'{did_you_mean(option, known)}")
    return CLIP_SOURCES.build({**options, 'type': name, 'root': str(root)})


def detect_type(root: Path) -> str:
    """Return the name of the clip source that reads ``root``."""
    if (root / SPIKES).is_dir() or (root / FRAMES).is_dir():
        return 'GoProSpike'
    if any((root / f'{split}_fullRGB').is_dir() for split in SPLITS):
        return 'X4KSpike'
    splits = [root / split for split in ON_DISK.values() if (root / split / 'blur_data').is_dir()]
    if splits:
        return 'SSDMGoPro' if any((split / 'sharp_data').is_dir() for split in splits) else 'SSDMReal'
    if any((root / split / 'spike').is_dir() for split in ON_DISK.values()):
        return 'SpikeZooBase'
    if any(True for split in SPLITS for _ in root.glob(f'{split}/*/spike')):
        return 'ProcessedClips'
    if any(True for split in SPLITS for _ in root.glob(f'{split}/*/blur')):
        return 'RGBClips'
    if 'filename' in read_config(root / 'config.yaml'):
        return 'SpikeCVRecording'
    raise DataError(
        f'{root} has no known layout: expected GOPRO_Large_spike_seq, train_fullRGB, train/blur_data, train/spike, a '
        'config.yaml that names a recording, or train/<sequence>/{blur,sharp,spike}; or name the layout, as in '
        '--options type=ProcessedClips'
    )
