"""Turns clips into clips of spikes alone: a grey frame to correct, and a grey target."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from vrtspike.datasets.color import decode_srgb, encode_light_uint8, luminance
from vrtspike.datasets.instants import SpikesAround, represented, spikes_around
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import REPRESENTATIONS, TRANSFORMS


@TRANSFORMS.register_module()
class SpikesAlone:
    """Replace the frames of a clip by what its spike camera sees, for ``model.start='spikes'``.

    ``estimate``, what the spikes show without a network, is what the network corrects. It also takes the place of
    ``blur``, so that validation scores it as ``blur/psnr``. ``sharp``, where there is one, becomes grey and gets the
    size of the spikes. Grey images have three equal channels. Put it before
    :class:`~vrtspike.datasets.transforms.spikes.BinSpikes`, and before or after crops.

    Args:
        estimate: A registered representation with one bin, or its config: TFP, TFI or TFSTP.
    """

    parts = {'estimate': REPRESENTATIONS}  # noqa: RUF012 - read by the config's validation

    def __init__(self, estimate: dict | Callable | None = None) -> None:
        estimate = {'type': 'TFP'} if estimate is None else estimate
        self.estimate = REPRESENTATIONS.build(estimate) if isinstance(estimate, dict) else estimate

    def __call__(self, results: dict) -> dict:
        """Add ``estimate`` (T, Hs, Ws, 3) uint8 to a sample with raw spikes; ``blur`` is not needed."""
        if 'spikes' not in results:
            raise DataError("SpikesAlone got a clip without spikes: use data with spikes, or leave model.start='blur'")
        if results['spikes'].dtype != np.uint8:
            raise ConfigError('SpikesAlone got binned spikes: put it before BinSpikes in the pipeline')
        spikes, meta = np.asarray(results['spikes']), results['meta']
        around = spikes_around({**results, 'spikes': spikes})
        estimate = np.stack([grey_frame(self.intensity(each, meta['threshold']), meta['light']) for each in around])
        size = spikes.shape[-2:]
        targets = [grey_target(frame, size, meta['light']) for frame in results.get('sharp', ())]
        given = {'sharp': np.stack(targets)} if targets else {}
        return {**results, **given, 'blur': estimate, 'estimate': estimate, 'spikes': spikes}

    def intensity(self, around: SpikesAround, threshold: float) -> np.ndarray:
        """Return the intensity (Hs, Ws) that the spikes around an instant show."""
        rates = represented(self.estimate, around)
        if len(rates) != 1:
            raise ConfigError(f'SpikesAlone: the estimate has {len(rates)} bins, expected one: set bins=1')
        return rates[0] * np.float32(threshold)


def grey_frame(intensity: np.ndarray, light: str) -> np.ndarray:
    """Return an intensity (H, W) as a grey image (H, W, 3) uint8; linear light is sRGB-encoded."""
    return encode_light_uint8(intensity, light)[..., None].repeat(3, axis=-1)


def grey_target(frame: np.ndarray, size: tuple[int, int], light: str) -> np.ndarray:
    """Return what a spike camera of ``size`` (height, width) sees of a frame (H, W, 3) uint8, as a grey image.

    The light of a spike pixel is the mean over its area.
    """
    values = frame / np.float32(255)
    grey = luminance(values if light == 'encoded' else decode_srgb(values))
    return grey_frame(cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA), light)
