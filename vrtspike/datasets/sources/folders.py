"""The folders and files of a data set, and arguments that several layouts share."""

from __future__ import annotations

import math
import os
import re
import reprlib
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from vrtspike.datasets.io.listing import IMAGE_SUFFIXES, common_suffix, is_hidden, stems_in, time_order
from vrtspike.datasets.io.spike_formats import SPIKE_SUFFIXES
from vrtspike.datasets.io.stored import folders_of, is_folder, place_in_lmdb
from vrtspike.datasets.sources.sequence import LIGHTS, Sequence
from vrtspike.datasets.spike_layout import USUAL_LAYOUT, SpikeLayout
from vrtspike.errors import ConfigError, DataError, did_you_mean, require_positive_integers
from vrtspike.runtime.text_files import read_yaml_mapping

#: Names of the splits on disk, in data sets with a test split.
ON_DISK = {'train': 'train', 'val': 'test'}
#: The name of a sharp frame of another instant than the middle of the exposure: <frame>@<instant>.
INSTANT_STEM = re.compile(r'(.+)@(0|1|0?\.\d+)')


def require_root(root: str | os.PathLike, layout: str) -> Path:
    """Return the folder of a data set; raise DataError if it is missing."""
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataError(
            f'the data set {root} does not exist: prepare it as {layout}, '
            'or train on the demo clips with --cfg-options data.type=DemoClips'
        )
    return root


def require_split(folder: Path, split: str, layout: str) -> Path:
    """Return the folder of a split; raise DataError if it is missing."""
    if not folder.is_dir():
        without = 'To train without validation, set val_dataloader, val_evaluator and val_cfg to None.'
        raise DataError(
            f"{folder} is missing: split '{split}' of a data set is laid out as {layout}."
            f'{f" {without}" if split == "val" else ""}'
        )
    return folder


def require_pair(owner: str, **pairs: Any) -> None:
    """Raise :class:`ConfigError` unless all ``pairs`` are two integers above zero, (height, width).

    >>> require_pair('GoProSpike', spike_size=(360, 640))
    """
    for name, pair in pairs.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigError(f'{owner}: {name}={pair!r}; expected (height, width)')
        require_positive_integers(owner, **{f'{name}[{i}]': length for i, length in enumerate(pair)})


def require_light(owner: str, light: str) -> None:
    """Raise :class:`ConfigError` unless ``light`` is one of :data:`~vrtspike.datasets.sources.sequence.LIGHTS`."""
    if light not in LIGHTS:
        raise ConfigError(f'{owner} got {light=}{did_you_mean(str(light), LIGHTS)}')


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in ``folder``, or in an LMDB, sorted by name; hidden ones are not part of a data set.

    Raises:
        DataError: A link is broken, so a sequence would be missing.
    """
    if place_in_lmdb(folder):
        return [folder / name for name in sorted(folders_of(folder))]
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not is_hidden(entry.name)]
    for entry in visible:
        if entry.is_symlink() and not os.path.exists(entry.path):
            raise DataError(f'{entry.path} links to {os.readlink(entry.path)}, which does not exist: correct the link')
    return [folder / name for name in sorted(entry.name for entry in visible if entry.is_dir())]


def all_stems(folders: Iterable[tuple[Path, str]]) -> np.ndarray:
    """Return the stems of all (folder, suffix) pairs in time order; a missing folder has none."""
    found = set().union(*(stems_in(folder, suffix) for folder, suffix in folders if is_folder(folder)))
    return np.array(time_order(found - other_instants(found).keys()), dtype=np.str_)


def other_instants(stems: set[str]) -> dict[str, tuple[str, float]]:
    """Return the frame and the instant of each stem of the form <frame>@<instant> whose frame is also a stem."""
    matches = {stem: match for stem in stems if '@' in stem and (match := INSTANT_STEM.fullmatch(stem))}
    return {stem: (match[1], float(match[2])) for stem, match in matches.items() if match[1] in stems}


def with_instants(sequence: Sequence) -> Sequence:
    """Return a sequence with the sharp frames ``<frame>@<instant>`` of its folder, if there are any.

    Raises:
        DataError: Frames have different instants.
    """
    if sequence.sharp is None or not sequence.sharp.is_dir():
        return sequence
    named: dict[float, dict[str, str]] = {}
    for stem, (frame, instant) in other_instants(stems_in(sequence.sharp, sequence.sharp_suffix)).items():
        named.setdefault(instant, {})[frame] = stem
    for instant, stems in named.items():
        if missing := sorted(set(sequence.stems.tolist()) - stems.keys()):
            raise DataError(
                f'{sequence.sharp} has sharp frames of the instant {instant:g} for {len(stems)} of '
                f'{len(sequence.stems)} frames, but not for {missing[0]}: expected <frame>@<instant> for every frame, '
                'or for none'
            )
    paths = {
        instant: np.array([str(sequence.image_path('sharp', stems[frame])) for frame in sequence.stems.tolist()])
        for instant, stems in named.items()
    }
    return replace(sequence, other_targets=paths)


def sequence_in(
    name: str,
    blur: Path | None,
    sharp: Path | None,
    spike: Path | None = None,
    *,
    suffix: str | None = None,
    named_by: Iterable[str] = ('blur', 'sharp', 'spike'),
    **of_spikes: Any,
) -> Sequence:
    """Return a sequence with every frame that any of its folders has.

    Args:
        name: Name of the sequence.
        blur: Folder of the blurred frames, or None.
        sharp: Folder of the sharp frames, or None.
        spike: Folder of the spike files, the file of a recording, or None.
        suffix: Suffix of the frames; None takes that of the images in each folder.
        named_by: The folders whose files name the frames; the others may have more files.
        of_spikes: The arguments of :class:`Sequence` that describe spikes; unused without ``spike``.
    """
    folders = {'blur': blur, 'sharp': sharp, 'spike': spike if 'interval' not in of_spikes else None}
    folders = {kind: folder for kind, folder in folders.items() if folder is not None}
    suffixes = {
        kind: common_suffix(folder, SPIKE_SUFFIXES) or '.dat'
        if kind == 'spike'
        else suffix or common_suffix(folder, IMAGE_SUFFIXES) or '.png'
        for kind, folder in folders.items()
    }
    pairs = [(folders[kind], suffixes[kind]) for kind in named_by if kind in folders]
    return Sequence(
        name,
        blur,
        sharp,
        spike,
        all_stems(pairs),
        **{f'{kind}_suffix': each for kind, each in suffixes.items()},
        **({} if spike is None else of_spikes),
    )


def read_config(path: Path) -> dict:
    """Return the contents of ``config.yaml``; empty if it is missing."""
    if not path.is_file():
        return {}
    return read_yaml_mapping(path, 'keys such as spike_h, spike_w and threshold', DataError)


def config_number(found: dict, key: str, kind: type, path: Path, instead: str) -> int | float:
    """Return a positive number of a ``config.yaml``; the error message names ``instead`` as another way to give it."""
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, kind)) or not (value > 0 and math.isfinite(value)):
        state = f'is {reprlib.repr(value)}' if key in found else 'is missing'
        raise DataError(f"'{key}' {state} in {path}, expected a positive {kind.__name__}: write it there, or {instead}")
    return kind(value)


def config_light(found: dict, path: Path) -> str:
    """Return ``light`` of a ``config.yaml``, see :class:`Sequence`; ``'linear'`` if the file does not name it."""
    light = found.get('light', LIGHTS[0])
    if light not in LIGHTS:
        raise DataError(f"'light' is {light!r} in {path}, expected one of {', '.join(LIGHTS)}")
    return light


def config_layout(found: dict, path: Path, given: SpikeLayout = USUAL_LAYOUT) -> SpikeLayout:
    """Return how spike files are stored: ``bit_order``, ``flipped`` and ``axes`` as given, or of a ``config.yaml``."""
    stated = {name: found.get(name) if value is None else value for name, value in asdict(given).items()}
    try:
        return SpikeLayout(**stated)
    except ConfigError as error:
        raise DataError(f'{path}: {error}') from error
