"""The validation metric: quality of the restored clips, of the blurred input, and of plain uses of the spikes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from vrtspike.datasets.instants import MIDDLE
from vrtspike.errors import DataError
from vrtspike.metrics.frames import luma, playback_frames, to_uint8_frames
from vrtspike.metrics.psnr_ssim import psnr, ssim
from vrtspike.registry import METRICS

#: What the PSNR of equal frames counts as, in dB. The true value is infinite and would make every mean infinite.
PSNR_OF_EQUAL_FRAMES = 100.0
#: The scalars, in the order in which they are logged.
SCALARS = ('psnr', 'ssim', 'blur/psnr', 'blur/ssim', 'tfp/psnr', 'sdm/psnr')
#: Beginning of the names of the scalars at an instant of the exposure.
AT_INSTANT = 'psnr@'


@METRICS.register_module()
class RestorationQuality(BaseMetric):
    """PSNR and SSIM against the sharp frames, averaged over the frames of each clip and then over clips.

    Scalars: ``psnr`` (dB) and ``ssim`` of the restored frames, ``blur/psnr`` and ``blur/ssim`` of the blurred input,
    and, for clips with spikes, ``tfp/psnr`` of the TFP of the spikes against the luma of the sharp frames. If the
    pipeline has :class:`~vrtspike.datasets.transforms.sdm.AddSDM`, ``sdm/psnr`` is that of its estimate. All images
    are 8-bit and no border is cropped. A frame equal to its target counts as 100 dB.

    If the clips are restored at several instants of the exposure (``ClipDataset(instants=...)``), the scalars are means
    over all of them, and ``psnr@<instant>`` is the PSNR at each. ``tfp/psnr``, of the spikes of the whole exposure, is
    that of its middle.

    After :meth:`evaluate`, ``rows`` on the main process has one entry for each clip: ``clip`` (its name), ``frames``
    (their number) and the scalars.

    Args:
        collect_device: Where results of several processes are gathered, ``'cpu'`` or ``'gpu'``.
        prefix: Prefix of the scalars' names, none by default.
        collect_dir: Folder for results that are gathered through files.
    """

    # These names need no prefix. MMEngine warns if this is None.
    default_prefix = ''

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None, collect_dir: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.rows: list[dict[str, float | int | str]] = []

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score one batch.

        Args:
            data_batch: The batch as the data loader collates it: ``blur`` and ``sharp`` (B, T, 3, H, W) uint8,
                ``meta`` and, optionally, ``spikes`` (B, T, K, Hs, Ws) with ``light`` in ``meta``, ``instant`` (B, T)
                and ``sdm`` like ``blur``.
            data_samples: One dict for each clip of the batch, in order, with ``restored`` (T, 3, H, W) in [0, 1].
        """
        if data_batch.get('sharp') is None:
            raise DataError('quality cannot be measured without sharp frames; the validation clips have none')
        spikes = data_batch.get('spikes')
        for i, sample in enumerate(data_samples):
            instant = instant_of(data_batch, i)
            sharp = to_uint8_frames(data_batch['sharp'][i])
            played = spikes is not None and instant in (None, MIDDLE)
            row = clip_quality(
                to_uint8_frames(sample['restored']),
                to_uint8_frames(data_batch['blur'][i]),
                sharp,
                playback_frames(spikes[i], sharp.shape[1:3], data_batch['meta']['light'][i]) if played else None,
                to_uint8_frames(data_batch['sdm'][i]) if 'sdm' in data_batch else None,
            )
            if instant is not None:
                row[f'psnr@{instant:g}'] = row['psnr']
            self.results.append({'clip': clip_name(data_batch, i), 'frames': len(sharp), **row})

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Keep the clips' rows and return the mean of every scalar over the clips that have it."""
        self.rows = list(results)
        at_instants = sorted({name for row in results for name in row if name.startswith(AT_INSTANT)}, key=instant_in)
        columns = {name: [row[name] for row in results if name in row] for name in (*SCALARS, *at_instants)}
        return {name: float(np.mean(values)) for name, values in columns.items() if values}


def instant_of(batch: dict, i: int) -> float | None:
    """Return the instant of the first frame of a batch's ``i``-th clip; None if the batch has no instants."""
    return round(batch['instant'][i, 0].item(), 6) if 'instant' in batch else None


def instant_in(scalar: str) -> float:
    """Return the instant in the name of a scalar ``psnr@<instant>``."""
    return float(scalar.removeprefix(AT_INSTANT))


def clip_name(batch: dict, i: int) -> str:
    """Return the name of a batch's ``i``-th clip in tables and file names: sequence, first frame, instant if any."""
    instant = instant_of(batch, i)
    name = f'{batch["meta"]["name"][i]}/{batch["meta"]["first_frame"][i]}'
    return name if instant is None else f'{name}@{instant:g}'


def file_stem(name: str) -> str:
    """Return a clip's name as a file name: anything but letters, digits, dots and dashes becomes an underscore."""
    return re.sub(r'[^\w.-]+', '_', name).strip('.')


def clip_quality(
    restored: np.ndarray,
    blur: np.ndarray,
    sharp: np.ndarray,
    playback: np.ndarray | None = None,
    sdm: np.ndarray | None = None,
) -> dict[str, float]:
    """Return the scalars of one clip, each averaged over its frames.

    Args:
        restored: (T, H, W, 3) uint8, like ``blur`` and ``sharp``.
        playback: (T, H, W) uint8, the TFP of the spikes, compared with the luma of ``sharp``.
        sdm: The estimate of the spike-guided deblurring model, like ``sharp``.
    """
    quality = {
        'psnr': _mean(finite_psnr, restored, sharp),
        'ssim': _mean(ssim, restored, sharp),
        'blur/psnr': _mean(finite_psnr, blur, sharp),
        'blur/ssim': _mean(ssim, blur, sharp),
    }
    if playback is not None:
        quality['tfp/psnr'] = _mean(finite_psnr, playback, luma(sharp))
    if sdm is not None:
        quality['sdm/psnr'] = _mean(finite_psnr, sdm, sharp)
    return quality


def finite_psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """Return the PSNR, limited to 100 dB; equal images get 100 dB."""
    return min(psnr(image, reference), PSNR_OF_EQUAL_FRAMES)


def _mean(measure: Callable[[np.ndarray, np.ndarray], float], frames: np.ndarray, references: np.ndarray) -> float:
    if len(frames) != len(references):
        raise DataError(f'a clip of {len(frames)} frames cannot be compared with one of {len(references)}')
    return float(np.mean([measure(*pair) for pair in zip(frames, references, strict=True)]))
