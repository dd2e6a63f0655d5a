"""Crops of RGB and spikes to the same part of the scene."""

from __future__ import annotations

from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PairedRandomCrop:
    """Crop a random part of the frames, and exactly its part of the spikes.

    Args:
        size: Side, or (height, width), in pixels of RGB; a multiple of the RGB to spike ratio.
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = as_size(size)

    def __call__(self, results: dict) -> dict:
        """Crop ``blur``, ``sharp`` and raw or binned ``spikes``; draws from ``results['rng']``."""
        free = free_spike_pixels(results, self.size)
        top, left = (int(results['rng'].integers(pixels + 1)) for pixels in free)
        return crop(results, top, left, self.size)


@TRANSFORMS.register_module()
class PairedCenterCrop:
    """Crop the centre of the frames, and exactly its part of the spikes.

    Args:
        size: Side, or (height, width), in pixels of RGB; None keeps the whole frame.
    """

    def __init__(self, size: int | tuple[int, int] | None = None) -> None:
        self.size = None if size is None else as_size(size)

    def __call__(self, results: dict) -> dict:
        """Crop ``blur``, ``sharp`` and raw or binned ``spikes``."""
        if self.size is None:
            return results
        top, left = (pixels // 2 for pixels in free_spike_pixels(results, self.size))
        return crop(results, top, left, self.size)


def as_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of a side or a pair."""
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or min(pair) < 1:
        raise ConfigError(f'a crop got size={size}, expected a positive side or (height, width)')
    return pair


def rgb_per_spike_pixel(results: dict) -> int:
    """Return how many RGB pixels lie along one spike pixel."""
    height, width = results['blur'].shape[1:3]
    spike_height, spike_width = results['spikes'].shape[-2:]
    ratio = height // spike_height
    if ratio < 1 or (height, width) != (ratio * spike_height, ratio * spike_width):
        raise DataError(
            f'{describe(results)} has frames of {height} x {width} and spikes of {spike_height} x {spike_width}: '
            'the frames must be a whole number of times larger, the same in both directions'
        )
    return ratio


def free_spike_pixels(results: dict, size: tuple[int, int]) -> tuple[int, int]:
    """Return by how many spike pixels the frame exceeds a crop of ``size`` RGB pixels, vertically, horizontally."""
    height, width = results['blur'].shape[1:3]
    ratio = rgb_per_spike_pixel(results)
    if size[0] > height or size[1] > width:
        raise DataError(
            f'a crop of {size[0]} x {size[1]} does not fit into the {height} x {width} frames of '
            f'{describe(results)}: choose a smaller crop or larger frames'
        )
    if size[0] % ratio or size[1] % ratio:
        raise ConfigError(
            f'a crop of {size[0]} x {size[1]} has no spike crop of whole pixels: expected multiples of {ratio}, the '
            f'ratio of RGB to spike pixels in {describe(results)}'
        )
    return (height - size[0]) // ratio, (width - size[1]) // ratio


def crop(results: dict, top: int, left: int, size: tuple[int, int]) -> dict:
    """Crop ``size`` RGB pixels from the spike pixel (top, left) on."""
    ratio = rgb_per_spike_pixel(results)
    rgb = tuple(slice(start * ratio, start * ratio + length) for start, length in zip((top, left), size, strict=True))
    spike = tuple(slice(start, start + length // ratio) for start, length in zip((top, left), size, strict=True))
    cropped = {key: results[key][(slice(None), *rgb)] for key in ('blur', 'sharp')}
    return {**results, **cropped, 'spikes': results['spikes'][(..., *spike)]}


def describe(results: dict) -> str:
    """Name a sample in a message."""
    meta = results.get('meta', {})
    return f"'{meta.get('name', 'a clip')}' (from frame {meta.get('first_frame', '?')})"
