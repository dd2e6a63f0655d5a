"""A loss in linear light, for an ablation: blur adds light, so errors may weigh as the light does."""

from __future__ import annotations

from torch import Tensor

from vrtspike.models.layers.srgb import decode_srgb
from vrtspike.models.losses import CharbonnierLoss
from vrtspike.registry import MODELS


@MODELS.register_module()
class LinearLightLoss(CharbonnierLoss):
    """:class:`~vrtspike.models.losses.CharbonnierLoss` of frames decoded from sRGB to linear light."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the scalar loss of two tensors of the same shape, with values in [0, 1]."""
        return super().forward(decode_srgb(prediction.float()), decode_srgb(target.float()))
