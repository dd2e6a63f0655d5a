"""What is known about a spike file from outside: stated by the caller, or by the nearest ``config.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vrtspike.datasets.io.spike_formats import spike_array_size
from vrtspike.datasets.sources.folders import config_layout, config_light, config_number, read_config
from vrtspike.datasets.spike_layout import USUAL_LAYOUT, SpikeLayout
from vrtspike.datasets.spike_layout_check import fitting_sensor
from vrtspike.errors import DataError

#: Number of folders that are searched for a config.yaml, upwards from <root>/<split>/<sequence>/spike.
CONFIG_FOLDERS = 4


@dataclass(frozen=True)
class SpikeDescription:
    """A spike file's description.

    Args:
        stored_size: (height, width) of the spikes in the file.
        size: The same without the columns that are dropped.
        threshold: Firing threshold; None if unknown.
        light: What the camera integrated, see :class:`~vrtspike.datasets.sources.sequence.Sequence`.
        layout: How the file stores its spikes.
        interval: Steps from the start of an exposure to that of the next; None if unknown.
    """

    stored_size: tuple[int, int]
    size: tuple[int, int]
    threshold: float | None
    light: str
    layout: SpikeLayout
    interval: int | None


def describe_spikes(
    path: Path,
    *,
    size: tuple[int, int] | None = None,
    threshold: float | None = None,
    light: str | None = None,
    keep_columns: int | None = None,
    layout: SpikeLayout = USUAL_LAYOUT,
) -> SpikeDescription:
    """Return the description of a spike file. What is None comes from ``config.yaml``, or the size from an array.

    Raises:
        DataError: The size is unknown, or a value of ``config.yaml`` is wrong.
    """
    folder = nearest_config_folder(path)
    config = (folder or path.parent) / 'config.yaml'
    known = read_config(config) if folder else {}
    layout = config_layout(known, config, layout)
    if size is None and 'spike_h' in known:
        size = tuple(config_number(known, key, int, config, 'state the size') for key in ('spike_h', 'spike_w'))
    size = size or spike_array_size(path, layout)
    if size is None:
        raise DataError(f'{path} does not contain its size, and no config.yaml near it does{fitting_sensor(path)}')
    if threshold is None and 'threshold' in known:
        threshold = config_number(known, 'threshold', float, config, 'state the threshold')
    kept = size[1] if keep_columns is None else keep_columns
    if not 1 <= kept <= size[1]:
        raise DataError(f'{path}: got {keep_columns=}, expected 1 to the {size[1]} columns of the spikes')
    light = light or config_light(known, config)
    return SpikeDescription(size, (size[0], kept), threshold, light, layout, known.get('interval'))


def nearest_config_folder(path: Path) -> Path | None:
    """Return the nearest folder, ``path`` or one above, whose ``config.yaml`` has a spike size; None without one."""
    path = path.resolve()
    folders = [*([path] if path.is_dir() else []), *path.parents][:CONFIG_FOLDERS]
    return next((folder for folder in folders if 'spike_h' in read_config(folder / 'config.yaml')), None)
