"""Crops of RGB and spikes to the same part of the scene."""

from __future__ import annotations

from fractions import Fraction

from vrtspike.datasets.sources.folders import require_pair
from vrtspike.datasets.sources.sequence import SAMPLE_FRAMES, SPIKE_ARRAYS
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PairedRandomCrop:
    """Crop frames and spikes to the same random part of the scene.

    Args:
        size: Side, or (height, width), in RGB pixels. If the frames are a / b times as large as the spikes along each
            side, it must be a multiple of a.
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = height_width(size)

    def __call__(self, results: dict) -> dict:
        """Crop ``blur``, ``sharp`` and raw or binned ``spikes``; draws from ``results['rng']``."""
        free = free_cells(results, self.size)
        top, left = (int(results['rng'].integers(cells + 1)) for cells in free)
        return crop(results, top, left, self.size)


@TRANSFORMS.register_module()
class PairedCenterCrop:
    """Crop the same central part of the scene from frames and spikes.

    Args:
        size: Largest side, or (height, width), in RGB pixels; sides that are shorter are not cropped. None keeps the
            whole frame.
    """

    def __init__(self, size: int | tuple[int, int] | None = None) -> None:
        self.size = None if size is None else height_width(size)

    def __call__(self, results: dict) -> dict:
        """Crop ``blur``, ``sharp`` and raw or binned ``spikes``."""
        if self.size is None:
            return results
        size = tuple(map(min, self.size, results['blur'].shape[1:3]))
        top, left = (cells // 2 for cells in free_cells(results, size))
        return crop(results, top, left, size)


def height_width(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) of a crop that is given as its side or as a pair."""
    pair = (size, size) if isinstance(size, int) else size
    require_pair('a crop', size=pair)
    return tuple(pair)


def rgb_per_spike_pixel(results: dict) -> Fraction:
    """Return the RGB pixels along one side of a spike pixel; 1 for a sample without spikes."""
    if 'spikes' not in results:
        return Fraction(1)
    height, width = results['blur'].shape[1:3]
    spike_height, spike_width = results['spikes'].shape[-2:]
    ratio = Fraction(height, spike_height)
    if ratio != Fraction(width, spike_width):
        raise DataError(
            f'{describe(results)} has frames of {height} x {width} and spikes of {spike_height} x {spike_width}: '
            'frames and spikes must be related by one scale, the same in both directions'
        )
    return ratio


def free_cells(results: dict, size: tuple[int, int]) -> tuple[int, int]:
    """Return by how many cells the frame exceeds a crop of ``size`` RGB pixels, vertically and horizontally.

    A cell is the smallest square of whole RGB pixels and whole spike pixels: at a ratio of a / b, its side is a RGB
    pixels and b spike pixels.
    """
    height, width = results['blur'].shape[1:3]
    cell = rgb_per_spike_pixel(results).numerator
    if size[0] > height or size[1] > width:
        raise DataError(
            f'a crop of {size[0]} x {size[1]} does not fit into the {height} x {width} frames of '
            f'{describe(results)}: choose a smaller crop or larger frames'
        )
    if size[0] % cell or size[1] % cell:
        raise ConfigError(
            f'a crop of {size[0]} x {size[1]} has no spike crop of whole pixels: expected multiples of {cell}, because '
            f'frames are {rgb_per_spike_pixel(results)} times as large as spikes in {describe(results)}'
        )
    return (height - size[0]) // cell, (width - size[1]) // cell


def crop(results: dict, top: int, left: int, size: tuple[int, int]) -> dict:
    """Crop ``size`` RGB pixels, beginning at the cell (top, left)."""
    ratio = rgb_per_spike_pixel(results)
    starts = [cell * ratio.numerator for cell in (top, left)]
    rgb = [slice(start, start + length) for start, length in zip(starts, size, strict=True)]
    cropped = {kind: results[kind][(slice(None), *rgb)] for kind in SAMPLE_FRAMES if kind in results}
    if 'spikes' in results:
        spike = [slice(int(part.start / ratio), int(part.stop / ratio)) for part in rgb]
        cropped |= {kind: results[kind][(..., *spike)] for kind in SPIKE_ARRAYS if kind in results}
    return {**results, **cropped}


def describe(results: dict) -> str:
    """Name a sample in a message."""
    meta = results.get('meta', {})
    return f"'{meta.get('name', 'a clip')}' (from frame {meta.get('first_frame', '?')})"
