"""Losses that need no sharp frames: restored instants must give the blurred frame, and stay near SDM."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vrtspike.datasets.sdm import INTERVALS, LEAST_STEPS
from vrtspike.errors import ConfigError, require_positive
from vrtspike.models.layers.srgb import LUMINANCE, decode_srgb, encode_srgb
from vrtspike.models.losses.charbonnier import CharbonnierLoss
from vrtspike.registry import MODELS


@MODELS.register_module()
class ReblurLoss(nn.Module):
    """Trains with and without sharp frames (after S-SDM, arXiv 2403.09486).

    A batch has several instants of every exposure, from :class:`~vrtspike.datasets.transforms.targets.SDMTargets`.
    The sum of

    - the squared difference of the blurred frame and the mean, in linear light, of what is restored at these instants,
      both sRGB-encoded;
    - the smooth absolute difference from SDM's estimate, where there is no sharp frame. A pixel counts by how certain
      its spikes are: 1 / (1 + (noise / tolerance)^2), where noise is the relative standard deviation of a rate in SDM's
      window, see :mod:`vrtspike.datasets.sdm`;
    - the smooth absolute difference from the sharp frame, where there is one.

    Each of the last two is a mean over all restored frames.

    Args:
        reblur_weight: Factor of the first term.
        sdm_weight: Factor of the second term.
        tolerance: Relative noise at which a pixel counts half.
        supervised: A loss from MODELS that takes (restored, sharp), for the third term; None uses CharbonnierLoss.
    """

    parts = {'supervised': MODELS}  # noqa: RUF012 - read by the config's validation
    takes_inputs = True

    def __init__(
        self,
        reblur_weight: float = 100.0,
        sdm_weight: float = 1.0,
        tolerance: float = 0.05,
        supervised: dict | nn.Module | None = None,
    ) -> None:
        super().__init__()
        require_positive(type(self).__name__, reblur_weight=reblur_weight, sdm_weight=sdm_weight, tolerance=tolerance)
        self.reblur_weight, self.sdm_weight, self.tolerance = reblur_weight, sdm_weight, tolerance
        supervised = supervised or CharbonnierLoss()
        self.supervised = MODELS.build(supervised) if isinstance(supervised, dict) else supervised

    def forward(self, restored: Tensor, target: Tensor, blur: Tensor, meta: dict[str, Any]) -> dict[str, Tensor]:
        """Return the losses by name.

        Args:
            restored: (B M, T, 3, H, W), where the M instants of a clip are neighbours.
            target: Sharp frames or SDM's estimates, like ``restored``.
            blur: The blurred frames, like ``restored``.
            meta: ``instants`` (B,), ``supervised`` (B, M T), ``threshold`` (B,) and ``light`` (B) of the batch.
        """
        if not meta or 'instants' not in meta:
            raise ConfigError('ReblurLoss needs several instants of an exposure: put SDMTargets into the pipeline')
        instants = int(meta['instants'][0])
        restored, target, blur = (x.float().unflatten(0, (-1, instants)) for x in (restored, target, blur))
        supervised = meta['supervised'].to(restored.device, non_blocking=True).view(*restored.shape[:3], 1, 1, 1)
        threshold = meta['threshold'].to(restored.device, torch.float32, non_blocking=True).view(-1, 1, 1, 1, 1)
        reblurred = encode_srgb(decode_srgb(restored).mean(dim=1))
        frames = zip(blur[:, 0], meta['light'], strict=True)
        seen = torch.stack([each if light == 'encoded' else decode_srgb(each) for each, light in frames])
        weights = torch.where(supervised, 0, certainty(seen, threshold, self.tolerance)[:, None])
        distance = ((restored - target).square() + 1e-6).sqrt()
        return {
            'reblur_loss': self.reblur_weight * (reblurred - blur[:, 0]).square().mean(),
            'sdm_loss': self.sdm_weight * (weights * distance).mean(),
            'restoration_loss': self.supervised(torch.where(supervised, restored, target), target),
        }


def certainty(seen: Tensor, threshold: Tensor, tolerance: float) -> Tensor:
    """Return how certain the spikes of blurred frames are, (B, T, 1, H, W) from 0 to 1.

    The rate of SDM's window of n steps to each side has the variance 1 / (24 n^2); n is at least ``LEAST_STEPS`` and
    ``INTERVALS`` mean intervals between spikes.

    Args:
        seen: The frames (B, T, 3, H, W), as light or as the encoded values that the spike camera integrated.
        threshold: Its threshold (B, 1, 1, 1, 1).
        tolerance: Relative noise at which the certainty is a half.
    """
    intensity = (seen * seen.new_tensor(LUMINANCE).view(3, 1, 1)).sum(dim=2, keepdim=True)
    rate = (intensity / threshold).clamp_min(1e-3)
    steps = (INTERVALS / rate).clamp_min(LEAST_STEPS)
    noise = 24**-0.5 / (steps * rate)
    return 1 / (1 + (noise / tolerance) ** 2)
