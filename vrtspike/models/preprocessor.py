"""Turns batches from the data loader into the inputs of a restorer.

Shapes: B clips, T frames, K temporal bins, H x W pixels of RGB, Hs x Ws pixels of spikes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from vrtspike.errors import DataError
from vrtspike.models.layers.padding import repeat_border
from vrtspike.ops.padding import next_multiple
from vrtspike.profiling import stage
from vrtspike.registry import MODELS

#: The transform that adds each kind of frame.
ADDED_BY = {'sdm': 'AddSDM', 'sdm_neighbour': 'AddNeighbourSDM', 'estimate': 'SpikesAlone'}


@MODELS.register_module()
class SpikePreprocessor(BaseDataPreprocessor):
    """Move a batch to the device, scale frames to [0, 1] and pad RGB and spikes by the same area of the scene.

    Args:
        divisor: Height and width of the padded frames are multiples of it. Borders are repeated below and to the right;
            restorers crop the result.
        inputs: The frames of a sample that the network sees, stacked along their channels. It corrects the first:
            ``['sdm', 'blur']`` starts from the estimate of :mod:`vrtspike.datasets.sdm` and sees the blurred frame too;
            ``['estimate']`` is that of :class:`~vrtspike.datasets.transforms.alone.SpikesAlone`.
        flow_steps: Steps of raw spikes that the network's flow sees, or 0. They are joined to the spikes as further
            bins.
        non_blocking: Copy to the device without waiting, for data loaders with pinned memory.
    """

    def __init__(
        self, divisor: int = 8, inputs: Sequence[str] = ('blur',), non_blocking: bool = True, flow_steps: int = 0
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        self.divisor = divisor
        self.inputs = tuple(inputs)
        self.flow_steps = flow_steps

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch of samples, which :mod:`vrtspike.datasets.clips` documents.

        Returns:
            B is that of the batch, times the instants of :class:`~vrtspike.datasets.transforms.targets.SDMTargets`.
            ``blur`` (B, T, 3 x inputs, H', W') and, if given, ``sharp`` (B, T, 3, H', W'), float in [0, 1]; ``spikes``
            float (B, T, K + flow_steps, Hs', Ws'); ``instant`` (B, T) and ``meta``, unchanged; ``size``, the (H, W)
            before padding.
        """
        with stage('data'):
            return self.prepare(data)

    def prepare(self, data: dict) -> dict:
        """Prepare a batch; see :meth:`forward`, which measures its time as the stage ``data``."""
        meta = data.get('meta')
        batch = self.cast_data({key: value for key, value in data.items() if isinstance(value, Tensor)})
        if meta and 'instants' in meta:  # of SDMTargets: (B, M T, ...) -> (B M, T, ...)
            count = int(meta['instants'][0])
            batch = {key: value.unflatten(1, (count, -1)).flatten(0, 1) for key, value in batch.items()}
        height, width = batch['blur'].shape[-2:]
        spikes = batch.get('spikes')
        spike_size = spikes.shape[-2:] if spikes is not None else (height, width)
        (new_h, new_hs), (new_w, new_ws) = (
            padded_lengths(rgb, spike, self.divisor) for rgb, spike in zip((height, width), spike_size, strict=True)
        )
        kinds = {'blur': self.inputs, **({'sharp': ('sharp',)} if 'sharp' in batch else {})}
        frames = {key: stacked(batch, each).float() / 255 for key, each in kinds.items()}
        inputs = {key: repeat_border(value, new_h, new_w) for key, value in frames.items()}
        if spikes is not None:
            inputs['spikes'] = repeat_border(self.with_flow_spikes(batch), new_hs, new_ws)
        if 'instant' in batch:
            inputs['instant'] = batch['instant']
        return inputs | {'size': (height, width), 'meta': meta}

    def with_flow_spikes(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the spikes of a batch, (B, T, K + flow_steps, Hs, Ws)."""
        if not self.flow_steps:
            return batch['spikes']
        windows = batch.get('flow_spikes')
        if windows is None or windows.shape[2] != self.flow_steps:
            raise DataError(
                f"the network computes flow from {self.flow_steps} steps of spikes (flow='spikes'), but the batch has "
                f'{"none" if windows is None else windows.shape[2]}: set flow_steps={self.flow_steps} of BinSpikes in '
                'the training and validation pipelines'
            )
        return torch.cat((batch['spikes'], windows.to(batch['spikes'].dtype)), dim=2)


def stacked(batch: dict[str, Tensor], kinds: Sequence[str]) -> Tensor:
    """Return frames (B, T, 3, H, W) of several kinds as one tensor (B, T, 3 x kinds, H, W)."""
    if missing := [kind for kind in kinds if kind not in batch]:
        transforms = ', '.join(f"dict(type='{ADDED_BY[kind]}')" for kind in missing)
        raise DataError(
            f'the network sees {", ".join(kinds)}, but the batch has no {", ".join(missing)}: put '
            f'{transforms} before BinSpikes in the pipelines, and use data with spikes'
        )
    return batch[kinds[0]] if len(kinds) == 1 else torch.cat([batch[kind] for kind in kinds], dim=2)


def padded_lengths(rgb: int, spike: int, divisor: int) -> tuple[int, int]:
    """Return the smallest padded lengths that cover the same area; that of RGB is a multiple of ``divisor``."""
    ratio = Fraction(rgb, spike)
    step = math.lcm(divisor, ratio.numerator)
    if step > 8 * divisor:
        raise DataError(
            f'frames of {rgb} pixels and spikes of {spike} have no common grid: their ratio is {ratio}; crop the '
            'frames to a multiple of the spikes'
        )
    padded = next_multiple(rgb, step)
    return padded, int(padded / ratio)
